"""The database: engine, transactions, and the two ways in which it lets us down.

Takes   url: sqlite:///file.db or postgresql://… (postgres:// is the same; both mean psycopg 3)
Gives   Database: read() for a snapshot that cannot write, transact(work) for one write transaction;
        Base, the models' parent; UtcDateTime, their only type for times
Raises  DatabaseUnavailable: absent, not migrated, not fit;  DatabaseBusy: another writer held its lock too long
Not     settings, tables (app/users/models.py), the commands that migrate (app/commands/db.py)
Source  docs/contracts/user-data.md §7; SQLite "Write-Ahead Logging"; PostgreSQL appendix A "Error Codes"
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, DateTime, Dialect, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
_RETRIES = 3
_MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
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
        address = _address(url)
        is_file = address.get_backend_name() == "sqlite"
        self.engine: Engine = create_engine(
            address,
            pool_size=pool_size,
            max_overflow=2,
            hide_parameters=True,  # they are users' data, and an error's text ends up in the log
            pool_timeout=pool_timeout_seconds,
            pool_pre_ping=not is_file,  # a round trip each, so that a restarted server costs no request its answer
            connect_args=_connect_arguments(address, lock_timeout_seconds, statement_timeout_seconds),
        )
        if is_file:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        # One snapshot for all of a read's statements; a write sees what was committed before it got its lock.
        reading = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        writing = {"isolation_level": "READ COMMITTED"}
        self._reading = self.engine.execution_options(postern_reads=True, **({} if is_file else reading))
        self._writing = self.engine.execution_options(**({} if is_file else writing))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session on one snapshot of the data; a write in it is an error on both databases."""
        with named_faults(writing=False), Session(self._reading, expire_on_commit=False) as session:
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
        """Tell whether every migration that this code knows is applied; one that it does not know is a newer one.

        While a release is rolled out, old workers serve on a migrated schema, and must not call themselves unready.
        """
        with self.read() as session:
            applied = set(MigrationContext.configure(session.connection()).get_current_heads())
        known = {script.revision for script in self._scripts.walk_revisions()}
        return bool(applied) and (applied == set(self._scripts.get_heads()) or not applied <= known)

    def connections(self) -> tuple[int, int]:
        """Tell how many of this process's connections are in use, and how many are open."""
        pool = cast("QueuePool", self.engine.pool)
        used = pool.checkedout()
        return used, used + pool.checkedin()

    def dispose(self) -> None:
        """Close the connections; the next use opens new ones."""
        self.engine.dispose()

    def dispose_after_fork(self) -> None:
        """Forget, in the child, connections that the parent opened, without closing them under the parent."""
        self.engine.dispose(close=False)

    @cached_property
    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(migrations())


def migrations() -> Config:
    """Return alembic's configuration, made in code: no alembic.ini with a second DATABASE_URL in it."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


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
    words = [*(f"-c {name}={value}" for name, value in ours.items()), *([asked] if isinstance(asked, str) else asked)]
    return arguments | {"options": " ".join(words)}


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
    reads = "postern_reads" in connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reads else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
