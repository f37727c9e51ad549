"""Decide when the sight of an unknown key may cost a fetch, so that made-up names cost the tenant nothing.

Takes   names (kid, alg) that the held set lacks;  now: seconds of the source's own monotonic clock
Gives   when a name was first seen, and whether a fetch because of such a name is within the budget
Raises  nothing
Not     a lock (cache.py holds one around each call), a fetch, a verdict on a token
Source  docs/contracts/tokens.md K7, T27
"""

from collections import OrderedDict, deque
from hashlib import sha256

_MINUTE_SECONDS = 60.0

Name = tuple[str | None, str]


class UnknownKeys:
    """The names that were looked for in vain lately, and the fetches that were made for them.

    The budget is spent evenly: after a fetch in vain the next one waits for one step (60 s / 6), so that somebody
    who keeps making up names can hold up a real rotation for one step at most, not for the rest of the minute.
    A fetch that found what it was made for asks for no such wait.

    The memory must outlast a step of a flood. A name that is forgotten before the next fetch is new again when its
    app comes back, and would be told 503 for as long as the flood lasts. So it holds what one worker can refuse in
    more than that time, as digests: 6 MB when full, and nothing without a flood.
    """

    def __init__(
        self, *, max_entries: int = 32_768, remember_seconds: float = 60.0, fetches_per_minute: int = 6
    ) -> None:
        self._max_entries = max_entries
        self._remember_seconds = remember_seconds
        self._first_seen: OrderedDict[bytes, float] = OrderedDict()
        self._step_seconds = _MINUTE_SECONDS / fetches_per_minute
        self._fetched_at: deque[float] = deque(maxlen=fetches_per_minute)
        self._next_at = float("-inf")

    def first_seen(self, name: Name, now: float) -> float:
        """Remember the name, and return since when it is known to be asked for."""
        self._forget_before(now - self._remember_seconds)
        # NOTE forgetting is safe, it only makes the name new again: a refusal needs a fetch that is younger
        # than this moment, never an entry of this memory.
        seen = self._first_seen.setdefault(_digest(name), now)
        if len(self._first_seen) > self._max_entries:
            self._first_seen.popitem(last=False)
        return seen

    def wait_seconds(self, now: float) -> float:
        """Return how long a fetch for an unknown name must wait; 0 if it may begin."""
        of_step = self._next_at - now
        is_full = len(self._fetched_at) == self._fetched_at.maxlen
        of_minute = self._fetched_at[0] + _MINUTE_SECONDS - now if is_full else 0.0
        return max(of_step, of_minute, 0.0)

    def spend(self, now: float) -> None:
        """Count a fetch that begins for an unknown name."""
        self._fetched_at.append(now)
        self._next_at = now + self._step_seconds

    def found(self, name: Name) -> None:
        """Note that the fetch has brought the name: it was no invention."""
        self._first_seen.pop(_digest(name), None)
        self._next_at = float("-inf")

    def __len__(self) -> int:
        return len(self._first_seen)

    def _forget_before(self, moment: float) -> None:
        # The oldest stand in front: an entry's time never changes, and only what is new is added, at the end.
        while self._first_seen and next(iter(self._first_seen.values())) <= moment:
            self._first_seen.popitem(last=False)


def _digest(name: Name) -> bytes:
    """Sixteen bytes for a name of up to two hundred; nobody finds two names with one digest (2^64 tries)."""
    return sha256(repr(name).encode("utf-8", "surrogatepass")).digest()[:16]
