"""Give out one issuer's keys: from what is held, and by a fetch where that cannot decide.

Takes   download: one bounded fetch (KeyDownload);  lifetimes: how long what counts;  copy: where the last good set
        is kept (SnapshotKeeper), or None;  clock, monotonic;  jitter, 0..1
Gives   CachedKeySource, a KeySource: reads take no lock, one fetch at a time, whoever needs it waits with a deadline
Raises  InvalidToken(UNKNOWN_KEY) only on proof: a fetch that succeeded, begun after the name was first seen, lacks it;
        KeysUnavailable for everything that is our fault
Not     the fetch and what it leaves behind (holder.py), the budget (unknown.py), other issuers, signatures
Source  docs/contracts/tokens.md K3 to K10, T27
"""

import math
import random
import time
import weakref
from collections.abc import Callable

from app.oauth.errors import InvalidToken, KeysUnavailable
from app.oauth.keys.download import Download
from app.oauth.keys.holder import Flight, KeyHolder
from app.oauth.keys.jwks import KeySet, VerificationKey
from app.oauth.keys.lifetimes import HeldKeys, Lifetimes
from app.oauth.keys.refresher import Refresher, call_after_fork
from app.oauth.keys.snapshot_keeper import SnapshotKeeper
from app.oauth.keys.source import KeyState
from app.oauth.keys.unknown import Name, UnknownKeys
from app.oauth.reasons import Reason

_LOOKS = 3
# NOTE not random.random: forked workers share its state, and would all come at the same moment.
_jitter = random.SystemRandom().random


