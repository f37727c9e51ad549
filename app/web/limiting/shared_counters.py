"""Count in Valkey or Redis, for all workers and hosts; while it is out of reach, each worker counts for itself.

Takes   url: valkey://, valkeys://, redis://, rediss:// or unix://
Gives   SharedCounters, which are Counters
Raises  TypeError, ValueError for a URL that the client cannot take; add() raises nothing
Not     when a window begins (limiter.py); a cluster of servers
Source  docs/contracts/user-data.md §5; limits "RedisStorage"

A limit protects the API and must not be what stops it: a store that is down or slow is asked by one request in five
seconds, which waits a quarter of a second at most, and by nobody else. The counts of this process serve meanwhile.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import valkey
from limits.storage import RedisStorage
from valkey.backoff import NoBackoff
from valkey.retry import Retry

from app.web.limiting.counters import WINDOW_SECONDS, CountersState, ProcessCounters

TIMEOUT_SECONDS: Final = 0.25
PAUSE_SECONDS: Final = 5.0
_PREFIX: Final = "postern:limits"
_log = logging.getLogger(__name__)


class SharedCounters:
    """The counts of one server; safe to share between threads, and between a process and its forks."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the address; no connection is opened before the first use."""
        self._pool: Any = valkey.ConnectionPool.from_url(  # type: ignore[no-untyped-call]
            url,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            # NOTE none: the answer to a failure is to count here, at once.
            retry=Retry(NoBackoff(), 0),
        )
        # Made and thrown away: an option of the URL that the client does not know is a fault of the start.
        self._pool.connection_class(**self._pool.connection_kwargs)
        # With a pool of ours, the address says no more than which client it is: `redis://` would ask for another one.
        self._storage = RedisStorage("valkey://", connection_pool=self._pool, key_prefix=_PREFIX)
        self._own = ProcessCounters()
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._error: str | None = None
        self._ask_again_at = 0.0

    def add(self, key: str) -> int:
        """Count one more, for everybody; in an outage for this process."""
        if self._error is not None and not self._may_ask():
            return self._own.add(key)
        try:
            count = self._storage.incr(key, WINDOW_SECONDS)
        except Exception as fault:  # noqa: BLE001 - whatever ails the store or its client, requests are served
            self._fail(type(fault).__name__)
            return self._own.add(key)
        if self._error is not None:
            self._recover()
        return count

    def state(self) -> CountersState:
        """Tell whether the counts are shared at the moment."""
        error = self._error
        return CountersState(shared=error is None, error=error)

    def close(self) -> None:
        """Close the connections."""
        self._pool.disconnect()

    def _may_ask(self) -> bool:
        """Let one request through at the end of each pause; the others do not wait for what it finds."""
        with self._lock:
            now = self._clock()
            if now < self._ask_again_at:
                return False
            self._ask_again_at = now + self._pause_seconds
            return True

    def _fail(self, why: str) -> None:
        with self._lock:
            self._ask_again_at = self._clock() + self._pause_seconds
            begins = self._error is None
            self._error = why
        if begins:
            # Once for an outage. Not the library's words: they repeat the address.
            _log.warning("the shared store cannot count requests (%s): each worker counts for itself", why)

    def _recover(self) -> None:
        with self._lock:
            ends = self._error is not None
            self._error = None
        if ends:
            _log.warning("the shared store counts requests again")
