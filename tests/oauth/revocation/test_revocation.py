"""What is revoked is refused, and nothing else: the rule, by example and by hypothesis, and behind the verifier."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.access_token import AccessToken
from app.oauth.claims import TokenPolicy
from app.oauth.errors import Forbidden, InvalidToken
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.reasons import Reason
from app.oauth.revocation.rules import NOTHING_REVOKED, Denylist, NothingRevoked
from app.oauth.token_cache import TokenCache
from app.oauth.verifier import Verifier
from tests.support.tokens import AUDIENCE, CLIENT_ID, DELETED, ISSUER, NOW, SUBJECT, key_set, mint, rsa_key

POLICY = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}))
SET = parse_key_set(key_set(rsa_key()), ("RS256",))
KEY = SET.keys[0]
TOKEN = AccessToken(
    issuer=ISSUER,
    subject=SUBJECT,
    client_id=CLIENT_ID,
    kind="user",
    scopes=frozenset(),
    permissions=frozenset(),
    audience=(AUDIENCE,),
    expires_at=NOW + 60,
    issued_at=NOW,
    token_id="id-1",
    key_id="rsa-1",
)


class Revoked:
    """A source whose list the test replaces."""

    def __init__(self) -> None:
        self.denylist = NOTHING_REVOKED

    def current(self) -> Denylist:
        return self.denylist


@pytest.fixture
def revoked() -> Revoked:
    return Revoked()


@pytest.fixture(params=["cache", "no cache"])
def verifier(request: pytest.FixtureRequest, revoked: Revoked) -> Verifier:
    cache = TokenCache(100, 10_000_000) if request.param == "cache" else None
    return Verifier(POLICY, {ISSUER: StaticKeySource(ISSUER, SET)}, cache, denylist=revoked)


def test_refusal_when_nothing_is_revoked_is_none():
    assert NothingRevoked().current() is NOTHING_REVOKED
    assert NOTHING_REVOKED.refusal(TOKEN, KEY) is None


@pytest.mark.parametrize(
    ("denylist", "reason"),
    [
        (Denylist(tokens=frozenset({"id-1"})), Reason.TOKEN_REVOKED),
        (Denylist(tokens=frozenset({"id-2"})), None),
        (Denylist(clients=frozenset({CLIENT_ID})), Reason.CLIENT_REVOKED),
        (Denylist(clients=frozenset({CLIENT_ID.upper()})), None),
        (Denylist(users={SUBJECT: NOW}), Reason.TOKEN_REVOKED),
        (Denylist(users={SUBJECT: NOW + 1}), Reason.TOKEN_REVOKED),
        (Denylist(users={SUBJECT: NOW - 1}), None),
        (Denylist(users={SUBJECT + "x": NOW}), None),
        (Denylist(keys=frozenset({"rsa-1"})), Reason.KEY_DISTRUSTED),
        (Denylist(keys=frozenset({KEY.thumbprint})), Reason.KEY_DISTRUSTED),
        (Denylist(keys=frozenset({"rsa-2"})), None),
        # A name of one kind is no name of another.
        (Denylist(tokens=frozenset({SUBJECT, CLIENT_ID, "rsa-1"})), None),
        (Denylist(clients=frozenset({SUBJECT, "id-1", "rsa-1"})), None),
        (Denylist(keys=frozenset({SUBJECT, CLIENT_ID, "id-1"})), None),
        (Denylist(users={CLIENT_ID: NOW, "id-1": NOW}), None),
        # A login cures the first two of these, and is then told of the third.
        (Denylist(tokens=frozenset({"id-1"}), clients=frozenset({CLIENT_ID})), Reason.TOKEN_REVOKED),
        (Denylist(users={SUBJECT: NOW}, clients=frozenset({CLIENT_ID})), Reason.TOKEN_REVOKED),
        (Denylist(users={SUBJECT: NOW - 1}, clients=frozenset({CLIENT_ID})), Reason.CLIENT_REVOKED),
        # The key's fault is the stronger one: a new login does not cure it.
        (Denylist(tokens=frozenset({"id-1"}), keys=frozenset({"rsa-1"})), Reason.KEY_DISTRUSTED),
    ],
)
def test_refusal_when_something_is_revoked_names_it(denylist: Denylist, reason: Reason | None):
    """T24: "a denylist of a token […], of a user ("issued before" […]), of a client, of a key"."""
    assert denylist.refusal(TOKEN, KEY) is reason


def test_refusal_when_a_token_has_no_iat_counts_as_issued_at_0():
    """T24: "no `iat` counts as 0"."""
    token = dataclasses.replace(TOKEN, issued_at=None)
    assert Denylist(users={SUBJECT: 0}).refusal(token, KEY) is Reason.TOKEN_REVOKED
    assert Denylist(users={"another": 0}).refusal(token, KEY) is None


def test_refusal_when_a_token_names_no_client_is_none():
    token = dataclasses.replace(TOKEN, client_id=None)
    assert Denylist(clients=frozenset({CLIENT_ID, "None", ""})).refusal(token, KEY) is None


@given(
    last_second=st.integers(0, 10),
    issued_at=st.none() | st.integers(0, 10),
    subject=st.sampled_from("ab"),
    named=st.sampled_from("ab"),
)
def test_refusal_of_a_user_is_exactly_issued_at_or_before(
    last_second: int, issued_at: int | None, subject: str, named: str
):
    token = dataclasses.replace(TOKEN, subject=subject, issued_at=issued_at)
    refused = Denylist(users={named: last_second}).refusal(token, KEY) is not None
    assert refused == (subject == named and (0 if issued_at is None else issued_at) <= last_second)


NAMES = st.frozensets(st.sampled_from("abcd"))


@given(tokens=NAMES, clients=NAMES, keys=NAMES, ids=st.tuples(*[st.sampled_from("abcd")] * 3))
def test_refusal_of_token_client_and_key_is_exactly_membership(
    tokens: frozenset[str], clients: frozenset[str], keys: frozenset[str], ids: tuple[str, str, str]
):
    token = dataclasses.replace(TOKEN, token_id=ids[0], client_id=ids[1])
    key = dataclasses.replace(KEY, kid=ids[2])
    denylist = Denylist(tokens=tokens, clients=clients, keys=keys)
    expected = (
        Reason.KEY_DISTRUSTED
        if ids[2] in keys
        else Reason.TOKEN_REVOKED
        if ids[0] in tokens
        else Reason.CLIENT_REVOKED
        if ids[1] in clients
        else None
    )
    assert denylist.refusal(token, key) is expected


# Behind the verifier


def refusal(verifier: Verifier, token: str) -> Reason:
    with pytest.raises((InvalidToken, Forbidden)) as refused:
        verifier.verify(token, now=NOW)
    assert isinstance(refused.value, Forbidden) == (refused.value.reason.status == 403)
    return refused.value.reason


@pytest.mark.parametrize(
    ("denylist", "reason"),
    [
        (Denylist(tokens=frozenset({"Zk1qXN3sYw0tVbT5m2pLrA"})), Reason.TOKEN_REVOKED),
        (Denylist(users={SUBJECT: NOW}), Reason.TOKEN_REVOKED),
        (Denylist(clients=frozenset({CLIENT_ID})), Reason.CLIENT_REVOKED),
        (Denylist(keys=frozenset({"rsa-1"})), Reason.KEY_DISTRUSTED),
        (Denylist(keys=frozenset({rsa_key().thumbprint()})), Reason.KEY_DISTRUSTED),
    ],
)
def test_verify_when_revoked_after_it_was_good_refuses_it_and_lifted_takes_it_again(
    verifier: Verifier, revoked: Revoked, denylist: Denylist, reason: Reason
):
    """V2: "Each request still checks […] that its key is still in the set and trusted, the denylist": cached, too."""
    token = mint(rsa_key(), dialect="rfc9068")
    assert verifier.verify(token, now=NOW).subject == SUBJECT
    revoked.denylist = denylist
    assert refusal(verifier, token) is reason
    assert refusal(verifier, token) is reason
    revoked.denylist = NOTHING_REVOKED
    assert verifier.verify(token, now=NOW).subject == SUBJECT


def test_verify_when_a_token_without_jti_is_revoked_refuses_that_token_alone(verifier: Verifier, revoked: Revoked):
    """T24: "a token (`jti`, or the SHA-256 of its signing input where there is none)"."""
    first, second = mint(rsa_key()), mint(rsa_key(), None, {"exp": NOW + 61})
    token_id = verifier.verify(first, now=NOW).token_id
    assert token_id.startswith("sha256:")
    revoked.denylist = Denylist(tokens=frozenset({token_id}))
    assert refusal(verifier, first) is Reason.TOKEN_REVOKED
    assert verifier.verify(second, now=NOW).token_id != token_id


def test_verify_when_a_user_is_revoked_takes_what_is_issued_afterwards(verifier: Verifier, revoked: Revoked):
    """T24: "of a user ("issued before"; no `iat` counts as 0)"."""
    revoked.denylist = Denylist(users={SUBJECT: NOW})
    assert refusal(verifier, mint(rsa_key(), None, {"iat": NOW + 0.9})) is Reason.TOKEN_REVOKED
    assert refusal(verifier, mint(rsa_key(), None, {"iat": DELETED})) is Reason.TOKEN_REVOKED
    assert verifier.verify(mint(rsa_key(), None, {"iat": NOW + 1}), now=NOW).issued_at == NOW + 1


@pytest.mark.parametrize("denylist", [Denylist(clients=frozenset({CLIENT_ID})), NOTHING_REVOKED])
def test_verify_when_the_client_is_revoked_then_no_proof_is_looked_at(revoked: Revoked, denylist: Denylist):
    """T24: "A client is 403 `client_revoked`, asked before the proof of possession"."""
    revoked.denylist = denylist
    verifier = Verifier(POLICY, {ISSUER: StaticKeySource(ISSUER, SET)}, denylist=revoked)
    expected = Reason.PROOF_REQUIRED if denylist is NOTHING_REVOKED else Reason.CLIENT_REVOKED
    assert refusal(verifier, mint(rsa_key(), None, {"cnf": {"jkt": "a" * 43}})) is expected


def test_verify_when_the_key_is_distrusted_refuses_even_a_bad_signature_as_distrusted(
    verifier: Verifier, revoked: Revoked
):
    """K11: "it stays out even while the issuer still publishes it": no signature of it is looked at any more."""
    revoked.denylist = Denylist(keys=frozenset({"rsa-1"}))
    head, _, _ = mint(rsa_key()).rpartition(".")
    _, _, other = mint(rsa_key(), None, {"exp": NOW + 61}).rpartition(".")
    assert refusal(verifier, f"{head}.{other}") is Reason.KEY_DISTRUSTED
