"""What the denylist costs a request: a known token's check with 0, 1 000 and 100 000 entries, side by side.

Takes   Credentials
Gives   DenylistCost for each number of entries: medians in microseconds of processor time
Raises  InvalidToken if the tokens are not good
Not     the look at the store, which no request waits for: it runs in a thread, every 2 s

Each round times the sizes in turn, in the same thread, over the same tokens; the reference is a verifier without a
denylist. Half of the entries are users (other ones), the others tokens, clients and keys.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from statistics import median

from app.oauth.claims import TokenPolicy
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.revocation.entry import KINDS, Kind, Revocation, denylist_of
from app.oauth.revocation.watch import DenylistWatch, Snapshot
from app.oauth.token_cache import TokenCache
from app.oauth.verifier import Verifier
from benchmarks.credentials import AUDIENCE, ISSUER, Credentials

SIZES = (0, 1_000, 100_000)
_POLICY = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}))
_CACHE_ENTRIES, _CACHE_BYTES = 10_000, 80 * 1024 * 1024
_USER: Kind = "user"
_NO_END = 253_402_300_799


@dataclass(frozen=True, slots=True)
class DenylistCost:
    """What each request pays for a denylist of so many entries."""

    entries: int
    microseconds: float
    """Median over the rounds of the difference to the same check without a denylist."""


class _Fixed:
    """A store that was read once."""

    def __init__(self, entries: int) -> None:
        self._snapshot = Snapshot(1, denylist_of(made_up(entries)))

    def newer_than(self, version: int | None, *, now: float) -> Snapshot | None:  # noqa: ARG002 - nothing ends here
        return None if version == 1 else self._snapshot

    def drop_ended(self, *, now: float) -> int:  # noqa: ARG002 - the same
        return 0

    def forget_connections(self) -> None:
        """There are none."""

    def close(self) -> None:
        """There is nothing to close."""


def measure(credentials: Credentials, rounds: int, tokens_per_round: int) -> tuple[DenylistCost, ...]:
    """Time the sizes in turn, each over the same known tokens."""
    tokens = credentials.tokens[:tokens_per_round]
    watches = {size: DenylistWatch(_Fixed(size)) for size in SIZES}
    for watch in watches.values():
        watch.start()
    try:
        without = _check(credentials, tokens, None)
        checks = {size: _check(credentials, tokens, watch) for size, watch in watches.items()}
        found: dict[int, list[float]] = {size: [] for size in SIZES}
        for _ in range(rounds):
            reference = _microseconds(without, len(tokens))
            for size, check in checks.items():
                found[size].append(_microseconds(check, len(tokens)) - reference)
    finally:
        for watch in watches.values():
            watch.stop()
    return tuple(DenylistCost(size, median(times)) for size, times in found.items())


def _check(credentials: Credentials, tokens: tuple[str, ...], watch: DenylistWatch | None) -> Callable[[], None]:
    keys = parse_key_set(json.dumps(credentials.key_set).encode(), _POLICY.algorithms)
    cache = TokenCache(_CACHE_ENTRIES, _CACHE_BYTES)
    verifier = Verifier(_POLICY, {ISSUER: StaticKeySource(ISSUER, keys)}, cache, denylist=watch)

    def check() -> None:
        for token in tokens:
            verifier.verify(token, now=time.time())

    check()
    return check


def made_up(count: int) -> list[Revocation]:
    """Make up entries, of which none is about the tokens that are measured."""
    others: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "user")
    kinds: Iterator[Kind] = cycle([kind for other in others for kind in (_USER, other)])
    return [
        Revocation(
            kind=kind,
            value=f"auth0|revoked-{number:020d}",
            last_second=_NO_END if kind == "user" else None,
            expires_at=_NO_END,
        )
        for kind, number in zip(kinds, range(count), strict=False)
    ]


def _microseconds(work: Callable[[], None], count: int) -> float:
    started = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started) / count / 1000
