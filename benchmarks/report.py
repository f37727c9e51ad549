"""Say what was measured: on the terminal, and in docs/performance.md.

Takes   Measured; Core: what was measured in process
Gives   text; the document, with one of its parts written anew
Raises  OSError if the document cannot be written
Not     the measuring, the part about the sync (sync_report.py), and no path of this machine
"""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.contenders import (
    AUTH0,
    AUTHLIB,
    EXPRESS,
    GRANIAN,
    HOT,
    JWT_EXTENDED,
    LIMITED,
    LIMITED_SHARED,
    PYJWT,
    UNSEEN,
)
from benchmarks.denylist import DenylistCost
from benchmarks.figures import BARE, BARE_AGAIN, Target, beside, noise, summarise
from benchmarks.flood import Flood
from benchmarks.in_process import InProcess
from benchmarks.possession import Possession
from benchmarks.rounds import FORGED, MANY, VARIANTS, Measured

PARTS = ("token", "sync")
_HEADING = """# Performance

Written by `make bench`, or part by part by `python -m benchmarks token` and `python -m benchmarks sync`; do not edit.

The machine is shared with other work: times and requests per second move with it, **only the ratios count**.
"""
_LIBRARIES = ("flask", "werkzeug", "gunicorn", "pyjwt", "cryptography", "orjson", "structlog", "flask-smorest")
_EXPLAINED = {
    BARE: "a bare Flask route that returns the same JSON, no check, no log",
    BARE_AGAIN: "the same once more, in the same round: what the machine's noise is worth",
    HOT: "`GET /v1/whoami`, always the same token",
    MANY: "10 000 tokens in random order, each seen once before the rounds",
    UNSEEN: "a cache of one token: every request is a first sight",
    FORGED: "signatures of other tokens: 401 `bad_signature`",
    LIMITED: "the same token, and the rate limiter counts in memory",
    LIMITED_SHARED: "the same token, and the rate limiter counts in Valkey",
    GRANIAN: "the same token, on Granian instead of gunicorn",
    PYJWT: "PyJWT as in the quickstarts: `PyJWKClient` and `jwt.decode` in a decorator",
    AUTHLIB: "Authlib's `JWTBearerTokenValidator`, as in Auth0's Flask quickstart",
    AUTH0: "Auth0's SDK for APIs, auth0-api-python (a prerelease)",
    JWT_EXTENDED: "flask-jwt-extended, with one public key in its settings",
    EXPRESS: "Express with express-oauth2-jwt-bearer, on Node",
}


@dataclass(frozen=True, slots=True)
class Core:
    """What was measured in process."""

    tokens: InProcess
    denylist: Sequence[DenylistCost]
    possession: Possession
    flood: Flood


def targets(measured: Measured, core: Core) -> tuple[Target, ...]:
    """The figures that are wanted, beside those of this run."""
    return (
        Target("whoami with a hot token, CPU beside the bare route", 1.25, summarise(measured.rounds, HOT).ratio, "×"),
        Target("whoami with 10 000 tokens, the same", 1.35, summarise(measured.rounds, MANY).ratio, "×"),
        Target(
            "a bad signature, CPU beside a good token's first sight", 1, beside(measured.rounds, FORGED, UNSEEN), "×"
        ),
        Target("the hot token on Granian, CPU beside gunicorn", 0.75, beside(measured.rounds, GRANIAN, HOT), "×"),
        Target("a known token's check, in process", 15, core.tokens.known, "µs"),
        Target("a first sight beside the raw RS256 check, in process", 2.5, core.tokens.first_sight_ratio, "×"),
        Target(
            "what the denylist costs a request, the dearest size", 5, max(c.microseconds for c in core.denylist), "µs"
        ),
        Target("resident memory of an idle worker", 90, measured.idle[HOT].resident, "MB"),
        Target("resident memory of a worker that remembers 10 000 tokens", 120, measured.full.resident, "MB"),
    )


