"""Writers and polling readers of one user, all at once: what was acknowledged and never seen, what was seen twice.

Takes   a migrated Database;  how many writes;  how a writer writes and how a reader polls
Gives   race(…) → Toll;  LOCKED, our way;  naive(database), a global sequence without the user's lock
Raises  what a thread has raised
Not     the judgement: the tests say what must be zero, and what must not
Source  docs/contracts/user-data.md §7, §8
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from sqlalchemy import func, insert, select, text

from app.db import Database
from app.records import batch, operations, writing
from app.records.changes import Question, changes
from app.records.models import RecordRow
from app.records.operation_shapes import Batch
from app.records.terms import Limits, Terms
from app.users import account as accounts
from tests.support.records import ADA, NOW

WRITERS, READERS, BATCH = 6, 2, 10
TERMS = Terms(Limits(records_per_collection=10**9, bytes_per_user=10**12))
# A part of the writes is slow between its number and its commit, as a busy host or a long batch is.
_SLOW_SHARE, _SLOW_SECONDS = 0.1, 0.01
Seen = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Way:
    """How to write some ids and tell their numbers; how to poll from a position: the news, and the next position."""

    write: Callable[[Database, Sequence[str]], list[int]]
    poll: Callable[[Database, Any], tuple[list[Seen], Any]]


@dataclass(frozen=True, slots=True)
class Toll:
    """`lost`: acknowledged, and some reader never saw it. `twice`: seqs given or told twice."""

    acknowledged: int
    lost: int
    twice: int


def race(database: Database, writes: int, way: Way) -> Toll:
    """Let six writers write that many records, half of them in batches, while two readers poll to the end."""
    database.transact(lambda session: accounts.hold_or_make(session, ADA, NOW))
    acknowledged: list[Seen] = []
    seen: list[list[Seen]] = [[] for _ in range(READERS)]
    done, ids = threading.Event(), iter(range(writes))

    def write(number: int) -> None:
        size = BATCH if number % 2 else 1
        while names := [f"r{number}" for number in itertools.islice(ids, size)]:
            acknowledged.extend(zip(names, way.write(database, names), strict=True))

    def read(number: int) -> None:
        position: Any = None
        while True:
            # Asked before the poll: what is acknowledged by now must be in this one, or in one before it.
            was_done = done.is_set()
            news, position = way.poll(database, position)
            seen[number].extend(news)
            if was_done and not news:
                return
            time.sleep(0.001)

    writers = [partial(write, number) for number in range(WRITERS)]
    _run(writers, [partial(read, number) for number in range(READERS)], done)
    lost = {one for own in seen for one in set(acknowledged).difference(own)}
    given = [seq for _id, seq in acknowledged]
    twice = len(given) - len(set(given)) + sum(len(own) - len(set(own)) for own in seen)
    return Toll(len(acknowledged), len(lost), twice)


def _run(writers: Sequence[Callable[[], None]], readers: Sequence[Callable[[], None]], done: threading.Event) -> None:
    """Start all at once; when the writers are done, say so to the readers and wait for them."""
    faults: list[BaseException] = []
    start = threading.Barrier(len(writers) + len(readers))

    def guarded(work: Callable[[], None]) -> None:
        try:
            start.wait(30)
            work()
        except BaseException as fault:  # noqa: BLE001 - told by the thread that waits
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (*writers, *readers)]
    for thread in threads:
        thread.start()
    for thread in threads[: len(writers)]:
        thread.join()
    done.set()
    for thread in threads[len(writers) :]:
        thread.join()
    if faults:
        raise faults[0]


def _dawdle() -> None:
    if random.random() < _SLOW_SHARE:
        time.sleep(_SLOW_SECONDS)


def _write_locked(database: Database, names: Sequence[str]) -> list[int]:
    wishes = tuple(operations.put("notes", name, {}) for name in names)

    def work(session: Any) -> list[int]:
        if len(wishes) == 1:
            seqs = [writing.write(session, ADA, wishes[0], TERMS, NOW).seq]
        else:
            results = batch.run(session, ADA, Batch(wishes), TERMS, NOW)
            seqs = [result.seq for result in results if isinstance(result, writing.Written)]
        _dawdle()
        return seqs

    return database.transact(work)


def _poll_locked(database: Database, cursor: Any) -> tuple[list[Seen], Any]:
    with database.read() as session:
        page = changes(session, ADA, Question(cursor, size=50), TERMS.limits, NOW)
    news = [orjson.loads(item) for item in page.items]
    return [(change["id"], change["seq"]) for change in news], page.cursor


LOCKED = Way(_write_locked, _poll_locked)


def naive(database: Database) -> Way:
    """Number with a sequence, as `bigserial` does it, and poll from the greatest number seen."""
    is_sqlite = database.engine.dialect.name == "sqlite"
    # SQLite has no sequence; what is like one is a number that is taken before the write lock.
    numbers = itertools.count(1)
    if not is_sqlite:
        database.transact(lambda session: session.execute(text("CREATE SEQUENCE naive")))

    def write(database: Database, names: Sequence[str]) -> list[int]:
        taken = [next(numbers) for _ in names]
        if is_sqlite:
            _dawdle()

        def work(session: Any) -> list[int]:
            seqs = taken if is_sqlite else [session.scalars(select(func.nextval("naive"))).one() for _ in names]
            rows = [_row(name, seq) for name, seq in zip(names, seqs, strict=True)]
            session.execute(insert(RecordRow), rows)
            _dawdle()
            return seqs

        return database.transact(work)

    def poll(database: Database, since: Any) -> tuple[list[Seen], Any]:
        since = since or 0
        statement = select(RecordRow.id, RecordRow.seq).where(RecordRow.user_key == ADA.user_key, RecordRow.seq > since)
        with database.read() as session:
            news = [(name, seq) for name, seq in session.execute(statement.order_by(RecordRow.seq).limit(50))]
        return news, news[-1][1] if news else since

    return Way(write, poll)


def _row(name: str, seq: int) -> dict[str, Any]:
    return {
        "user_key": ADA.user_key, "collection": "notes", "id": name, "seq": seq, "created_seq": seq, "deleted": False,
        "data": "{}", "stored_bytes": 2, "origin": None, "updated_at": NOW,
    }  # fmt: skip
