"""Discovery: only the issuer's own document is believed, and only for what is its own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.fetch import FetchFailed
from app.oauth.keys.discovery import DiscoveryRejected, Metadata, discover, origin, read
from tests.support.issuer import DISCOVERY, DOWN, UNAVAILABLE, Fault, Issuer
from tests.support.tokens import rsa_key

ISSUER = "https://tenant.example/"
DOCUMENT = {
    "issuer": ISSUER,
    "jwks_uri": "https://tenant.example/.well-known/jwks.json",
    "userinfo_endpoint": "https://tenant.example/userinfo",
}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(rsa_key()) as running:
        yield running


def document(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in {**DOCUMENT, **changes}.items() if v is not None}).encode()


def why(content: bytes, issuer: str = ISSUER, allowed_origins: tuple[str, ...] = ()) -> str:
    with pytest.raises(DiscoveryRejected) as caught:
        read(content, issuer, allowed_origins)
    return caught.value.why


def test_discover_when_all_is_well_tells_the_addresses(issuer: Issuer):
    """OpenID Connect Discovery 1.0 §4; K2: plain http is for a loopback issuer."""
    metadata = discover(issuer.url, timeout_seconds=10.0)
    assert metadata == Metadata(f"{issuer.origin}/jwks.json", f"{issuer.origin}/userinfo")
    assert issuer.requests == {DISCOVERY: 1}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", DISCOVERY),
        ("/", DISCOVERY),
        ("/realms/one", f"/realms/one{DISCOVERY}"),
        ("/realms/one/", f"/realms/one{DISCOVERY}"),
        ("/realms/one//", f"/realms/one/{DISCOVERY}"),
    ],
)
def test_discover_takes_one_slash_off_the_issuer(path: str, asked: str):
    """K1: "the issuer without one trailing slash + `/.well-known/openid-configuration`"."""
    with Issuer(rsa_key(), path=path) as issuer:
        discover(issuer.url, timeout_seconds=10.0)
        assert issuer.requests == {asked: 1}


@pytest.mark.parametrize("status", [204, 301, 302, 404, 500, 503])
def test_discover_when_the_status_is_not_200_rejects(issuer: Issuer, status: int):
    """K2: "status 200 only"."""
    issuer.discovery = Fault(status=status, body=b"", headers={"Location": issuer.origin})
    with pytest.raises(DiscoveryRejected, match=f"discovery_status: status {status}"):
        discover(issuer.url, timeout_seconds=10.0)
    assert issuer.requests.total() == 1


def test_discover_when_the_issuer_is_down_fails_as_fetch_says(issuer: Issuer):
    issuer.discovery = DOWN
    with pytest.raises(FetchFailed, match="unreachable"):
        discover(issuer.url, timeout_seconds=10.0)
    issuer.discovery = UNAVAILABLE
    with pytest.raises(DiscoveryRejected):
        discover(issuer.url, timeout_seconds=10.0)


@pytest.mark.parametrize(
    ("configured", "stated"),
    [
        ("https://tenant.example/", "https://tenant.example"),
        ("https://tenant.example", "https://tenant.example/"),
        ("https://tenant.example/", "https://TENANT.example/"),
        ("https://tenant.example/", "https://tenant.example:443/"),
        ("https://tenant.example/", "https://evil.example/"),
        ("https://tenant.example/", None),
        ("https://tenant.example/", ["https://tenant.example/"]),
        ("https://tenant.example/", 7),
    ],
)
def test_read_when_the_issuer_is_not_exactly_the_configured_one_rejects(configured: str, stated: Any):
    """OpenID Connect Discovery 1.0 §4.3: "The issuer value returned MUST be identical to the Issuer URL […] used"."""
    assert why(document(issuer=stated), configured) == "issuer_mismatch"


def test_read_when_the_issuer_differs_names_both_in_the_log_detail():
    """K1: "a mismatch is an error in the log and in `/readyz`, by name"."""
    with pytest.raises(DiscoveryRejected) as caught:
        read(document(issuer="https://tenant.example\nforged"), ISSUER)
    assert caught.value.detail == f"configured '{ISSUER}', the document says 'https://tenant.example\\nforged'"


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "https://evil.example/jwks",
        "https://tenant.example.evil.example/jwks",
        "https://tenant.example@evil.example/jwks",
        "https://user@tenant.example/jwks",
        "https://tenant.example:8443/jwks",
        "https://sub.tenant.example/jwks",
        "https://tenant.example:port/jwks",
        "//tenant.example/jwks",
        "/jwks",
    ],
)
def test_read_when_the_jwks_uri_is_of_another_origin_rejects(jwks_uri: str):
    """K1: "`jwks_uri` must be of the issuer's origin, or of one in `JWKS_ALLOWED_ORIGINS`"."""
    assert why(document(jwks_uri=jwks_uri)) in {"jwks_uri", "metadata"}


@pytest.mark.parametrize("jwks_uri", ["http://tenant.example/jwks", "ftp://tenant.example/jwks", "https:///jwks", ""])
def test_read_when_the_jwks_uri_is_not_https_rejects(jwks_uri: str):
    """K2: "https only, except for a loopback issuer"."""
    assert why(document(jwks_uri=jwks_uri)) in {"jwks_uri", "metadata"}


@pytest.mark.parametrize("jwks_uri", [None, 7, ["https://tenant.example/jwks"]])
def test_read_when_there_is_no_jwks_uri_rejects(jwks_uri: Any):
    assert why(document(jwks_uri=jwks_uri)) == "jwks_uri"


def test_read_when_the_origin_is_allowed_takes_its_jwks_uri():
    """Google publishes its keys at another host than its issuer."""
    elsewhere = document(jwks_uri="https://keys.example:443/certs")
    assert why(elsewhere) == "jwks_uri"
    assert why(elsewhere, allowed_origins=("https://other.example", "nonsense", "")) == "jwks_uri"
    assert why(document(jwks_uri="https://[::1/"), allowed_origins=("nonsense",)) in {"jwks_uri", "metadata"}
    metadata = read(elsewhere, ISSUER, ("https://keys.example",))
    assert metadata.jwks_uri == "https://keys.example:443/certs"


@pytest.mark.parametrize(
    "userinfo",
    [None, 7, "https://evil.example/userinfo", "http://tenant.example/userinfo", "https://keys.example/userinfo", "x"],
)
def test_read_when_the_userinfo_endpoint_is_of_another_origin_forgets_it(userinfo: Any):
    """The user's token is sent there: JWKS_ALLOWED_ORIGINS does not widen that."""
    assert read(document(userinfo_endpoint=userinfo), ISSUER, ("https://keys.example",)).userinfo_endpoint is None


