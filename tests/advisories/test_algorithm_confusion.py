"""Advisories about `alg`: whoever chooses the algorithm chooses what a signature is worth."""

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.oauth.reasons import Reason
from tests.advisories.gate import (
    ANY_RSA,
    EC,
    ED,
    PSS,
    RSA,
    TWIN_EC,
    TWIN_RSA,
    Gate,
    good,
    good_claims,
    good_header,
)
from tests.support.tokens import DELETED, SigningKey, segment


def secrets_made_of(key: SigningKey) -> dict[str, bytes]:
    """Everything public about a key that somebody has once used as an HMAC secret."""
    public = key.private_key.public_key()
    spki_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forms = {
        "spki-pem": spki_pem,
        "spki-pem-stripped": spki_pem.strip(),
        "spki-pem-after-white-space": b"\n " + spki_pem,
        "spki-der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "openssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "jwk": json.dumps(key.jwk()).encode(),
        "jwk-compact": json.dumps(key.jwk(), separators=(",", ":")).encode(),
        "jwk-set": json.dumps({"keys": [key.jwk()]}).encode(),
        "empty": b"",
    }
    if key.alg == "RS256":
        forms["pkcs1-pem"] = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        forms["pkcs1-der"] = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        forms["modulus"] = base64.urlsafe_b64decode(key.jwk()["n"] + "==")
    return forms


HMAC_FORGERIES = [
    pytest.param(key, alg, secret, id=f"{alg}-{key.alg}-{form}")
    for key in (RSA, EC, ED)
    for form, secret in secrets_made_of(key).items()
    for alg in (("HS256", "HS384", "HS512") if form == "spki-pem" else ("HS256",))
]


@pytest.mark.parametrize(("key", "alg", "secret"), HMAC_FORGERIES)
def test_gate_when_the_public_key_is_the_hmac_secret_refuses(gate: Gate, key: SigningKey, alg: str, secret: bytes):
    """CVE-2015-9235 (jsonwebtoken), CVE-2016-10555 (jwt-simple): RS256 key as HS256 secret, in PEM.

    CVE-2017-11424, CVE-2022-29217 (PyJWT) and CVE-2024-33663 (python-jose): in forms that a list of PEM headers did
    not know, OpenSSH among them; CVE-2026-85394 (python-jose): in DER; CVE-2023-48223 (fast-jwt): as PKCS #1;
    CVE-2026-34950 (fast-jwt): after white space; CVE-2026-48526 (PyJWT): as a JWK; CVE-2024-37568 (Authlib).
    T7: `none` and HS* can never be configured.
    """
    gate.accepts(good(key))
    digest = getattr(hashlib, f"sha{alg[2:]}")
    signing_input = good(key, {"alg": alg}).rpartition(".")[0]
    forged = f"{signing_input}.{segment(hmac.new(secret, signing_input.encode(), digest).digest())}"
    gate.refuses(forged, Reason.ALGORITHM_REFUSED)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "NoNe", "none ", "\u006eone\u0000", "", "n\u043ene"])
def test_gate_when_alg_is_none_in_any_spelling_refuses(gate: Gate, alg: str):
    """CVE-2021-22160 (Apache Pulsar): `none` taken for a verified signature.

    A filter that looked for the lower-case word let `nOnE` through (Auth0's own authentication API, 2020).
    RFC 8725 §3.2: libraries SHOULD NOT consume JWTs using "none" unless asked to.
    """
    token = good(RSA, {"alg": alg})
    content, _, signature = token.rpartition(".")
    gate.accepts(good(RSA))
    gate.refuses(token, Reason.ALGORITHM_REFUSED)
    gate.refuses(f"{content}.{signature[:4]}", Reason.ALGORITHM_REFUSED)
    gate.refuses(f"{content}.AA", Reason.ALGORITHM_REFUSED)
    # RFC 7515 §A.5: an unsecured JWS ends in the period.
    gate.refuses(f"{content}.", Reason.MALFORMED_TOKEN)
    gate.refuses(content, Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", Reason.MALFORMED_TOKEN),
        ("=", Reason.MALFORMED_TOKEN),
        ("AA", Reason.BAD_SIGNATURE),
        ("A" * 342, Reason.BAD_SIGNATURE),
    ],
)
def test_gate_when_the_signature_is_left_out_refuses(gate: Gate, signature: str, reason: Reason):
    """CVE-2020-28042 (ServiceStack): a token with an empty signature passed as one with a good one."""
    content = good(RSA).rpartition(".")[0]
    gate.accepts(good(RSA))
    gate.refuses(f"{content}.{signature}", reason)


@pytest.mark.parametrize(
    "alg",
    [DELETED, None, [], ["RS256"], ["none", "RS256"], {"RS256": 1}, 256, 0, True, False, 1.5, "RS256,none", "rs256"],
)
def test_gate_when_alg_is_no_string_of_the_list_refuses(gate: Gate, alg: object):
    """CVE-2022-23540 (jsonwebtoken): what names no algorithm fell back to a default one.

    A list is not hashable: looked up in a set it was an uncaught error, which is a 500 to whoever asks.
    """
    gate.accepts(good(RSA, {"alg": "RS256"}))
    gate.refuses(good(RSA, {"alg": alg}), Reason.ALGORITHM_REFUSED)


