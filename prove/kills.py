"""`python -m prove.kills [--kills N]`: kill workers, connections and PostgreSQL under load, and count what is left.

Takes   --kills: how many, of each kind
Gives   a line for each: ours on the databases, and three that must fail: PostgreSQL that says "committed" before it
        has written, devices without Idempotency-Key, batches of one transaction for each operation
Raises  nothing: status 1 if anything acknowledged is missing, done twice or torn, or if a control shows nothing
Not     the load (tests/support/http_race.py), the strikes (tests/support/kills.py)
Source  docs/contracts/user-data.md §8, U5, U15
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prove.databases import POSTGRESQL, SQLITE, fresh
from tests.support.http_race import Outcome
from tests.support.kills import Plan, connections_of, database_of, race_under_kills, worker_of

_KILLS: Final = 40
# Forty of them take a minute and more.
_PAUSE_SECONDS: Final = (0.5, 3.0)
_WHAT: Final = ("missing", "lost", "twice", "unexplained", "torn", "strayed", "mistold")


@dataclass(frozen=True, slots=True)
class _Trial:
    """One row: `fails` says how a control must fail; without it, nothing may be wrong. `is_lazy`: the commits are."""

    name: str
    database: str
    plan: Plan
    fails: Callable[[Outcome], int] | None = None
    is_lazy: bool = False


def _trials(kills: int) -> tuple[_Trial, ...]:
    workers = Plan(worker_of, kills, _PAUSE_SECONDS)
    without_keys = Plan(worker_of, kills, _PAUSE_SECONDS, hung_up=20, keyed=False)
    piecemeal = Plan(worker_of, kills, _PAUSE_SECONDS, app="tests.support.naive_api:piecemeal")
    connections = Plan(connections_of, 5 * kills, (0.2, 1))
    server = Plan(database_of, max(kills // 4, 1), (2, 5))
    return (
        _Trial("workers", SQLITE, workers),
        _Trial("workers", POSTGRESQL, workers),
        _Trial("connections", POSTGRESQL, connections),
        _Trial("PostgreSQL itself", POSTGRESQL, server),
        _Trial("PostgreSQL, lazy commits", POSTGRESQL, server, lambda outcome: _sum(outcome, "missing"), is_lazy=True),
        _Trial("workers, no keys", SQLITE, without_keys, lambda outcome: _sum(outcome, "unexplained")),
        _Trial("workers, piecemeal batches", SQLITE, piecemeal, lambda outcome: _sum(outcome, "torn")),
    )


def main() -> int:
    """Carry out every trial."""
    parser = argparse.ArgumentParser(prog="python -m prove.kills", description="Kill under load.")
    parser.add_argument("--kills", type=int, default=_KILLS, help="of each kind")
    kills = parser.parse_args().kills
    print(f"{'what is killed':27} {'database':10} {'kills':>6} {'seconds':>8} {'writes':>7} {'no answer':>9} ", end="")
    print(" ".join(f"{name:>11}" for name in _WHAT), flush=True)
    good = [_tried(trial) for trial in _trials(kills)]
    print(f"{sum(good)} of {len(good)} as they must be")
    return 0 if all(good) else 1


def _tried(trial: _Trial) -> bool:
    """Carry out one, and tell whether the outcome is the one that it must be."""
    with (
        tempfile.TemporaryDirectory(prefix="postern-kills-") as directory,
        fresh(trial.database, Path(directory), synchronous_commit=not trial.is_lazy) as url,
    ):
        kills, outcome = race_under_kills(Path(directory), url, trial.plan)
    is_good = trial.fails(outcome) > 0 if trial.fails else all(toll.is_clean for toll in outcome.tolls)
    broken = outcome.unanswered + outcome.later
    print(f"{trial.name:27} {trial.database:10} {kills:6} {outcome.seconds:8.0f} ", end="")
    print(f"{outcome.acknowledged:7} {broken:9} ", end="")
    print(" ".join(f"{_sum(outcome, name):11}" for name in _WHAT), flush=True)
    if not is_good:
        print(f"  NOT AS IT MUST BE: {outcome}", file=sys.stderr)
    return is_good


def _sum(outcome: Outcome, name: str) -> int:
    return sum(getattr(toll, name) for toll in outcome.tolls)


if __name__ == "__main__":
    sys.exit(main())
