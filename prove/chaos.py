"""`python -m prove.chaos [fault …]`: break what the API stands on under load, and say what its users saw.

Takes   names of faults, as the table has them; all unless told
Gives   a row for each: what the answers were, whether a write was lost, a good token refused, how soon all was well
Raises  nothing: status 1 if any of it must not be, or if the control shows nothing
Not     the faults (chaos_faults.py), the load (tests/support/chaos_load.py)
Source  docs/contracts/tokens.md T27, K6 to K8; docs/contracts/user-data.md §8
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psycopg

from prove.chaos_faults import FAULTS, Fault, WrongAnswer
from tests.support.chaos_judge import Verdict, judged
from tests.support.chaos_load import Load
from tests.support.chaos_stack import Stack, stack_in

_STEADY_SECONDS: Final = 2.0
_CALM_SECONDS: Final = 3.0
_PATIENCE_SECONDS: Final = 60.0
_HEAD: Final = (
    "fault", "seconds", "requests", "well", "503", "409", "429", "no answer", "lost", "wrong 401", "500",
    "longest wait s", "well again after s",
)  # fmt: skip


def main() -> int:
    """Carry out the faults, print the table, then what those in trouble were told."""
    parser = argparse.ArgumentParser(prog="python -m prove.chaos", description="Faults under load.")
    parser.add_argument("fault", nargs="*", help="all unless told: " + ", ".join(one.name for one in FAULTS))
    wanted = parser.parse_args().fault
    chosen = [one for one in FAULTS if not wanted or one.name in wanted]
    print(f"| {' | '.join(_HEAD)} |", f"| --- |{' ---: |' * (len(_HEAD) - 1)}", sep="\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="postern-chaos-") as directory, stack_in(Path(directory)) as stack:
        rows = [(fault, _tried(number, fault, stack)) for number, fault in enumerate(chosen)]
        print(f"\nThe copies of keys: {'a disk of 64 KiB' if stack.disk.is_mounted else 'a folder'}. Those in trouble:")
        log = stack.server.log.read_text()
    wrong = False
    for fault, (verdict, wrongs) in rows:
        told = ", ".join(f"{code}: {number}" for code, number in verdict.codes().most_common())
        print(f"- {fault.name}: {told or 'none'}; {verdict.toll.acknowledged} changes acknowledged")
        for words in wrongs:
            wrong = True
            print(f"  NOT AS IT MUST BE: {words}")
    if wrong:
        print("\n".join(line for line in log.splitlines() if '"error"' in line or "Error" in line)[-8000:])
    return 1 if wrong else 0


def _tried(number: int, fault: Fault, stack: Stack) -> tuple[Verdict, list[str]]:
    """Carry out one under a load of a user of its own; wait until all is well, and reckon up."""
    load = Load(stack.server.url, stack.issuer.url, stack.signer, f"chaos-{number}")
    load.start()
    time.sleep(_STEADY_SECONDS)
    began_at, wrongs = time.monotonic(), list[str]()
    try:
        fault.carry_out(stack)
    except WrongAnswer as error:
        wrongs.append(str(error))
    mended_at = time.monotonic()
    while time.monotonic() - max(load.tally.last_trouble(mended_at) or mended_at, mended_at) < _CALM_SECONDS:
        if time.monotonic() - mended_at > _PATIENCE_SECONDS:
            break
        time.sleep(0.1)
    load.stop()
    if fault.is_control:
        _lose_one(stack, load)
    verdict = judged(load.tally, load.toll(stack.database_url), began_at=began_at, mended_at=mended_at)
    _print(fault, verdict)
    if fault.is_control:
        found = verdict.refused > 0 and verdict.lost > 0
        return verdict, wrongs if found else ["the control's refused tokens or its lost write were not seen"]
    return verdict, wrongs + verdict.wrongs(well_within_seconds=fault.well_within_seconds, may_break=fault.may_break)


def _lose_one(stack: Stack, load: Load) -> None:
    """The control: a record that was acknowledged last is taken out behind the API's back."""
    newest = "SELECT ctid FROM records WHERE user_key = %s AND data IS NOT NULL ORDER BY seq DESC LIMIT 1"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(f"DELETE FROM records WHERE ctid = ({newest})", (load.identity.user_key,))  # noqa: S608


def _print(fault: Fault, verdict: Verdict) -> None:
    cells = (
        fault.name, f"{verdict.seconds:.0f}", len(verdict.seen), verdict.well, verdict.count(503), verdict.count(409),
        verdict.count(429), verdict.count(0), verdict.lost, verdict.refused, verdict.crashed,
        f"{verdict.longest_seconds:.1f}", f"{verdict.well_after_seconds:.1f}",
    )  # fmt: skip
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
