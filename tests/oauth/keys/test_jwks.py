"""Reading key sets: which keys may verify what, and that an odd one spoils nothing."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.oauth.keys import jwks
from app.oauth.keys.jwks import KeySet, KeySetRejected, VerificationKey, parse_key_set
from tests.support.tokens import DELETED, SigningKey, ec_key, ed_key, key_set, new_rsa_key, rsa_key

ALL = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MESSAGE = b"header.payload"


def parse(*keys: SigningKey | dict[str, Any], algorithms: tuple[str, ...] = ALL) -> KeySet:
    return parse_key_set(key_set(*keys), algorithms)


def only_key(*keys: SigningKey | dict[str, Any], algorithms: tuple[str, ...] = ALL) -> VerificationKey:
    (key,) = parse(*keys, algorithms=algorithms).keys
    return key


def skipped(*odd: Any, algorithms: tuple[str, ...] = ALL) -> dict[str, int]:
    """Put odd keys beside a good one, and see that the good one stays."""
    good = rsa_key("good")
    parsed = parse_key_set(json.dumps({"keys": [*odd, good.jwk()]}).encode(), algorithms)
    assert [key.kid for key in parsed.keys] == ["good"]
    return dict(parsed.skipped)


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


# Verifying


@pytest.mark.parametrize(
    "signer",
    [rsa_key(), rsa_key("ps", "PS256"), ec_key("ES256"), ec_key("ES384"), ed_key()],
    ids=lambda signer: signer.alg,
)
def test_verify_when_the_signature_is_the_keys_tells_true(signer: SigningKey):
    """T12: "Only PyJWT's algorithm objects (on `cryptography`) verify, over the exact bytes"."""
    key = only_key(signer)
    signature = signer.signature(MESSAGE)
    assert key.verify(signer.alg, MESSAGE, signature)
    assert not key.verify(signer.alg, MESSAGE + b"x", signature)
    assert not key.verify(signer.alg, MESSAGE, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not key.verify("none", MESSAGE, b"")
    assert not key.verify("HS256", MESSAGE, signature)


@pytest.mark.parametrize(
    "signer", [rsa_key(), ec_key("ES256"), ec_key("ES384"), ed_key()], ids=lambda signer: signer.alg
)
def test_verify_when_the_signature_has_another_length_tells_false(signer: SigningKey):
    """T12: "ECDSA signatures have the exact raw length"; RFC 8017 §8.2.2: "If the length of S is not k octets"."""
    key = only_key(signer)
    signature = signer.signature(MESSAGE)
    for other in (b"", signature[:-1], signature + b"\0", b"\0" + signature, signature * 2):
        assert not key.verify(signer.alg, MESSAGE, other)


@pytest.mark.parametrize("signer", [ec_key("ES256"), ec_key("ES384")], ids=lambda signer: signer.alg)
def test_verify_when_a_half_of_the_ecdsa_signature_is_zero_tells_false(signer: SigningKey):
    """T12: "ECDSA signatures have the exact raw length and are not zero" (CVE-2022-21449)."""
    key = only_key(signer)
    signature = signer.signature(MESSAGE)
    half = len(signature) // 2
    for zero in (bytes(half) + signature[half:], signature[:half] + bytes(half), bytes(2 * half)):
        assert not key.verify(signer.alg, MESSAGE, zero)


def test_verify_when_the_ecdsa_signature_is_der_tells_false():
    """RFC 7518 §3.4: the signature is R || S, never the DER structure that TLS uses."""
    signer = ec_key("ES256")
    der = signer.private_key.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    assert decode_dss_signature(der)
    assert not only_key(signer).verify("ES256", MESSAGE, der)


def test_verify_when_the_key_is_for_another_algorithm_of_its_type_tells_false():
    """RFC 8725 §3.1: each key is used with one algorithm, where the issuer says which."""
    stated = rsa_key("k", "RS256")
    as_pss = SigningKey(stated.private_key, "k", "PS256").signature(MESSAGE)
    assert not only_key(stated).verify("PS256", MESSAGE, as_pss)
    unstated = only_key(stated.jwk(alg=DELETED))
    assert unstated.verify("PS256", MESSAGE, as_pss)
    assert not unstated.verify("RS256", MESSAGE, as_pss)


def test_rsa_signature_length_when_the_modulus_is_not_whole_bytes_is_rounded_up():
    """RFC 8017 §8.2.2: the signature is as long as the modulus, in octets."""
    public_key = rsa.RSAPublicNumbers(65537, (1 << 2048) + 1).public_key()
    assert jwks._rsa_bytes(public_key) == 257


# Which algorithms


@pytest.mark.parametrize(
    ("jwk", "algorithms"),
    [
        (rsa_key().jwk(alg=DELETED), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (rsa_key().jwk(), {"RS256"}),
        (ec_key("ES256").jwk(alg=DELETED), {"ES256"}),
        (ec_key("ES384").jwk(alg=DELETED), {"ES384"}),
        (ed_key().jwk(alg=DELETED), {"EdDSA"}),
        (ed_key().jwk(alg="Ed25519"), {"EdDSA"}),
        (rsa_key().jwk(use=DELETED), {"RS256"}),
        (rsa_key().jwk(key_ops=["verify"]), {"RS256"}),
        (rsa_key().jwk(use=DELETED, key_ops=["sign", "verify"]), {"RS256"}),
    ],
)
def test_parse_when_a_key_is_usable_says_for_which_algorithms(jwk: dict[str, Any], algorithms: set[str]):
    """T12: "must be usable for that `alg` (`kty`, curve, `alg`, `use`, `key_ops`)"."""
    assert only_key(jwk).algorithms == algorithms


def test_parse_when_p521_is_allowed_verifies_with_it():
    private_key = ec.generate_private_key(ec.SECP521R1())
    signer = SigningKey(private_key, "p521", "ES512")
    assert only_key(signer).verify("ES512", MESSAGE, signer.signature(MESSAGE))


def test_parse_when_an_algorithm_is_not_allowed_leaves_it_out():
    assert only_key(rsa_key().jwk(alg=DELETED), algorithms=("RS256", "ES256")).algorithms == {"RS256"}
    assert skipped(ec_key().jwk(), algorithms=("RS256",)) == {"algorithm": 1}


def test_parse_when_hs256_or_none_is_allowed_by_mistake_still_knows_neither():
    """T7: "`none` and HS* can never be configured"; nor would it help."""
    assert skipped({"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, algorithms=("HS256", "none", "RS256")) == {
        "symmetric": 1
    }


# T13: odd keys


PRIVATE_RSA = RSAAlgorithm.to_jwk(rsa_key("p").private_key, as_dict=True) | {"kid": "p", "key_ops": ["verify"]}
RSA_JWK = rsa_key("odd").jwk()


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "odd"}, "symmetric"),
        (PRIVATE_RSA, "private"),
        (ECAlgorithm.to_jwk(ec_key().private_key, as_dict=True), "private"),
        (OKPAlgorithm.to_jwk(ed_key().private_key, as_dict=True), "private"),
        (RSA_JWK | {"d": None}, "private"),
        (RSA_JWK | {"use": "enc"}, "use"),
        (RSA_JWK | {"use": None}, "use"),
        (RSA_JWK | {"key_ops": ["sign"]}, "key_ops"),
        (RSA_JWK | {"key_ops": "verify"}, "key_ops"),
        (RSA_JWK | {"key_ops": None}, "key_ops"),
        (new_rsa_key("odd", bits=1024).jwk(), "rsa_size"),
        (RSA_JWK | {"n": number((1 << 9000) + 1)}, "rsa_size"),
        (RSA_JWK | {"e": number((1 << 70) + 1)}, "rsa_exponent"),
        (RSA_JWK | {"e": "AQ"}, "malformed"),
        (RSA_JWK | {"e": number(65536)}, "malformed"),
        (RSA_JWK | {"kty": "DSA"}, "kty"),
        (RSA_JWK | {"kty": None}, "kty"),
        (RSA_JWK | {"kty": ["RSA"]}, "malformed"),
        (RSA_JWK | {"alg": "RSA-OAEP"}, "algorithm"),
        (RSA_JWK | {"alg": "ES256"}, "algorithm"),
        (RSA_JWK | {"alg": None}, "algorithm"),
        (RSA_JWK | {"alg": ["RS256"]}, "malformed"),
        (RSA_JWK | {"kid": 7}, "kid"),
        (RSA_JWK | {"kid": ""}, "kid"),
        (RSA_JWK | {"kid": "k" * 201}, "kid"),
        (RSA_JWK | {"n": 5}, "malformed"),
        (RSA_JWK | {"n": "é"}, "malformed"),
        ({"kty": "RSA", "kid": "odd"}, "malformed"),
        (ec_key().jwk(crv="secp256k1", alg="ES256K"), "curve"),
        (ec_key().jwk(crv=["P-256"]), "curve"),
        (ec_key().jwk(crv="P-384", alg=DELETED), "malformed"),
        (ec_key().jwk(x=ec_key().jwk()["y"]), "malformed"),
        (OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True), "curve"),
        ("a string", "malformed"),
        (None, "malformed"),
        ([], "malformed"),
    ],
)
def test_parse_when_a_key_is_odd_skips_and_counts_it(odd: Any, reason: str):
    """T13: "A key that is odd […] is skipped and counted; it never spoils the set."""
    assert skipped(odd) == {reason: 1}


