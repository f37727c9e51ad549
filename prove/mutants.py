"""`python -m prove.mutants [--processes N] [room …]`: change the pure rooms line by line, and see that a test notices.

Takes   the rooms; without any, all that [tool.mutmut] in pyproject.toml names
Gives   a line for each room, and what survived, with its change; all of it in var/prove/mutation/
Raises  nothing: status 1 if a room's score is below the gate, 2 if mutmut could not run
Not     whether a survivor matters: docs/proof.md looks at each
Source  https://mutmut.readthedocs.io/

mutmut changes what stands in functions. Constants of a module, patterns and tables, stay as they are: the tests of
the room and tests/advisories are their proof.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_WORK: Final = _ROOT / "var" / "prove" / "mutation"
_COPIED: Final = ("app", "config", "tests", "pyproject.toml")
_LOWEST_SCORE: Final = 90.0
_CANNOT_RUN: Final = 2
_RESULT: Final = re.compile(r"^\s+app\.oauth\.([\w.]+)\.(x\S+): ([a-z ]+)$", re.MULTILINE)
# What a change that was noticed ends in; a test that never ends has noticed it, too.
_NOTICED: Final = frozenset({"killed", "timeout", "suspicious", "segfault"})


def main() -> int:
    """Run mutmut on a copy of the project, so that nothing of it is ever changed."""
    with (_ROOT / "pyproject.toml").open("rb") as settings:
        paths = tomllib.load(settings)["tool"]["mutmut"]["only_mutate"]
    rooms = [".".join(Path(path).relative_to("app/oauth").with_suffix("").parts) for path in paths]
    parser = argparse.ArgumentParser(prog="python -m prove.mutants", description="Mutation testing of the pure rooms.")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("room", nargs="*", help=f"of {', '.join(rooms)}; all unless told")
    options = parser.parse_args()
    unknown = set(options.room) - set(rooms)
    if unknown:
        parser.error(f"no such room: {', '.join(sorted(unknown))}")
    print(f"changing {len(options.room or rooms)} rooms on a copy, in {_WORK}; this takes minutes", file=sys.stderr)
    _copy()
    named = [f"app.oauth.{room}.*" for room in options.room]
    ran = _mutmut("run", "--max-children", str(options.processes), *named)
    (_WORK / "run.log").write_text(ran.stdout + ran.stderr)
    results = _RESULT.findall(_mutmut("results", "--all", "true").stdout)
    if ran.returncode != 0 or not results:
        print(f"mutmut could not run; see {_WORK / 'run.log'}", file=sys.stderr)
        return _CANNOT_RUN
    high_enough = [_tell(room, results) for room in options.room or rooms]
    return 0 if all(high_enough) else 1


def _copy() -> None:
    shutil.rmtree(_WORK, ignore_errors=True)
    _WORK.mkdir(parents=True)
    for name in _COPIED:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, _WORK / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, _WORK / name)


def _tell(room: str, results: list[tuple[str, str, str]]) -> bool:
    """Print one room's score and survivors; tell whether it is high enough."""
    of_room = [(name, outcome) for its_room, name, outcome in results if its_room == room]
    counted = Counter("noticed" if outcome in _NOTICED else outcome for _, outcome in of_room)
    if not of_room:
        print(f"{room:16} nothing to change")
        return True
    score = 100 * counted["noticed"] / len(of_room)
    print(f"{room:16} {counted['noticed']:4} of {len(of_room):4} noticed, {score:5.1f} %")
    for name, outcome in of_room:
        if outcome not in _NOTICED:
            print(f"    {outcome}: {name}")
            changed = _mutmut("show", f"app.oauth.{room}.{name}").stdout.splitlines()
            print("\n".join(f"        {line}" for line in changed if re.match(r"[-+](?![-+])", line)))
    return score >= _LOWEST_SCORE


def _mutmut(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mutmut", *words]
    return subprocess.run(command, cwd=_WORK, capture_output=True, text=True, check=False)  # noqa: S603 - our own words


if __name__ == "__main__":
    sys.exit(main())
