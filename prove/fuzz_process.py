"""One instrumented process: a target under atheris, until its time is up or something breaks.

Takes   the target's name, then libFuzzer's own options and corpus folders, as prove.fuzz gives them
Gives   libFuzzer's report on stderr; status 0, or 77 and a crash file where a property did not hold
Raises  nothing
Not     choosing targets and times (fuzz.py)
Source  https://github.com/google/atheris
"""

import sys

import atheris

# Only what is under test: instrumenting the libraries below would spend the time on them.
_ROOMS = ["app.oauth"]


def main(name: str, options: list[str]) -> None:
    """Load the rooms instrumented, and never return: libFuzzer ends the process."""
    with atheris.instrument_imports(include=_ROOMS):
        from prove.targets import TARGETS  # noqa: PLC0415 - the instrumentation begins here
    atheris.Setup([sys.argv[0], *options], TARGETS[name].call)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