@pytest.mark.parametrize("exponent", [1, 4])
def test_parse_when_the_library_would_take_an_odd_exponent_still_skips(exponent: int):
    """T13: `e=1`. cryptography refuses it today; this room does not lean on that."""

    class Numbers:
        n = 1 << 2047
        e = exponent

    class PublicKey:
        def public_numbers(self) -> Numbers:
            return Numbers()

    with pytest.raises(jwks._Odd, match="rsa_exponent"):
        jwks._rsa_bytes(PublicKey())


def test_parse_when_two_keys_share_kid_and_kty_skips_both():
    """T13: "same `kid` and `kty` with other material"."""
    twins = [new_rsa_key("twin").jwk(), new_rsa_key("twin").jwk(), new_rsa_key("twin", "RS384").jwk()]
    assert skipped(*twins) == {"conflict": 3}


def test_parse_when_two_keys_share_a_kid_but_not_the_kty_finds_each_by_algorithm():
    parsed = parse(rsa_key("shared"), ec_key("ES256", "shared"))
    assert parsed.find("shared", "RS256").algorithms == {"RS256"}
    assert parsed.find("shared", "ES256").algorithms == {"ES256"}
    assert dict(parsed.skipped) == {}


def test_parse_when_a_key_is_repeated_holds_it_once():
    parsed = parse(rsa_key("same"), rsa_key("same"))
    assert len(parsed.keys) == 1
    assert parsed.find(None, "RS256") is parsed.find("same", "RS256")


