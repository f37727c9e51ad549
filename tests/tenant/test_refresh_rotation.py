"""D8: refresh tokens rotate, with leeway; reuse revokes the family; a refresh never widens scope."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
import requests

from tenant.settings import HERE
from tests.support.tenant import ADA, CLIENT_ID, GRACE, Browser, NativeApp, RunningTenant, running_tenant

UNKNOWN = {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}
REGISTRY = HERE / "registry.toml"


@pytest.fixture
def fresh_app(fresh_tenant: RunningTenant) -> NativeApp:
    return NativeApp(fresh_tenant)


def _claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def test_refresh_gives_new_tokens_and_retires_the_old_one(fresh_tenant, fresh_app):
    """RFC 9700 §4.14.2: 'the authorization server issues a new refresh token with every access token refresh
    response. The previous refresh token is invalidated.'
    """
    first = fresh_app.log_in()
    second = fresh_app.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]
    identity = _claims(second["id_token"])
    assert "nonce" not in identity
    assert identity["auth_time"] == _claims(first["id_token"])["auth_time"]
    assert identity["sid"] == _claims(first["id_token"])["sid"]


def test_old_token_after_the_leeway_revokes_the_family(fresh_tenant, fresh_app):
    """RFC 9700 §4.14.2: 'If a refresh token is compromised and subsequently used by both the attacker and the
    legitimate client, one of them will present an invalidated refresh token, which will inform the authorization
    server of the breach. ... the authorization server will revoke the active refresh token.'
    """
    first = fresh_app.log_in()
    second = fresh_app.refresh(first["refresh_token"]).json()
    fresh_tenant.dev("clock", {"offset_seconds": 11})
    reused = fresh_app.refresh(first["refresh_token"])
    assert (reused.status_code, reused.json()) == (403, UNKNOWN)
    assert "ferrt" in fresh_tenant.event_types()
    assert fresh_app.refresh(second["refresh_token"]).json() == UNKNOWN
    assert fresh_tenant.userinfo(second["access_token"]).status_code == 401


def test_old_token_within_the_leeway_is_a_lost_answer(fresh_app):
    """D8: rotation with leeway, for a phone that lost the connection before our answer came."""
    first = fresh_app.log_in()
    lost = fresh_app.refresh(first["refresh_token"]).json()
    retried = fresh_app.refresh(first["refresh_token"])
    assert retried.status_code == 200
    assert retried.json()["refresh_token"] != lost["refresh_token"]
    assert fresh_app.refresh(retried.json()["refresh_token"]).status_code == 200


def test_old_token_within_the_leeway_but_after_its_successor_was_used_is_reuse(fresh_app):
    """Leeway is for an answer that was lost; a used successor shows that it was not."""
    first = fresh_app.log_in()
    second = fresh_app.refresh(first["refresh_token"]).json()
    third = fresh_app.refresh(second["refresh_token"]).json()
    assert fresh_app.refresh(first["refresh_token"]).json() == UNKNOWN
    assert fresh_app.refresh(third["refresh_token"]).json() == UNKNOWN


def test_leeway_can_be_turned_off(fresh_tenant, fresh_app):
    fresh_tenant.dev("lifetimes", {"refresh_leeway_seconds": 0})
    first = fresh_app.log_in()
    second = fresh_app.refresh(first["refresh_token"]).json()
    assert fresh_app.refresh(first["refresh_token"]).json() == UNKNOWN
    assert fresh_app.refresh(second["refresh_token"]).json() == UNKNOWN


def test_many_refreshes_at_once_without_leeway_give_one_answer(fresh_tenant, fresh_app):
    """D8: use, successor and revocation are one transaction, so two uses cannot both be the first."""
    fresh_tenant.dev("lifetimes", {"refresh_leeway_seconds": 0})
    first = fresh_app.log_in()
    with ThreadPoolExecutor(5) as pool:
        statuses = list(pool.map(lambda _: fresh_app.refresh(first["refresh_token"]).status_code, range(5)))
    assert sorted(statuses) == [200, 403, 403, 403, 403]


@pytest.mark.parametrize(("name", "seconds"), [("refresh_idle_seconds", 100), ("refresh_absolute_seconds", 100)])
def test_refresh_token_expires_idle_and_absolute(fresh_tenant, fresh_app, name, seconds):
    """D8: absolute and idle expiry."""
    first = fresh_app.log_in()
    fresh_tenant.dev("lifetimes", {name: seconds})
    fresh_tenant.dev("clock", {"offset_seconds": seconds - 30})
    second = fresh_app.refresh(first["refresh_token"]).json()
    fresh_tenant.dev("clock", {"offset_seconds": seconds + 30})
    still = fresh_app.refresh(second["refresh_token"])
    assert (still.status_code == 200) == (name == "refresh_idle_seconds")
    fresh_tenant.dev("clock", {"offset_seconds": 3 * seconds})
    assert fresh_app.refresh(second["refresh_token"]).json() == UNKNOWN


def test_refresh_can_narrow_but_never_widen(fresh_app):
    """RFC 6749 §6: 'The requested scope MUST NOT include any scope not originally granted by the resource owner.'"""
    first = fresh_app.log_in(scope="openid offline_access read:profile")
    narrow = fresh_app.refresh(first["refresh_token"], scope="read:profile").json()
    assert narrow["scope"] == "read:profile"
    assert "id_token" not in narrow
    wide = fresh_app.refresh(narrow["refresh_token"], scope="read:profile write:profile")
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")
    again = fresh_app.refresh(narrow["refresh_token"]).json()
    assert again["scope"] == "openid offline_access read:profile"


def test_refresh_for_another_audience_is_refused(fresh_app):
    first = fresh_app.log_in(audience=None)
    response = fresh_app.refresh(first["refresh_token"], resource="http://127.0.0.1:8000")
    assert response.json()["error"] == "invalid_target"


def test_no_refresh_token_without_offline_access(app):
    """D8: refresh needs `offline_access`, otherwise silently none."""
    assert "refresh_token" not in app.log_in(scope="openid profile")


def test_refresh_token_of_another_application_is_unknown(tenant, app):
    """RFC 6749 §6: 'The authorization server MUST ... ensure that the refresh token was issued to the authenticated
    client.'
    """
    token = app.log_in()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": "postern-m2m", "refresh_token": token}
    assert tenant.token(**form, client_secret="postern-m2m-development-secret").status_code == 403
    assert app.refresh(token).status_code == 200


def test_revoked_refresh_token_ends_the_whole_grant(tenant, app):
    """RFC 7009 §2.2: 'The authorization server responds with HTTP status code 200 if the token has been revoked
    successfully or if the client submitted an invalid token.'
    """
    first = app.log_in()
    second = app.refresh(first["refresh_token"]).json()
    url = tenant.url("oauth/revoke")
    for body in ({"token": second["refresh_token"]}, {"token": "made-up"}):
        assert requests.post(url, json=body | {"client_id": CLIENT_ID}, timeout=10).status_code == 200
        assert requests.post(url, data=body | {"client_id": CLIENT_ID}, timeout=10).status_code == 200
    assert app.refresh(second["refresh_token"]).json() == UNKNOWN
    assert requests.post(url, data={"client_id": CLIENT_ID}, timeout=10).status_code == 400


def test_another_application_cannot_revoke(tenant, app):
    """RFC 7009 §2.1: 'verifies whether the token was issued to the client making the revocation request.'"""
    first = app.log_in()
    secret = {"client_id": "postern-m2m", "client_secret": "postern-m2m-development-secret"}
    requests.post(tenant.url("oauth/revoke"), data=secret | {"token": first["refresh_token"]}, timeout=10)
    assert app.refresh(first["refresh_token"]).status_code == 200


def test_refresh_token_survives_a_restart_of_the_tenant(tmp_path):
    with running_tenant(tmp_path) as before:
        token = NativeApp(before).log_in()["refresh_token"]
    with running_tenant(tmp_path) as after:
        assert NativeApp(after).refresh(token).status_code == 200


@pytest.fixture
def changed_tenant(tmp_path: Path) -> Iterator[RunningTenant]:
    """A tenant with RBAC, without offline access, RFC 9068 tokens and refresh tokens that do not rotate."""
    text = REGISTRY.read_text(encoding="utf-8")
    text = text.replace("rotate_refresh_tokens = true", "rotate_refresh_tokens = false")
    text = text.replace("allow_offline_access = true", "allow_offline_access = false")
    text = text.replace("rbac = false", "rbac = true").replace('dialect = "auth0"', 'dialect = "rfc9068"')
    path = tmp_path / "registry.toml"
    path.write_text(text, encoding="utf-8")
    with running_tenant(tmp_path / "state", registry_file=path) as running:
        yield running


def test_registry_settings_rule_what_is_given(changed_tenant):
    """D4, D8: RFC 9068's dialect with RBAC; Allow Offline Access off gives no refresh token, silently."""
    app = NativeApp(changed_tenant)
    answer = app.log_in(GRACE)
    assert "refresh_token" not in answer
    assert answer["scope"] == "openid profile email read:profile"
    claims, header = _claims(answer["access_token"]), jwt.get_unverified_header(answer["access_token"])
    assert header["typ"] == "at+jwt"
    assert claims["permissions"] == ["read:profile"]
    assert claims["client_id"] == CLIENT_ID
    assert claims["jti"]
    assert "azp" not in claims


def test_refresh_token_without_rotation_stays_the_same(changed_tenant):
    app = NativeApp(changed_tenant)
    with Browser(changed_tenant) as browser:
        code = browser.go_through(app.authorize_url(audience=None), ADA)["code"]
    first = app.exchange(code).json()
    for _ in range(2):
        again = app.refresh(first["refresh_token"])
        assert again.status_code == 200
        assert "refresh_token" not in again.json()
