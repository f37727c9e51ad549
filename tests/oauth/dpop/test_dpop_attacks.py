"""Proofs as an attacker would make them: each way in that some library has left open (P1, RFC 8725, RFC 9449 §11)."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.oauth.dpop.check import DpopProofs, PresentedProof
from app.oauth.dpop.faults import Fault, InvalidProof
from app.oauth.keys.jwks import KeyRefused, read_public_key
from tests.support.proofs import APP_KEY, KEYS, OTHER_KEY, ProofsInMemory, Request, bound_token, public_jwk
from tests.support.tokens import DELETED, NOW, SigningKey, ec_key, new_rsa_key, segment

TOKEN = bound_token()
REQUEST = Request(TOKEN)


def fault_of(field: str, *, bound_to: str = APP_KEY.thumbprint(), request: Request = REQUEST) -> Fault:
    """What the check says; the store must not have been asked."""
    store = ProofsInMemory()
    with pytest.raises(InvalidProof) as refused:
        DpopProofs(store).check(PresentedProof(field, request.method, request.url), request.token, bound_to, now=NOW)
    assert store.asked == []
    return refused.value.fault


def number(value: int) -> str:
    return segment(value.to_bytes((value.bit_length() + 7) // 8 or 1))


def private_members(key: SigningKey) -> dict[str, str]:
    numbers: Any = key.private_key.private_numbers()  # type: ignore[union-attr]
    if isinstance(numbers, rsa.RSAPrivateNumbers):
        members = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1}
        return {name: number(value) for name, value in members.items()} | {"qi": number(numbers.iqmp)}
    return {"d": segment(numbers.private_value.to_bytes(32))}


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_proof_when_signed_with_a_secret_that_it_brings_along_then_refused(alg: str):
    """CVE-2016-10555 in a proof: jwk is `oct`, and whoever reads the proof can verify it, and make more."""
    secret = b"s" * 32
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": {"kty": "oct", "k": segment(secret)}}
    parts = [segment(json.dumps(part).encode()) for part in (header, REQUEST.claims())]
    signature = hmac.new(secret, ".".join(parts).encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()
    assert fault_of(".".join([*parts, segment(signature)])) is Fault.ALGORITHM


def test_proof_when_alg_is_asymmetric_and_the_key_a_secret_then_refused():
    for alg, key in KEYS.items():
        secret = {"kty": "oct", "k": "c2VjcmV0"}
        assert fault_of(REQUEST.proof(key, {"alg": alg, "jwk": secret})) is Fault.KEY


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_proof_when_it_is_not_signed_then_refused(alg: str):
    """RFC 9449 §4.3: the alg JOSE Header Parameter … is not none."""
    field = REQUEST.proof(header={"alg": alg})
    assert fault_of(field) is Fault.ALGORITHM
    assert fault_of(field.rpartition(".")[0] + ".") is Fault.MALFORMED


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256"])
def test_proof_when_it_brings_its_private_key_then_refused_by_name(alg: str):
    """RFC 9449 §4.3: The jwk JOSE Header Parameter does not contain a private key."""
    key = KEYS[alg]
    for name, value in private_members(key).items():
        field = REQUEST.proof(key, {"jwk": public_jwk(key) | {name: value}})
        assert fault_of(field, bound_to=key.thumbprint()) is Fault.PRIVATE_KEY


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("value", [None, "", "x", 1, []])
def test_proof_when_a_private_member_is_there_at_all_then_refused(name: str, value: object):
    assert fault_of(REQUEST.proof(header={"jwk": public_jwk(APP_KEY) | {name: value}})) is Fault.PRIVATE_KEY


@pytest.mark.parametrize("jwk", [DELETED, None, "", "x", 1, True, [], {}, {"kty": None}, {"kty": ["EC"]}, {"kty": {}}])
def test_proof_when_jwk_is_no_key_then_refused(jwk: object):
    assert fault_of(REQUEST.proof(header={"jwk": jwk})) is Fault.KEY


@pytest.mark.parametrize("name", ["x5c", "x5u", "x5t", "x5t#S256", "jku", "kid"])
@pytest.mark.parametrize("value", ["../../etc/passwd", ["MIIB"], 1, None, "' OR 1=1 --", "https://evil.example/keys"])
def test_proof_when_its_header_points_to_other_keys_then_they_are_not_read(name: str, value: object):
    """T9 of proofs: a key comes from `jwk` alone; the thief's own key in `x5c` or behind `jku` changes nothing."""
    request = PresentedProof(REQUEST.proof(header={name: value}), "GET", REQUEST.url)
    DpopProofs(ProofsInMemory()).check(request, TOKEN, APP_KEY.thumbprint(), now=NOW)
    forged = REQUEST.proof(OTHER_KEY, {"jwk": public_jwk(APP_KEY), name: value})
    assert fault_of(forged) is Fault.SIGNATURE
    assert fault_of(REQUEST.proof(header={"jwk": DELETED, name: value})) is Fault.KEY


