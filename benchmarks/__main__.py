"""`make bench`: measure, print, write docs/performance.md; or one part of it, `python -m benchmarks sync`.

Takes   the parts, all unless told;  --rounds N; --quick: few requests, nothing written
Gives   status 0 if it could be measured, whether the targets are met or not: the document says which are
Raises  WrongAnswer, ServerFailed
Not     a gate: a shared machine's figures must not stop anyone
"""

import argparse
import sys
from pathlib import Path

from benchmarks import denylist, flood, in_process, possession, report, rounds, sync, sync_report
from benchmarks.credentials import credentials
from benchmarks.servers import ROOT

_FEWEST_ROUNDS = 5
_TOKENS = 10_000
_REQUESTS_PER_ROUND, _QUICK_REQUESTS = 3_000, 500
_SYNC_REQUESTS, _SYNC_QUICK_REQUESTS = 300, 60
_CORE_ROUNDS, _CORE_TOKENS = 11, 1_000


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Side by side with peers.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' or '.join(report.PARTS)}; all unless told")
    parser.add_argument("--rounds", type=int, default=7, help=f"at least {_FEWEST_ROUNDS}; 7 unless told")
    parser.add_argument("--quick", action="store_true", help="fewer requests, for a look; the document stays as it is")
    options = parser.parse_args()
    if options.rounds < _FEWEST_ROUNDS:
        parser.error(f"--rounds: fewer than {_FEWEST_ROUNDS} say nothing")
    unknown = set(options.parts) - set(report.PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    directory = ROOT / "var" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    measures = {"token": _token, "sync": _sync}
    for name in options.parts or report.PARTS:
        text = measures[name](directory, options.rounds, is_quick=options.quick)
        print(text)
        if not options.quick:
            report.write(ROOT / "docs" / "performance.md", name, text)
            tell(f"written: docs/performance.md, {name}")
    return 0


def _token(directory: Path, count: int, *, is_quick: bool) -> str:
    tell("tokens")
    found = credentials(directory, _TOKENS)
    requests = _QUICK_REQUESTS if is_quick else _REQUESTS_PER_ROUND
    measured = rounds.measure(found, directory, count, requests, tell)
    tell("a flood of unknown keys")
    flooded = flood.measure(found, directory, requests)
    tell("in process")
    core = report.Core(
        tokens=in_process.measure(found, _CORE_ROUNDS, _CORE_TOKENS),
        denylist=denylist.measure(found, _CORE_ROUNDS, _CORE_TOKENS),
        possession=possession.measure(directory, _CORE_ROUNDS, _CORE_TOKENS),
        flood=flooded,
    )
    return report.part(measured, core, requests)


def _sync(directory: Path, count: int, *, is_quick: bool) -> str:
    return sync_report.part(sync.measure(directory, count, _SYNC_QUICK_REQUESTS if is_quick else _SYNC_REQUESTS, tell))


def tell(text: str) -> None:
    """Say how far it is, beside the figures."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
