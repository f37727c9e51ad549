"""The database: transactions, and the two ways in which it lets us down.

Takes   url: sqlite:///file.db or postgresql://… (postgres:// is the same; both mean psycopg 3)
Gives   Database: read() for a snapshot that cannot write, look() for a single statement, transact(work) for one write
        transaction;
        Base, the models' parent; UtcDateTime, their only type for times
Raises  DatabaseUnavailable: absent, not migrated, not fit;  DatabaseBusy: another writer held its lock too long
Not     settings, connections (connections.py), tables (app/users/models.py), the migrating (app/commands/db.py)
Source  docs/contracts/user-data.md §7; SQLite "Write-Ahead Logging"; PostgreSQL appendix A "Error Codes"
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar, cast

from sqlalchemy import DateTime, Dialect, Engine, MetaData, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

from app import schema_version
from app.connections import OVERFLOW, engine_of

T = TypeVar("T")

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
_RETRIES = 3
# A request waits 5 s for a lock at most, and no statement of a request runs for more than 15 s: the phone has given up.
_LOCK_TIMEOUT_SECONDS = 5.0
_STATEMENT_TIMEOUT_SECONDS = 15.0
# SQLSTATE, whole codes: serialization_failure, deadlock_detected; lock_not_available; undefined_table, _column.
_COLLISIONS = frozenset({"40001", "40P01"})
_LOCK_NOT_AVAILABLE = "55P03"
_STATEMENT_TIMEOUT = "57014"
_UNMIGRATED = frozenset({"42P01", "42703"})
# A standby that has not been promoted, or our own write inside read(): which of the two, the caller knows.
_READ_ONLY_TRANSACTION = "25006"
# SQLSTATE classes: connection, authorisation, no such database, resources, operator intervention, system.
_UNFIT_CLASSES = frozenset({"08", "28", "3D", "53", "57", "58"})
_SQLITE_BUSY = frozenset({5, 6})
_SQLITE_READ_ONLY = 8
# SQLite result codes: PERM, NOMEM, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB.
_SQLITE_UNFIT = frozenset({3, 7, 10, 11, 13, 14, 15, 26})
# SQLite has one code for every fault of a statement; only its text tells a missing table from a slip of ours.
_SQLITE_UNMIGRATED = ("no such table", "no such column")
_MIGRATE = "the schema is not the one that the code needs: run `flask --app wsgi db upgrade`"


class DatabaseUnavailable(Exception):  # noqa: N818 - named by what the caller learns, as an answer is
    """The database is not there, not migrated, or not fit to serve: our fault, worth trying again later."""


class DatabaseBusy(Exception):  # noqa: N818 - the same
    """Another writer held the lock for too long; nothing was changed, and the same call may succeed at once."""


class Base(DeclarativeBase):
    """The parent of every model; constraints are named alike on both databases, so that migrations can drop them."""

    metadata = MetaData(naming_convention=_NAMES)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, to the millisecond: what the API shows is what is stored (U1)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Cut to milliseconds; SQLite keeps no zone, so it gets the UTC digits alone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone does not reach the database")
        moment = value.astimezone(UTC)
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say the zone again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Database:
    """One process's connections to the database. Opens none before the first use, so it may be made before a fork.

    The pool: a gthread worker runs WEB_THREADS (8) requests at a time and each holds one connection at most; two
    more are for health checks. More would only move the queue into PostgreSQL, where max_connections is shared.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        pool_timeout_seconds: float = 5.0,
        lock_timeout_seconds: float = _LOCK_TIMEOUT_SECONDS,
        statement_timeout_seconds: float = _STATEMENT_TIMEOUT_SECONDS,
    ) -> None:
        self.engine: Engine = engine_of(
            url,
            pool_size=pool_size,
            pool_timeout_seconds=pool_timeout_seconds,
            lock_timeout_seconds=lock_timeout_seconds,
            statement_timeout_seconds=statement_timeout_seconds,
        )
        self._looking = self.engine.execution_options(postern="look")
        self._reading = self.engine.execution_options(postern="read")
        self._writing = self.engine.execution_options(postern="write")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session on one snapshot of the data; a write in it is an error on both databases."""
        with named_faults(writing=False), Session(self._reading, expire_on_commit=False) as session:
            yield session
            # NOTE not left to the session's end: at a rollback the driver forgets the statements that it has prepared.
            session.commit()

    @contextmanager
    def look(self) -> Iterator[Session]:
        """Open a session for one SELECT, which is its own snapshot: it costs one round trip, where read() takes three.

        What is asked for in a second one may be of a later moment.
        """
        with named_faults(writing=False), Session(self._looking, expire_on_commit=False) as session:
            yield session

    def transact(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one write transaction and commit it; on SQLite it holds the write lock from its first line.

        `work` is run again, up to 3 times, if the database breaks it off for another's sake (40001, 40P01):
        so it has no effect but on the session.
        """
        retries = 0
        while True:
            try:
                with (
                    named_faults(writing=True),
                    Session(self._writing, expire_on_commit=False) as session,
                    session.begin(),
                ):
                    return work(session)
            except _Collision:
                if retries == _RETRIES:
                    raise
                retries += 1

    def ping(self) -> None:
        """Make sure that the database answers."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def is_at_head(self) -> bool:
        """Tell whether every migration that this code knows is applied, or a newer one."""
        with self.read() as session:
            return schema_version.is_current(session.connection())

    def connections(self) -> tuple[int, int, int]:
        """Tell how many of this process's connections are in use, how many are open, and how many there may be."""
        pool = cast("QueuePool", self.engine.pool)
        used = pool.checkedout()
        return used, used + pool.checkedin(), pool.size() + OVERFLOW

    def dispose(self) -> None:
        """Close the connections; the next use opens new ones."""
        self.engine.dispose()

    def dispose_after_fork(self) -> None:
        """Forget, in the child, connections that the parent opened, without closing them under the parent."""
        self.engine.dispose(close=False)