def test_parse_when_one_key_is_published_for_two_algorithms_finds_it_for_both():
    signer = rsa_key("both")
    parsed = parse(signer, signer.jwk(alg="PS256"))
    assert parsed.find("both", "RS256").algorithms == {"RS256"}
    assert parsed.find("both", "PS256").algorithms == {"PS256"}


def test_parse_when_the_odd_twin_is_unusable_keeps_the_good_one():
    """A key for encryption may share its name with the one for signatures."""
    parsed = parse(rsa_key("k"), new_rsa_key("k").jwk(use="enc"))
    assert parsed.kids() == ("k",)
    assert dict(parsed.skipped) == {"use": 1}


# Looking up


def test_find_when_the_kid_is_unknown_or_of_another_algorithm_finds_nothing():
    parsed = parse(rsa_key("a"), ec_key("ES256", "b"))
    assert parsed.find("c", "RS256") is None
    assert parsed.find("a", "ES256") is None
    assert parsed.find("a", "HS256") is None


def test_find_without_kid_when_one_key_fits_finds_it_else_nothing():
    """T10: "A token without `kid` is accepted only while the issuer publishes exactly one usable key for its
    algorithm."
    """
    parsed = parse(rsa_key("a"), rsa_key("b"), ec_key("ES256", "c"))
    assert parsed.find(None, "RS256") is None
    assert parsed.find(None, "ES256").kid == "c"
    nameless = parse(rsa_key("a").jwk(kid=DELETED))
    assert nameless.find(None, "RS256").kid is None
    assert nameless.find("a", "RS256") is None
    assert nameless.kids() == ()
    assert parse(rsa_key("a"), rsa_key("b").jwk(kid=DELETED)).find(None, "RS256") is None


