"""The API as in production, and everything beneath it, each of which can be broken and mended.

Takes   a folder
Gives   Stack, by stack_in(folder): gunicorn with two workers, PostgreSQL, Valkey, an Issuer, the disk for the copies
        of keys; Signer: tokens as the tenant gives them
Raises  what does not start
Not     the load (chaos_load.py), the faults (prove/chaos_faults.py)
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from app.commands.db import upgrade
from tests.support import tokens
from tests.support.databases import PostgresqlServer
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Issuer
from tests.support.shared_server import stop_by_signal
from tests.support.valkey import ValkeyServer, running_valkey

# Not the profile: it is told among the changes, too, and the reckoning is of records.
_SCOPE = "read:records write:records"
_LIFETIME_SECONDS = 3600
_HELD_SECONDS = 5
_DISK_BYTES = 64 * 1024
# Short enough for the keys to be fetched anew, to grow stale and to be given up while a fault lasts; and limits that
# are asked about each request, and that nobody reaches.
_SETTINGS = {
    "JWKS_MIN_TTL_SECONDS": "2",
    "JWKS_MAX_TTL_SECONDS": "2",
    "JWKS_MAX_STALE_SECONDS": "25",
    "JWKS_COOLDOWN_SECONDS": "1",
    "JWKS_TIMEOUT_SECONDS": "2",
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "100000",
    "RATE_LIMIT_WRITES_PER_MINUTE": "100000",
    "RATE_LIMIT_FAILURES_PER_MINUTE": "100000",
    "MAX_RECORDS_PER_COLLECTION": "10000000",
    "MAX_BYTES_PER_USER": "10000000000",
    "LOG_LEVEL": "warning",
}
Dates = Callable[[int], Mapping[str, int]]


def right_dates(now: int) -> Mapping[str, int]:
    """The dates of a token that was given just now, by a clock that is right."""
    return {"iat": now, "exp": now + _LIFETIME_SECONDS}


class Signer:
    """The tenant's pen: which keys sign just now, and what its clock says."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self.keys: tuple[tokens.SigningKey, ...] = ()
        self._dates: Dates = right_dates
        self._held: dict[str, tuple[float, str]] = {}
        self._numbers = count(1)

    def sign_with(self, *keys: tokens.SigningKey) -> None:
        """From now on each token is signed by one of these; tokens that devices hold are given anew."""
        self.keys = keys
        self._held.clear()

    def date_by(self, dates: Dates) -> None:
        """From now on tokens bear these dates."""
        self._dates = dates
        self._held.clear()

    def next_key(self) -> tokens.SigningKey:
        """A key that was never seen before."""
        return tokens.new_rsa_key(f"chaos-{next(self._numbers)}")

    def token(self, subject: str, **claims: Any) -> str:
        """A token that nobody has seen."""
        now = int(time.time())
        changes = {"iss": self._issuer.url, "sub": subject, "aud": AUDIENCE, "scope": _SCOPE, **self._dates(now)}
        return tokens.mint(random.choice(self.keys), None, changes | {"jti": uuid4().hex} | claims)

    def held(self, subject: str) -> str:
        """The token that this user's devices hold; a new one every few seconds."""
        given_at, token = self._held.get(subject, (0.0, ""))
        if time.monotonic() - given_at > _HELD_SECONDS:
            given_at, token = time.monotonic(), self.token(subject)
            self._held[subject] = given_at, token
        return token


class StoppablePostgresql(PostgresqlServer):
    """A server of one's own, that can be stopped at once and started again."""

    def stop_at_once(self) -> None:
        """Immediate shutdown: no connection is closed well, nothing is flushed; the next start recovers."""
        stop_by_signal(self._pid_file, signal.SIGQUIT)

    def start_again(self) -> None:
        """Start it on what is on the disk."""
        self._start()


class Disk:
    """Where the copies of the keys are kept: a small disk of its own where one can be mounted, else a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.is_mounted = False
        if shutil.which("mount"):
            command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=700", "tmpfs", str(folder)]
            self.is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Leave no byte; a mere folder gets a mode with which its owner cannot write, and root does not want to."""
        if not self.is_mounted:
            self.folder.chmod(0o577)
            return
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        """Make room again."""
        self.folder.chmod(0o700)
        (self.folder / "filler").unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it."""
        if self.is_mounted:
            subprocess.run(["umount", self.folder], check=True)


@dataclass(frozen=True, slots=True)
class Stack:
    """All of it."""

    server: GunicornServer
    issuer: Issuer
    signer: Signer
    postgresql: StoppablePostgresql
    valkey: ValkeyServer
    disk: Disk
    valkey_pid_file: Path
    _logged: list[int] = field(default_factory=lambda: [0])

    @property
    def database_url(self) -> str:
        """Where the API keeps its data."""
        return self.server.settings["DATABASE_URL"]

    def new_log(self) -> str:
        """What the API has logged since it was last asked."""
        whole = self.server.log.read_text()
        new, self._logged[0] = whole[self._logged[0] :], len(whole)
        return new

    def rotate(self, seconds: float) -> None:
        """Publish a new key, and use it at once beside the one before, which goes when nobody uses it any more."""
        (before,), new = self.signer.keys, self.signer.next_key()
        self.issuer.rotate(before, new)
        self.signer.sign_with(before, new)
        time.sleep(seconds)
        self.signer.sign_with(new)
        # What is on its way with the old key arrives.
        time.sleep(1)
        self.issuer.rotate(new)

    def signal_valkey(self, number: signal.Signals) -> None:
        """SIGSTOP: it takes connections and answers nothing; SIGCONT: it goes on."""
        os.kill(int(self.valkey_pid_file.read_text()), number)


@contextmanager
def stack_in(directory: Path) -> Iterator[Stack]:
    """Start everything; stop it at the end, whatever state it is in."""
    disk = Disk(directory / "keys")
    try:
        with (
            StoppablePostgresql(f"chaos-{uuid4().hex[:8]}") as postgresql,
            postgresql.database() as url,
            running_valkey() as valkey,
            Issuer(tokens.rsa_key()) as issuer,
        ):
            upgrade(url)
            with psycopg.connect(url, autocommit=True) as connection:
                # As in production: what is committed is in the log before anybody is told so.
                connection.execute(f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = on")
            signer = Signer(issuer)
            signer.sign_with(tokens.rsa_key())
            own = {"DATABASE_URL": url, "SHARED_STORE_URL": valkey.url, "JWKS_SNAPSHOT_DIR": str(disk.folder)}
            pid_file = Path(valkey.url.removeprefix("unix://")).with_name("pid")
            with GunicornServer(directory, issuer.url, **_SETTINGS, **own).running() as server:
                yield Stack(server, issuer, signer, postgresql, valkey, disk, pid_file)
    finally:
        disk.remove()
