"""Advisories about keys: a token that brings its own, names one by trickery, or has none."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from app.oauth.claims import SUPPORTED_ALGORITHMS
from app.oauth.errors import InvalidToken, KeysUnavailable
from app.oauth.keys.cache import CachedKeySource
from app.oauth.keys.download import KeyDownload
from app.oauth.reasons import Reason
from app.oauth.verifier import Verifier
from tests.advisories.gate import EC, ED, POLICY, RSA, RSA_2, START, Gate, good, good_claims, good_header
from tests.support.issuer import Issuer
from tests.support.outcomes import outcome_of
from tests.support.provider import Answer, LocalServer
from tests.support.tokens import DELETED, SigningKey, ec_key, key_set, new_rsa_key, rsa_key, sign

STRANGER = new_rsa_key("stranger")
AS_RSA_1 = dataclasses.replace(STRANGER, kid=RSA.kid)
EC_STRANGER = SigningKey(ec.generate_private_key(ec.SECP256R1()), EC.kid, "ES256")


class Lure(LocalServer):
    """Answers everything with the attacker's own key set, and counts who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: Counter[str] = Counter()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:  # noqa: ARG002
        self.hits[target] += 1
        return Answer(200, key_set(AS_RSA_1, STRANGER))


@pytest.fixture
def lure() -> Iterator[Lure]:
    server = Lure()
    server._thread.start()
    try:
        yield server
    finally:
        server._server.shutdown()
        server._thread.join()
        server._server.server_close()


@pytest.mark.parametrize("stranger", [AS_RSA_1, EC_STRANGER], ids=lambda key: key.alg)
@pytest.mark.parametrize("kid", ["of-ours", "of-its-own", DELETED], ids=["our-kid", "its-kid", "no-kid"])
def test_gate_when_the_header_embeds_its_own_key_refuses(gate: Gate, stranger: SigningKey, kid: object):
    """CVE-2018-0114 (node-jose): the key in `jwk` verified the signature. CVE-2026-34240 (Dart's jose): the same.

    RFC 7515 §4.1.3 describes the parameter; T9: never read. A good token that carries one all the same is good.
    """
    name = stranger.kid if kid == "of-ours" else kid
    own = {"jwk": stranger.jwk(), "x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA"}
    gate.accepts(good(RSA if stranger.alg == "RS256" else EC, own))
    reason = Reason.BAD_SIGNATURE if kid == "of-ours" else Reason.UNKNOWN_KEY
    gate.refuses(good(stranger, {**own, "kid": name}), reason)


@pytest.mark.parametrize("names", [("jku",), ("x5u",), ("jku", "x5u"), ("jku", "x5u", "jwk")], ids="+".join)
@pytest.mark.parametrize("kid", [RSA.kid, "stranger", DELETED], ids=["our-kid", "its-kid", "no-kid"])
def test_gate_when_the_header_says_where_its_keys_are_never_asks_there(
    gate: Gate, lure: Lure, names: tuple[str, ...], kid: object
):
    """CVE-2024-21643 (Microsoft.IdentityModel): `jku` was followed. T9: no request leaves because of them."""
    pointers = {name: STRANGER.jwk() if name == "jwk" else f"{lure.url}/{name}" for name in names}
    reason = Reason.BAD_SIGNATURE if kid == RSA.kid else Reason.UNKNOWN_KEY

    gate.accepts(good(RSA, pointers))
    gate.refuses(good(AS_RSA_1, {**pointers, "kid": kid}), reason)
    assert lure.hits == {}


def test_verifier_when_keys_are_fetched_asks_the_issuer_and_nobody_else(lure: Lure):
    """T9: the same where the keys do come over the network: the issuer was asked, which is the control."""
    with Issuer(rsa_key()) as issuer:
        download = KeyDownload(issuer.url, SUPPORTED_ALGORITHMS)
        source = CachedKeySource(issuer.url, download)
        policy = dataclasses.replace(POLICY, issuers=(issuer.url,))
        verifier = Verifier(policy, {issuer.url: source})
        pointers: dict[str, Any] = {"jku": f"{lure.url}/jku", "x5u": f"{lure.url}/x5u", "jwk": STRANGER.jwk()}
        claims = {"iss": issuer.url}

        assert verifier.verify(good(RSA, pointers, claims), now=START).subject
        assert outcome_of(lambda: verifier.verify(good(AS_RSA_1, pointers, claims), now=START)) is Reason.BAD_SIGNATURE
        for kid in ("stranger", lure.url):
            # T27: an unknown name is a refusal or, until a fetch has proven it, a 503; never a token, never a hit.
            with pytest.raises((InvalidToken, KeysUnavailable)):
                verifier.verify(good(STRANGER, {**pointers, "kid": kid}, claims), now=START)
        source.stop()
    assert issuer.requests.total() >= 2
    assert lure.hits == {}


