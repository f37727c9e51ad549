"""Say how long a fetched key set counts, when to fetch again, and how long to wait after a failure.

Takes   what a download brought and when it was begun, the number of failures, jitter: 0..1
Gives   Lifetimes: the bounds; HeldKeys: a set and its two ends, frozen; seconds, all of them
Raises  nothing
Not     a clock, a fetch, a lock (cache.py); the budget for unknown keys (unknown.py)
Source  docs/contracts/tokens.md K3, K4, K6, K7
"""

from dataclasses import dataclass

from app.oauth.keys.download import Download
from app.oauth.keys.jwks import KeySet

_TTL_WITHOUT_MAX_AGE_SECONDS = 600.0
_MAX_BACK_OFF_SECONDS = 30.0
# 2 ** 5 is past the maximum already; an outage of days must not compute 2 ** 10000.
_MAX_DOUBLINGS = 5


@dataclass(frozen=True, slots=True)
class HeldKeys:
    """One good answer of an issuer. Never changed: a better one replaces it as a whole, so reading takes no lock."""

    keys: KeySet
    userinfo_endpoint: str | None
    begun_at: float
    fresh_until: float
    usable_until: float
    from_snapshot: bool = False

    def refresh_at(self, jitter: float) -> float:
        """Return when 75..85 % of the freshness are over: workers started together shall not come together for ever."""
        return self.begun_at + (self.fresh_until - self.begun_at) * (0.75 + 0.1 * jitter)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The bounds of one issuer's keys; the defaults are those of the settings."""

    min_ttl_seconds: float = 300.0
    max_ttl_seconds: float = 900.0
    max_stale_seconds: float = 3600.0
    cooldown_seconds: float = 5.0
    wait_seconds: float = 5.0
    """How long a request waits for a fetch that another one has begun."""

    def ttl_seconds(self, max_age_seconds: int | None) -> float:
        """Return how long a set is fresh: what the issuer says, within our bounds."""
        stated = _TTL_WITHOUT_MAX_AGE_SECONDS if max_age_seconds is None else float(max_age_seconds)
        return min(max(stated, self.min_ttl_seconds), self.max_ttl_seconds)

    def hold(self, download: Download, begun_at: float, *, from_snapshot: bool = False) -> HeldKeys:
        """Return the set with its ends, counted from the moment its fetch began: it cannot be younger."""
        fresh_until = begun_at + self.ttl_seconds(download.max_age_seconds)
        return HeldKeys(
            keys=download.keys,
            userinfo_endpoint=download.userinfo_endpoint,
            begun_at=begun_at,
            fresh_until=fresh_until,
            usable_until=fresh_until + self.max_stale_seconds,
            from_snapshot=from_snapshot,
        )


def back_off_seconds(failures: int, jitter: float) -> float:
    """Return 1..2 seconds after the first failure, then 2..4, … and 15..30 from the fifth on."""
    longest = min(_MAX_BACK_OFF_SECONDS, 2.0 ** min(failures, _MAX_DOUBLINGS))
    return longest * (0.5 + 0.5 * jitter)
