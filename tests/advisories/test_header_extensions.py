"""Advisories about the header's other members: extensions, compression, encryption, tokens of another kind."""

import json
import zlib
from typing import Any

import pytest

from app.oauth.reasons import Reason
from tests.advisories.gate import RSA, START, Gate, good, good_claims, good_header
from tests.support.tokens import AUDIENCE, CLIENT_ID, DELETED, ISSUER, segment, sign


@pytest.mark.parametrize(
    "extension",
    [
        {"crit": ["x-policy"], "x-policy": "require-mfa"},
        {"crit": ["x-policy"]},
        {"crit": ["exp"], "exp": START + 60},
        {"crit": ["alg"]},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": [""]},
        {"crit": "x-policy"},
        {"crit": None},
        {"crit": False},
        {"crit": {}},
        {"crit": [["x-policy"]]},
    ],
)
def test_gate_when_crit_is_there_at_all_refuses(gate: Gate, extension: dict[str, Any]):
    """CVE-2025-59420 (Authlib), CVE-2026-32597 (PyJWT), CVE-2026-35042 (fast-jwt): unknown `crit` accepted.

    RFC 7515 §4.1.11: if any of the listed extensions are not understood, the JWS is invalid; and the list MUST NOT be
    empty, nor name what the RFC itself defines. This API understands none, so every `crit` is refused (T9).
    """
    gate.accepts(good(RSA, {name: value for name, value in extension.items() if name.startswith("x-")}))
    gate.refuses(good(RSA, extension), Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize("b64", [False, True, None, "false", 0])
@pytest.mark.parametrize("crit", [DELETED, ["b64"]])
def test_gate_when_b64_is_there_refuses(gate: Gate, b64: object, crit: object):
    """RFC 7797 §6: a JWS with `b64: false` signs other bytes; a verifier that does not know it reads other claims."""
    gate.accepts(good(RSA))
    gate.refuses(good(RSA, {"b64": b64, "crit": crit}), Reason.MALFORMED_TOKEN)


def test_gate_when_the_payload_is_unencoded_or_detached_refuses(gate: Gate):
    """RFC 7797 §5; RFC 7515 appendix F: what is signed must stand in the token, in base64url."""
    header = segment(json.dumps(good_header(b64=False, crit=["b64"])).encode())
    payload = json.dumps(good_claims(), separators=(",", ":"))
    unencoded = f"{header}.{payload}"
    signature = segment(RSA.signature(unencoded.encode()))
    detached = good(RSA).split(".")
    gate.accepts(good(RSA))
    gate.refuses(f"{unencoded}.{signature}", Reason.MALFORMED_TOKEN, over_http=Reason.MALFORMED_AUTHORIZATION)
    gate.refuses(f"{header}..{signature}", Reason.MALFORMED_TOKEN)
    gate.refuses(f"{detached[0]}..{detached[2]}", Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize("name", ["DEF", "GZIP", "", None, 1])
def test_gate_when_the_payload_is_compressed_refuses(gate: Gate, name: object):
    """CVE-2025-62706 (Authlib), CVE-2024-33664 (python-jose), CVE-2024-28176 (jose): a small token, a large payload.

    `zip` belongs to JWE; T9 refuses it in a JWS, and nothing is ever inflated.
    """
    header = json.dumps(good_header(zip=name)).encode()
    plain = json.dumps(good_claims()).encode()
    deflated = zlib.compress(plain + b" " * 1_000_000, wbits=-15)
    gate.accepts(sign(RSA, json.dumps(good_header()).encode(), plain))
    gate.refuses(sign(RSA, header, plain), Reason.MALFORMED_TOKEN)
    gate.refuses(sign(RSA, header, deflated), Reason.MALFORMED_TOKEN)
    gate.refuses(sign(RSA, json.dumps(good_header()).encode(), deflated), Reason.MALFORMED_CLAIMS)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "dir", "enc": "A256GCM"}, Reason.OPAQUE_TOKEN),
        ({"alg": "RSA-OAEP", "enc": "A256GCM"}, Reason.ENCRYPTED_TOKEN),
        ({"alg": "RSA1_5", "enc": "A128CBC-HS256"}, Reason.ENCRYPTED_TOKEN),
        ({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 2**31, "p2s": "AA"}, Reason.ENCRYPTED_TOKEN),
        ({"alg": "ECDH-ES", "enc": "A256GCM", "epk": {"kty": "EC"}}, Reason.ENCRYPTED_TOKEN),
        ({"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF"}, Reason.ENCRYPTED_TOKEN),
        ({"alg": "RS256", "enc": "A256GCM"}, Reason.ENCRYPTED_TOKEN),
        ({"alg": "none"}, Reason.ENCRYPTED_TOKEN),
    ],
)
def test_gate_when_the_token_is_encrypted_refuses_without_work(gate: Gate, header: dict[str, Any], reason: Reason):
    """CVE-2023-51774 (json-jwt): an encrypted token stood in for a signed one.

    CVE-2023-52428 (Nimbus), CVE-2023-51775 (jose4j): `p2c` made one request cost seconds. Nothing is decrypted here.
    """
    named = segment(json.dumps({**header, "kid": RSA.kid}).encode())
    parts = good(RSA).split(".")
    gate.accepts(".".join(parts))
    gate.refuses(f"{named}.{parts[1]}.{segment(b'iv')}.{parts[1]}.{parts[2]}", reason)
    gate.refuses(f"{named}..{segment(b'iv')}.{parts[1]}.{segment(b'tag')}", reason)
    # The same header over three segments is no signed token either.
    over_three = f"{named}.{parts[1]}.{parts[2]}"
    gate.refuses(over_three, Reason.BAD_SIGNATURE if header["alg"] == "RS256" else Reason.ALGORITHM_REFUSED)


