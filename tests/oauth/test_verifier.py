"""Whose token this is, with real keys and real signatures: T6 to T19 together, V1 to V4."""

import base64
import dataclasses
import gc
import hashlib
import hmac
import json
import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.access_token import AccessToken
from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy
from app.oauth.errors import InvalidToken, KeysUnavailable
from app.oauth.keys.jwks import KeySet, VerificationKey, parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.reasons import Reason
from app.oauth.token_cache import CacheState, TokenCache
from app.oauth.verifier import Verifier
from tests.support.outcomes import outcome_of
from tests.support.tokens import (
    AUDIENCE,
    DELETED,
    DIALECTS,
    ISSUER,
    NOW,
    SigningKey,
    claims_of,
    ec_key,
    ed_key,
    header_of,
    key_set,
    mint,
    rsa_key,
    segment,
    sign,
)

LOGIN = "https://login.example/"
POLICY = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}), algorithms=SUPPORTED_ALGORITHMS)
TWO_NAMES = dataclasses.replace(POLICY, issuers=(ISSUER, LOGIN))

KEYS: dict[str, SigningKey] = {
    "RS256": rsa_key(),
    "RS384": rsa_key("rsa-384", "RS384"),
    "RS512": rsa_key("rsa-512", "RS512"),
    "PS256": rsa_key("rsa-pss", "PS256"),
    "ES256": ec_key("ES256"),
    "ES384": ec_key("ES384"),
    "EdDSA": ed_key(),
}


class HeldKeys(StaticKeySource):
    """A source whose set the test exchanges, as a fetch would, and that counts how often a key was looked for."""

    def __init__(self, *keys: SigningKey, issuer: str = ISSUER) -> None:
        super().__init__(issuer, KeySet((), {}, {}, frozenset()))
        self.looked_for = 0
        self.publish(*keys)

    def publish(self, *keys: SigningKey) -> None:
        """Hold a newly parsed set of these keys; without any, nothing usable is held."""
        self.held = parse_key_set(key_set(*keys), SUPPORTED_ALGORITHMS) if keys else None

    def find(self, kid: str | None, alg: str) -> VerificationKey:
        self.looked_for += 1
        found = self.current().find(kid, alg)
        if found is None:
            raise InvalidToken(Reason.UNKNOWN_KEY)
        return found

    def current(self) -> KeySet:
        if self.held is None:
            raise KeysUnavailable(5)
        return self.held


def verifier_of(source: StaticKeySource, cache: TokenCache | None = None) -> Verifier:
    return Verifier(POLICY, {ISSUER: source}, cache)


def cached(*keys: SigningKey) -> tuple[Verifier, HeldKeys]:
    source = HeldKeys(*keys)
    return verifier_of(source, TokenCache(100, 10_000_000)), source


ALL_KEYS = StaticKeySource(ISSUER, parse_key_set(key_set(*KEYS.values()), SUPPORTED_ALGORITHMS))
VERIFIER = verifier_of(ALL_KEYS)


def refusal(token: str, verifier: Verifier = VERIFIER, *, now: float = NOW) -> Reason:
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token, now=now)
    return refused.value.reason


def fresh() -> Verifier:
    """A verifier that has logged nothing yet."""
    return verifier_of(ALL_KEYS)