@pytest.mark.parametrize(
    ("key", "named", "reason"),
    [
        # The key says one algorithm, the token another: there is no such key for it.
        (RSA, "PS256", Reason.UNKNOWN_KEY),
        (RSA, "RS384", Reason.UNKNOWN_KEY),
        (RSA, "RS512", Reason.UNKNOWN_KEY),
        (PSS, "RS256", Reason.UNKNOWN_KEY),
        (RSA, "ES256", Reason.UNKNOWN_KEY),
        (EC, "RS256", Reason.UNKNOWN_KEY),
        (EC, "ES384", Reason.UNKNOWN_KEY),
        (ED, "ES256", Reason.UNKNOWN_KEY),
        # The key may do both, and has done one of them.
        (ANY_RSA, "PS256", Reason.BAD_SIGNATURE),
        (ANY_RSA, "RS512", Reason.BAD_SIGNATURE),
        # Never configurable, though the libraries below know them.
        (ANY_RSA, "PS384", Reason.ALGORITHM_REFUSED),
        (EC, "ES512", Reason.ALGORITHM_REFUSED),
        (EC, "ES256K", Reason.ALGORITHM_REFUSED),
        (ED, "Ed25519", Reason.ALGORITHM_REFUSED),
        (RSA, "RSA-OAEP", Reason.ALGORITHM_REFUSED),
    ],
)
def test_gate_when_a_signature_goes_under_another_algorithm_refuses(
    gate: Gate, key: SigningKey, named: str, reason: Reason
):
    """CVE-2022-23539 (jsonwebtoken): a key used with an algorithm of another type.

    RFC 8725 §3.1: each key MUST be used with exactly one algorithm, and this MUST be checked.
    """
    gate.accepts(good(key))
    gate.refuses(good(key, {"alg": named}), reason)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "RS384", "RS512"])
def test_gate_when_a_key_is_for_all_rsa_algorithms_takes_each_and_mixes_none(gate: Gate, alg: str):
    """PS256 under RS256 and the reverse: the same key and the same hash, another padding."""
    signer = SigningKey(ANY_RSA.private_key, ANY_RSA.kid, alg)
    assert gate.accepts(good(signer)).key_id == "rsa-any"
    for named in {"RS256", "PS256", "RS384", "RS512"} - {alg}:
        gate.refuses(good(signer, {"alg": named}), Reason.BAD_SIGNATURE)


def test_gate_when_an_rsa_and_an_ec_key_share_a_kid_takes_each_for_its_own(gate: Gate):
    """RFC 7517 §4.5: different keys SHOULD use distinct "kid" values; of different types they may share one."""
    gate.accepts(good(TWIN_RSA))
    gate.accepts(good(TWIN_EC))
    gate.refuses(good(TWIN_RSA, {"alg": "ES256"}), Reason.BAD_SIGNATURE)
    gate.refuses(good(TWIN_EC, {"alg": "RS256"}), Reason.BAD_SIGNATURE)
    # The other key of that type, under this name.
    gate.refuses(good(SigningKey(EC.private_key, "twin", "ES256")), Reason.BAD_SIGNATURE)
    gate.refuses(good(SigningKey(RSA.private_key, "twin", "RS256")), Reason.BAD_SIGNATURE)


def test_gate_when_the_signature_is_a_hash_of_the_content_refuses(gate: Gate):
    """What a library checked once: that the signature is the SHA-256 of what it covers."""
    gate.accepts(good(RSA))
    content = good(RSA).rpartition(".")[0]
    digest = hashlib.sha256(content.encode()).digest()
    for signature in (digest, digest.rjust(256, b"\0"), digest.ljust(256, b"\0")):
        gate.refuses(f"{content}.{segment(signature)}", Reason.BAD_SIGNATURE)


def test_gate_when_header_and_payload_are_swapped_or_repeated_refuses(gate: Gate):
    """CVE-2022-39227 (python-jwt): a JSON serialization inside the compact one, read by two parsers in two ways."""
    token = good(RSA)
    header, payload, signature = token.split(".")
    wanted = segment(json.dumps(good_claims(sub="auth0|admin")).encode())
    mixed = json.dumps(
        {f" {header}.{wanted}.": "", "protected": header, "payload": payload, "signature": signature},
    )
    flattened = json.dumps({"protected": header, "payload": payload, "signature": signature})
    general = json.dumps({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})

    gate.accepts(token)
    gate.refuses(mixed, Reason.MALFORMED_TOKEN, over_http=Reason.MALFORMED_AUTHORIZATION)
    for document in (flattened, general):
        gate.refuses(document, Reason.OPAQUE_TOKEN, over_http=Reason.MALFORMED_AUTHORIZATION)
    gate.refuses(f"{payload}.{header}.{signature}", Reason.ALGORITHM_REFUSED)
    gate.refuses(f"{header}.{header}.{signature}", Reason.MISSING_CLAIM)
    gate.refuses(f"{header}.{payload}.{signature}.{header}.{payload}.{signature}", Reason.MALFORMED_TOKEN)
    gate.refuses(f"{segment(json.dumps(good_header(x=1)).encode())}.{payload}.{signature}", Reason.BAD_SIGNATURE)
