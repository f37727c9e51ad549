"""Keep one process's denylist true to the store: look every 2 s, load it anew where it has changed.

Takes   store: RevocationStore;  interval_seconds;  clock, monotonic;  now, seconds since the epoch (UTC)
Gives   DenylistWatch, a DenylistSource: current() takes no lock and never waits once start() was called
Raises  nothing: a store that fails is a state, told once in the log at its beginning and once at its end
Not     the rule (rules.py), where the entries are kept (app/stores/revocations.py)
Source  docs/contracts/tokens.md T24, K9, K11

The bound of 5 s: a change is committed at most 2 s before the next look begins, and the store bounds each look.
A process that nobody started, as a development server, has no thread: there, a request looks every 2 s itself.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.oauth.keys.refresher import call_after_fork
from app.oauth.revocation.rules import NOTHING_REVOKED, Denylist

INTERVAL_SECONDS = 2.0
OBEYED_WITHIN_SECONDS = 5
# Entries that have ended harm nobody; this only keeps the table small.
TIDY_SECONDS = 3600.0
_JOIN_SECONDS = 5.0
_NEVER = float("-inf")
_log = logging.getLogger(__name__)


class RevocationsUnavailable(Exception):  # noqa: N818 - named by what the watch learns
    """The store cannot be read now; the text is for the log and names no entry."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The denylist and the version that it had, read at one moment: a version of its own would lose changes."""

    version: int | None
    denylist: Denylist


class RevocationStore(Protocol):
    """What the watch asks; each call is bounded in time. Used by one thread at a time."""

    def newer_than(self, version: int | None, *, now: float) -> Snapshot | None:
        """Return what is revoked at `now`; None if that version still is the newest. RevocationsUnavailable."""
        ...

    def drop_ended(self, *, now: float) -> int:
        """Take entries out that ended long before `now`, and say how many. RevocationsUnavailable."""
        ...

    def forget_connections(self) -> None:
        """In a forked child: leave the parent's connections to the parent."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class DenylistState:
    """What /readyz says. `age_seconds`: since what is known was last seen to be the newest; None before that."""

    ever_loaded: bool
    age_seconds: float | None
    error: str | None
    entries: int = 0


class DenylistWatch:
    """What is revoked, as far as this process knows."""

    _thread: threading.Thread | None

    def __init__(
        self,
        store: RevocationStore,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._now = now
        # Replaced as a whole, so that reading takes no lock.
        self._held = Snapshot(None, NOTHING_REVOKED)
        self._seen_at: float | None = None
        self._look_at = self._tidy_at = _NEVER
        self._error: str | None = None
        self._failures = 0
        self._runs = False
        # Whether no thread of this process looks: read at each request.
        self._is_unattended = True
        self._belong_to_this_process()
        call_after_fork(weakref.WeakMethod(self._after_fork))

    def current(self) -> Denylist:
        """Return what is revoked, as far as this process knows."""
        if self._is_unattended:
            self._attend()
        return self._held.denylist

    def start(self) -> None:
        """Look once, so that the first request finds the list, then keep looking in the background."""
        self.look()
        with self._lock:
            self._runs = True
            self._begin()

    def stop(self) -> None:
        """End the background thread and close the store; what is held serves on."""
        self._runs = self._is_unattended = False
        self._wake.set()
        if self._thread is not None:
            # NOTE: bounded, as a worker that is told to stop must not hang because its database does.
            self._thread.join(_JOIN_SECONDS)
        self._store.close()

    def look(self) -> None:
        """Look at the store now, whatever comes of it."""
        with self._turn:
            self._look()

    def state(self) -> DenylistState:
        """Tell how much what is known can be relied on; without a thread, see to it first."""
        self.current()
        seen_at, error = self._seen_at, self._error
        age_seconds = None if seen_at is None else self._clock() - seen_at
        if error is None and age_seconds is not None and age_seconds > OBEYED_WITHIN_SECONDS + self._interval_seconds:
            # A look that hangs raises nothing; it is told by what is missing.
            error = "the store does not answer"
        return DenylistState(seen_at is not None, age_seconds, error, len(self._held.denylist))

    def _attend(self) -> None:
        """Do what the thread would have done: begin it in a forked child, else look where that is due."""
        if self._runs:
            with self._lock:
                self._begin()
        elif self._clock() >= self._look_at and self._turn.acquire(blocking=self._seen_at is None):
            # While one request looks the others go on with what is known; at the very first look they wait for it.
            try:
                if self._clock() >= self._look_at:
                    self._look()
            finally:
                self._turn.release()

    def _begin(self) -> None:
        """Begin the thread, once; the lock is held."""
        self._is_unattended = False
        if self._runs and self._thread is None:
            self._thread = threading.Thread(target=self._keep_watch, name="postern-denylist", daemon=True)
            self._thread.start()

    def _keep_watch(self) -> None:
        while self._runs:
            try:
                delay_seconds = self._look_at - self._clock()
                if delay_seconds <= 0:
                    self.look()
                    self._tidy()
                    continue
            except Exception:  # noqa: BLE001 - a dead thread would let every later revocation pass unseen
                _log.exception("the watch over the revocations goes on after an error")
                delay_seconds = self._interval_seconds
            self._wake.wait(delay_seconds)

    def _look(self) -> None:
        begun_at = self._clock()
        # From beginning to beginning: a slow look does not put the next one off.
        self._look_at = begun_at + self._interval_seconds
        try:
            newer = self._store.newer_than(self._held.version, now=self._now())
        except RevocationsUnavailable as fault:
            self._fail(str(fault))
        except Exception as error:  # noqa: BLE001 - our own fault is no verdict on anybody: it counts as an outage
            self._fail(f"unexpected {type(error).__name__}", error)
        else:
            if newer is not None:
                self._held = newer
            self._seen_at = begun_at
            failures, self._failures, self._error = self._failures, 0, None
            if failures:
                _log.warning("the revocations can be read again, after %d failed looks", failures)

    def _fail(self, why: str, unexpected: Exception | None = None) -> None:
        self._failures += 1
        self._error = why
        if self._failures == 1:
            # Once for an outage; its end is told in _look.
            _log.warning(
                "the revocations cannot be read: %s; the API goes on with what it knows", why, exc_info=unexpected
            )

    def _tidy(self) -> None:
        """Once an hour, and at the start, have the store drop what has ended."""
        now = self._clock()
        if now < self._tidy_at or self._error is not None:
            return
        self._tidy_at = now + TIDY_SECONDS
        try:
            dropped = self._store.drop_ended(now=self._now())
        except RevocationsUnavailable as fault:
            _log.info("revocations that have ended stay for now: %s", fault)
        else:
            if dropped:
                _log.info("%d revocations have ended and are dropped", dropped)

    def _belong_to_this_process(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._thread = None

    def _after_fork(self) -> None:
        # In the child, before anything else of it runs: the parent's thread is not here, and a lock that it held
        # would never be given back. What the parent knew serves until the first look, which is due at once.
        self._belong_to_this_process()
        self._is_unattended = self._is_unattended or self._runs
        self._look_at = _NEVER
        self._store.forget_connections()
