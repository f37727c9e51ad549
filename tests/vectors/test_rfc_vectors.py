"""What the RFCs print, against what this API reads: signatures that must verify, and tokens that must be refused."""

import base64
import dataclasses
import hashlib
import hmac
import json

import pytest

from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy
from app.oauth.errors import InvalidToken
from app.oauth.header import parse
from app.oauth.keys.jwks import KeySet, KeySetRejected, parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.reasons import Reason
from app.oauth.verifier import Verifier
from tests.support.tokens import segment
from tests.vectors import published
from tests.vectors.published import JWK

POLICY = TokenPolicy(issuers=("joe",), audiences=frozenset({"nobody"}), algorithms=SUPPORTED_ALGORITHMS)
# Three that the key room could verify and the settings never let in.
EVERY_ALGORITHM = (*SUPPORTED_ALGORITHMS, "PS384", "PS512", "ES512")
JOE_EXPIRES_AT = 1_300_819_380

ACCEPTED = {
    "RFC 7515 A.2 RS256": (published.RFC7515_A2_KEY, published.RFC7515_A2_RS256),
    "RFC 7515 A.3 ES256": (published.RFC7515_A3_KEY, published.RFC7515_A3_ES256),
    "RFC 7520 4.1 RS256": (published.RFC7520_33_KEY, published.RFC7520_41_RS256),
    "RFC 8037 A.4 EdDSA": (published.RFC8037_A2_KEY, published.RFC8037_A4_EDDSA),
}
NOT_CONFIGURABLE = {
    "RFC 7515 A.4 ES512": (published.RFC7515_A4_KEY, published.RFC7515_A4_ES512),
    "RFC 7520 4.2 PS384": (published.RFC7520_33_KEY, published.RFC7520_42_PS384),
    "RFC 7520 4.3 ES512": (published.RFC7520_31_KEY, published.RFC7520_43_ES512),
}
SYMMETRIC = {
    "RFC 7515 A.1 HS256": (published.RFC7515_A1_KEY, published.RFC7515_A1_HS256),
    "RFC 7520 4.4 HS256": (published.RFC7520_35_KEY, published.RFC7520_44_HS256),
}


def key_set(*keys: JWK, algorithms: tuple[str, ...] = EVERY_ALGORITHM) -> KeySet:
    return parse_key_set(json.dumps({"keys": keys}).encode(), algorithms)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def spoiled(token: str) -> str:
    """The same token with one bit of its signature turned."""
    content, _, signature = token.rpartition(".")
    raw = decoded(signature)
    return f"{content}.{segment(raw[:-1] + bytes([raw[-1] ^ 1]))}"


def refusal(token: str) -> Reason:
    with pytest.raises(InvalidToken) as refused:
        parse(token, POLICY)
    return refused.value.reason


# Signatures


@pytest.mark.parametrize(("jwk", "token"), ACCEPTED.values(), ids=ACCEPTED)
def test_published_signature_when_read_by_our_rooms_verifies(jwk: JWK, token: str):
    """T12: the header's room splits it, the key's room verifies it, over the exact bytes."""
    header, wrong = parse(token, POLICY), parse(spoiled(token), POLICY)
    key = key_set(jwk, algorithms=SUPPORTED_ALGORITHMS).find(header.kid, header.alg)
    assert key is not None
    assert key.verify(header.alg, header.signing_input, header.signature)
    assert not key.verify(header.alg, header.signing_input, wrong.signature)
    assert not key.verify(header.alg, header.signing_input + b"x", header.signature)


@pytest.mark.parametrize("name", ["RFC 7515 A.2 RS256", "RFC 7515 A.3 ES256"])
def test_published_jwt_when_verified_is_refused_for_its_claims_alone(name: str):
    """§2: signature before claims: Joe's token is good until its lack of an audience is seen, and forged it is not."""
    jwk, token = ACCEPTED[name]
    verifier = Verifier(POLICY, {"joe": StaticKeySource("joe", key_set(jwk))})
    for text, reason in ((token, Reason.MISSING_CLAIM), (spoiled(token), Reason.BAD_SIGNATURE)):
        with pytest.raises(InvalidToken) as refused:
            verifier.verify(text, now=JOE_EXPIRES_AT - 1)
        assert refused.value.reason is reason


@pytest.mark.parametrize(("jwk", "token"), NOT_CONFIGURABLE.values(), ids=NOT_CONFIGURABLE)
def test_published_signature_when_its_algorithm_cannot_be_configured_is_refused(jwk: JWK, token: str):
    """T7: the allow-list has neither; the control: the key's room alone would say that the signature is right."""
    content, _, signature = token.rpartition(".")
    alg = json.loads(decoded(content.partition(".")[0]))["alg"]
    (key,) = key_set(jwk).keys
    assert key.verify(alg, content.encode(), decoded(signature))

    assert refusal(token) is Reason.ALGORITHM_REFUSED
    with pytest.raises(ValueError, match="algorithms"):
        dataclasses.replace(POLICY, algorithms=(alg,))