def resigned(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{segment(signature)}"


# signature


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("alg", KEYS)
def test_verify_when_token_is_good_gives_its_access_token(alg: str, dialect: str):
    """T12, T18: every configured algorithm, every dialect."""
    token = VERIFIER.verify(mint(KEYS[alg], dialect=dialect), now=NOW)
    assert (token.key_id, token.claims["sub"]) == (KEYS[alg].kid, token.subject)


@pytest.mark.parametrize("alg", KEYS)
def test_verify_when_anything_signed_was_changed_is_bad_signature(alg: str):
    """RFC 7515 §5.2: if any of these steps fails, the signed content cannot be validated."""
    key = KEYS[alg]
    header, payload, signature = mint(key).split(".")
    widened = segment(json.dumps(claims_of({"scope": "admin"})).encode())
    renamed = segment(json.dumps(header_of(key, {"x": 1})).encode())
    raw = base64.urlsafe_b64decode(signature + "==")

    assert refusal(f"{header}.{widened}.{signature}") is Reason.BAD_SIGNATURE
    assert refusal(f"{renamed}.{payload}.{signature}") is Reason.BAD_SIGNATURE
    for spoiled in (raw[:-1] + bytes([raw[-1] ^ 1]), raw[:-1], raw + b"\0", bytes(len(raw)), b"\0", raw[::-1]):
        assert refusal(resigned(f"{header}.{payload}.{signature}", spoiled)) is Reason.BAD_SIGNATURE


def test_verify_when_another_key_signed_under_the_name_is_bad_signature():
    """T12: The key is chosen by issuer and `kid`, and nothing in the token can bring its own."""
    stranger = dataclasses.replace(rsa_key("stranger"), kid="rsa-1")
    own_key = {"jwk": stranger.jwk(), "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x5u"}
    assert refusal(mint(stranger)) is Reason.BAD_SIGNATURE
    assert refusal(mint(stranger, own_key)) is Reason.BAD_SIGNATURE


def test_verify_when_public_key_serves_as_hmac_secret_is_refused():
    """RFC 8725 §2.1: an RS256 public key used as an HS256 secret; §3.1: the algorithm is never the token's choice."""
    public = rsa_key().private_key.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(rsa_key().jwk()).encode(),
    ):
        unsigned = mint(rsa_key(), {"alg": "HS256"}).rpartition(".")[0]
        forged = resigned(f"{unsigned}.x", hmac.new(secret, unsigned.encode(), hashlib.sha256).digest())
        assert refusal(forged) is Reason.ALGORITHM_REFUSED


@pytest.mark.parametrize("alg", ["none", "None", "nOnE"])
def test_verify_when_unsigned_is_refused(alg: str):
    """RFC 8725 §3.2: JWT libraries SHOULD NOT generate or consume JWTs using "none"."""
    token = mint(rsa_key(), {"alg": alg})
    assert refusal(token) is Reason.ALGORITHM_REFUSED
    assert refusal(token.rpartition(".")[0] + ".") is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("alg", ["PS256", "RS512", "ES256", "EdDSA"])
def test_verify_when_header_names_an_algorithm_that_the_key_is_not_for_is_unknown_key(alg: str):
    """T12: must be usable for that `alg` (`kty`, curve, `alg`, `use`, `key_ops`)."""
    assert refusal(mint(rsa_key(), {"alg": alg})) is Reason.UNKNOWN_KEY


def test_verify_when_ecdsa_signature_is_der_is_bad_signature():
    """RFC 7518 §3.4: the signature is R || S, each 32 octets; T12: the exact raw length and not zero."""
    token = mint(ec_key())
    assert VERIFIER.verify(token, now=NOW).subject
    raw = base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    for spoiled in (der, bytes(64), raw[:32] + bytes(32), bytes(32) + raw[32:], raw + bytes(2)):
        assert refusal(resigned(token, spoiled)) is Reason.BAD_SIGNATURE


# keys


def test_verify_when_kid_is_absent_needs_the_only_key():
    """T10: A token without `kid` is accepted only while the issuer publishes exactly one usable key."""
    token = mint(rsa_key(), {"kid": DELETED})
    assert verifier_of(HeldKeys(rsa_key())).verify(token, now=NOW).key_id is None
    assert refusal(token, verifier_of(HeldKeys(rsa_key(), rsa_key("rsa-2")))) is Reason.UNKNOWN_KEY


def test_verify_when_kid_is_unknown_is_unknown_key():
    """T27: A `kid` that the held set lacks is 401 `unknown_key` …"""
    assert refusal(mint(rsa_key("rsa-2"))) is Reason.UNKNOWN_KEY


