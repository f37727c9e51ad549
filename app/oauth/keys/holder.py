"""Hold the last good key set of one issuer, and make one fetch at a time to replace it.

Takes   download: one bounded fetch (KeyDownload);  lifetimes: how long what counts;  copy: where the last good set
        is kept (SnapshotKeeper), or None;  clock, monotonic;  jitter, 0..1
Gives   KeyHolder: held, replaced as a whole;  begin() and fly(), a fetch;  refresh(), take_copy();  Flight
Raises  nothing: a fetch that fails is counted, told once, and changes nothing that is held
Not     who may read what and who must wait (cache.py), the fetch itself (download.py), the background
        thread (refresher.py)
Source  docs/contracts/tokens.md K3 to K6, K8
"""

import logging
import threading
from collections.abc import Callable

from app.oauth.keys.download import Download, DownloadFailed
from app.oauth.keys.lifetimes import HeldKeys, Lifetimes, back_off_seconds
from app.oauth.keys.snapshot_keeper import SnapshotKeeper
from app.oauth.keys.unknown import Name

_log = logging.getLogger(__name__)

_NEVER = float("-inf")


class Flight:
    """One fetch under way, and who waits for it."""

    def __init__(self, begun_at: float, wanted: Name | None = None) -> None:
        self.begun_at = begun_at
        self.wanted = wanted
        self.done = threading.Event()
        self.succeeded = False


class KeyHolder:
    """The state of one source. Whoever changes it holds `lock`; whoever reads `held` needs none (K3)."""

    flight: Flight | None

    def __init__(  # noqa: PLR0913 - what a source consists of, said by name
        self,
        issuer: str,
        download: Callable[[], Download],
        lifetimes: Lifetimes,
        *,
        copy: SnapshotKeeper | None,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.issuer = issuer
        self._download = download
        self._lifetimes = lifetimes
        self._copy = copy
        self._clock = clock
        self._jitter = jitter
        self.held: HeldKeys | None = None
        self.attempted_at = self.next_attempt_at = self._refresh_at = _NEVER
        self.last_error: str | None = None
        self.fetches = self.failures = self.fetches_failed = 0
        self.belong_to_this_process()

    def usable(self, now: float) -> HeldKeys | None:
        """Return what is held, unless it is too old to serve (K6)."""
        held = self.held
        return held if held is not None and now <= held.usable_until else None

    def begin(self, now: float, wanted: Name | None = None) -> Flight:
        """Begin a fetch, which the caller must fly; for who holds the lock, and only where none is under way."""
        self.flight = flight = Flight(now, wanted)
        self.attempted_at = now
        self.fetches += 1
        return flight

    def fly(self, flight: Flight) -> None:
        """Fetch, take over what comes, and let go whoever waits for it."""
        download = None
        try:
            download = self._download()
            self._land(flight, download)
        except DownloadFailed as failure:
            self._fail(failure.why, failure.detail)
        except Exception as error:  # noqa: BLE001 - our own fault is no verdict on a token: it counts as an outage
            _log.exception("the key fetch for %s ended in an unexpected error", self.issuer)
            self._fail("unexpected", type(error).__name__)
        finally:
            # Whatever happened, a worker's end included: nobody waits for a fetch that is over.
            with self.lock:
                self.flight = None
            flight.done.set()
        if download is not None and self._copy is not None:
            # After everybody has been let go, and by another thread: a disk may take its time (K8).
            self._copy.offer(download, self._clock() - flight.begun_at)

    def refresh(self) -> None:
        """Fetch now, or see the fetch under way to its end."""
        with self.lock:
            under_way = self.flight
            flight = self.begin(self._clock()) if under_way is None else under_way
        if under_way is None:
            self.fly(flight)
        else:
            flight.done.wait(self._lifetimes.wait_seconds)

    def due_in_seconds(self) -> float:
        """Return how long the next refresh can wait; at once where nothing has been fetched here."""
        return max(self._refresh_at, self.next_attempt_at) - self._clock()

    def take_copy(self) -> None:
        """Hold what the copy on disk has, within the bound that counts for every set (K8)."""
        copied = None if self._copy is None else self._copy.load()
        if copied is None:
            return
        download, age_seconds = copied
        now = self._clock()
        held = self._lifetimes.hold(download, now - age_seconds, from_snapshot=True)
        is_usable = now <= held.usable_until
        told = "" if is_usable else ": too old to be used"
        _log.info("the copy of the keys of %s is %.0f s old%s", self.issuer, age_seconds, told)
        with self.lock:
            # A fetch that has landed already is younger than any file.
            if is_usable and self.held is None:
                self.held = held

    def belong_to_this_process(self) -> None:
        """Forget the lock and the fetch of the process that this one was forked from; keep what is held."""
        self.lock = threading.Lock()
        self.flight = None
        if self._copy is not None:
            self._copy.belong_to_this_process()

    def _land(self, flight: Flight, download: Download) -> None:
        held = self._lifetimes.hold(download, flight.begun_at)
        refresh_at = held.refresh_at(self._jitter())
        before, failures = self.held, self.failures
        with self.lock:
            self.held, self._refresh_at, self.next_attempt_at = held, refresh_at, _NEVER
            self.failures, self.last_error = 0, None
            flight.succeeded = True
        if failures:
            _log.warning("the keys of %s can be fetched again, after %d failed attempts", self.issuer, failures)
        if download.keys.skipped and (before is None or before.keys.skipped != download.keys.skipped):
            _log.warning("some keys of %s cannot be used: %s", self.issuer, dict(download.keys.skipped))

    def _fail(self, why: str, detail: str) -> None:
        with self.lock:
            is_news = self.failures == 0 or (why == "issuer_mismatch" and self.last_error != why)
            self.failures += 1
            self.fetches_failed += 1
            self.last_error = why
            self.next_attempt_at = self._clock() + back_off_seconds(self.failures, self._jitter())
        if is_news:
            # Once for an outage, not once for each attempt: the end is told in _land.
            level = logging.ERROR if why == "issuer_mismatch" else logging.WARNING
            _log.log(level, "the keys of %s cannot be fetched: %s (%s)", self.issuer, why, detail)
