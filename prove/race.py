"""`python -m prove.race [--writes N] [--runs N]`: the race of tests/e2e/test_sync_race.py, for longer.

Takes   --writes: in each race;  --runs: how often all of them;  --database: only on this kind
Gives   a line for each race: ours on three databases, and the naive API, which must lose; nothing is written
Raises  nothing: status 1 if ours lost anything, or if the naive API did not
Not     the race (tests/support/http_race.py)
Source  docs/contracts/user-data.md §8
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from prove.databases import DATABASES, fresh
from tests.support.http_race import Outcome, race

_WRITES: Final = 4000
# A loss shows within some hundred writes, and the naive API is there to show one.
_NAIVE_WRITES: Final = 1000


def main() -> int:
    """Race on each database, ours and naively."""
    parser = argparse.ArgumentParser(prog="python -m prove.race", description="Concurrent writers and readers.")
    parser.add_argument("--writes", type=int, default=_WRITES, help="in each race")
    parser.add_argument("--runs", type=int, default=1, help="how often all of them")
    parser.add_argument("--database", choices=DATABASES, action="append", help="all unless told")
    options = parser.parse_args()
    print(f"{'database':24} {'API':6} {'writes':>7} {'lost':>6} {'twice':>6} {'other':>6} {'writes/s':>9}", flush=True)
    good = [
        _raced(kind, options.writes if not is_naive else min(options.writes, _NAIVE_WRITES), is_naive=is_naive)
        for _ in range(options.runs)
        for kind in options.database or DATABASES
        for is_naive in (False, True)
    ]
    print(f"{sum(good)} of {len(good)} as they must be")
    return 0 if all(good) else 1


def _raced(kind: str, writes: int, *, is_naive: bool) -> bool:
    """Race once, and tell whether the outcome is the one that it must be."""
    with tempfile.TemporaryDirectory(prefix="postern-race-") as directory, fresh(kind, Path(directory)) as url:
        outcome = race(Path(directory), url, writes, is_naive=is_naive)
    lost, twice = (sum(getattr(toll, name) for toll in outcome.tolls) for name in ("lost", "twice"))
    is_good = lost > 0 if is_naive else all(toll.is_clean for toll in outcome.tolls)
    name, speed = "naive" if is_naive else "ours", outcome.acknowledged / outcome.seconds
    print(
        f"{kind:24} {name:6} {outcome.acknowledged:7} {lost:6} {twice:6} {others(outcome):6} {speed:9.0f}", flush=True
    )
    if not is_good:
        print(f"  NOT AS IT MUST BE: {outcome}", file=sys.stderr)
    return is_good


def others(outcome: Outcome) -> int:
    """Count what went wrong beside lost and twice."""
    names = ("disordered", "strayed", "missing", "mistold", "torn", "unexplained", "resyncs")
    return sum(sum(getattr(toll, name) for name in names) + len(toll.faults) for toll in outcome.tolls)


if __name__ == "__main__":
    sys.exit(main())
