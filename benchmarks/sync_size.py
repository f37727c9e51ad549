"""A sync of a user with 1 000 records beside one with 100 000, on both databases: counted, and timed through HTTP.

Takes   Run, with credentials of SYNC_SCOPES
Gives   Sizes for each database: plans and counts, and the times of the large user beside the small one's
Raises  WrongAnswer, ServerFailed
Not     the peer (sync_peers.py), the tables (sync_report.py)

Both users are in the same tables, behind the same server, and take turns: what differs is how much each has stored.
"""

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from statistics import median

from app.commands.db import upgrade
from app.db import Database
from benchmarks import sync_data
from benchmarks.credentials import subject
from benchmarks.load import Load, WrongAnswer, message, send
from benchmarks.rounds import load_process
from benchmarks.servers import Server, serving
from benchmarks.sync_databases import settled, sqlite_url
from benchmarks.sync_plans import Cost, costs
from benchmarks.sync_run import Run

SMALL, LARGE = 1_000, 100_000
EMPTY, TEN, PAGE = "an empty sync", "a sync of 10 changes", "a page of 500"
SYNCS = (EMPTY, TEN, PAGE)
_SIZES = {EMPTY: 100, TEN: 100, PAGE: 500}
_TOLD = {EMPTY: 0, TEN: 10, PAGE: 500}
# A page of 500 takes ten times as long as the others.
_FEWER = {EMPTY: 1, TEN: 1, PAGE: 3}
_OTHERS = 2_000
_TURNS = 4
_WARM_UP_REQUESTS = 40


@dataclass(frozen=True, slots=True)
class Compared:
    """One kind of sync on one database: what each statement costs, and the larger user's time beside the smaller's."""

    sync: str
    small: tuple[Cost, ...]
    large: tuple[Cost, ...]
    small_milliseconds: float
    large_milliseconds: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """All that was found on one database."""

    database: str
    syncs: tuple[Compared, ...]
    bytes_per_record: Mapping[str, float]
    """Of the larger user's table and its indexes, by name; empty where the database does not tell."""


@dataclass(frozen=True, slots=True)
class _Poll:
    """One user's sync of one kind."""

    cursor: str
    request: bytes


Polls = Mapping[tuple[str, int], _Poll]


def measure(run: Run) -> tuple[Sizes, ...]:
    """Fill both databases, count, then time."""
    urls = {"PostgreSQL": run.cluster.make("sizes"), "SQLite": sqlite_url(run.directory)}
    found = []
    for name, url in urls.items():
        run.tell(f"sizes: {name}")
        found.append(_one(run, name, url))
    return tuple(found)


def _one(run: Run, name: str, url: str) -> Sizes:
    upgrade(url)
    database = Database(url)
    users = {SMALL: subject(0), LARGE: subject(1)}
    try:
        for records, user in users.items():
            sync_data.fill(database, user, records)
        sync_data.surround(database, _OTHERS)
        settled(url)
        polls = {
            (sync, records): _poll(database, run.credentials.tokens[index], user, sync, records)
            for index, (records, user) in enumerate(users.items())
            for sync in SYNCS
        }
        counted = {
            (sync, records): costs(database, user, polls[sync, records].cursor, _SIZES[sync])
            for records, user in users.items()
            for sync in SYNCS
        }
        sizes = {} if name == "SQLite" else _bytes_per_record(database)
    finally:
        database.dispose()
    with serving("wsgi:app", run.settings(url)) as server, load_process() as process:
        times = _times(server, polls, process, run)
    compared = tuple(_compared(sync, counted, times) for sync in SYNCS)
    return Sizes(name, compared, sizes)


def _poll(database: Database, token: str, user: str, sync: str, records: int) -> _Poll:
    since = {EMPTY: records, TEN: records - 10, PAGE: records // 4}[sync]
    cursor = sync_data.cursor_at(database, user, since)
    path = f"/v1/changes?cursor={cursor}&limit={_SIZES[sync]}"
    return _Poll(cursor, message("GET", path, {"Authorization": f"Bearer {token}"}))


def _times(server: Server, polls: Polls, process: Executor, run: Run) -> dict[tuple[str, int], list[float]]:
    """Seconds of a request in each round; the two users take turns, each time in the other order."""
    for (sync, records), poll in polls.items():
        sent = process.submit(send, Load(server.port, (poll.request,) * _WARM_UP_REQUESTS, 200)).result()
        told = len(json.loads(sent.body)["changes"])
        if told != _TOLD[sync]:
            raise WrongAnswer(f"{sync} of {records} records told {told} changes")
    found: dict[tuple[str, int], list[float]] = {key: [] for key in polls}
    for number in range(run.rounds):
        seconds = dict.fromkeys(polls, 0.0)
        for turn in range(_TURNS):
            order = (SMALL, LARGE) if (number + turn) % 2 else (LARGE, SMALL)
            for sync in SYNCS:
                for records in order:
                    requests = (polls[sync, records].request,) * (run.requests // _FEWER[sync] // _TURNS)
                    outcome = process.submit(send, Load(server.port, requests, 200)).result()
                    seconds[sync, records] += outcome.seconds / len(requests) / _TURNS
        for key, value in seconds.items():
            found[key].append(value)
    return found


def _compared(
    sync: str,
    counted: Mapping[tuple[str, int], tuple[Cost, ...]],
    times: Mapping[tuple[str, int], list[float]],
) -> Compared:
    small, large = times[sync, SMALL], times[sync, LARGE]
    ratios = [many / few for few, many in zip(small, large, strict=True)]
    return Compared(
        sync=sync,
        small=counted[sync, SMALL],
        large=counted[sync, LARGE],
        small_milliseconds=median(small) * 1000,
        large_milliseconds=median(large) * 1000,
        ratio=median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
    )


def _bytes_per_record(database: Database) -> dict[str, float]:
    """What a record takes on the disk, in the table and in each index."""
    parts = "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE oid = 'records'::regclass"
    indexes = "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index"
    with database.engine.connect() as connection:
        rows = [
            *connection.exec_driver_sql(parts),
            *connection.exec_driver_sql(f"{indexes} WHERE indrelid = 'records'::regclass ORDER BY 1"),
        ]
    return {name: size / (SMALL + LARGE) for name, size in rows}
