"""The API beside Kinto, on one PostgreSQL server, in interleaved rounds: what a device does all day.

Takes   Run, with credentials of SYNC_SCOPES
Gives   Beside: throughput and processor time of both for each thing that is compared
Raises  WrongAnswer, ServerFailed
Not     the size of what is stored (sync_size.py), the tables (sync_report.py)

The same users with the same records in both, one record as large as the other; each request is another user's, in
turn. Those who write are others than those who read, so that an empty delta stays empty.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from app.commands.db import upgrade
from app.db import Database
from benchmarks import kinto, sync_data
from benchmarks.credentials import Credentials, subject
from benchmarks.load import Load, WrongAnswer, message, send
from benchmarks.rounds import load_process
from benchmarks.servers import Server, serving
from benchmarks.sync_databases import settled
from benchmarks.sync_run import Run

READERS, WRITERS = 4, 4
USERS = READERS + WRITERS
RECORDS, WRITERS_RECORDS = 500, 100
OURS, THEIRS = "Postern", "Kinto"
RECORD, LIST, DELTA, UNCHANGED, WRITE = "record", "list", "delta", "unchanged", "write"
KINDS = (RECORD, LIST, DELTA, UNCHANGED, WRITE)
_PAGE = 100
_TURNS = 4
_WARM_UP_REQUESTS = 100
Maker = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Turn:
    """What some requests took."""

    requests: int
    cpu_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Beside:
    """One kind of request over all rounds: ours, theirs, and the median of the rounds' ratios."""

    kind: str
    ours_per_second: float
    theirs_per_second: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float
    ours_cpu_microseconds: float
    theirs_cpu_microseconds: float
    cpu_ratio: float


Key = tuple[str, str]
Round = Mapping[Key, Turn]


@dataclass(frozen=True, slots=True)
class _Side:
    server: Server
    makers: Mapping[str, tuple[int, Maker]]
    """For each kind the status that is expected, and the request of the nth user."""


def measure(run: Run) -> tuple[Beside, ...]:
    """Start both, fill both with the same, run the rounds."""
    with _sides(run) as sides, load_process() as process:
        _warm_up(sides, process)
        rounds = []
        for number in range(run.rounds):
            rounds.append(_round(sides, number, run.requests, process))
            run.tell(f"beside Kinto: round {number + 1} of {run.rounds}")
    return tuple(beside(rounds, kind) for kind in KINDS)


def beside(rounds: list[Round], kind: str) -> Beside:
    """Put both sides of one kind beside each other; a ratio is taken inside one round."""
    pairs = [(one[kind, OURS], one[kind, THEIRS]) for one in rounds]
    ratios = [(_rate(ours) / _rate(theirs)) for ours, theirs in pairs]
    return Beside(
        kind=kind,
        ours_per_second=median(_rate(ours) for ours, _ in pairs),
        theirs_per_second=median(_rate(theirs) for _, theirs in pairs),
        ratio=median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
        ours_cpu_microseconds=median(_cpu(ours) for ours, _ in pairs),
        theirs_cpu_microseconds=median(_cpu(theirs) for _, theirs in pairs),
        cpu_ratio=median(_cpu(theirs) / _cpu(ours) for ours, theirs in pairs),
    )


@contextmanager
def _sides(run: Run) -> Iterator[Mapping[str, _Side]]:
    url, their_url = run.cluster.make("postern"), run.cluster.make("kinto")
    upgrade(url)
    contents = [sync_data.content(number) for number in range(RECORDS)]
    with ExitStack() as stack:
        theirs = stack.enter_context(kinto.serving(run.directory, their_url))
        run.tell("beside Kinto: storing the same on both sides")
        database = Database(url)
        try:
            for index in range(USERS):
                records = RECORDS if index < READERS else WRITERS_RECORDS
                sync_data.fill(database, subject(index), records, collections=1)
                kinto.fill(theirs, f"user{index:03d}", contents[:records])
            cursors = [sync_data.cursor_at(database, subject(index), RECORDS) for index in range(READERS)]
        finally:
            database.dispose()
        versions = [kinto.version(theirs, f"user{index:03d}") for index in range(READERS)]
        settled(url)
        settled(their_url)
        ours = stack.enter_context(serving("wsgi:app", run.settings(url)))
        yield {
            OURS: _Side(ours, _our_requests(run.credentials, cursors)),
            THEIRS: _Side(theirs, _their_requests(versions)),
        }