def tables(measured: Measured, core: Core) -> str:
    """All figures, in Markdown that reads well on a terminal too."""
    lines = ["| target | wanted, at most | measured | |", "| --- | ---: | ---: | --- |"]
    for target in targets(measured, core):
        verdict = "met" if target.is_met else "**missed**"
        lines.append(
            f"| {target.name} | {target.wanted:g} {target.unit} | {target.measured:.2f} {target.unit} | {verdict} |"
        )
    lines += ["", *_rounds(measured)]
    lines += [
        "",
        _noise(measured),
        "",
        *_limiter(measured),
        "",
        *_flood(core.flood),
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
    for when, memory in (
        ("idle, after one request", measured.idle[HOT]),
        ("with 10 000 tokens remembered", measured.full),
        ("after the rounds", measured.loaded),
    ):
        shares = " | ".join("–" if share is None else f"{share:.1f}" for share in (memory.proportional, memory.unique))
        lines.append(f"| {when} | {memory.resident:.1f} | {shares} |")
    return "\n".join(lines)


def _rounds(measured: Measured) -> list[str]:
    lines = [
        "| one worker | CPU µs | beside the bare route (lowest–highest) | a second | p50 ms | p99 ms (bare = 1) | MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    bare = summarise(measured.rounds, BARE)
    for name in VARIANTS:
        if name not in measured.rounds[0]:
            continue
        one = summarise(measured.rounds, name)
        spread = f"{one.ratio:.2f} × ({one.lowest_ratio:.2f}–{one.highest_ratio:.2f})"
        tail = f"{one.tail_milliseconds:.2f} ({one.tail_milliseconds / bare.tail_milliseconds:.2f})"
        memory = measured.idle.get(name)
        held = "" if memory is None else f"{memory.resident:.0f}"
        lines.append(
            f"| {_EXPLAINED[name]} | {one.cpu_microseconds:.0f} | {spread} | {one.requests_per_second:.0f} "
            f"| {one.median_milliseconds:.2f} | {tail} | {held} |"
        )
    if EXPRESS not in measured.rounds[0]:
        lines += ["", "Express is not among them: there is no Node on this machine."]
    return lines


def _limiter(measured: Measured) -> list[str]:
    memory, shared = (beside(measured.rounds, name, HOT) - 1 for name in (LIMITED, LIMITED_SHARED))
    return [f"The rate limiter adds {memory:.0%} to a hot token's CPU in memory, {shared:.0%} with Valkey."]


def _flood(found: Flood) -> list[str]:
    return [
        f"{found.made_up} made-up tokens, each with a `kid` of its own, caused {found.fetches} fetches of the keys.",
        f"Meanwhile {found.good} good requests were sent, and all were answered 200.",
        "",
        "| good requests beside the flood, ms | p50 | p99 |",
        "| --- | ---: | ---: |",
        f"| alone | {found.alone_median:.2f} | {found.alone_tail:.2f} |",
        f"| under the flood, with twice as many connections | {found.flooded_median:.2f} | {found.flooded_tail:.2f} |",
    ]


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


def part(measured: Measured, core: Core, requests_per_round: int) -> str:
    """The part "token" of docs/performance.md."""
    return f"""## The token

{machine(_LIBRARIES)}.

{tables(measured, core)}

### How the token is measured
- Each server in Python is gunicorn with one gthread worker, eight threads and the configuration that the API is
  deployed with (`config/gunicorn_conf.py`), on the loopback interface; Granian has one worker and eight threads, too.
  The API has what requirements.txt lists and nothing else. It writes its log line for each request (`info`, JSON, to a
  file), counts its metrics for all workers, holds each token against a denylist of 100 entries, gives each request an
  id and sets its security fields; the peers do nothing of this. The keys come from `JWKS_FILE`; this route needs no
  database. Only where the table says so there is a rate limiter.
- The peers are set up as their documentation shows. Authlib and flask-jwt-extended look up no keys while they run;
  Auth0's SDK is asynchronous and gets an event loop for each request, as its documentation does it.
- {len(measured.rounds)} rounds of {requests_per_round} requests for each variant, over four kept-alive connections,
  each of which waits for its answer, sent by a process of its own. In a round the variants take turns, several times,
  each time in another order. Every answer's status is looked at; all answers to one token are compared with the API's.
  Times are taken by the sender, which runs on the same machine.
- CPU is the worker's own processor time, user and system; the master's and the sender's do not count. A ratio is taken
  inside one round, to the mean of the bare route's two turns; the table has the median of the ratios.
- The bare route returns a dict and Flask writes the JSON; the API writes it with orjson.
- In process: processor time of one thread, the three in turn over the same tokens of about 900 bytes, RS256 with a
  2048-bit key.
"""


def machine(libraries: Sequence[str]) -> str:
    """When and on what a part was measured."""
    python, system = platform.python_version(), platform.system()
    hardware = f"{_processor()}, {psutil.cpu_count()} cores"
    return f"{datetime.now(UTC):%Y-%m-%d}, {hardware}, Python {python}, {system}; {_libraries(libraries)}"


def document(before: str, name: str, text: str) -> str:
    """The whole of docs/performance.md with one part written anew; the others stay as they were measured."""
    parts = {other: match[1] for other in PARTS if (match := _marked(other).search(before)) is not None}
    parts[name] = f"\n{text.strip()}\n"
    return _HEADING + "".join(f"\n<!-- {each} -->{parts[each]}<!-- /{each} -->\n" for each in PARTS if each in parts)


def write(path: Path, name: str, text: str) -> None:
    """Replace one part of the document."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(document(before, name, text), encoding="utf-8")


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(f"<!-- {name} -->(.*?)<!-- /{name} -->", re.DOTALL)


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