@pytest.mark.parametrize(
    ("issuer", "changes"),
    [
        ("http://tenant.example/", {}),
        ("https://tenant.example/?tenant=1", {}),
        ("https://tenant.example/#x", {}),
        ("https://user@tenant.example/", {}),
    ],
)
def test_read_when_the_issuer_itself_cannot_be_one_rejects(issuer: str, changes: dict[str, Any]):
    """OpenID Connect Discovery 1.0 §3: "URL using the https scheme with no query or fragment components"."""
    assert why(document(issuer=issuer, **changes), issuer) == "metadata"


def test_read_when_authlib_is_told_to_allow_http_still_fetches_nothing_in_the_clear(
    monkeypatch: pytest.MonkeyPatch,
):
    """AUTHLIB_INSECURE_TRANSPORT opens Authlib's check; the way out has its own."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with pytest.raises(FetchFailed, match="address"):
        discover("http://tenant.example/", timeout_seconds=10.0)


@pytest.mark.parametrize("content", [b"", b"{", b"<html>", b"\xff", b"[" * 100_000, b"[]", b'"x"', b"null"])
def test_read_when_the_document_is_no_object_rejects(content: bytes):
    assert why(content) == "discovery_malformed"


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"id_token_signing_alg_values_supported": ["ES256"]},
        {"subject_types_supported": ["pairwise", "ephemeral"]},
        {"authorization_endpoint": "http://127.0.0.1:3000/auth"},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"], "claims_supported": "all"},
    ],
)
def test_read_when_a_member_for_clients_is_odd_still_finds_the_keys(members: dict[str, Any]):
    """Keycloak, node-oidc-provider and small providers each break one of Authlib's other checks."""
    assert read(document(**members), ISSUER).jwks_uri == DOCUMENT["jwks_uri"]


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost:3000", "[::1]:3000"])
def test_read_when_the_issuer_is_on_loopback_takes_plain_http(host: str):
    base = f"http://{host}"
    content = document(issuer=base, jwks_uri=f"{base}/jwks", userinfo_endpoint=f"{base}/me")
    assert read(content, base) == Metadata(f"{base}/jwks", f"{base}/me")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://A.example", ("https", "a.example", 443)),
        ("https://a.example:443/x?y#z", ("https", "a.example", 443)),
        ("http://a.example", ("http", "a.example", 80)),
        ("https://a.example:0", ("https", "a.example", 0)),
        ("https://u@a.example", None),
        ("ws://a.example", None),
        ("https://", None),
        ("https://a.example:99999", None),
    ],
)
def test_origin_is_scheme_host_and_port(url: str, expected: tuple[str, str, int] | None):
    """RFC 6454 §4."""
    assert origin(url) == expected