class CachedKeySource:
    """The keys of one issuer in one process. Without `start` nothing is refreshed before it is too old to serve."""

    def __init__(  # noqa: PLR0913 - the clock and the dice are said by name
        self,
        issuer: str,
        download: Callable[[], Download],
        lifetimes: Lifetimes | None = None,
        *,
        copy: SnapshotKeeper | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._lifetimes = lifetimes or Lifetimes()
        self._copy = copy
        self._clock = clock
        self._holder = KeyHolder(issuer, download, self._lifetimes, copy=copy, clock=clock, jitter=jitter)
        self._refresher = Refresher(self._holder.refresh, self._holder.due_in_seconds, issuer)
        self._unknown = UnknownKeys()
        self._unknown_looked_up = 0
        call_after_fork(weakref.WeakMethod(self._after_fork))

    @property
    def issuer(self) -> str:
        """The issuer, exactly as configured."""
        return self._holder.issuer

    def current(self) -> KeySet:
        """Return the held set: no lock, no fetch, whatever goes on."""
        if self._refresher.must_resume:
            self._refresher.resume()
        now = self._clock()
        held = self._holder.usable(now)
        if held is None:
            raise KeysUnavailable(_whole_seconds(self._holder.next_attempt_at - now))
        return held.keys

    def find(self, kid: str | None, alg: str) -> VerificationKey:
        """Return the key; fetch, or wait for a fetch, where the held set cannot decide."""
        if self._refresher.must_resume:
            self._refresher.resume()
        deadline = self._clock() + self._lifetimes.wait_seconds
        for _ in range(_LOOKS):
            now = self._clock()
            held = self._holder.usable(now)
            key = held and held.keys.find(kid, alg)
            if key:
                return key
            boarded = self._board((kid, alg), now)
            if boarded is None:
                continue
            flight, leads = boarded
            if leads:
                self._lead(flight)
            elif not flight.done.wait(max(0.0, deadline - self._clock())):
                raise KeysUnavailable(_whole_seconds(0.0))
            if not flight.succeeded:
                raise KeysUnavailable(_whole_seconds(self._holder.next_attempt_at - self._clock()))
        # Only where keys are too old the moment they arrive: every set of settings that start-up takes avoids it.
        raise KeysUnavailable(_whole_seconds(0.0))

    def start(self) -> None:
        """Have keys for the first request, from the copy on disk or by a fetch, then keep them fresh.

        A copy that is still fresh is as good as what a running worker holds: it serves at once, and the fetch goes
        on in the background. One past its freshness is for an outage: a fetch is tried first, and waited for.
        """
        if not self._refresher.claim():
            return
        self._holder.take_copy()
        held = self._holder.held
        if held is None or self._clock() > held.fresh_until:
            self._holder.refresh()
        self._refresher.spawn()

    def stop(self) -> None:
        """End the background work; what is held serves on until it is too old."""
        self._refresher.stop()
        if self._copy is not None:
            self._copy.finish()

    def state(self) -> KeyState:
        """Tell what is held, for /readyz and people."""
        holder, held, now = self._holder, self._holder.held, self._clock()
        usable = held is not None and now <= held.usable_until
        fresh = held is not None and now <= held.fresh_until
        return KeyState(
            issuer=holder.issuer,
            ever_held=held is not None,
            held=usable,
            fresh=fresh,
            stale=usable and not fresh,
            age_seconds=None if held is None else now - held.begun_at,
            last_error=holder.last_error,
            kids=() if held is None else held.keys.kids(),
            skipped={} if held is None else dict(held.keys.skipped),
            fetches=holder.fetches,
            failures=holder.failures,
            fetches_failed=holder.fetches_failed,
            unknown_looked_up=self._unknown_looked_up,
            from_snapshot=held is not None and held.from_snapshot,
            snapshot_age_seconds=None if self._copy is None else self._copy.age_seconds(),
        )

    def userinfo_endpoint(self) -> str | None:
        """Return the issuer's userinfo address as last discovered; None before that."""
        held = self._holder.held
        return None if held is None else held.userinfo_endpoint

    def _board(self, name: Name, now: float) -> tuple[Flight, bool] | None:
        """Join the fetch under way, or begin one; refuse where that is proven, or the budget is spent."""
        holder = self._holder
        with holder.lock:
            held = holder.usable(now)
            if held is not None and held.keys.find(*name) is not None:
                # A fetch has landed since the caller looked.
                return None
            # Without any keys in use every name is looked up, and that says nothing about the name.
            self._unknown_looked_up += held is not None
            first_seen = self._unknown.first_seen(name, now)
            if held is not None and self._proves_unknown(held, first_seen):
                raise InvalidToken(Reason.UNKNOWN_KEY)
            if holder.flight is not None:
                return holder.flight, False
            wait_seconds = holder.next_attempt_at - now
            if held is not None:
                of_cooldown = holder.attempted_at + self._lifetimes.cooldown_seconds - now
                wait_seconds = max(wait_seconds, of_cooldown, self._unknown.wait_seconds(now))
            if wait_seconds > 0:
                raise KeysUnavailable(_whole_seconds(wait_seconds))
            if held is not None:
                self._unknown.spend(now)
            return holder.begin(now, name if held is not None else None), True

    def _proves_unknown(self, held: HeldKeys, first_seen: float) -> bool:
        """T27, the one place where a key is called unknown: `held` is the last fetch that succeeded.

        NOTE its age at this moment proves nothing, however young it is: the tenant may publish a key right after it,
        and sign with it at once. Whoever can make us fetch, by made-up names, would choose that moment.
        """
        return held.begun_at >= first_seen

    def _lead(self, flight: Flight) -> None:
        """Fly it for everybody; a shorter lifetime may have been learnt, so the refresher looks anew."""
        try:
            self._holder.fly(flight)
        finally:
            self._refresher.wake()
        wanted, held = flight.wanted, self._holder.held
        if wanted is not None and flight.succeeded and held is not None and held.keys.find(*wanted) is not None:
            with self._holder.lock:
                self._unknown.found(wanted)

    def _after_fork(self) -> None:
        # In the child, before anything else of it runs: a lock that another thread of the parent held at that
        # moment would never be given back, and the parent's threads, the refresher too, are not here.
        self._holder.belong_to_this_process()
        self._refresher.after_fork()
        self._unknown = UnknownKeys()


def _whole_seconds(seconds: float) -> int:
    return max(1, math.ceil(seconds)) if math.isfinite(seconds) else 1