def _our_requests(credentials: Credentials, cursors: list[str]) -> dict[str, tuple[int, Maker]]:
    base = "/v1/collections/notes-0/records"

    def who(number: int, first: int = 0) -> dict[str, str]:
        return {"Authorization": f"Bearer {credentials.tokens[first + number % READERS]}"}

    def unchanged(number: int) -> dict[str, str]:
        return {**who(number), "If-None-Match": f'"{cursors[number % READERS]}"'}

    return {
        RECORD: (200, lambda n: message("GET", f"{base}/r{n % RECORDS + 1:07d}", who(n))),
        LIST: (200, lambda n: message("GET", f"{base}?limit={_PAGE}", who(n))),
        DELTA: (200, lambda n: message("GET", f"/v1/changes?cursor={cursors[n % READERS]}", who(n))),
        UNCHANGED: (304, lambda n: message("GET", f"/v1/changes?cursor={cursors[n % READERS]}", unchanged(n))),
        WRITE: (200, lambda n: message("PUT", f"{base}/r{n % WRITERS_RECORDS + 1:07d}", who(n, READERS), _body(n))),
    }


def _their_requests(versions: list[str]) -> dict[str, tuple[int, Maker]]:
    def user(number: int, first: int = 0) -> str:
        return f"user{first + number % READERS:03d}"

    def who(number: int, first: int = 0) -> dict[str, str]:
        return kinto.authorization(user(number, first))

    def delta(number: int) -> str:
        return f"{kinto.records(user(number))}?_since=%22{versions[number % READERS].strip(chr(34))}%22"

    def unchanged(number: int) -> dict[str, str]:
        return {**who(number), "If-None-Match": versions[number % READERS]}

    return {
        RECORD: (200, lambda n: message("GET", kinto.record(user(n), n % RECORDS), who(n))),
        LIST: (200, lambda n: message("GET", f"{kinto.records(user(n))}?_limit={_PAGE}", who(n))),
        DELTA: (200, lambda n: message("GET", delta(n), who(n))),
        UNCHANGED: (304, lambda n: message("GET", kinto.records(user(n)), unchanged(n))),
        WRITE: (
            200,
            lambda n: message("PUT", kinto.record(user(n, READERS), n % WRITERS_RECORDS), who(n, READERS), _body(n)),
        ),
    }


def _body(number: int) -> bytes:
    return f'{{"data":{sync_data.content(number)}}}'.encode()


def _warm_up(sides: Mapping[str, _Side], process: Executor) -> None:
    """Fill caches and pools, and hold the answers against each other: both must give the same number of records."""
    for name, side in sides.items():
        found: dict[str, bytes] = {}
        for kind in KINDS[:-1]:
            status, make = side.makers[kind]
            requests = tuple(make(number) for number in range(_WARM_UP_REQUESTS))
            found[kind] = process.submit(send, Load(side.server.port, requests, status)).result().body
        listed = json.loads(found[LIST])["records" if name == OURS else "data"]
        told = json.loads(found[DELTA])["changes" if name == OURS else "data"]
        if len(listed) != _PAGE or told or found[UNCHANGED]:
            raise WrongAnswer(f"{name} gives {len(listed)} records, {len(told)} changes")


def _round(sides: Mapping[str, _Side], number: int, count: int, process: Executor) -> Round:
    """Give both sides the same requests in short turns, each time in the other order."""
    found: dict[Key, list[Turn]] = {(kind, name): [] for kind in KINDS for name in sides}
    for turn in range(_TURNS):
        names = (OURS, THEIRS) if (number + turn) % 2 else (THEIRS, OURS)
        first = (number * _TURNS + turn) * count
        for kind in KINDS:
            for name in names:
                found[kind, name].append(_turn(sides[name], kind, first, count // _TURNS, process))
    return {key: _total(turns) for key, turns in found.items()}


def _turn(side: _Side, kind: str, first: int, count: int, process: Executor) -> Turn:
    status, make = side.makers[kind]
    load = Load(side.server.port, tuple(make(number) for number in range(first, first + count)), status)
    before = side.server.cpu_seconds()
    outcome = process.submit(send, load).result()
    return Turn(count, side.server.cpu_seconds() - before, outcome.seconds)


def _total(turns: list[Turn]) -> Turn:
    return Turn(
        sum(turn.requests for turn in turns),
        sum(turn.cpu_seconds for turn in turns),
        sum(turn.seconds for turn in turns),
    )


def _rate(turn: Turn) -> float:
    return turn.requests / turn.seconds


def _cpu(turn: Turn) -> float:
    return turn.cpu_seconds / turn.requests * 1_000_000