@pytest.mark.parametrize("jwk", [published.RFC7515_A4_KEY, published.RFC7520_31_KEY], ids=["RFC 7515", "RFC 7520"])
def test_published_p521_key_when_read_with_our_algorithms_is_skipped(jwk: JWK):
    """T13: a key that none of the configured algorithms can use."""
    keys = key_set(jwk, published.RFC7520_33_KEY, algorithms=SUPPORTED_ALGORITHMS)
    assert [key.kid for key in keys.keys] == ["bilbo.baggins@hobbiton.example"]
    assert keys.skipped == {"algorithm": 1}


@pytest.mark.parametrize(("jwk", "token"), SYMMETRIC.values(), ids=SYMMETRIC)
def test_published_hmac_when_read_is_refused(jwk: JWK, token: str):
    """T7: HS* can never be configured; T13: an `oct` key is skipped. The control: the MAC is right."""
    content, _, signature = token.rpartition(".")
    assert hmac.digest(decoded(jwk["k"]), content.encode(), hashlib.sha256) == decoded(signature)

    assert refusal(token) is Reason.ALGORITHM_REFUSED
    with pytest.raises(KeySetRejected, match="no_usable_key"):
        key_set(jwk, algorithms=(*EVERY_ALGORITHM, "HS256"))
    with pytest.raises(ValueError, match="algorithms"):
        dataclasses.replace(POLICY, algorithms=("HS256",))


def test_published_unsecured_token_is_refused():
    """RFC 7515 §A.5 ends in the period: no signature at all; with one it is `none` all the same."""
    assert refusal(published.RFC7515_A5_NONE) is Reason.MALFORMED_TOKEN
    assert refusal(published.RFC7515_A5_NONE + "AA") is Reason.ALGORITHM_REFUSED
    with pytest.raises(ValueError, match="algorithms"):
        dataclasses.replace(POLICY, algorithms=("none",))


# Keys


def test_published_key_set_when_read_gives_the_keys_for_signing():
    """RFC 7517 §A.1: one key is for encryption (`use: enc`), the other for RS256."""
    keys = key_set(*published.RFC7517_A1_PUBLIC)
    assert [(key.kid, key.algorithms) for key in keys.keys] == [("2011-04-29", {"RS256"})]
    assert keys.skipped == {"use": 1}


def test_published_private_keys_when_read_are_skipped():
    """RFC 7517 §A.2: private keys have no place in a set that is published; T13: skipped, and the good one stays."""
    keys = key_set(*published.RFC7517_A2_PRIVATE, published.RFC7520_33_KEY)
    assert keys.kids() == ("bilbo.baggins@hobbiton.example",)
    assert keys.skipped == {"private": 2}


def test_published_symmetric_keys_when_read_are_skipped():
    """RFC 7517 §A.3, RFC 7520 §3.5 and §3.6: a secret in a public set would let everybody sign."""
    symmetric = [*published.RFC7517_A3_SYMMETRIC, published.RFC7520_35_KEY, published.RFC7520_36_KEY]
    keys = key_set(*symmetric, published.RFC7520_33_KEY)
    assert keys.kids() == ("bilbo.baggins@hobbiton.example",)
    assert keys.skipped == {"symmetric": 4}


def test_published_keys_of_one_name_when_of_two_types_are_both_held():
    """RFC 7520 §3.1 and §3.3 give one `kid` to an EC and an RSA key: each is found for its own algorithms."""
    keys = key_set(published.RFC7520_31_KEY, published.RFC7520_33_KEY)
    assert keys.skipped == {}
    for token in (published.RFC7520_41_RS256, published.RFC7520_42_PS384, published.RFC7520_43_ES512):
        content, _, signature = token.rpartition(".")
        header = json.loads(decoded(content.partition(".")[0]))
        key = keys.find(header["kid"], header["alg"])
        assert key is not None
        assert key.verify(header["alg"], content.encode(), decoded(signature))


def test_published_private_ed25519_key_when_read_is_skipped():
    """RFC 8037 §A.1: `d` is the private key."""
    private = {**published.RFC8037_A2_KEY, "d": published.RFC8037_A1_PRIVATE_MEMBER}
    keys = key_set(private, published.RFC8037_A2_KEY)
    assert len(keys.keys) == 1
    assert keys.skipped == {"private": 1}


# Thumbprints


@pytest.mark.parametrize(
    ("jwk", "thumbprint"),
    [
        (published.RFC7638_KEY, published.RFC7638_THUMBPRINT),
        (published.RFC8037_A2_KEY, published.RFC8037_A3_THUMBPRINT),
    ],
    ids=["RFC 7638 3.1", "RFC 8037 A.3"],
)
def test_published_thumbprint_is_what_we_compute(jwk: JWK, thumbprint: str):
    """RFC 7638 §3: the hash of the required members only; `alg` and `kid` do not count."""
    for published_as in (jwk, {**jwk, "kid": "another"}, {**jwk, "use": "sig"}):
        (key,) = key_set(published_as).keys
        assert key.thumbprint == thumbprint
