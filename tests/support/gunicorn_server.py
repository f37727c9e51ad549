"""The API as production runs it: gunicorn with its workers, which can be reloaded.

Takes   what ServerProcess takes;  app, where it is another than the API's own
Gives   GunicornServer: a ServerProcess with reload() and workers()
Raises  AssertionError with the log where it does not come up
Not     starting, asking, stopping (server_process.py)
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support import tokens
from tests.support.server_process import AUDIENCE, ROOT, ServerProcess

__all__ = ["AUDIENCE", "ROOT", "GunicornServer"]


class GunicornServer(ServerProcess):
    """Two workers that wait for nobody when they stop, and whose limits are off, unless the settings say otherwise."""

    def __init__(self, directory: Path, issuers: str, *, app: str = "wsgi:app", **settings: str) -> None:
        usual = {
            "WEB_CONCURRENCY": "2",
            "DRAIN_SECONDS": "0",
            # Tests ask more than a person does; those of the limits say which.
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
            "RATE_LIMIT_WRITES_PER_MINUTE": "0",
            "RATE_LIMIT_FAILURES_PER_MINUTE": "0",
        }
        super().__init__(directory, issuers, usual | settings)
        self.settings["PORT"] = str(self.port)
        self._app = app

    @classmethod
    def without_tenant(cls, directory: Path, *, app: str = "wsgi:app", **settings: str) -> Self:
        """An API whose issuer is tokens.ISSUER, and which has its one key, tokens.rsa_key(), in a file."""
        keys = directory / "jwks.json"
        keys.write_bytes(tokens.key_set(tokens.rsa_key()))
        return cls(directory, tokens.ISSUER, app=app, JWKS_FILE=str(keys), **settings)

    def command(self) -> list[str]:
        """As in the image."""
        return [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn_conf.py", self._app]

    def reload(self) -> None:
        """SIGHUP, and wait until no worker of before is left."""
        before = self.workers()
        assert before
        self.process.send_signal(signal.SIGHUP)
        wanted = int(self.settings["WEB_CONCURRENCY"])
        self.wait_until(lambda: len(self.workers()) == wanted and not self.workers() & before)
        self.wait_until(self.answers)

    def workers(self) -> set[int]:
        """The worker processes of this moment."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = (line.split() for line in listed.splitlines())
        return {int(pid) for pid, parent in pairs if int(parent) == self.process.pid}
