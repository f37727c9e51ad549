"""Step-up: what a token says of the login behind it (tokens.md T23)."""

import pytest

from app.oauth.access_token import AccessToken
from app.oauth.errors import StepUpRequired
from app.oauth.scopes import require_recent_login
from tests.support.tokens import NOW


def token(auth_time: float | None = None, acr: str | None = None) -> AccessToken:
    return AccessToken(
        issuer="i",
        subject="s",
        client_id="c",
        kind="user",
        scopes=frozenset(),
        permissions=frozenset(),
        audience=("a",),
        expires_at=NOW + 60,
        auth_time=auth_time,
        acr=acr,
    )


def asked(
    given: AccessToken, max_age_seconds: int | None, acr: str | None
) -> tuple[int | None, tuple[str, ...]] | None:
    try:
        require_recent_login(given, max_age_seconds=max_age_seconds, acr=acr, now=NOW, skew_seconds=30)
    except StepUpRequired as refusal:
        return refusal.max_age_seconds, refusal.acr_values
    return None


@pytest.mark.parametrize("auth_time", [NOW, NOW - 330, NOW - 299.5, NOW + 30])
def test_login_when_recent_enough_then_nothing_is_asked(auth_time: float):
    """RFC 9470 §3: max_age: the allowable elapsed time in seconds since the last active authentication event."""
    assert asked(token(auth_time), 300, None) is None


@pytest.mark.parametrize("auth_time", [NOW - 330.5, NOW - 331, 0, None, NOW + 31, NOW * 1000])
def test_login_when_too_old_or_not_told_then_a_new_one_is_asked_for(auth_time: float | None):
    """RFC 9470 §5: the resource server says whether the token meets the requirement; one that is silent does not."""
    assert asked(token(auth_time), 300, None) == (300, ())


def test_login_when_it_must_be_of_this_moment_then_zero_is_a_demand():
    """T23: max_age 0 asks for a login now; it is not the same as no demand."""
    assert asked(token(NOW - 31), 0, None) == (0, ())
    assert asked(token(None), None, None) is None


@pytest.mark.parametrize(("acr", "expected"), [("mfa", None), ("MFA", (None, ("mfa",))), (None, (None, ("mfa",)))])
def test_class_when_compared_then_as_a_whole_word(acr: str | None, expected: object):
    """RFC 9470 §3: acr_values: one of which is required; no order among classes is known here."""
    assert asked(token(NOW, acr), None, "mfa") == expected


def test_both_when_one_is_missed_then_both_are_told():
    """RFC 9470 §3: a client that is told half of the demand would ask its user twice."""
    assert asked(token(NOW - 999, "mfa"), 300, "mfa") == (300, ("mfa",))
    assert asked(token(NOW, "pwd"), 300, "mfa") == (300, ("mfa",))
    assert asked(token(NOW, "mfa"), 300, "mfa") is None
