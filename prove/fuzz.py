"""`python -m prove.fuzz [--seconds N] [target …]`: fuzz the token core, each target in a process of its own.

Takes   --seconds: for each target; without it, ten minutes for all of them together
Gives   a line for each target; what it learnt stays in var/prove/corpus, and the next run goes on from there
Raises  nothing: status 1 if a target broke (its input is in var/prove/), 2 where there is no atheris
Not     the targets (targets.py)
Source  https://llvm.org/docs/LibFuzzer.html
"""

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from prove.targets import TARGETS

_ROOT: Final = Path(__file__).resolve().parent.parent
_FOUND: Final = _ROOT / "var" / "prove"
_ALL_TOGETHER_SECONDS: Final = 600
# One call that takes so long is a finding; the usual one takes some ten microseconds.
_CALL_SECONDS: Final = 10
_MEGABYTES: Final = 1024
_LONGEST_INPUT_BYTES: Final = 4096
_NO_ATHERIS: Final = 2
_FINAL: Final = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_COVERAGE: Final = re.compile(r"\bcov: (\d+)\b")


def main() -> int:
    """Fuzz what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m prove.fuzz", description="Coverage-guided fuzzing.")
    parser.add_argument("--seconds", type=int, default=_ALL_TOGETHER_SECONDS // len(TARGETS), help="for each target")
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)}; all unless told")
    options = parser.parse_args()
    unknown = set(options.target) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        print("atheris has no wheel for this platform (Linux on x86_64 is needed): nothing was fuzzed", file=sys.stderr)
        return _NO_ATHERIS
    held = [_fuzzed(name, options.seconds) for name in options.target or TARGETS]
    return 0 if all(held) else 1


def _fuzzed(name: str, seconds: int) -> bool:
    """Run one target, and tell whether everything held."""
    corpus = _FOUND / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = _FOUND / "seeds" / name
    _write_seeds(name, seeds)
    report = _FOUND / f"{name}.log"
    command = [
        sys.executable,
        "-m",
        "prove.fuzz_process",
        name,
        f"-max_total_time={seconds}",
        f"-timeout={_CALL_SECONDS}",
        f"-rss_limit_mb={_MEGABYTES}",
        f"-max_len={_LONGEST_INPUT_BYTES}",
        f"-artifact_prefix={_FOUND}/{name}-",
        "-print_final_stats=1",
        str(corpus),
        str(seeds),
    ]
    with report.open("w") as log:
        status = subprocess.run(command, cwd=_ROOT, stdout=log, stderr=log, check=False).returncode  # noqa: S603 - ours
    text = report.read_text(errors="replace")
    calls, coverage = _FINAL.findall(text), _COVERAGE.findall(text)
    if status == 0 and calls and coverage:
        print(f"{name:12} held: {int(calls[-1]):>10,} calls in {seconds} s, {coverage[-1]} edges reached")
        return True
    print(
        f"{name:12} BROKE: status {status}; the input is in {_FOUND}/{name}-*, the report in {report}", file=sys.stderr
    )
    return False


def _write_seeds(name: str, directory: Path) -> None:
    """Put the inputs that a run begins with where libFuzzer reads them."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (directory / str(number)).write_bytes(seed)


if __name__ == "__main__":
    sys.exit(main())