def test_verify_when_no_keys_are_held_is_our_fault():
    """T27: Our fault is never the user's. No usable keys: 503."""
    with pytest.raises(KeysUnavailable):
        verifier_of(HeldKeys()).verify(mint(rsa_key()), now=NOW)


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        mint(rsa_key(), {"alg": "HS256"}),
        mint(rsa_key(), {"typ": "rt+jwt"}),
        mint(rsa_key(), {"crit": ["x"]}),
        mint(rsa_key(), {"kid": "a" * 201}),
        mint(rsa_key(), None, {"iss": "https://evil.example/"}),
        mint(rsa_key(), None, {"iss": DELETED}),
    ],
    ids=["shape", "alg", "typ", "crit", "kid", "iss", "no-iss"],
)
def test_verify_when_refused_cheaply_looks_for_no_key(token: str):
    """§2: Before any network: cheapest first. T10: without a fetch."""
    source = HeldKeys()
    refusal(token, verifier_of(source))
    assert source.looked_for == 0


# issuers


def test_verify_when_several_issuers_uses_the_keys_of_the_one_named():
    """T11: `iss` only chooses the key set; several names of ONE tenant, each with its own key set."""
    canonical, custom = rsa_key("canonical"), rsa_key("custom")
    verifier = Verifier(TWO_NAMES, {ISSUER: HeldKeys(canonical), LOGIN: HeldKeys(custom, issuer=LOGIN)})

    assert verifier.verify(mint(canonical), now=NOW).issuer == ISSUER
    assert verifier.verify(mint(custom, None, {"iss": LOGIN}), now=NOW).issuer == LOGIN
    assert refusal(mint(canonical, None, {"iss": LOGIN}), verifier) is Reason.UNKNOWN_KEY
    assert refusal(mint(custom), verifier) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("sources", [{}, {LOGIN: ALL_KEYS}, {ISSUER: ALL_KEYS, LOGIN: ALL_KEYS}])
def test_verifier_when_sources_are_not_those_of_the_policy_cannot_be_made(sources: dict[str, StaticKeySource]):
    """T11: each with its own key set."""
    with pytest.raises(ValueError, match="key source"):
        Verifier(POLICY, sources)


# payload


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"exp":NaN}',
        b'{"exp":1e999}',
        b'{"a":' + b"[" * 999,
        json.dumps(claims_of()).encode("utf-16"),
        json.dumps({**claims_of(), "sub": "\ud800"}).encode(),
    ],
)
def test_verify_when_payload_is_no_strict_object_counts_after_the_signature(payload: bytes):
    """T14: The payload is a JSON object …; else `malformed_claims`. §4: Claims (only after the signature)."""
    good = sign(rsa_key(), json.dumps(header_of(rsa_key())).encode(), payload)
    assert refusal(good) is Reason.MALFORMED_CLAIMS
    assert refusal(resigned(good, bytes(256))) is Reason.BAD_SIGNATURE


def test_verify_when_payload_is_broken_and_issuers_are_several_cannot_choose_keys():
    """T11: `iss` chooses the key set; where it cannot be read, there is nothing to verify with."""
    sources = {ISSUER: HeldKeys(rsa_key()), LOGIN: HeldKeys(rsa_key(), issuer=LOGIN)}
    token = sign(rsa_key(), json.dumps(header_of(rsa_key())).encode(), b"{")
    assert refusal(token, Verifier(TWO_NAMES, sources)) is Reason.MALFORMED_CLAIMS
    assert sources[ISSUER].looked_for == sources[LOGIN].looked_for == 0


@pytest.mark.parametrize(
    "changes", [{"exp": 1}, {"aud": "x"}, {"nonce": "n"}, {"sub": 1}, {"cnf": {}}, {"nbf": NOW * 2}]
)
def test_verify_when_claims_are_wrong_names_the_signature_first(changes: dict[str, Any]):
    """§2: …, key, signature, JSON, ID- and refresh-token marks, `aud`, …: what nobody signed says nothing."""
    token = mint(rsa_key(), None, changes)
    assert refusal(resigned(token, bytes(256))) is Reason.BAD_SIGNATURE
    assert refusal(token) is not Reason.BAD_SIGNATURE


def test_verify_when_issued_in_the_future_logs_our_clock(caplog: pytest.LogCaptureFixture):
    """T15: An `iat` beyond it in the future is refused and logged as probably OUR clock's fault."""
    with caplog.at_level(logging.WARNING):
        assert refusal(mint(rsa_key(), None, {"iat": NOW + 90}), fresh()) is Reason.TOKEN_NOT_YET_VALID
    assert "90 seconds in the future" in caplog.text
    assert "clock of this host" in caplog.text


