"""Clause N3: what an ID token has to say before it is believed."""

import hmac
import json
import warnings
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import RSAKey

from native.errors import LoginFailed
from native.id_token import Expected, verify
from tests.support.provider import half_hash, sign, signing_key

NOW = 1_800_000_000
ISSUER = "https://tenant.example/"
EXPECTED = Expected(ISSUER, "app", "n-1")
GONE = "<gone>"  # a string, so that every worker gives the tests the same names


def claims(**changes: object) -> dict[str, object]:
    baseline = {
        "iss": ISSUER,
        "sub": "auth0|ada",
        "aud": "app",
        "exp": NOW + 600,
        "iat": NOW,
        "nonce": "n-1",
        "at_hash": half_hash("at-1"),
    }
    return {name: value for name, value in {**baseline, **changes}.items() if value != GONE}


def keys(alg: str = "RS256", *more: object) -> dict[str, object]:
    return {"keys": [*more, signing_key(alg).as_dict(private=False)]}


def check(token: str, key_set: dict[str, object] | None = None, expected: Expected = EXPECTED):
    return verify(token, key_set or keys(), expected=expected, access_token="at-1", now=NOW + 0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"at_hash": GONE},
        {"aud": ["app"]},
        {"aud": ["app", "other"], "azp": "app"},
        {"azp": "app"},
        {"exp": NOW - 59},
        {"iat": NOW + 59},
        {"iat": NOW - 599},
    ],
)
def test_id_token_when_it_is_ours_then_its_claims(changes: dict[str, Any]) -> None:
    assert check(sign(claims(**changes)))["sub"] == "auth0|ada"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://tenant.example"},
        {"iss": GONE},
        {"iss": [ISSUER]},
        {"aud": "other"},
        {"aud": GONE},
        {"aud": []},
        {"aud": ["app", "other"]},
        {"aud": ["app", "other"], "azp": "other"},
        {"azp": "other"},
        {"azp": None},
        {"nonce": "n-2"},
        {"nonce": GONE},
        {"nonce": ["n-1"]},
        {"nonce": "\ud800"},
        {"exp": NOW - 60},
        {"exp": GONE},
        {"exp": str(NOW + 600)},
        {"exp": True},
        {"exp": float("nan")},
        {"iat": NOW + 120},
        {"iat": NOW - 700},
        {"iat": GONE},
        {"iat": float("inf")},
        {"iat": -(10**400)},
        {"at_hash": half_hash("at-2")},
        {"at_hash": 7},
        {"at_hash": None},
        {"sub": GONE},
        {"sub": 7},
        {"sub": ""},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_id_token_when_a_claim_is_wrong_then_refused(changes: dict[str, Any]) -> None:
    """OpenID Connect Core §3.1.3.7: if any of the validation procedures fail, the token MUST be rejected."""
    with pytest.raises(LoginFailed, match="ID token is refused"):
        check(sign(claims(**changes)))


def _segment(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_id_token_when_alg_is_none_then_refused() -> None:
    """RFC 8725 §3.2: algorithms MUST be those the application allows; `none` is what a forger writes."""
    with pytest.raises(LoginFailed):
        check(f"{_segment({'alg': 'none'})}.{_segment(claims())}.")


def test_id_token_when_signed_with_the_public_key_as_a_secret_then_refused() -> None:
    """RFC 8725 §2.1: an RSA public key used as an HMAC secret."""
    secret = signing_key().as_pem(private=False)
    signing_input = f"{_segment({'alg': 'HS256', 'kid': 'key-RS256'})}.{_segment(claims())}"
    signature = urlsafe_b64encode(hmac.digest(secret, signing_input.encode(), "sha256")).rstrip(b"=").decode()

    with pytest.raises(LoginFailed):
        check(f"{signing_input}.{signature}")


def test_id_token_when_signed_by_somebody_else_then_refused() -> None:
    other = RSAKey.generate_key(2048, {"kid": "key-RS256"})
    token = jwt.encode({"alg": "RS256", "kid": "key-RS256"}, claims(), other)

    with pytest.raises(LoginFailed):
        check(token)


def test_id_token_when_its_payload_was_changed_then_refused() -> None:
    header, _, signature = sign(claims()).split(".")

    with pytest.raises(LoginFailed):
        check(f"{header}.{_segment(claims(sub='auth0|eve'))}.{signature}")


@pytest.mark.parametrize("header", [{"kid": "unknown"}, {"kid": ["key-RS256"]}, {"crit": ["exp"]}, {"b64": 1}])
def test_id_token_when_its_header_is_wrong_then_refused(header: dict[str, Any]) -> None:
    """RFC 7515 §4.1.11: if any of the listed extension parameters are not understood, the JWS is invalid."""
    key = signing_key()
    segments = f"{_segment({'alg': 'RS256', 'kid': key.kid, **header})}.{_segment(claims())}"

    with pytest.raises(LoginFailed):
        check(f"{segments}.AAAA")


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "....", "\ud800", "é.é.é", "x" * 200_000])
def test_id_token_when_it_is_no_token_then_refused(token: str) -> None:
    with pytest.raises(LoginFailed):
        check(token)


def test_header_when_a_member_is_unknown_then_ignored() -> None:
    """RFC 7515 §4: Header Parameters not defined and not understood MUST be ignored."""
    assert check(sign(claims(), **{"x-made-by": "us"}))["sub"] == "auth0|ada"


def test_keys_when_some_are_odd_then_the_good_one_still_verifies() -> None:
    """RFC 7517 §5: JWKs with unknown or unsupported members SHOULD be ignored, not the set refused."""
    odd = (7, {}, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "n": "!", "e": "AQAB"}, {"kty": "ML-DSA", "pub": "x"})

    assert check(sign(claims()), keys("RS256", *odd))["sub"] == "auth0|ada"


@pytest.mark.parametrize("key_set", [{"keys": []}, {"none": 1}, {"keys": {"kid": "x"}}, {"keys": 7}])
def test_keys_when_there_are_none_then_refused(key_set: dict[str, Any]) -> None:
    with pytest.raises(LoginFailed):
        check(sign(claims()), key_set)


def test_keys_when_the_key_is_for_encryption_then_refused() -> None:
    """RFC 7517 §4.2: `use` identifies the intended use of the public key."""
    key = {**signing_key().as_dict(private=False), "use": "enc"}

    with pytest.raises(LoginFailed):
        check(sign(claims()), {"keys": [key]})


def test_keys_when_the_rsa_key_is_short_then_refused() -> None:
    """RFC 7518 §3.3: A key of size 2048 bits or larger MUST be used with these algorithms."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        short = RSAKey.generate_key(1024, {"kid": "short"})
        token = jwt.encode({"alg": "RS256", "kid": "short"}, claims(), short)

    with pytest.raises(LoginFailed):
        check(token, {"keys": [short.as_dict(private=False)]})


def test_at_hash_when_signed_with_eddsa_then_sha512() -> None:
    token = sign(claims(at_hash=half_hash("at-1", "EdDSA")), "EdDSA")

    assert check(token, keys("EdDSA"))["sub"] == "auth0|ada"
