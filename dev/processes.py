"""Start the API and the development tenant as processes of their own, and stop them without a trace.

Takes   ports, a directory for state, the environment
Gives   a Stack: started, answering, stopped
Raises  StackError, with what the process printed last
Not     what is then done with them (run.py, demo.py)
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = "https://postern.example"
_START_SECONDS = 30
_STOP_SECONDS = 10


class StackError(Exception):
    """A process could not be started."""


@dataclass(slots=True)
class Stack:
    """The processes of one run, last started first stopped."""

    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: list[str], environment: Mapping[str, str], log: Path | None = None) -> None:
        """Start one process in a session of its own, so that Ctrl-C reaches us first and we stop it in order."""
        # The file is the child's from here on: the parent's copy closes with the block.
        if log is None:
            self.processes[name] = _spawn(command, environment, None)
            return
        with log.open("ab") as output:
            self.processes[name] = _spawn(command, environment, output.fileno())

    def wait_for(self, name: str, url: str) -> None:
        """Wait until `url` answers with anything that is no 5xx."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.processes[name].poll() is not None:
                raise StackError(f"{name} stopped at its start (exit status {self.processes[name].returncode})")
            if answers(url):
                return
            time.sleep(0.05)
        raise StackError(f"{name} does not answer at {url}")

    def stop(self, *names: str) -> None:
        """Stop the named processes, or all: politely, then for good."""
        for name in names or tuple(reversed(self.processes)):
            process = self.processes.pop(name, None)
            if process is None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.stop()


def tenant_command() -> list[str]:
    """Return the command that runs the development tenant."""
    return [sys.executable, "-m", "tenant"]


def api_command() -> list[str]:
    """Return the command that runs the API, as in production."""
    return [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn_conf.py", "wsgi:app"]


def migrate(environment: Mapping[str, str]) -> None:
    """Bring the database to the newest schema: a step of its own, never part of the API's start."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode != 0:
        raise StackError(f"`flask db upgrade` did not succeed:\n{done.stdout}{done.stderr}")


def api_environment(
    api_url: str, issuer: str, database: Path, outside: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what the API is told in development; what is set already (outside, else the environment) wins."""
    port = api_url.rpartition(":")[2]
    told = {
        "TENANT_ISSUER": issuer,
        "API_AUDIENCE": api_url,
        "ROLES_CLAIM": f"{CLAIMS}/roles",
        "ATTRIBUTES_CLAIM": f"{CLAIMS}/attributes",
        "AUTH_TIME_CLAIM": f"{CLAIMS}/auth_time",
        "PUBLIC_URL": api_url,
        "DOCS_CLIENT_ID": "postern-docs",
        "PORT": port,
        "DATABASE_URL": f"sqlite:///{database}",
    }
    return {**told, **(os.environ if outside is None else outside)}


def answers(url: str) -> bool:
    """Tell whether something answers at `url` with a status below 500."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a loopback URL of our own
            return True
    except urllib.error.HTTPError as fault:
        fault.close()
        return fault.code < 500  # noqa: PLR2004 - HTTP's number
    except OSError:
        return False


def is_taken(port: int) -> bool:
    """Tell whether a loopback port is in use."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(command: list[str], environment: Mapping[str, str], output: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output, start_new_session=True
    )
