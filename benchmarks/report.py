"""Say what was measured: on the terminal, and in docs/performance.md.

Takes   Measured; Core: what was measured in process
Gives   text; the document
Raises  OSError if the document cannot be written
Not     the measuring, and no path of this machine
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.denylist import DenylistCost
from benchmarks.figures import BARE, BARE_AGAIN, Target, noise, summarise
from benchmarks.in_process import InProcess
from benchmarks.possession import Possession
from benchmarks.rounds import FORGED, HOT, MANY, QUICKSTART, UNSEEN, VARIANTS, Measured

_LIBRARIES = ("flask", "werkzeug", "gunicorn", "pyjwt", "cryptography", "orjson", "structlog", "flask-smorest")
_EXPLAINED = {
    BARE: "a bare Flask route that returns the same JSON, no check, no log",
    BARE_AGAIN: "the same once more, in the same round: what the machine's noise is worth",
    HOT: "`GET /v1/whoami`, always the same token",
    MANY: "`GET /v1/whoami`, 10 000 tokens in random order, each seen once before the rounds",
    UNSEEN: "`GET /v1/whoami` with the token cache off: every request verifies RS256",
    FORGED: "`GET /v1/whoami`, signatures of other tokens: 401 `bad_signature`",
    QUICKSTART: "the quickstarts' way: PyJWT's `PyJWKClient` and `jwt.decode` in a decorator, no log",
}


@dataclass(frozen=True, slots=True)
class Core:
    """What was measured in process."""

    tokens: InProcess
    denylist: Sequence[DenylistCost]
    possession: Possession


def targets(measured: Measured, core: Core) -> tuple[Target, ...]:
    """The figures that are wanted, beside those of this run."""
    return (
        Target("whoami with a hot token, CPU beside the bare route", 1.35, summarise(measured.rounds, HOT).ratio, "×"),
        Target("a known token's check, in process", 15, core.tokens.known, "µs"),
        Target("a first sight beside the raw RS256 check, in process", 2.5, core.tokens.first_sight_ratio, "×"),
        Target(
            "what the denylist costs a request, the dearest size", 5, max(c.microseconds for c in core.denylist), "µs"
        ),
        Target("resident memory of an idle worker", 90, measured.idle.resident, "MB"),
    )


def tables(measured: Measured, core: Core) -> str:
    """All figures, in Markdown that reads well on a terminal too."""
    lines = ["| target | wanted, at most | measured | |", "| --- | ---: | ---: | --- |"]
    for target in targets(measured, core):
        verdict = "met" if target.is_met else "**missed**"
        lines.append(
            f"| {target.name} | {target.wanted:g} {target.unit} | {target.measured:.2f} {target.unit} | {verdict} |"
        )
    lines += ["", "| one worker | CPU µs per request | beside the bare route (lowest–highest) | requests per second |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    for name in VARIANTS:
        one = summarise(measured.rounds, name)
        spread = f"{one.ratio:.2f} × ({one.lowest_ratio:.2f}–{one.highest_ratio:.2f})"
        lines.append(f"| {_EXPLAINED[name]} | {one.cpu_microseconds:.0f} | {spread} | {one.requests_per_second:.0f} |")
    lines += [
        "",
        _noise(measured),
        "",
        "| the token core, in process | CPU µs |",
        "| --- | ---: |",
        f"| a known token: header field → hash → cache → key still held → time | {core.tokens.known:.1f} |",
        f"| a first sight: everything, and into the cache | {core.tokens.first_sight:.1f} |",
        f"| `cryptography` alone: RS256, 2048 bits, key ready, token cut and decoded | {core.tokens.raw:.1f} |",
        *(
            f"| the denylist, {cost.entries} entries: on top of a known token | {cost.microseconds:.2f} |"
            for cost in core.denylist
        ),
        "",
        *_possession(core.possession),
        "",
        "| memory of the API's worker, MB | resident | proportional | unique |",
        "| --- | ---: | ---: | ---: |",
    ]
    for when, memory in (("idle, after one request", measured.idle), ("after the rounds", measured.loaded)):
        shares = " | ".join("–" if share is None else f"{share:.1f}" for share in (memory.proportional, memory.unique))
        lines.append(f"| {when} | {memory.resident:.1f} | {shares} |")
    return "\n".join(lines)


def _possession(found: Possession) -> tuple[str, ...]:
    return (
        "| a known token that is bound to a key, in process | CPU µs |",
        "| --- | ---: |",
        f"| the same token as a bearer token | {found.bearer:.1f} |",
        f"| bound, with its proof, the write left out | {found.bound:.1f} |",
        f"| of that, the proof's ES256 signature (`cryptography` alone) | {found.raw_signature:.1f} |",
        f"| and all the rest: reading the proof and comparing it | {found.remainder:.1f} |",
        f"| the write, in SQLite and on the disk | {found.write:.1f} |",
    )


def _noise(measured: Measured) -> str:
    share, count = noise(measured.rounds), len(measured.rounds)
    return f"The bare route beside itself: its two turns of one round differed by {share:.1%} at most ({count} rounds)."


def document(measured: Measured, core: Core, requests_per_round: int) -> str:
    """The whole of docs/performance.md."""
    return f"""# Performance

Written by `make bench`; do not edit. {datetime.now(UTC):%Y-%m-%d}, {_processor()}, {psutil.cpu_count()} cores, \
Python {platform.python_version()}, {platform.system()}; {_libraries(_LIBRARIES)}.

The machine is shared with other work: times and requests per second move with it, **only the ratios count**.

{tables(measured, core)}

## How it is measured
- Each server is gunicorn with one gthread worker and the configuration that the API is deployed with
  (`config/gunicorn_conf.py`), on the loopback interface. The API writes its log line for each request (`info`, JSON,
  thrown away by the kernel) and sets its security fields; the peers do neither. There are no limits, this route needs
  no database, and the keys come from `JWKS_FILE`.
- {len(measured.rounds)} rounds of {requests_per_round} requests for each variant, over four kept-alive connections,
  sent by a process of its own. In a round the variants take turns, several times, each time in another order. Every
  answer's status is looked at; the peers' JSON is compared with the API's.
- CPU is the worker's own processor time, user and system; the master's and the sender's do not count. A ratio is taken
  inside one round, to the mean of the bare route's two turns; the table has the median of the ratios.
- The bare route returns a dict and Flask writes the JSON; the API writes it with orjson.
- In process: processor time of one thread, the three in turn over the same tokens of about 900 bytes, RS256 with a
  2048-bit key.
"""


def write(path: Path, text: str) -> None:
    """Replace the document."""
    path.write_text(text, encoding="utf-8")


def _libraries(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {version(name)}" for name in names)


def _processor() -> str:
    """The processor's own name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
