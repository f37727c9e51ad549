"""The API as production runs it, which a test can reload, stop and start again: gunicorn, its database, its folder.

Takes   a directory that outlives each start; settings by name
Gives   GunicornServer: start(), reload(), stop(); get() and other requests with a token
Raises  AssertionError with the log where it does not come up
Not     the tenant (issuer.py, tenant.py)
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from app.commands.db import upgrade
from dev.processes import free_port

ROOT = Path(__file__).parents[2]
AUDIENCE = "https://api.example"
_PATIENCE_SECONDS = 60


class GunicornServer:
    """One API; what is on disk stays between its starts, its processes do not."""

    def __init__(self, directory: Path, issuers: str, *, app: str = "wsgi:app", **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"api-{self.port}.log"
        self.snapshots = directory / "keys"
        self.settings = {
            "PATH": os.environ["PATH"],
            "TENANT_ISSUER": issuers,
            "API_AUDIENCE": AUDIENCE,
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{directory / 'postern.db'}",
            "JWKS_SNAPSHOT_DIR": str(self.snapshots),
            "WEB_CONCURRENCY": "2",
            "LOG_FORMAT": "json",
            "DRAIN_SECONDS": "0",
            # Tests ask more than a person does; those of the limits say which.
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
            "RATE_LIMIT_WRITES_PER_MINUTE": "0",
            "RATE_LIMIT_FAILURES_PER_MINUTE": "0",
            **settings,
        }
        upgrade(self.settings["DATABASE_URL"])
        self._app = app
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        """Start all of it; these settings count from now on."""
        self.settings |= settings
        command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn_conf.py", self._app]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.settings, stdout=output, stderr=output, start_new_session=True
            )
        self._wait_until(self._is_up)

    def reload(self) -> None:
        """SIGHUP, and wait until no worker of before is left."""
        before = self.workers()
        assert before
        self._running().send_signal(signal.SIGHUP)
        wanted = int(self.settings["WEB_CONCURRENCY"])
        self._wait_until(lambda: len(self.workers()) == wanted and not self.workers() & before)
        self._wait_until(self._is_up)

    def stop(self) -> None:
        """Stop all of it; harmless where nothing runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_PATIENCE_SECONDS)
            self._process = None

    def workers(self) -> set[int]:
        """The worker processes of this moment."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = (line.split() for line in listed.splitlines())
        return {int(pid) for pid, parent in pairs if int(parent) == self._running().pid}

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

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _is_up(self) -> bool:
        assert self._running().poll() is None, self.log.read_text()
        try:
            return requests.get(self.url + "/livez", timeout=5).ok
        except requests.RequestException:
            return False

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