def test_verify_when_nbf_is_in_the_future_logs_our_clock_too(caplog: pytest.LogCaptureFixture):
    """T15: tenants that send `nbf` (Keycloak, Entra) send the `iat` once more; this one is looked at first."""
    with caplog.at_level(logging.WARNING):
        assert refusal(mint(rsa_key(), None, {"nbf": NOW + 90, "iat": NOW + 90}), fresh()) is Reason.TOKEN_NOT_YET_VALID
    assert "90 seconds in the future" in caplog.text


def test_verify_when_many_begin_in_the_future_logs_once_in_a_minute(caplog: pytest.LogCaptureFixture):
    """T15: a slow clock refuses every fresh token of every phone: they must not fill the log."""
    verifier = fresh()
    lines = []
    for second in (0, 1, 59, 60, 61, 119, 120, 0, 1):
        refusal(mint(rsa_key(), None, {"iat": NOW + 900}), verifier, now=NOW + second)
        lines.append(len(caplog.messages))
    # The last two: the clock was set back by two minutes.
    assert lines == [1, 1, 1, 2, 2, 2, 3, 4, 4]


def test_verify_when_two_issuers_begin_in_the_future_logs_each(caplog: pytest.LogCaptureFixture):
    """T11, T15: the minute of one issuer's line keeps no other issuer's back."""
    verifier = Verifier(TWO_NAMES, {ISSUER: HeldKeys(rsa_key()), LOGIN: HeldKeys(rsa_key(), issuer=LOGIN)})
    for issuer in (ISSUER, LOGIN, ISSUER, LOGIN):
        refusal(mint(rsa_key(), None, {"iss": issuer, "iat": NOW + 90}), verifier)
    assert [message.split()[3] for message in caplog.messages] == [ISSUER, LOGIN]


def test_verify_when_the_signature_is_bad_logs_no_clock(caplog: pytest.LogCaptureFixture):
    """§2: the claims count after the signature: whoever makes tokens up writes no such line."""
    token = mint(rsa_key(), None, {"iat": NOW + 90, "nbf": NOW + 90})
    assert refusal(f"{token[:-6]}AAAAAA", fresh()) is Reason.BAD_SIGNATURE
    assert caplog.messages == []


# cache


def test_verify_when_known_looks_for_no_key_again():
    """V1: its second request costs a hash and a look-up, not an RSA operation."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key())
    first = verifier.verify(token, now=NOW)
    assert verifier.verify(token, now=NOW) is first
    assert source.looked_for == 1
    assert verifier.cache_state() == CacheState(hits=1, misses=1, entries=1)
    assert verifier_of(source).cache_state() == CacheState(), "of no cache there is nothing to tell"


def test_verify_when_cache_is_off_verifies_each_time():
    """V3: 0 turns it off."""
    source = HeldKeys(rsa_key())
    for cache in (None, TokenCache(0, 1_000_000)):
        verifier = verifier_of(source, cache)
        source.looked_for = 0
        verifier.verify(mint(rsa_key()), now=NOW)
        verifier.verify(mint(rsa_key()), now=NOW)
        assert source.looked_for == 2


def test_verify_when_known_and_the_set_is_renewed_with_its_key_is_still_known():
    """V2: that its key is still in the set: a refresh alone does not empty the cache."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key())
    verifier.verify(token, now=NOW)
    source.publish(rsa_key("rsa-2"), rsa_key())
    verifier.verify(token, now=NOW)
    assert source.looked_for == 1


def test_verify_when_known_and_its_key_is_withdrawn_is_unknown_key():
    """V2: Each request still checks … that its key is still in the set and trusted."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key())
    verifier.verify(token, now=NOW)
    source.publish(rsa_key("rsa-2"))
    assert refusal(token, verifier) is Reason.UNKNOWN_KEY
    source.publish(rsa_key())
    assert verifier.verify(token, now=NOW)


def test_verify_when_known_and_its_kid_names_another_key_now_is_bad_signature():
    """V2: the key, not its name, must still be in the set."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key())
    verifier.verify(token, now=NOW)
    source.publish(dataclasses.replace(rsa_key("stranger"), kid="rsa-1"))
    assert refusal(token, verifier) is Reason.BAD_SIGNATURE