def test_verifier_when_the_token_names_another_issuer_asks_nobody(lure: Lure):
    """T11: `iss` must equal one configured issuer, exactly: discovery at the attacker's address never begins."""
    with Issuer(rsa_key()) as issuer:
        source = CachedKeySource(issuer.url, KeyDownload(issuer.url, SUPPORTED_ALGORITHMS))
        verifier = Verifier(dataclasses.replace(POLICY, issuers=(issuer.url,)), {issuer.url: source})
        for named in (f"{lure.url}/", f"{issuer.url}@{lure.url}", f"{lure.url}/?{issuer.url}"):
            token = good(AS_RSA_1, None, {"iss": named})
            assert outcome_of(lambda token=token: verifier.verify(token, now=START)) is Reason.WRONG_ISSUER
        assert issuer.requests.total() == 0
        assert verifier.verify(good(RSA, None, {"iss": issuer.url}), now=START).subject
        source.stop()
    assert lure.hits == {}


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "..\\..\\windows\\win.ini",
        "file:///etc/passwd",
        "http://127.0.0.1/jwks.json",
        "rsa-1' OR '1'='1",
        "x' UNION SELECT 'c2VjcmV0",
        "rsa-1; touch /tmp/x",
        "$(id)",
        "${jndi:ldap://127.0.0.1/x}",
        "{{7*7}}",
        "RSA-1",
        "rsa-1 ",
        " rsa-1",
        "rsa",
        "rsa-",
        "rsa-*",
        "__proto__",
        "None",
        "null",
        "0",
    ],
)
def test_gate_when_kid_is_a_path_a_query_or_a_near_miss_refuses(gate: Gate, kid: str):
    """T10: a name is only ever compared: it opens no file, joins no query, and matches nothing but itself."""
    gate.accepts(good(RSA))
    gate.refuses(good(RSA, {"kid": kid}), Reason.UNKNOWN_KEY)


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "rsa-1\x00",
        "rsa-1\n",
        "rsa-1\r\nX: y",
        "rsa\u20101",
        "rsa-1\u200b",
        "k" * 201,
        1,
        0,
        -1,
        1.5,
        True,
        False,
        None,
        [],
        ["rsa-1"],
        {},
        {"rsa-1": "rsa-1"},
    ],
)
def test_gate_when_kid_is_no_short_printable_string_refuses(gate: Gate, kid: object):
    """T10: a string of 1..200 printable ASCII characters; otherwise `malformed_token`, without a fetch."""
    gate.accepts(good(RSA))
    gate.refuses(good(RSA, {"kid": kid}), Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize("size_bytes", [20_000, 1_000_000])
def test_gate_when_kid_is_huge_refuses_before_parsing(gate: Gate, size_bytes: int):
    """T4: a token longer than `MAX_TOKEN_BYTES` is 400 before it is parsed."""
    gate.accepts(good(RSA))
    gate.refuses(good(RSA, {"kid": "k" * size_bytes}), Reason.TOKEN_TOO_LARGE)


def test_gate_when_kid_names_another_key_of_the_set_refuses(gate: Gate):
    """The signature is good, by a key that is trusted, under the name of another one: the name decides."""
    for signer, named in ((RSA, RSA_2), (RSA_2, RSA), (RSA, ec_key("ES384"))):
        gate.accepts(good(signer))
        reason = Reason.BAD_SIGNATURE if named.alg == signer.alg else Reason.UNKNOWN_KEY
        gate.refuses(good(signer, {"kid": named.kid}), reason)


def test_gate_when_kid_is_absent_and_keys_are_several_refuses(gate: Gate):
    """T10: accepted only while exactly one usable key for its algorithm is published: never tried one by one."""
    assert gate.accepts(good(ED, {"kid": DELETED})).key_id is None
    gate.refuses(good(RSA, {"kid": DELETED}), Reason.UNKNOWN_KEY)
    gate.refuses(good(EC, {"kid": DELETED}), Reason.UNKNOWN_KEY)


def test_gate_when_the_stranger_claims_every_name_refuses(gate: Gate):
    """T12: whatever the header says, a key that the issuer does not publish verifies nothing."""
    for key in (RSA, RSA_2):
        gate.accepts(good(key))
        gate.refuses(good(dataclasses.replace(STRANGER, kid=key.kid)), Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("name", ["kid", "alg", "typ"])
def test_gate_when_a_header_member_stands_in_the_payload_reads_the_header(gate: Gate, name: str):
    """RFC 7519 §5.3 lets claims repeat in the header; nothing of ours may read one for the other."""
    payload = json.dumps(good_claims(**{name: "JWT"})).encode()
    gate.accepts(sign(RSA, json.dumps(good_header()).encode(), payload))
    bare = json.dumps(good_header(**{name: DELETED})).encode()
    token = sign(RSA, bare, payload)
    if name == "typ":
        gate.accepts(token)
    else:
        gate.refuses(token, {"kid": Reason.UNKNOWN_KEY, "alg": Reason.ALGORITHM_REFUSED}[name])


def test_gate_when_the_claims_stand_in_the_header_refuses(gate: Gate):
    """RFC 7519 §5.3: replicated claims are for the application to compare; unsigned payloads are none of them."""
    claims = good_claims()
    gate.accepts(sign(RSA, json.dumps({**good_header(), **claims}).encode(), json.dumps(claims).encode()))
    gate.refuses(sign(RSA, json.dumps({**good_header(), **claims}).encode(), b"{}"), Reason.MISSING_CLAIM)


def test_strangers_key_is_no_key_of_ours():
    """The controls above would prove nothing if both keys were one."""
    assert isinstance(STRANGER.private_key, RSAPrivateKey)
    assert STRANGER.private_key.public_key() != RSA.private_key.public_key()
