"""Connections to the database: how they are made, what each begins with, and when one is no longer trusted.

Takes   url: sqlite:///file.db or postgresql://… (postgres:// is the same; both mean psycopg 3), and how long to wait
Gives   an Engine that bounds every wait; its execution option `postern` says the use: look, read or write
Raises  ValueError for a URL that will not do, without repeating it
Not     transactions (db.py), the names of faults (db.py)
Source  SQLite "Write-Ahead Logging"; PostgreSQL "BEGIN", §20.11; psycopg "Prepared statements"
"""

import select
import time
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError

# The driver begins nothing by itself, and each use says its own BEGIN: to tell the driver each time costs more. A read
# has one snapshot for all of its statements; a write sees what was committed before it got its lock.
_POSTGRESQL: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "use_native_hstore": False}
_BEGIN = {
    "read": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "write": "BEGIN ISOLATION LEVEL READ COMMITTED",
}
# What stands between us and the server (a balancer, a NAT) forgets silent connections after minutes at the earliest.
_TRUSTED_IDLE_SECONDS = 30.0
# Beside those that the pool keeps, for health checks.
OVERFLOW = 2


def engine_of(
    url: str,
    *,
    pool_size: int,
    pool_timeout_seconds: float,
    lock_timeout_seconds: float,
    statement_timeout_seconds: float,
) -> Engine:
    """Make the engine; it opens no connection before the first use."""
    address = _address(url)
    is_file = address.get_backend_name() == "sqlite"
    engine = create_engine(
        address,
        pool_size=pool_size,
        max_overflow=OVERFLOW,
        hide_parameters=True,  # they are users' data, and an error's text ends up in the log
        pool_timeout=pool_timeout_seconds,
        connect_args=_connect_arguments(address, lock_timeout_seconds, statement_timeout_seconds),
        **({} if is_file else _POSTGRESQL),
    )
    if is_file:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "checkin", _note_idle)
        event.listen(engine, "checkout", partial(_refuse_lost, engine.dialect))
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _address(url: str) -> URL:
    """Read the URL; the refusals do not repeat it, for it holds a password."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("the database URL is not a URL") from None
    if address.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return address.set(drivername="postgresql+psycopg")
    if address.drivername != "sqlite":
        raise ValueError("the database URL must begin with postgresql:// or sqlite:///")
    if address.database in {None, "", ":memory:"}:
        raise ValueError("SQLite needs a file: in memory, every connection would have a database of its own")
    return address


def _connect_arguments(address: URL, lock_timeout_seconds: float, statement_timeout_seconds: float) -> dict[str, Any]:
    """Bound every wait at the connection itself, so that no statement can forget to; the URL's own words win."""
    if address.get_backend_name() == "sqlite":
        return {"timeout": lock_timeout_seconds}
    ours = {
        "lock_timeout": round(lock_timeout_seconds * 1000),
        "statement_timeout": round(statement_timeout_seconds * 1000),
        # A worker that hangs inside a transaction must not keep its user's lock.
        "idle_in_transaction_session_timeout": round(statement_timeout_seconds * 2000),
        "timezone": "UTC",
    }
    asked = address.query.get("options", "")
    defaults: dict[str, Any] = {
        "connect_timeout": 3,
        "application_name": "postern",
        # A server that vanishes without a word (a lost host, a firewall) is noticed in seconds, not in minutes.
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 30,
    }
    arguments = {name: value for name, value in defaults.items() if name not in address.query}
    prepares = address.query.get("prepare_threshold")
    if prepares is not None:
        # For poolers that do not know prepared statements: the driver wants None, which no URL can say.
        arguments["prepare_threshold"] = None if prepares == "none" else _whole_number(prepares)
    words = [*(f"-c {name}={value}" for name, value in ours.items()), *([asked] if isinstance(asked, str) else asked)]
    return arguments | {"options": " ".join(words)}


def _whole_number(value: str | tuple[str, ...]) -> int:
    if not isinstance(value, str) or not value.isdecimal():
        raise ValueError("prepare_threshold in the database URL must be a whole number, or none")
    return int(value)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # NOTE None: the driver begins no transaction by itself; _begin_sqlite decides how each one begins.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # Kept in the file, so that only the very first connection really switches: readers do not wait for the writer.
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = WAL")
    # NOTE FULL, not NORMAL: with NORMAL a power cut may undo what was acknowledged.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    """Begin as a reader, or with the write lock: a reader that turns writer half-way can only fail."""
    use = connection.get_execution_options().get("postern")
    reads = use in {"look", "read"}
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reads else 'OFF'}")
    if use != "look":
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    """Begin as the use needs it, in one statement; unless somebody has said how the driver is to begin."""
    options = connection.get_execution_options()
    if "isolation_level" not in options and options.get("postern") != "look":
        connection.exec_driver_sql(_BEGIN[options.get("postern", "write")])


def _note_idle(_connection: Any, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()


def _refuse_lost(dialect: Dialect, connection: Any, record: Any, _proxy: object) -> None:
    """Refuse a connection that its server has closed: a restarted server costs no request its answer.

    To ask the server each time would be a round trip for each request. What a server says to an idle connection is
    that it ends it: one look at the socket tells. Who vanished without a word is asked after a while of idleness.
    """
    now = time.monotonic()
    if now - record.info.get("idle_since", now) < _TRUSTED_IDLE_SECONDS:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        if not waiting.poll(0):
            return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as fault:
        raise InvalidatePoolError from fault
