"""A server that the workers of a test run share, in a folder that all of them know.

Takes   the kind of server, the name of the run; how it is started and stopped, from the class that knows it
Gives   SharedServer, a context manager: the first that enters starts it, the last that leaves stops it;  this_run();
        stop_by_signal(…), for a server that removes its pid file at its end
Raises  what the start raises
Not     the server itself (databases.py, valkey.py)
"""

import fcntl
import os
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_STOP_SECONDS = 30


class SharedServer(ABC):
    """One server for a run; a worker that died without leaving keeps nobody waiting."""

    def __init__(self, kind: str, run: str) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"postern-{kind}-{run}"
        # One for all runs of this person, and never removed: a lock file that is removed locks nobody out.
        self._lock_file = self._folder.with_name(f"postern-{kind}-{os.getuid()}.lock")
        self._users = self._folder / "users"

    def __enter__(self) -> Self:
        """Start the server unless another worker has."""
        with self._locked():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._users.mkdir(exist_ok=True)
            if not self._is_running():
                self._start()
            (self._users / str(os.getpid())).touch()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server if no living worker uses it any more."""
        with self._locked():
            (self._users / str(os.getpid())).unlink()
            if not any(_lives(int(user.name)) for user in self._users.iterdir()):
                self._end()

    @abstractmethod
    def _is_running(self) -> bool:
        """Tell whether it was started and not stopped."""

    @abstractmethod
    def _start(self) -> None:
        """Start it, and wait until it answers."""

    @abstractmethod
    def _end(self) -> None:
        """Stop it, and remove its folder."""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock_file.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def this_run() -> str:
    """The name that all workers of this test run have in common."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")


def stop_by_signal(pid_file: Path, number: signal.Signals) -> None:
    """Send the signal to the process whose id begins the file, and wait until it has removed it."""
    os.kill(int(pid_file.read_text().split("\n", 1)[0]), number)
    deadline = time.monotonic() + _STOP_SECONDS
    while pid_file.exists():
        assert time.monotonic() < deadline, f"{pid_file} is still there"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
