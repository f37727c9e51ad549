"""Count in this process: exactly under threads, in bounded memory, without a thread that tidies up.

Takes   key: the name of what is counted, with the number of its window
Gives   Counters, what a limiter counts with;  ProcessCounters;  CountersState, for /readyz
Raises  nothing
Not     other workers and hosts (shared_counters.py), when a window begins (limiter.py)

Two generations of counts: at each turn the older one goes, and a count that is asked for moves to the younger one.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

WINDOW_SECONDS: Final = 60
# Of each generation; 15 MB when both are full. Past it whoever comes seldom is forgotten early, never the busy ones.
MAX_KEYS: Final = 50_000


@dataclass(frozen=True, slots=True)
class CountersState:
    """What /readyz says. `error`: why each worker counts for itself at the moment although it should not."""

    shared: bool
    error: str | None = None


class Counters(Protocol):
    """What a limiter counts with; safe to share between threads."""

    def add(self, key: str) -> int:
        """Count one more of `key`, and return how many there are now. Never raises."""
        ...

    def state(self) -> CountersState:
        """Tell who shares the counts."""
        ...

    def close(self) -> None:
        """Close connections, where there are some."""
        ...


class ProcessCounters:
    """The counts of one process."""

    def __init__(self, max_keys: int = MAX_KEYS, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._turn_at = clock() + WINDOW_SECONDS
        self._lock = threading.Lock()

    def add(self, key: str) -> int:
        """Count one more; a count lives for a window at least, unless there are too many."""
        with self._lock:
            count = self._young.get(key)
            if count is None:
                if len(self._young) >= self._max_keys or self._clock() >= self._turn_at:
                    self._turn()
                count = self._old.pop(key, 0)
            count += 1
            self._young[key] = count
            return count

    def state(self) -> CountersState:
        """Say that every worker counts for itself, as it should."""
        return CountersState(shared=False)

    def close(self) -> None:
        """Nothing is open."""

    def _turn(self) -> None:
        self._old, self._young = self._young, {}
        self._turn_at = self._clock() + WINDOW_SECONDS

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
