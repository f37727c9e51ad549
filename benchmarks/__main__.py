"""`make bench`: measure, print, write docs/performance.md.

Takes   --rounds N; --quick: few requests, nothing written
Gives   status 0 if it could be measured, whether the targets are met or not: the document says which are
Raises  WrongAnswer, ServerFailed
Not     a gate: a shared machine's figures must not stop anyone
"""

import argparse
import sys

from benchmarks import denylist, in_process, possession, report, rounds
from benchmarks.credentials import credentials
from benchmarks.servers import ROOT

_FEWEST_ROUNDS = 5
_TOKENS = 10_000
_REQUESTS_PER_ROUND, _QUICK_REQUESTS = 3_000, 500
_CORE_ROUNDS, _CORE_TOKENS = 11, 1_000


def main() -> int:
    """Run everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Side by side with peers.")
    parser.add_argument("--rounds", type=int, default=7, help=f"at least {_FEWEST_ROUNDS}; 7 unless told")
    parser.add_argument("--quick", action="store_true", help="fewer requests, for a look; the document stays as it is")
    options = parser.parse_args()
    if options.rounds < _FEWEST_ROUNDS:
        parser.error(f"--rounds: fewer than {_FEWEST_ROUNDS} say nothing")
    directory = ROOT / "var" / "bench"
    tell("tokens")
    found = credentials(directory, _TOKENS)
    tell("in process")
    core = report.Core(
        tokens=in_process.measure(found, _CORE_ROUNDS, _CORE_TOKENS),
        denylist=denylist.measure(found, _CORE_ROUNDS, _CORE_TOKENS),
        possession=possession.measure(directory, _CORE_ROUNDS, _CORE_TOKENS),
    )
    tell("servers")
    count = _QUICK_REQUESTS if options.quick else _REQUESTS_PER_ROUND
    measured = rounds.measure(found, directory, options.rounds, count, tell)
    print(report.tables(measured, core))
    if not options.quick:
        report.write(ROOT / "docs" / "performance.md", report.document(measured, core, count))
        tell("written: docs/performance.md")
    return 0


def tell(text: str) -> None:
    """Say how far it is, beside the figures."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
