"""D1, D2, D10: the documents, the keys and their rotation."""

import base64
import hashlib
import stat

import jwt
import pytest
import requests
from authlib.oidc.discovery import OpenIDProviderMetadata
from cryptography import x509

from tests.support.tenant import NativeApp, running_tenant


def _published(tenant) -> list[str]:
    return [key["kid"] for key in requests.get(tenant.url(".well-known/jwks.json"), timeout=10).json()["keys"]]


@pytest.mark.parametrize(
    "path",
    [
        ".well-known/openid-configuration",
        ".well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ],
)
def test_discovery_names_the_issuer_whatever_host_is_asked_for(tenant, path):
    """D1: the same with a doubled slash; D2: from configuration, never from `Host`."""
    response = requests.get(tenant.issuer + path, headers={"Host": "evil.example"}, allow_redirects=False, timeout=10)
    assert response.status_code == 200
    document = response.json()
    assert document["issuer"] == tenant.issuer
    assert document["authorization_response_iss_parameter_supported"] is True
    assert all(
        value.startswith(tenant.issuer) for name, value in document.items() if name.endswith(("_endpoint", "_uri"))
    )


def test_discovery_document_is_valid_metadata(tenant):
    """OpenID Connect Discovery §3, judged by Authlib; it asks for https, which a loopback issuer does not have."""
    document = requests.get(tenant.url(".well-known/openid-configuration"), timeout=10).json()
    https = {
        name: value.replace("http://", "https://") if isinstance(value, str) else value
        for name, value in document.items()
    }
    OpenIDProviderMetadata(https).validate()


def test_key_set_holds_current_and_next_with_their_certificates(tenant):
    """D10: two RSA keys at any time, current and next, with `kid`, `x5c`, `x5t`."""
    response = requests.get(tenant.url(".well-known/jwks.json"), timeout=10)
    assert "max-age=15" in response.headers["Cache-Control"]
    keys = response.json()["keys"]
    assert len(keys) == 2
    for key in keys:
        assert set(key) == {"kty", "use", "n", "e", "kid", "x5t", "x5c", "alg"}
        der = base64.b64decode(key["x5c"][0])
        digest = hashlib.sha1(der).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == key["x5t"]
        numbers = x509.load_der_x509_certificate(der).public_key().public_numbers()
        assert numbers == jwt.PyJWK(key).key.public_numbers()


def test_rotation_signs_with_the_key_that_was_published_before(fresh_tenant):
    """D10: rotate, revoke, rotate-and-revoke, as Auth0's: the next key is known to everybody before it signs."""
    current, following = _published(fresh_tenant)
    assert jwt.get_unverified_header(fresh_tenant.mint())["kid"] == current
    fresh_tenant.dev("keys/rotate")
    assert jwt.get_unverified_header(fresh_tenant.mint())["kid"] == following
    assert _published(fresh_tenant)[0] == following
    assert _published(fresh_tenant)[2] == current
    assert fresh_tenant.dev("keys/revoke")["revoked"] == [current]
    assert current not in _published(fresh_tenant)
    assert len(_published(fresh_tenant)) == 2
    assert requests.post(fresh_tenant.url("_dev/keys/revoke"), timeout=10).status_code == 409


def test_rotate_and_revoke_ends_old_tokens_at_once(fresh_tenant):
    token = fresh_tenant.mint(scope="openid")
    old = _published(fresh_tenant)[0]
    assert fresh_tenant.dev("keys/rotate-and-revoke")["revoked"] == [old]
    assert fresh_tenant.userinfo(token).status_code == 401
    assert fresh_tenant.userinfo(fresh_tenant.mint(scope="openid")).status_code == 200


def test_keys_and_secrets_are_private_files_and_outlive_a_restart(tmp_path):
    """D10: kept 0600 across restarts."""
    state = tmp_path / "state"
    with running_tenant(state) as before:
        kids = _published(before)
        opaque = NativeApp(before).log_in(audience=None)["access_token"]
        issuer = before.issuer
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for path in state.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    (state / "keys.json").chmod(0o644)
    with running_tenant(state, issuer=issuer) as after:
        keys = requests.get(f"http://127.0.0.1:{after.server.port}/.well-known/jwks.json", timeout=10).json()["keys"]
        assert [key["kid"] for key in keys] == kids
        headers = {"Authorization": f"Bearer {opaque}"}
        url = f"http://127.0.0.1:{after.server.port}/userinfo"
        assert requests.get(url, headers=headers, timeout=10).status_code == 200
    assert stat.S_IMODE((state / "keys.json").stat().st_mode) == 0o600