def test_gate_when_a_signed_token_is_wrapped_in_another_refuses(gate: Gate):
    """RFC 7519 §5.2: `cty: JWT` says that the payload is a token; a nested one is not unwrapped."""
    inner = good(RSA)
    outer = sign(RSA, json.dumps(good_header(cty="JWT")).encode(), inner.encode())
    gate.accepts(good(RSA, {"cty": "JWT"}))
    gate.refuses(outer, Reason.MALFORMED_CLAIMS)
    gate.refuses(f"{inner.split('.')[0]}.{segment(inner.encode())}.{inner.split('.')[2]}", Reason.BAD_SIGNATURE)


@pytest.mark.parametrize(
    "typ",
    [
        "rt+jwt", "id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "oauth-authz-req+jwt",
        "client-authentication+jwt", "JWE", "JOSE", "JOSE+JSON", "at", "at+jwt ", "application/jwt", "text/at+jwt",
        "at+jwt;v=1", "", None, 1, ["JWT"],
    ],
)  # fmt: skip
def test_gate_when_typ_is_of_another_token_refuses(gate: Gate, typ: object):
    """RFC 8725 §2.8, §3.11: cross-JWT confusion; explicit typing prevents it."""
    gate.accepts(good(RSA))
    gate.accepts(good(RSA, {"typ": "AT+jwt"}))
    gate.refuses(good(RSA, {"typ": typ}), Reason.WRONG_TYPE)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        # Refresh tokens that are JWTs: Keycloak's, Cognito's, and one with RFC 8693's word.
        ({"typ": "Refresh"}, Reason.WRONG_TYPE),
        ({"typ": "Offline"}, Reason.WRONG_TYPE),
        ({"token_use": "refresh"}, Reason.WRONG_TYPE),
        ({"token_type": "refresh_token"}, Reason.WRONG_TYPE),
        ({"token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, Reason.WRONG_TYPE),
        ({"token_use": "access", "typ": "Refresh"}, Reason.WRONG_TYPE),
        ({"typ": ["Bearer", "Refresh"]}, Reason.WRONG_TYPE),
        # ID tokens with our audience: a tenant whose client and API have one identifier.
        ({"nonce": "n-0S6_WzA2Mj"}, Reason.ID_TOKEN_USED),
        ({"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}, Reason.ID_TOKEN_USED),
        ({"c_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}, Reason.ID_TOKEN_USED),
        ({"typ": "ID"}, Reason.ID_TOKEN_USED),
        ({"token_use": "id"}, Reason.ID_TOKEN_USED),
        ({"sid": "s", "scope": DELETED}, Reason.ID_TOKEN_USED),
        ({"aud": AUDIENCE, "azp": AUDIENCE}, Reason.ID_TOKEN_USED),
        ({"aud": [AUDIENCE], "azp": AUDIENCE}, Reason.ID_TOKEN_USED),
        ({"aud": CLIENT_ID}, Reason.ID_TOKEN_USED),
        # A logout token, a security event.
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, Reason.WRONG_TYPE),
        ({"events": None}, Reason.WRONG_TYPE),
        # A client's assertion about itself: signed for the token endpoint.
        ({"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": ISSUER}, Reason.WRONG_ISSUER),
        ({"aud": ISSUER}, Reason.WRONG_AUDIENCE),
        ({"aud": f"{ISSUER}userinfo"}, Reason.WRONG_AUDIENCE),
    ],
)
def test_gate_when_another_token_of_the_tenant_is_used_refuses(gate: Gate, claims: dict[str, Any], reason: Reason):
    """RFC 9068 §5: a resource server must tell access tokens from ID tokens; RFC 8725 §3.12; T17."""
    gate.accepts(good(RSA))
    gate.refuses(good(RSA, None, claims), reason)


def test_gate_when_a_bound_token_comes_without_proof_refuses(gate: Gate):
    """RFC 9449 §7.2, RFC 8705 §3: a token bound to a key is never a plain bearer token (T19)."""
    gate.accepts(good(RSA))
    for cnf in ({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "AA"}, {"unknown": 1}, {}, None):
        gate.refuses(good(RSA, None, {"cnf": cnf}), Reason.PROOF_REQUIRED)