def test_proof_when_the_token_is_bound_to_another_key_then_refused():
    """Stolen token, thief's key: a perfect proof by a key that the token is not bound to."""
    assert fault_of(REQUEST.proof(OTHER_KEY)) is Fault.OTHER_KEY


def test_proof_when_jwk_holds_the_thumbprint_of_the_other_key_then_it_is_computed_anew():
    """The thumbprint is of the key's numbers: no member of the jwk can claim another one."""
    jwk = public_jwk(OTHER_KEY) | {"kid": APP_KEY.thumbprint(), "jkt": APP_KEY.thumbprint()}
    assert fault_of(REQUEST.proof(OTHER_KEY, {"jwk": jwk})) is Fault.OTHER_KEY


def test_proof_when_it_was_made_for_another_token_of_the_same_key_then_refused():
    """RFC 9449 §11.7 and §4.2: `ath` ties the proof to one token."""
    stronger = bound_token(scope="read:profile write:profile")
    assert fault_of(Request(stronger).proof()) is Fault.OTHER_TOKEN


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_proof_when_it_was_made_for_get_then_it_is_for_nothing_else(method: str):
    assert fault_of(REQUEST.proof(), request=Request(TOKEN, method)) is Fault.METHOD


@pytest.mark.parametrize(
    "htu",
    [
        "https://api.example@evil.example/v1/me",
        "https://user@api.example/v1/me",
        "https://evil.example/v1/me?https://api.example/v1/me",
        "https://evil.example/v1/me#https://api.example/v1/me",
        "https://api.example:8443/v1/me",
        "https://api.example.evil.example/v1/me",
        "https://api.example/v1/me/../me2",
        "https://api.example/v1%2F..%2Fv1/me",
        "https://\u0430pi.example/v1/me",
        "https://xn--pi-7kc.example/v1/me",
        "http://api.example/v1/me",
        "//api.example/v1/me",
        "/v1/me",
        "*",
    ],
)
def test_proof_when_its_address_only_looks_like_ours_then_refused(htu: str):
    """A proof that another server has got, or that leads another parser astray, is none for this request."""
    assert fault_of(REQUEST.proof(claims={"htu": htu})) is Fault.URL


@pytest.mark.parametrize(
    "htu", ["https://api.example/v1/a%2Fb", "https://api.example/v1/a%2fb", "https://api.example/v1/a/b"]
)
def test_proof_when_slashes_are_encoded_then_as_the_routes_see_them(htu: str):
    """WSGI decodes the path: both are one resource to the routes, and no proof is refused for how it spells it."""
    request = Request(TOKEN, url="https://api.example/v1/a/b")
    presented = PresentedProof(request.proof(claims={"htu": htu}), "GET", request.url)
    DpopProofs(ProofsInMemory()).check(presented, TOKEN, APP_KEY.thumbprint(), now=NOW)
    assert fault_of(request.proof(claims={"htu": "https://api.example/v1/a%252Fb"}), request=request) is Fault.URL


def rsa_jwk(modulus: int, exponent: int) -> dict[str, str]:
    return {"kty": "RSA", "n": number(modulus), "e": number(exponent)}


@pytest.mark.parametrize(
    ("bits", "exponent"),
    [
        *((2048, exponent) for exponent in (1, 2, 65_536, 2**65 + 1, 2**2040 + 1)),
        *((bits, 65_537) for bits in (1024, 2047, 4097, 8192, 16_384, 30_000)),
        (8, 3),
        (1, 1),
    ],
)
def test_proof_when_its_rsa_key_is_of_no_sane_size_then_refused(bits: int, exponent: int):
    """P1: RSA 2048..4096. A giant exponent or modulus would make each proof dear."""
    jwk = rsa_jwk(2 ** (bits - 1) + 1, exponent)
    assert fault_of(REQUEST.proof(KEYS["RS256"], {"jwk": jwk})) is Fault.KEY


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_key_when_its_size_is_sane_then_taken(bits: int):
    key = new_rsa_key(bits=bits)
    assert read_public_key(public_jwk(key), "PS256").thumbprint == key.thumbprint()


def es_jwk(x: int, y: int, size: int = 32) -> dict[str, str]:
    return {"kty": "EC", "crv": "P-256", "x": segment(x.to_bytes(size)), "y": segment(y.to_bytes(size))}


