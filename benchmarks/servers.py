"""One gunicorn with one worker for each variant, all with the API's own configuration, watched from outside.

Takes   a WSGI entry, settings
Gives   Server: its port, its worker's processor time and memory
Raises  ServerFailed if it does not answer in time
Not     the load (load.py)
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

ROOT = Path(__file__).parent.parent
_START_SECONDS = 30
_STOP_SECONDS = 15
_MEGABYTE = 1_000_000


class ServerFailed(Exception):  # noqa: N818 - what happened to the server
    """A server did not start."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A worker's memory in megabytes (10^6 bytes); proportional and unique are None where the system does not tell."""

    resident: float
    proportional: float | None
    unique: float | None


@dataclass(frozen=True, slots=True)
class Server:
    """A running gunicorn."""

    port: int
    worker: psutil.Process

    def cpu_seconds(self) -> float:
        """Processor time that the worker, not the master, has used so far: user and system."""
        times = self.worker.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> Memory:
        """What the worker holds now."""
        full = self.worker.memory_full_info()
        shared, unique = getattr(full, "pss", None), getattr(full, "uss", None)
        return Memory(
            full.rss / _MEGABYTE,
            None if shared is None else shared / _MEGABYTE,
            None if unique is None else unique / _MEGABYTE,
        )


@contextmanager
def serving(entry: str, settings: Mapping[str, str]) -> Iterator[Server]:
    """Start one; its log is written, and thrown away by the kernel, so that no disk is measured."""
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn_conf.py", entry]
    # Nothing of the caller's own settings: a figure must not depend on a forgotten variable.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PORT": str(port), "JWKS_SNAPSHOT_DIR": "", **settings}
    with subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as master:
        try:
            _wait(master, port, f"{entry} with {shlex.join(f'{name}={value}' for name, value in settings.items())}")
            yield Server(port, psutil.Process(master.pid).children()[0])
        finally:
            master.terminate()
            try:
                master.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                master.kill()


def _wait(master: "subprocess.Popen[bytes]", port: int, what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if master.poll() is not None:
            raise ServerFailed(f"{what} ended with {master.returncode}")
        try:
            # The master listens before its worker is there: only an answer counts.
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.settimeout(_START_SECONDS)
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if connection.recv(1):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise ServerFailed(f"{what} did not answer within {_START_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