def test_verify_when_known_and_no_keys_are_held_is_our_fault():
    """T27, K6: past the staleness bound nothing is served, known tokens included."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key())
    verifier.verify(token, now=NOW)
    source.publish()
    with pytest.raises(KeysUnavailable):
        verifier.verify(token, now=NOW)


def test_verify_when_known_and_expired_by_now_is_refused():
    """V2: Each request still checks: time (`exp`, with skew)."""
    verifier, _ = cached(rsa_key())
    token = mint(rsa_key())
    for second in (NOW, NOW + 3_600, NOW + 3_629.9):
        verifier.verify(token, now=second)
    assert refusal(token, verifier, now=NOW + 3_630) is Reason.TOKEN_EXPIRED


def test_verify_when_refused_is_not_remembered():
    """V3: Refusals are not cached: what was too early is good a minute later."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key(), None, {"iat": NOW + 60})
    assert refusal(token, verifier) is Reason.TOKEN_NOT_YET_VALID
    assert verifier.verify(token, now=NOW + 60)
    assert source.looked_for == 2


def test_verify_when_known_does_not_know_a_token_with_the_same_claims():
    """V1: by the SHA-256 of its exact bytes: a good payload with another signature is another token."""
    verifier, _ = cached(rsa_key())
    token = mint(rsa_key())
    verifier.verify(token, now=NOW)
    assert refusal(resigned(token, bytes(256)), verifier) is Reason.BAD_SIGNATURE


def test_cache_holds_no_usable_token():
    """V4: The key is a digest, so that a dump of the cache holds no usable token."""
    cache = TokenCache(10, 10_000_000)
    text = mint(rsa_key())
    signature = text.rpartition(".")[2]
    verifier_of(HeldKeys(rsa_key()), cache).verify(text, now=NOW)

    held = [cache.get(hashlib.sha256(text.encode()).digest())]
    assert held[0] is not None
    seen = set()
    while held:
        thing = held.pop()
        # Into the data, not into modules, classes and functions.
        if id(thing) in seen or isinstance(thing, type) or callable(thing):
            continue
        seen.add(id(thing))
        if isinstance(thing, str | bytes):
            content = thing if isinstance(thing, str) else thing.decode("latin-1")
            assert signature not in content
        held.extend(gc.get_referents(thing))


# anything


@given(st.text(max_size=60) | st.lists(st.text(alphabet="eyJhbGciOi0_-=.", max_size=8)).map(".".join))
def test_verify_whatever_the_text_is_refused(text: str):
    """T14: Nothing that a token can hold gives a 500."""
    verifier, _ = cached(rsa_key())
    assert isinstance(outcome_of(lambda: verifier.verify(text, now=NOW)), Reason)


@given(st.data())
def test_verify_when_one_character_of_a_token_is_another_is_refused(data: st.DataObject):
    """RFC 7515 §10: whatever is changed in a signed token, no spelling of it is accepted."""
    token = mint(ed_key())
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    assert isinstance(outcome_of(lambda: VERIFIER.verify(changed, now=NOW)), Reason)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_verify_when_any_bytes_are_signed_gives_a_token_or_refuses(header: bytes, payload: bytes):
    """T14: Nothing that a token can hold gives a 500."""
    outcome = outcome_of(lambda: VERIFIER.verify(sign(ed_key(), header, payload), now=NOW))
    assert isinstance(outcome, Reason)


@given(
    st.dictionaries(st.sampled_from(list(claims_of())), st.none() | st.integers() | st.floats() | st.text(), max_size=3)
)
def test_verify_when_any_claims_are_signed_gives_a_token_or_refuses(changes: dict[str, Any]):
    """T14: Nothing that a token can hold gives a 500."""
    outcome = outcome_of(lambda: VERIFIER.verify(mint(ed_key(), None, changes), now=NOW))
    assert isinstance(outcome, AccessToken | Reason)