_POINT = APP_KEY.private_key.public_key().public_numbers()  # type: ignore[union-attr]
X, Y = _POINT.x, _POINT.y  # type: ignore[union-attr]
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1


@pytest.mark.parametrize(
    "jwk",
    [
        es_jwk(X, Y ^ 1),
        es_jwk(1, 1),
        es_jwk(0, 0),
        es_jwk(X, P256 - 1),
        es_jwk(P256, Y),
        es_jwk(2**256 - 1, 2**256 - 1),
        es_jwk(X, Y, 33),
        es_jwk(X, Y, 1500),
        es_jwk(X, Y) | {"x": ""},
        es_jwk(X, Y) | {"x": "="},
        es_jwk(X, Y) | {"x": "\ud800".encode("utf-8", "replace").decode()},
        es_jwk(X, Y) | {"x": 5},
        es_jwk(X, Y) | {"x": None},
        es_jwk(X, Y) | {"crv": "P-521"},
        es_jwk(X, Y) | {"crv": "secp256k1"},
        es_jwk(X, Y) | {"crv": "Ed25519"},
        es_jwk(X, Y) | {"crv": ["P-256"]},
        es_jwk(X, Y) | {"kty": "OKP"},
        es_jwk(X, Y) | {"kty": "RSA"},
        es_jwk(X, Y) | {"alg": "RS256"},
        es_jwk(X, Y) | {"alg": ["ES256"]},
        es_jwk(X, Y) | {"use": "enc"},
        es_jwk(X, Y) | {"key_ops": ["sign"]},
        es_jwk(X, Y) | {"key_ops": "verify"},
        {"kty": "EC", "crv": "P-256", "x": segment(b"x" * 32)},
        {"kty": "OKP", "crv": "X25519", "x": segment(b"x" * 32)},
        {"kty": "OKP", "crv": "Ed25519", "x": segment(b"x" * 31)},
    ],
)
def test_proof_when_its_point_is_not_on_the_curve_or_the_key_is_odd_then_refused_and_no_500(jwk: dict[str, Any]):
    """Invalid curve attack; cryptography refuses the point, and its error is the sender's fault."""
    assert fault_of(REQUEST.proof(header={"jwk": jwk})) is Fault.KEY


def test_proof_when_alg_and_key_do_not_fit_then_refused():
    """RFC 8725 §3.1: each key with one algorithm; P-384 is no key for ES256, nor PS256's key for EdDSA."""
    for alg in KEYS:
        for other, key in KEYS.items():
            if {alg, other} != {"RS256", "PS256"} and alg != other:
                assert fault_of(REQUEST.proof(key, {"alg": alg})) is Fault.KEY
    assert fault_of(REQUEST.proof(ec_key("ES384"), {"alg": "ES256"})) is Fault.KEY
    # An RSA key may do both; the signature is by one of them.
    assert (
        fault_of(REQUEST.proof(KEYS["RS256"], {"alg": "PS256"}), bound_to=KEYS["RS256"].thumbprint()) is Fault.SIGNATURE
    )


def test_proof_when_a_signature_is_zero_then_refused():
    """CVE-2022-21449: r = s = 0 verified everything."""
    for signature in (b"\0" * 64, b"\0" * 63 + b"\x01", b"\x01" + b"\0" * 63):
        assert fault_of(REQUEST.proof().rpartition(".")[0] + "." + segment(signature)) is Fault.SIGNATURE


def test_proof_when_the_signature_is_der_then_refused():
    """RFC 7518 §3.4: R and S of 32 bytes each; what Apple's and Java's libraries give by default is DER."""
    field = REQUEST.proof()
    signed = field.rpartition(".")[0]
    from cryptography.hazmat.primitives.hashes import SHA256

    der = APP_KEY.private_key.sign(signed.encode(), ec.ECDSA(SHA256()))  # type: ignore[union-attr, call-arg, arg-type]
    assert fault_of(f"{signed}.{segment(der)}") is Fault.SIGNATURE


def test_proof_when_it_is_an_access_token_or_an_access_token_a_proof_then_neither_passes():
    """RFC 8725 §3.11: typ keeps the kinds of JWT apart."""
    assert fault_of(TOKEN) is Fault.TYPE
    assert fault_of(base64.b64encode(TOKEN.encode()).decode()) is Fault.MALFORMED


@pytest.mark.parametrize("alg", ["HS256", "none", "RS512", "nonsense"])
def test_key_when_the_algorithm_is_no_asymmetric_one_of_ours_then_refused(alg: str):
    with pytest.raises(KeyRefused):
        read_public_key(public_jwk(APP_KEY), alg)