def test_holds_when_the_same_key_is_parsed_again_tells_true():
    """V2: "that its key is still in the set": the same key, not the same object."""
    key = only_key(rsa_key("a"))
    assert parse(rsa_key("a"), rsa_key("b")).holds(key)
    assert parse(rsa_key("a")).holds(key)


@pytest.mark.parametrize(
    "later",
    [new_rsa_key("a").jwk(), rsa_key("b").jwk(), rsa_key("a").jwk(kid="b"), rsa_key("a").jwk(alg="PS256")],
)
def test_holds_when_name_material_or_use_has_changed_tells_false(later: dict[str, Any]):
    assert not parse(later).holds(only_key(rsa_key("a")))


def test_thumbprint_is_that_of_rfc_7638_however_the_key_is_written():
    """RFC 7638 §3.1, its example; then the same key with a leading zero octet in `n`."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n"
        "3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zg"
        "dAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFC"
        "ur-kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert only_key(jwk).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    octets = base64.urlsafe_b64decode(n + "==")
    padded = jwk | {"n": base64.urlsafe_b64encode(b"\0" + octets).decode(), "e": "AAEAAQ=="}
    assert only_key(padded).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("signer", [rsa_key(), ec_key("ES384"), ed_key()], ids=lambda signer: signer.alg)
def test_thumbprint_is_joserfcs(signer: SigningKey):
    assert only_key(signer).thumbprint == signer.thumbprint()


def test_keys_do_not_show_their_insides():
    assert "object at" not in repr(parse(rsa_key()))


# Documents that are refused


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "malformed"),
        (b'{"keys": [', "malformed"),
        (b"\xff\xfe{}", "malformed"),
        (b'{"keys": [NaN]}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"[]", "not_a_key_set"),
        (b'{"keys": {}}', "not_a_key_set"),
        (b'{"error": "x"}', "not_a_key_set"),
        (b'{"keys": []}', "no_usable_key"),
        (key_set(new_rsa_key(bits=1024)), "no_usable_key"),
        (key_set(new_rsa_key("x"), new_rsa_key("x")), "no_usable_key"),
        (b'{"keys": [' + b"null," * 100 + b"null]}", "too_many_keys"),
        (key_set(rsa_key()) + b" " * 262_144, "oversized"),
    ],
)
def test_parse_when_the_document_is_no_key_set_refuses_it(document: bytes, why: str):
    """K5: "A failed, empty, malformed, oversized, truncated or keyless answer never replaces a good set."; K2"""
    with pytest.raises(KeySetRejected) as caught:
        parse_key_set(document, ALL)
    assert caught.value.why == why


def test_parse_when_there_are_a_hundred_keys_takes_them():
    """K2: "100 keys"."""
    public = rsa_key().jwk()
    assert len(parse(*({**public, "kid": f"k{i}"} for i in range(100))).keys) == 100


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_MEMBERS = ("kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y")


@settings(deadline=None)  # the first example makes keys, and the machine may be busy
@given(changes=st.dictionaries(st.sampled_from(_MEMBERS), _JSON, max_size=4), base=st.integers(0, 2))
def test_parse_whatever_a_key_holds_spares_the_good_one(changes: dict[str, Any], base: int):
    """T13: "it never spoils the set"."""
    odd = {**(rsa_key("r"), ec_key("ES256", "e"), ed_key("o"))[base].jwk(), **changes}
    parsed = parse_key_set(json.dumps({"keys": [odd, rsa_key("good").jwk()]}).encode(), ALL)
    assert "good" in parsed.kids()
