"""Decide whether a minute's quota is used up, and say it in the words of the RateLimit fields.

Takes   how many requests, writes and failures a minute has; who is counted; now, seconds since the epoch (UTC)
Gives   Limiter;  Standing: what stands in the fields, and which quota is exceeded, if one is
Raises  nothing
Not     whose request it is and what is answered (app/web/limits.py), where the counts are kept (counters.py)
Source  draft-ietf-httpapi-ratelimit-headers-10 §3, §4; RFC 9651 §3; docs/contracts/user-data.md U8, §5

Windows are fixed, a minute long, and begin for each name at a second of its own: whoever has used up a quota has all
of it again after `t` seconds, and not everybody at once. The number of the window is part of the key that is counted,
so that nothing has to be reset; what is left and for how long follows from the count, without another question.
"""

from dataclasses import dataclass
from hashlib import blake2b
from math import ceil

from app.web.limiting.counters import WINDOW_SECONDS, Counters, CountersState

_DIGEST_BYTES = 15


@dataclass(frozen=True, slots=True)
class Quota:
    """So many of something a minute; 0 is no limit."""

    name: str
    amount: int

    @property
    def policy(self) -> str:
        """Its item of the RateLimit-Policy field."""
        return f'"{self.name}";q={self.amount};w={WINDOW_SECONDS}'


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands: the two fields, the quota that is exceeded or None, when there is a new one (≥ 1)."""

    policy: str
    limit: str
    exceeded: str | None
    renewed_in_seconds: int


class Limiter:
    """The three quotas of one API; safe to share between threads."""

    def __init__(self, counters: Counters, *, requests: int, writes: int, failures: int, realm: str) -> None:
        """Count with these counters; `realm` keeps APIs apart that share a store."""
        of_requests, of_writes = _used([Quota("requests", requests)]), _used([Quota("writes", writes)])
        self._reading = of_requests
        self._writing = of_requests + of_writes
        self._failing = _used([Quota("failures", failures)])
        self._policy = ", ".join(quota.policy for quota in self._writing)
        self._counters = counters
        self._realm = realm

    def request(self, name: str, *, is_write: bool, now: float) -> Standing | None:
        """Count one request of a user or client; None if such requests are not limited."""
        return self._count(self._writing if is_write else self._reading, self._policy, name, now)

    def failure(self, name: str, *, now: float) -> Standing | None:
        """Count one token from this address that was no token; None if there is no limit."""
        return self._count(self._failing, ", ".join(quota.policy for quota in self._failing), name, now)

    def state(self) -> CountersState:
        """Tell who shares the counts."""
        return self._counters.state()

    def close(self) -> None:
        """Close the counters' connections."""
        self._counters.close()

    def _count(self, quotas: tuple[Quota, ...], policy: str, name: str, now: float) -> Standing | None:
        if not quotas:
            return None
        key, renewed_in_seconds = self._place(name, now)
        items, exceeded = [], None
        for quota in quotas:
            left = quota.amount - self._counters.add(f"{quota.name}:{key}")
            items.append(f'"{quota.name}";r={max(0, left)};t={renewed_in_seconds}')
            if left < 0:
                # What is refused as a request is not counted as a write.
                exceeded = quota.name
                break
        return Standing(policy, ", ".join(items), exceeded, renewed_in_seconds)

    def _place(self, name: str, now: float) -> tuple[str, int]:
        """Return the key of this name in its present window, and in how many seconds, rounded up, that ends."""
        # A digest, so that no subject and no address stands in the store's keys.
        digest = blake2b(f"{self._realm}|{name}".encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
        hexadecimal = digest.hexdigest()
        window, gone_seconds = divmod(now + int(hexadecimal[:4], 16) % WINDOW_SECONDS, WINDOW_SECONDS)
        return f"{hexadecimal}:{int(window)}", ceil(WINDOW_SECONDS - gone_seconds)


def _used(quotas: list[Quota]) -> tuple[Quota, ...]:
    return tuple(quota for quota in quotas if quota.amount > 0)