@contextmanager
def named_faults(*, writing: bool) -> Iterator[None]:
    """Turn the drivers' faults into ours, by their codes; what is our bug goes through.

    A reader that waits too long for a lock waits for a migration, not for another write of its user.
    """
    try:
        yield
    except PoolTimeout as fault:
        raise DatabaseUnavailable("no connection became free in time") from fault
    except DBAPIError as fault:
        is_sqlite = type(fault.orig).__module__ == "sqlite3"
        named = _sqlite_fault(fault, writing=writing) if is_sqlite else _postgresql_fault(fault, writing=writing)
        if named is None:
            raise
        raise named from fault


class _Collision(DatabaseBusy):
    """Transactions got into each other's way, and the server has rolled ours back: transact() runs it again."""


def _sqlite_fault(fault: DBAPIError, *, writing: bool) -> Exception | None:
    code = getattr(fault.orig, "sqlite_errorcode", 0) & 0xFF  # the extended code's low byte is the primary code
    if code in _SQLITE_BUSY:
        return DatabaseBusy("the write lock was not free in time") if writing else DatabaseUnavailable("locked")
    if code in _SQLITE_UNFIT or (writing and code == _SQLITE_READ_ONLY):
        return DatabaseUnavailable("the database file is not usable")
    if any(words in str(fault.orig) for words in _SQLITE_UNMIGRATED):
        return DatabaseUnavailable(_MIGRATE)
    return None


def _postgresql_fault(fault: DBAPIError, *, writing: bool) -> Exception | None:
    state = getattr(fault.orig, "sqlstate", None) or ""
    if state in _COLLISIONS:
        return (
            _Collision("transactions kept colliding") if writing else DatabaseUnavailable("the snapshot was not kept")
        )
    if state == _LOCK_NOT_AVAILABLE:
        return DatabaseBusy("the lock was not free in time") if writing else DatabaseUnavailable("locked")
    if state == _READ_ONLY_TRANSACTION:
        return DatabaseUnavailable("the server takes no writes") if writing else None
    if state in _UNMIGRATED:
        return DatabaseUnavailable(_MIGRATE)
    # An OperationalError without a code: the client library could not reach the server, or lost it.
    lost = not state and isinstance(fault, OperationalError)
    if lost or fault.connection_invalidated or state[:2] in _UNFIT_CLASSES:
        why = "a statement took too long" if state == _STATEMENT_TIMEOUT else "the server is not reachable or not fit"
        return DatabaseUnavailable(why)
    return None
