"""What the databases do for a sync, counted: plans, buffers, steps. Counts do not depend on how busy the machine is.

Takes   a filled Database, the cursors of the three syncs
Gives   Cost of each statement of each sync
Raises  what the database raises
Not     time (sync_size.py); that the plans stay so (tests/records/test_sync_cost.py)
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import event

from app.db import Database
from app.records.changes import Question, changes, nothing_new
from app.records.terms import Limits
from app.users.identity import Identity
from benchmarks.credentials import ISSUER

_OF_THE_DRIVER = re.compile(r"PRAGMA|BEGIN|SELECT pg_catalog|SHOW|SET")
_PARAMETER = re.compile(r"%\((\w+)\)s")
_Statements = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Cost:
    """One statement: its plan in words, the tables and indexes in it, and what it cost."""

    plan: str
    count: int
    """Buffers (8 KiB pages) touched on PostgreSQL; steps of the virtual machine on SQLite."""
    count_when_generic: int | None
    """The same with the plan that PostgreSQL may keep for a prepared statement, made without its parameters."""


def costs(database: Database, subject: str, cursor: str, size: int) -> tuple[Cost, ...]:
    """Ask as the API does, and explain every statement that this sends."""
    with _statements(database) as sent:
        told = _poll(database, subject, cursor, size)
    is_sqlite = database.engine.dialect.name == "sqlite"
    found = tuple((_sqlite if is_sqlite else _postgresql)(database, *one) for one in sent)
    if told > size:
        raise ValueError(f"{told} changes on a page of {size}")
    return found


def _poll(database: Database, subject: str, cursor: str, size: int) -> int:
    identity, now = Identity(ISSUER, subject), datetime.now(UTC)
    question = Question(cursor, size, with_profile=True, with_email=True, with_preferences=True)
    with database.look() as session:
        page = nothing_new(session, identity, question, now)
    if page is None:
        with database.read() as session:
            page = changes(session, identity, question, Limits(), now)
    return len(page.items)


@contextmanager
def _statements(database: Database) -> Iterator[_Statements]:
    sent: _Statements = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's
        if not _OF_THE_DRIVER.match(statement):
            sent.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", listen)


def _postgresql(database: Database, statement: str, parameters: Any) -> Cost:
    with database.engine.connect() as connection:
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
        # Twice: what is looked at is the second time, when the pages are known to be there.
        for _ in range(2):
            plan = connection.exec_driver_sql(explain + statement, parameters).scalar_one()[0]["Plan"]
        generic = _generic(driver, statement, parameters)
    return Cost(_words(plan), _buffers(plan), _buffers(generic))


def _generic(driver: psycopg.Connection[Any], statement: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Explain it as a prepared statement. EXPLAIN of the statement itself would always plan with its parameters."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    text = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    # No statement of these holds a percent sign of its own; a client's cursor writes the values into EXECUTE.
    with psycopg.ClientCursor(driver) as cursor:
        cursor.execute(b"SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE bench AS {text}".encode())
        values = ", ".join(f"%({name})s" for name in names)
        for _ in range(2):
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE bench ({values})".encode(), parameters)
            row = cursor.fetchone()
        cursor.execute(b"DEALLOCATE bench")
    assert row is not None  # noqa: S101 - for the type: EXPLAIN gives one row
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _words(node: dict[str, Any]) -> str:
    own: str = node["Node Type"]
    if "Index Name" in node:
        own += f" `{node['Index Name']}`"
    return " → ".join([own, *(_words(below) for below in node.get("Plans", ()))])


def _buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _sqlite(database: Database, statement: str, parameters: Any) -> Cost:
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = sqlite3.connect(f"file:{database.engine.url.database}?mode=ro", uri=True)
    try:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        connection.set_progress_handler(step, 1)
        connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()
    return Cost("; ".join(f"`{line}`" for line in plan), steps, None)
