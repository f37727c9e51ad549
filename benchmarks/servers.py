"""One server with one worker for each variant, all with the API's own configuration, watched from outside.

Takes   a WSGI entry, settings, the environment whose programs are used
Gives   Server: its port, its worker's processor time and memory;  deployed(): settings of the API
Raises  ServerFailed if it does not answer in time
Not     the load (load.py)
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.credentials import AUDIENCE, ISSUER, Credentials

ROOT = Path(__file__).parent.parent
_START_SECONDS = 30
_STOP_SECONDS = 15
_MEGABYTE = 1_000_000
# The limits cost what they cost in service, and refuse nobody.
_COUNTED_NOT_REFUSED = dict.fromkeys(
    (f"RATE_LIMIT_{what}_PER_MINUTE" for what in ("REQUESTS", "WRITES", "FAILURES")), "1000000000"
)


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
    """A running server."""

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


def deployed(credentials: Credentials, keys: Path, database_url: str) -> dict[str, str]:
    """What the API is told where it is deployed, with one worker; its tenant's keys are written to that file."""
    keys.write_text(json.dumps(credentials.key_set))
    return {
        "TENANT_ISSUER": ISSUER,
        "API_AUDIENCE": AUDIENCE,
        "JWKS_FILE": str(keys),
        "DATABASE_URL": database_url,
        "WEB_CONCURRENCY": "1",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
    }


@contextmanager
def serving(
    entry: str, settings: Mapping[str, str], programs: Path | None = None, log: Path | None = None
) -> Iterator[Server]:
    """Start gunicorn; without a file for it, its log is written and thrown away by the kernel."""
    python = sys.executable if programs is None else str(programs / "python")
    command = [python, "-m", "gunicorn", "-c", "config/gunicorn_conf.py", entry]
    environment = {"JWKS_SNAPSHOT_DIR": "", **_COUNTED_NOT_REFUSED, **settings}
    with running(command, free_port(), environment, log) as server:
        yield server


@contextmanager
def granian(entry: str, settings: Mapping[str, str], programs: Path, log: Path) -> Iterator[Server]:
    """Start Granian with as many workers and threads as gunicorn has."""
    port = free_port()
    options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", "8", "--port", str(port)]
    command = [str(programs / "python"), "-m", "granian", *options, entry]
    with running(command, port, {"JWKS_SNAPSHOT_DIR": "", **_COUNTED_NOT_REFUSED, **settings}, log) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str], port: int, settings: Mapping[str, str], log: Path | None = None, cwd: Path = ROOT
) -> Iterator[Server]:
    """Start any server with one worker, which listens on `port`; one without a master is its own worker."""
    # Nothing of the caller's own settings: a figure must not depend on a forgotten variable.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PORT": str(port), **settings}
    with (
        Path(os.devnull if log is None else log).open("wb") as output,
        subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            command, cwd=cwd, env=environment, stdout=output, stderr=output
        ) as master,
    ):
        try:
            _wait(
                master, port, f"{command[-1]} with {shlex.join(f'{name}={value}' for name, value in settings.items())}"
            )
            yield Server(port, _worker(psutil.Process(master.pid)))
        finally:
            master.terminate()
            try:
                master.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                master.kill()


def _worker(master: psutil.Process) -> psutil.Process:
    """Return who answers: some masters have another child, which keeps their shared memory and is small."""
    return max(master.children() or [master], key=lambda process: process.memory_info().rss)


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


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
