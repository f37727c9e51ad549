"""D4, D5: audiences, opaque tokens, dropped scopes; D12: /userinfo; D13: client credentials."""

import base64
import json

import jwt
import pytest
import requests

from tests.support.tenant import API, GRACE

MACHINE = {
    "grant_type": "client_credentials",
    "client_id": "postern-m2m",
    "client_secret": "postern-m2m-development-secret",
}


def _claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def test_no_audience_gives_an_opaque_token_for_userinfo_only(tenant, app):
    """D5: none asked: an opaque five-part token (`alg: dir`, empty second part) good for /userinfo only."""
    token = app.log_in(audience=None)["access_token"]
    parts = token.split(".")
    assert len(parts) == 5
    assert parts[1] == ""
    header = json.loads(base64.urlsafe_b64decode(parts[0] + "=="))
    assert header == {"alg": "dir", "enc": "A256GCM", "iss": tenant.issuer}
    assert tenant.userinfo(token).json()["email"] == "ada@example.org"


def test_unknown_audience_goes_back_in_auth0s_words(app, browser):
    """D5: unknown: `Service not found: …`."""
    reached = browser.open(app.authorize_url(audience="https://other.example"))
    assert reached["error"] == "access_denied"
    assert reached["error_description"] == "Service not found: https://other.example"


def test_audience_is_compared_exactly(app, browser):
    assert browser.open(app.authorize_url(audience=API + "/"))["error"] == "access_denied"


def test_resource_is_another_name_of_audience(tenant, app):
    """D5, RFC 8707 §2: 'resource'."""
    claims = _claims(app.log_in(audience=None, resource=API)["access_token"])
    assert claims["aud"] == [API, tenant.issuer + "userinfo"]


def test_two_audiences_at_once_are_refused(app, browser):
    """RFC 8707 §2: 'invalid_target: The requested resource is invalid, missing, unknown, or malformed.'"""
    assert browser.open(app.authorize_url(resource="https://other.example"))["error"] == "invalid_target"


def test_audience_is_a_string_without_openid(app):
    """D4: `aud` is a string, or `[api, issuer + "userinfo"]` when `openid` was asked."""
    answer = app.log_in(scope="read:profile")
    assert _claims(answer["access_token"])["aud"] == API
    assert "id_token" not in answer


def test_unknown_scopes_are_dropped_silently(app):
    """D5: unknown scopes dropped silently."""
    assert app.log_in(scope="read:profile fly:rocket READ:email read:profile")["scope"] == "read:profile"


@pytest.mark.parametrize(
    ("scope", "members"),
    [
        ("openid", {"sub"}),
        ("openid email", {"sub", "email", "email_verified"}),
        ("openid profile", {"sub", "name", "given_name", "family_name", "nickname", "locale", "zoneinfo"}),
    ],
)
def test_userinfo_answers_by_scope(tenant, app, scope, members):
    """D12: /userinfo answers for tokens with its audience, by scope."""
    token = app.log_in(GRACE, scope=scope)["access_token"]
    assert set(tenant.userinfo(token).json()) == members
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.post(tenant.url("userinfo"), headers=headers, timeout=10).status_code == 200


def test_userinfo_refuses_tokens_that_are_not_for_it(tenant, app):
    """RFC 6750 §3.1: 'invalid_token: The access token provided is expired, revoked, malformed, or invalid.'"""
    good = tenant.mint(scope="openid")
    assert tenant.userinfo(good).status_code == 200
    bad = {
        "api only": tenant.mint(scope="read:profile"),
        "expired": tenant.mint(scope="openid", expires_in=-1),
        "foreign": tenant.mint(scope="openid", key="foreign"),
        "issuer": tenant.mint(scope="openid", claims={"iss": "https://other.example/"}),
        "subject": tenant.mint(sub="auth0|gone", scope="openid"),
        "id token": app.log_in()["id_token"],
        "garbage": "a.b.c",
        "five parts": "a.b.c.d.e",
        "tampered": good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
    }
    for name, token in bad.items():
        response = tenant.userinfo(token)
        assert response.status_code == 401, name
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"], name
    bare = requests.get(tenant.url("userinfo"), timeout=10)
    assert bare.status_code == 401
    assert "error=" not in bare.headers["WWW-Authenticate"]


def test_client_credentials_speak_auth0s_dialect(tenant):
    """D13: client credentials (`…@clients`, `gty`, no refresh token)."""
    answer = tenant.token(**MACHINE, audience=API).json()
    claims = _claims(answer["access_token"])
    assert claims["sub"] == "postern-m2m@clients"
    assert claims["gty"] == "client-credentials"
    assert claims["azp"] == "postern-m2m"
    assert claims["scope"] == "read:profile"
    assert not {"refresh_token", "id_token"} & set(answer)


def test_client_credentials_never_give_more_than_the_registry_says(tenant):
    answer = tenant.token(**MACHINE, audience=API, scope="read:profile write:profile openid").json()
    assert answer["scope"] == "read:profile"


@pytest.mark.parametrize(
    ("changes", "status", "description"),
    [
        ({"audience": "https://other.example"}, 403, "Service not found: https://other.example"),
        ({}, 403, "No audience parameter was provided, and no default audience has been configured"),
        ({"audience": API, "client_secret": "wrong"}, 401, "Unauthorized"),
        ({"audience": API, "client_id": "postern-native", "client_secret": ""}, 401, "Unauthorized"),
    ],
)
def test_client_credentials_are_refused_in_auth0s_words(tenant, changes, status, description):
    response = tenant.token(**(MACHINE | changes))
    assert response.status_code == status
    assert response.json()["error_description"] == description


def test_native_application_has_no_client_credentials(tenant):
    response = tenant.token(grant_type="client_credentials", client_id="postern-native", audience=API)
    assert response.status_code == 401
