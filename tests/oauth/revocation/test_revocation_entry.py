"""What an operator's entries say, how two of the same join, and what list they make."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy, check
from app.oauth.errors import InvalidToken
from app.oauth.header import parse
from app.oauth.reasons import Reason
from app.oauth.revocation.entry import (
    KINDS,
    Revocation,
    UnusableName,
    checked,
    denylist_of,
    identify,
    of_client,
    of_key,
    of_token,
    of_user,
    stricter,
)
from app.oauth.revocation.rules import NOTHING_REVOKED
from app.oauth.strict_json import parse_object
from tests.support.outcomes import outcome_of
from tests.support.tokens import AUDIENCE, DELETED, ISSUER, NOW, ec_key, mint, rsa_key, segment, sign

POLICY = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}), algorithms=SUPPORTED_ALGORITHMS)
LAST_SECOND = 253_402_300_799
MONTH = 2_592_030


def test_of_token_lives_until_the_token_has_expired_with_the_skew():
    """T24: "each entry living as long as a token could"."""
    assert of_token("id", expires_at=NOW + 0.5, skew_seconds=30).expires_at == NOW + 31
    assert of_token("id", expires_at=LAST_SECOND, skew_seconds=30).expires_at == LAST_SECOND


def test_of_user_lives_as_long_as_a_token_issued_now_could():
    """T24: a token without `iat` counts as 0 and may have been issued just now: the end counts from now."""
    entry = of_user("sub", last_second=NOW - 1000, now=NOW, longest_seconds=MONTH, note="lost")
    assert entry == Revocation(kind="user", value="sub", last_second=NOW - 1000, expires_at=NOW + MONTH, note="lost")
    assert of_user("sub", last_second=5, now=5, longest_seconds=LAST_SECOND).expires_at == LAST_SECOND


def test_of_client_and_of_key_have_no_end():
    """K11: "it stays out even while the issuer still publishes it"."""
    assert of_client("app") == Revocation(kind="client", value="app")
    assert of_key("kid", note="stolen") == Revocation(kind="key", value="kid", note="stolen")


@pytest.mark.parametrize("name", ["", "a" * 256, "a\nb", "\x7f", "a\x00", "\ud800"])
def test_checked_when_no_token_can_bear_the_name_raises(name: str):
    with pytest.raises(UnusableName, match="it "):
        checked(name)


@pytest.mark.parametrize("name", ["a" * 255, "auth0|5f", " a ", "ü", "\u2028", "\U0001f511"])
def test_checked_when_a_token_can_bear_the_name_gives_it(name: str):
    assert checked(name) is name


SECONDS = st.none() | st.integers(0, 5)
ENTRIES = st.builds(
    Revocation,
    kind=st.sampled_from(KINDS),
    value=st.sampled_from("ab"),
    last_second=SECONDS,
    expires_at=SECONDS,
    note=st.sampled_from(["", "why"]),
)


def lasts(entry: Revocation, second: int) -> bool:
    return entry.expires_at is None or entry.expires_at > second


def refuses(entry: Revocation, issued_at: int) -> bool:
    return entry.last_second is not None and issued_at <= entry.last_second


@given(ENTRIES, ENTRIES)
def test_stricter_refuses_whatever_either_refuses_and_lasts_as_long_as_either(held: Revocation, wanted: Revocation):
    joined = stricter(held, wanted)
    assert (joined.kind, joined.value) == (held.kind, held.value)
    for second in range(7):
        assert lasts(joined, second) == (lasts(held, second) or lasts(wanted, second))
        assert refuses(joined, second) == (refuses(held, second) or refuses(wanted, second))
    assert joined.note == (wanted.note or held.note)
    assert stricter(joined, joined) == joined


@given(st.lists(ENTRIES))
def test_denylist_of_holds_exactly_what_the_entries_say(entries: list[Revocation]):
    denylist = denylist_of(entries)
    names = {kind: {entry.value for entry in entries if entry.kind == kind} for kind in KINDS}
    assert (denylist.tokens, denylist.clients, denylist.keys) == (names["token"], names["client"], names["key"])
    assert set(denylist.users) == names["user"]
    for subject, last_second in denylist.users.items():
        theirs = [entry.last_second or 0 for entry in entries if entry.kind == "user" and entry.value == subject]
        assert last_second == max(theirs)
    assert (denylist is NOTHING_REVOKED) == (not entries)
    assert len(denylist) == sum(map(len, names.values()))


NAMED: list[dict[str, object]] = [
    {}, {"jti": "my id"}, {"jti": DELETED}, {"exp": NOW + 0.5}, {"iss": "https://x/"},
    # T17: of an access token that says by `typ` that it is one, this is nothing odd.
    {"nonce": "n"},
]  # fmt: skip


@pytest.mark.parametrize("changes", NAMED)
@pytest.mark.parametrize("key", [rsa_key(), ec_key()])
def test_identify_names_a_token_as_the_verifier_does(key, changes):
    """T24: what is revoked by its text is what the verifier looks for."""
    token = mint(key, None, changes, dialect="rfc9068")
    header = parse(token, POLICY)
    claims = parse_object(header.payload)
    known = check({**claims, "iss": ISSUER}, POLICY, typ="at+jwt", now=NOW, signing_input=header.signing_input)
    found = identify(token, POLICY)
    assert (found.token_id, found.expires_at, found.issuer) == (known.token_id, known.expires_at, claims["iss"])


def test_identify_when_the_signature_is_another_one_names_the_same_token():
    """T24: "the SHA-256 of its signing input": of an ECDSA token anyone can make a second signature."""
    first = mint(ec_key())
    second = f"{first.rpartition('.')[0]}.{mint(ec_key(), None, {'exp': NOW + 61}).rpartition('.')[2]}"
    assert first != second
    assert identify(first, POLICY) == identify(second, POLICY)


def test_identify_when_a_time_is_absent_says_none():
    assert identify(mint(rsa_key(), None, {"exp": DELETED}), POLICY).expires_at is None


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", Reason.OPAQUE_TOKEN),
        ("Bearer x", Reason.OPAQUE_TOKEN),
        ("a.b", Reason.MALFORMED_TOKEN),
        (mint(rsa_key()) + "=", Reason.MALFORMED_TOKEN),
        (sign(rsa_key(), b'{"alg":"RS256"}', b"[]"), Reason.MALFORMED_CLAIMS),
        (sign(rsa_key(), b'{"alg":"RS256"}', b'{"jti":"a","jti":"b"}'), Reason.MALFORMED_CLAIMS),
        (mint(rsa_key(), None, {"jti": 1}), Reason.MALFORMED_CLAIMS),
        (mint(rsa_key(), None, {"jti": ""}), Reason.MALFORMED_CLAIMS),
        (mint(rsa_key(), None, {"exp": "1"}), Reason.MALFORMED_CLAIMS),
        # T17: to store these would revoke nothing, and look as if it did.
        (mint(rsa_key(), None, {"nonce": "n"}), Reason.ID_TOKEN_USED),
        (mint(rsa_key(), None, {"sid": "s", "scope": DELETED}), Reason.ID_TOKEN_USED),
        (mint(rsa_key(), None, {"token_use": "refresh"}), Reason.WRONG_TYPE),
    ],
)
def test_identify_when_it_is_no_token_of_this_api_says_why(token: str, reason: Reason):
    with pytest.raises(InvalidToken) as refused:
        identify(token, POLICY)
    assert refused.value.reason is reason


@given(st.text(), st.binary())
def test_identify_when_given_anything_names_it_or_refuses_it(text: str, payload: bytes):
    for token in itertools.chain([text], [f"{segment(b'{}')}.{segment(payload)}.{segment(b'x')}"]):
        outcome_of(lambda token=token: identify(token, POLICY))


# what a changed line of the room would let through


def test_entries_say_what_they_revoke_and_why():
    """T24: a token, a user, a client, a key: an entry of another kind, or without its name, would revoke nothing."""
    assert of_token("id", expires_at=NOW, skew_seconds=0, note="a") == Revocation(
        kind="token", value="id", expires_at=NOW, note="a"
    )
    assert of_client("app", note="b") == Revocation(kind="client", value="app", note="b")
    assert of_key("kid", note="c") == Revocation(kind="key", value="kid", note="c")
    assert of_token("id", expires_at=NOW, skew_seconds=0).note == ""
    assert {of_client("app").note, of_key("kid").note} == {""}
    assert of_user("sub", last_second=1, now=1, longest_seconds=1).note == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        ("a" * 256, "it is longer than 255 characters"),
        ("a\x1f", "it holds a control character"),
        ("a\x7f", "it holds a control character"),
        ("\ud800", "it is not UTF-8"),
        ("a\udfff", "it is not UTF-8"),
    ],
)
def test_checked_when_no_token_can_bear_the_name_says_why(name: str, why: str):
    """T16: the operator reads this text and has to find the slip."""
    with pytest.raises(UnusableName) as failed:
        checked(name)
    assert str(failed.value) == why
