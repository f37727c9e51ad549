"""How long keys count: the arithmetic of freshness, staleness and back-off."""

import pytest

from app.oauth.keys.download import Download
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.lifetimes import Lifetimes, back_off_seconds
from tests.support.tokens import key_set, rsa_key

DOCUMENT = key_set(rsa_key())
KEYS = parse_key_set(DOCUMENT, ("RS256",))


@pytest.mark.parametrize(
    ("max_age_seconds", "ttl_seconds"),
    [(None, 600), (0, 300), (15, 300), (300, 300), (450, 450), (900, 900), (9_999_999_999, 900)],
)
def test_ttl_is_the_servers_within_our_bounds(max_age_seconds: int | None, ttl_seconds: float):
    """K4: "Fresh for the server's `max-age` (600 without one) clamped to […] (Auth0 says about 15 s …)"."""
    assert Lifetimes().ttl_seconds(max_age_seconds) == ttl_seconds


def test_hold_counts_from_the_moment_the_fetch_began():
    """K6: "the last good set serves for `JWKS_MAX_STALE_SECONDS` past its freshness"."""
    held = Lifetimes().hold(Download(KEYS, 600, "https://tenant.example/userinfo", DOCUMENT), 1000.0)
    assert (held.begun_at, held.fresh_until, held.usable_until) == (1000.0, 1600.0, 5200.0)
    assert held.userinfo_endpoint == "https://tenant.example/userinfo"
    assert held.keys is KEYS
    assert not held.from_snapshot


def test_refresh_is_around_80_percent_of_the_freshness():
    """K4: "a background refresh at 80 % of it, with jitter"."""
    held = Lifetimes().hold(Download(KEYS, 600, None, DOCUMENT), 1000.0)
    assert [held.refresh_at(jitter) for jitter in (0.0, 0.5, 1.0)] == pytest.approx([1450.0, 1480.0, 1510.0])


def test_back_off_grows_from_one_to_thirty_seconds():
    """K6: "Failures back off 1 → 30 s with jitter"."""
    assert [back_off_seconds(failures, 0.0) for failures in (1, 2, 3, 4, 5, 6, 10**6)] == [1, 2, 4, 8, 15, 15, 15]
    assert [back_off_seconds(failures, 1.0) for failures in (1, 2, 3, 4, 5, 6, 10**6)] == [2, 4, 8, 16, 30, 30, 30]
