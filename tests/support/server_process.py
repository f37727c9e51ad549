"""The API in a process of its own, behind whichever server, which a test starts, asks, stops and starts again.

Takes   a directory that outlives each start; issuers; settings by name; the command, from the class that knows it
Gives   ServerProcess: running(), or start() and stop(); get() and other requests with a token; lines() of its log
Raises  AssertionError with the log where it does not come up
Not     which server (gunicorn_server.py); the tenant (issuer.py, tenant.py)
"""

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import requests

from app.commands.db import upgrade
from config.lines import PAUSE_SECONDS
from dev.processes import free_port

ROOT = Path(__file__).parents[2]
AUDIENCE = "https://api.example"
_PATIENCE_SECONDS = 60


class ServerProcess(ABC):
    """One API; what is on disk stays between its starts, its processes do not."""

    def __init__(self, directory: Path, issuers: str, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"api-{self.port}.log"
        self.snapshots = directory / "keys"
        # Nothing of the caller's own environment: a test must not depend on a forgotten variable.
        self.settings = {
            "PATH": os.environ["PATH"],
            "TENANT_ISSUER": issuers,
            "API_AUDIENCE": AUDIENCE,
            "DATABASE_URL": f"sqlite:///{directory / 'postern.db'}",
            "JWKS_SNAPSHOT_DIR": str(self.snapshots),
            "LOG_FORMAT": "json",
            **settings,
        }
        upgrade(self.settings["DATABASE_URL"])
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The words that start the server on the port."""

    @contextmanager
    def running(self, **settings: str) -> Iterator[Self]:
        """Start all of it, and stop it when the block ends."""
        try:
            self.start(**settings)
            yield self
        finally:
            self.stop()

    def start(self, **settings: str) -> None:
        """Start all of it, and wait until it answers; these settings count from now on."""
        self.settings |= settings
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(), cwd=ROOT, env=self.settings, stdout=output, stderr=output, start_new_session=True
            )
        self.wait_until(self.answers)

    def stop(self) -> int | None:
        """Stop all of it, and return its exit code; harmless where it has ended, or was never started (None)."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_PATIENCE_SECONDS)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that was started last, which is the head of its group."""
        assert self._process is not None
        return self._process

    def request(self, method: str, path: str, token: str, **options: Any) -> requests.Response:
        """Send one request, on a connection of its own: any worker may get it."""
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def get(self, token: str, path: str = "/v1/whoami") -> requests.Response:
        """GET with a token."""
        return self.request("GET", path, token)

    def readiness(self) -> requests.Response:
        """Ask /readyz."""
        return requests.get(self.url + "/readyz", timeout=30)

    def answers(self, path: str = "/livez") -> bool:
        """Tell whether it serves this path at the moment."""
        try:
            return requests.get(self.url + path, timeout=10).ok
        except requests.RequestException:
            return False

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what must come true soon; the log tells why it did not."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            # First of all: where it has ended, another may answer on its port by now.
            assert self.process.poll() is None, self.log.read_text()
            if condition():
                return
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far as JSON; what Python or the server printed before the log was set up is none."""
        # A line that is no error comes a moment later (config/lines.py).
        time.sleep(2 * PAUSE_SECONDS)
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def lines_of(self, route: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of so many requests, as soon as they are there: they come a moment after the answers."""
        self.wait_until(lambda: len(self._of(route)) >= count)
        return self._of(route)

    def _of(self, route: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line.get("route") == route]