def test_known_token_without_kid_when_a_second_key_appears_is_unknown_key():
    """T10: "only while the issuer publishes exactly one usable key": a token that was good before is no exception."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key(), {"kid": DELETED})
    assert verifier.verify(token, now=NOW).subject
    source.publish(rsa_key(), rsa_key("rsa-2"))
    assert refusal(token, verifier) is Reason.UNKNOWN_KEY


def test_known_token_when_no_keys_are_held_any_more_then_they_are_looked_for():
    """V2, K6: a token that is remembered must not keep the API from fetching what it no longer holds."""
    verifier, source = cached(rsa_key())
    token = mint(rsa_key())
    verifier.verify(token, now=NOW)
    looked_for = source.looked_for
    source.publish()
    with pytest.raises(KeysUnavailable):
        verifier.verify(token, now=NOW)
    assert source.looked_for == looked_for + 1
    source.publish(rsa_key())
    assert verifier.verify(token, now=NOW).subject


# what a changed line of the room would let through


def test_verify_when_typ_is_at_jwt_the_claims_are_told():
    """T17: `typ: at+jwt` in the header overrules the `nonce` mark: what the header says reaches the claims."""
    assert VERIFIER.verify(mint(rsa_key(), {"typ": "at+jwt"}, {"nonce": "n"}), now=NOW).subject
    assert refusal(mint(rsa_key(), {"typ": "JWT"}, {"nonce": "n"})) is Reason.ID_TOKEN_USED


def test_verify_when_jti_is_absent_names_the_token_by_what_was_signed():
    """T24: the SHA-256 of its signing input where there is none; never of the signature, which has two spellings."""
    token = mint(ec_key(), None, {"jti": DELETED})
    digest = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    assert VERIFIER.verify(token, now=NOW).token_id == f"sha256:{digest}"


def test_verify_when_remembered_and_half_a_surrogate_comes_is_refused():
    """T14: what cannot be written as UTF-8 has no digest; it must not become an error 500."""
    verifier, _ = cached(rsa_key())
    assert refusal("a.b.\ud800", verifier) is Reason.MALFORMED_TOKEN


def test_known_token_when_its_key_is_withdrawn_is_forgotten():
    """V3: bounded: what is good no more makes room."""
    cache = TokenCache(100, 10_000_000)
    source = HeldKeys(rsa_key())
    verifier = verifier_of(source, cache)
    verifier.verify(mint(rsa_key()), now=NOW)
    assert len(cache) == 1
    source.publish(rsa_key("rsa-2"))
    refusal(mint(rsa_key()), verifier)
    assert len(cache) == 0


def test_known_token_weighs_more_than_its_bytes():
    """V3: Bounded … by bytes: an entry counts for what it holds, not for what came over the wire."""
    token = mint(rsa_key())
    weight = 2_048 + 6 * len(token)
    for max_bytes, kept in ((weight, 1), (weight - 1, 0)):
        cache = TokenCache(100, max_bytes)
        verifier_of(HeldKeys(rsa_key()), cache).verify(token, now=NOW)
        assert len(cache) == kept


def test_headers_are_judged_once_and_not_without_bound():
    """V1: the header of a tenant's tokens is the same; whoever makes headers up only makes these forgotten."""
    verifier = verifier_of(HeldKeys(rsa_key()))
    for subject in ("a", "b", "c"):
        verifier.verify(mint(rsa_key(), None, {"sub": subject}), now=NOW)
    assert verifier._judged.cache_info().hits == 2
    for number in range(100):
        refusal(mint(rsa_key(), {"kid": str(number)}), verifier)
    assert verifier._judged.cache_info().currsize == 64


def test_verify_when_issued_in_the_future_logs_whose_token_it_was(caplog: pytest.LogCaptureFixture):
    """T15: logged as probably OUR clock's fault; the issuer is a configured one, nothing else of the token is told."""
    with caplog.at_level(logging.WARNING):
        refusal(mint(rsa_key(), None, {"iat": NOW + 90}), fresh())
    assert caplog.messages == [
        f"A token of {ISSUER} begins 90 seconds in the future: the clock of this host is probably slow."
    ]


def test_verifier_when_a_source_is_missing_says_so():
    with pytest.raises(ValueError, match=r"^each issuer needs a key source$"):
        Verifier(POLICY, {})
