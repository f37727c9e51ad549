"""Keep one issuer's keys: fetch them once, keep them fresh, serve them on through an outage.

Takes   download: one bounded fetch (KeyDownload);  lifetimes: how long what counts;  clock, monotonic;  jitter, 0..1
Gives   CachedKeySource, a KeySource: reads take no lock, one fetch at a time, whoever needs it waits with a deadline
Raises  InvalidToken(UNKNOWN_KEY) only on proof: a fetch that succeeded, begun after the name was first seen or less
        than the cooldown ago, lacks it;  KeysUnavailable for everything that is our fault
Not     the fetch itself (key_download.py), the budget (unknown_keys.py), other issuers, signatures, a copy on disk
Source  docs/contracts/tokens.md K3 to K7, K9, T27
"""

import logging
import math
import os
import random
import threading
import time
import weakref
from collections.abc import Callable

from app.oauth.errors import InvalidToken, KeysUnavailable
from app.oauth.jwks import KeySet, VerificationKey
from app.oauth.key_download import Download, DownloadFailed
from app.oauth.key_source import KeyState
from app.oauth.lifetimes import HeldKeys, Lifetimes, back_off_seconds
from app.oauth.reasons import Reason
from app.oauth.unknown_keys import Name, UnknownKeys

_log = logging.getLogger(__name__)

_LOOKS = 3
_NEVER = float("-inf")
# NOTE not random.random: forked workers share its state, and would all come at the same moment.
_jitter = random.SystemRandom().random


class CachedKeySource:
    """The keys of one issuer in one process. Without `start` nothing is refreshed before it is too old to serve."""

    _flight: "_Flight | None"
    _refresher: threading.Thread | None

    def __init__(
        self,
        issuer: str,
        download: Callable[[], Download],
        lifetimes: Lifetimes | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._issuer = issuer
        self._download = download
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._jitter = jitter
        # Replaced as a whole, never changed: who reads it once needs no lock (K3).
        self._held: HeldKeys | None = None
        self._refresh_at = _NEVER
        self._attempted_at = _NEVER
        self._next_attempt_at = _NEVER
        self._last_error: str | None = None
        self._fetches = 0
        self._failures = 0
        self._runs = False
        self._must_resume = False
        self._belong_to_this_process()
        _call_after_fork(weakref.WeakMethod(self._after_fork))

    @property
    def issuer(self) -> str:
        """The issuer, exactly as configured."""
        return self._issuer

    def current(self) -> KeySet:
        """Return the held set: no lock, no fetch, whatever goes on."""
        if self._must_resume:
            self._resume()
        held = self._held
        now = self._clock()
        if held is None or now > held.usable_until:
            raise KeysUnavailable(_whole_seconds(self._next_attempt_at - now))
        return held.keys

    def find(self, kid: str | None, alg: str) -> VerificationKey:
        """Return the key; fetch, or wait for a fetch, where the held set cannot decide."""
        if self._must_resume:
            self._resume()
        deadline = self._clock() + self._lifetimes.wait_seconds
        for _ in range(_LOOKS):
            now = self._clock()
            held = self._usable(now)
            key = held and held.keys.find(kid, alg)
            if key:
                return key
            boarded = self._board((kid, alg), now)
            if boarded is None:
                continue
            flight, leads = boarded
            if leads:
                self._fly(flight)
            elif not flight.done.wait(max(0.0, deadline - self._clock())):
                raise KeysUnavailable(_whole_seconds(0.0))
            if not flight.succeeded:
                raise KeysUnavailable(_whole_seconds(self._next_attempt_at - self._clock()))
        # Only where keys are too old the moment they arrive: every set of settings that start-up takes avoids it.
        raise KeysUnavailable(_whole_seconds(0.0))

    def start(self) -> None:
        """Fetch once, so that the first request finds keys, then keep them fresh in the background."""
        if self._must_resume:
            self._resume()
        with self._lock:
            if self._runs:
                return
            self._runs = True
        self._refresh()
        self._spawn()

    def stop(self) -> None:
        """End the background refresh; what is held serves on until it is too old."""
        self._runs = self._must_resume = False
        self._wake.set()
        if self._refresher is not None:
            self._refresher.join()

    def state(self) -> KeyState:
        """Tell what is held, for /readyz and people."""
        held, now = self._held, self._clock()
        usable = held is not None and now <= held.usable_until
        fresh = held is not None and now <= held.fresh_until
        return KeyState(
            issuer=self._issuer,
            ever_held=held is not None,
            held=usable,
            fresh=fresh,
            stale=usable and not fresh,
            age_seconds=None if held is None else now - held.begun_at,
            last_error=self._last_error,
            kids=() if held is None else held.keys.kids(),
            skipped={} if held is None else dict(held.keys.skipped),
            fetches=self._fetches,
            failures=self._failures,
        )

    def userinfo_endpoint(self) -> str | None:
        """Return the issuer's userinfo address as last discovered; None before that."""
        held = self._held
        return None if held is None else held.userinfo_endpoint

    def _usable(self, now: float) -> HeldKeys | None:
        held = self._held
        return held if held is not None and now <= held.usable_until else None

    def _board(self, name: Name, now: float) -> "tuple[_Flight, bool] | None":
        """Join the fetch under way, or begin one; refuse where that is proven, or the budget is spent."""
        with self._lock:
            held = self._usable(now)
            if held is not None and held.keys.find(*name) is not None:
                # A fetch has landed since the caller looked.
                return None
            first_seen = self._unknown.first_seen(name, now)
            if held is not None and (
                # T27, the one place where a key is called unknown: `held` is the last fetch that succeeded.
                held.begun_at >= first_seen or now - held.begun_at < self._lifetimes.cooldown_seconds
            ):
                raise InvalidToken(Reason.UNKNOWN_KEY)
            if self._flight is not None:
                return self._flight, False
            wait_seconds = self._next_attempt_at - now
            if held is not None:
                of_cooldown = self._attempted_at + self._lifetimes.cooldown_seconds - now
                wait_seconds = max(wait_seconds, of_cooldown, self._unknown.wait_seconds(now))
            if wait_seconds > 0:
                raise KeysUnavailable(_whole_seconds(wait_seconds))
            if held is not None:
                self._unknown.spend(now)
            return self._begin(now, name if held is not None else None), True

    def _begin(self, now: float, wanted: Name | None = None) -> "_Flight":
        flight = _Flight(now, wanted)
        self._flight, self._attempted_at = flight, now
        self._fetches += 1
        return flight

    def _fly(self, flight: "_Flight") -> None:
        try:
            self._land(flight, self._download())
        except DownloadFailed as failure:
            self._fail(failure.why, failure.detail)
        except Exception as error:  # noqa: BLE001 - our own fault is no verdict on a token: it counts as an outage
            _log.exception("the key fetch for %s ended in an unexpected error", self._issuer)
            self._fail("unexpected", type(error).__name__)
        finally:
            # Whatever happened, a worker's end included: nobody waits for a fetch that is over.
            with self._lock:
                self._flight = None
            flight.done.set()
            self._wake.set()

    def _land(self, flight: "_Flight", download: Download) -> None:
        held = self._lifetimes.hold(download, flight.begun_at)
        refresh_at = held.refresh_at(self._jitter())
        before, failures = self._held, self._failures
        with self._lock:
            self._held, self._refresh_at, self._next_attempt_at = held, refresh_at, _NEVER
            self._failures, self._last_error = 0, None
            if flight.wanted is not None and download.keys.find(*flight.wanted) is not None:
                self._unknown.found(flight.wanted)
            flight.succeeded = True
        if failures:
            _log.warning("the keys of %s can be fetched again, after %d failed attempts", self._issuer, failures)
        if download.keys.skipped and (before is None or before.keys.skipped != download.keys.skipped):
            _log.warning("some keys of %s cannot be used: %s", self._issuer, dict(download.keys.skipped))

    def _fail(self, why: str, detail: str) -> None:
        with self._lock:
            is_news = self._failures == 0 or (why == "issuer_mismatch" and self._last_error != why)
            self._failures += 1
            self._last_error = why
            self._next_attempt_at = self._clock() + back_off_seconds(self._failures, self._jitter())
        if is_news:
            # Once for an outage, not once for each attempt: the end is told in _land.
            level = logging.ERROR if why == "issuer_mismatch" else logging.WARNING
            _log.log(level, "the keys of %s cannot be fetched: %s (%s)", self._issuer, why, detail)

    def _refresh(self) -> None:
        """Fetch now, or see the fetch under way to its end."""
        with self._lock:
            under_way = self._flight
            flight = self._begin(self._clock()) if under_way is None else under_way
        if under_way is None:
            self._fly(flight)
        else:
            flight.done.wait(self._lifetimes.wait_seconds)

    def _spawn(self) -> None:
        refresher = threading.Thread(target=self._keep_fresh, name="postern-keys", daemon=True)
        self._refresher = refresher
        refresher.start()

    def _keep_fresh(self) -> None:
        while self._runs:
            try:
                delay_seconds = max(self._refresh_at, self._next_attempt_at) - self._clock()
                if delay_seconds <= 0:
                    self._refresh()
                    continue
            except Exception:  # noqa: BLE001 - a dead refresher would be noticed when the keys are too old
                _log.exception("the refresh of the keys of %s goes on after an error", self._issuer)
                delay_seconds = 1.0
            # Cleared after the wait, never before it: a call to stop in between would be slept through.
            self._wake.wait(delay_seconds)
            self._wake.clear()

    def _belong_to_this_process(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._unknown = UnknownKeys()
        self._flight = None
        self._refresher = None

    def _after_fork(self) -> None:
        # In the child, before anything else of it runs: a lock that another thread of the parent held at that
        # moment would never be given back, and the parent's threads, the refresher too, are not here.
        self._belong_to_this_process()
        self._must_resume = self._runs

    def _resume(self) -> None:
        with self._lock:
            if self._must_resume:
                self._must_resume = False
                self._spawn()


class _Flight:
    """One fetch under way, and who waits for it."""

    def __init__(self, begun_at: float, wanted: Name | None = None) -> None:
        self.begun_at = begun_at
        self.wanted = wanted
        self.done = threading.Event()
        self.succeeded = False


def _call_after_fork(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    # A hook cannot be taken back; it holds nothing but this reference, so a source can still be collected.
    def call() -> None:
        alive = method()
        if alive is not None:
            alive()

    os.register_at_fork(after_in_child=call)


def _whole_seconds(seconds: float) -> int:
    return max(1, math.ceil(seconds)) if math.isfinite(seconds) else 1
