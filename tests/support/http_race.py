"""Writers and polling readers over HTTP, all at once, of two users, against gunicorn with two workers.

Takes   a migrated database; when it is enough
Gives   race(…) → Outcome: a Toll for each user;  Race, for who wants to disturb it meanwhile;  server_for(…)
Raises  what a thread has raised
Not     the requests (http_writers.py, sync_client.py), the reckoning (reckoning.py)
Source  docs/contracts/user-data.md §7, §8
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.db import Database
from app.users.identity import Identity
from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.http_writers import Ledger, Writer, first_record
from tests.support.naive_api import numbers_for
from tests.support.reckoning import Toll, reckoned
from tests.support.records import Store
from tests.support.sync_client import Client, Follower

WRITERS = 6
_SCOPE = "read:records write:records"
# The readers should be about to read whenever something is committed.
_PAUSE_SECONDS = 0.004
_PATIENCE_SECONDS = 900
_SETTLING_SECONDS = 1
Work = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Reader:
    """A device that reads. When it begins, and after which page it sleeps how long: as shares of the writes."""

    follower: Follower
    begins: float = 0
    sleeps: tuple[int, float] = (0, 0)


@dataclass(frozen=True, slots=True)
class User:
    """One user's devices, and what they know."""

    identity: Identity
    ledger: Ledger
    writers: list[Writer]
    readers: list[Reader]

    def toll(self, database: Database) -> Toll:
        """Reckon up."""
        readers = [(reader.follower, not reader.begins) for reader in self.readers]
        return reckoned(self.identity, self.ledger, readers, database)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`unanswered`: connections that broke; `hung_up`: devices that did not wait; `later`: answers that said so;
    `replayed`: kept answers.
    """

    tolls: tuple[Toll, ...]
    seconds: float
    unanswered: int
    hung_up: int
    later: int
    replayed: int

    @property
    def acknowledged(self) -> int:
        """All users' writes."""
        return sum(toll.acknowledged for toll in self.tolls)


class Race:
    """Two users: six writers and four readers of the one, beside them a writer and a reader of the other."""

    def __init__(self, url: str, *, keyed: bool = True, patient: bool = False) -> None:
        self._url, self._keyed, self._patient = url, keyed, patient
        self._users = (self._user("auth0|ada", WRITERS, readers=4), self._user("auth0|bob", 1, readers=1))
        self._done, self._faults, self._seconds = threading.Event(), list[BaseException](), 0.0

    def run(self, progress: Callable[[], float]) -> None:
        """Let them all go on until `progress` is 1; then let the readers read to the end."""
        for user in self._users:
            first_record(user.writers[0].client, user.ledger)
            for reader in user.readers:
                if not reader.begins:
                    reader.follower.poll()
        started_at = time.monotonic()
        writers = [self._started(self._write, writer, progress) for user in self._users for writer in user.writers]
        readers = [self._started(self._read, reader, progress) for user in self._users for reader in user.readers]
        _join(writers)
        self._seconds = time.monotonic() - started_at
        if self._patient:
            # What a worker has sent that is dead now may still be on its way into the database.
            time.sleep(_SETTLING_SECONDS)
        self._done.set()
        _join(readers)
        if self._faults:
            raise self._faults[0]

    def acknowledged(self) -> int:
        """How many writes there are so far."""
        return sum(len(user.ledger.effects) for user in self._users)

    def disturbed(self) -> int:
        """How many requests have had no answer so far, or one that said "later"."""
        return sum(user.ledger.unknown + user.ledger.later for user in self._users)

    def hung_up(self) -> int:
        """How many requests were left alone by their device so far."""
        return sum(user.ledger.hung_up for user in self._users)

    def outcome(self, database_url: str, *, are_tallied: bool = True) -> Outcome:
        """Reckon up, and count everything anew where tallies are kept."""
        database = Database(database_url)
        try:
            tolls = tuple(user.toll(database) for user in self._users)
            for user in self._users if are_tallied else ():
                Store(database, identity=user.identity).refuse_wrong_numbers()
        finally:
            database.dispose()
        ledgers = [user.ledger for user in self._users]
        unanswered, later = sum(ledger.unknown for ledger in ledgers), sum(ledger.later for ledger in ledgers)
        replayed = sum(ledger.replayed for ledger in ledgers)
        return Outcome(tolls, self._seconds, unanswered, self.hung_up(), later, replayed)

    def _user(self, subject: str, writers: int, readers: int) -> User:
        token, ledger = _token_of(subject), Ledger()
        devices = [Client(self._url, token) for _ in range(writers + 4)]
        reading = [
            Reader(Follower(devices[0], limit=50, conditional=True)),
            Reader(Follower(devices[1], limit=500)),
            Reader(Follower(devices[2], limit=20, collections=frozenset({"tasks"}))),
            # Begins when a third is written, and sleeps after its first page, as an app that is closed half-way.
            Reader(Follower(devices[3], limit=60, conditional=True), begins=1 / 3, sleeps=(1, 2 / 3)),
        ]
        writing = [
            Writer(device, f"w{number}", ledger, keyed=self._keyed, patient=self._patient)
            for number, device in enumerate(devices[4:])
        ]
        return User(Identity(tokens.ISSUER, subject), ledger, writing, reading[:readers])

    def _started(
        self, work: Callable[..., None], device: Writer | Reader, progress: Callable[[], float]
    ) -> threading.Thread:
        def guarded() -> None:
            try:
                work(device, progress)
            except BaseException as fault:  # noqa: BLE001 - told by the thread that waits
                self._faults.append(fault)

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def _write(self, writer: Writer, progress: Callable[[], float]) -> None:
        while progress() < 1 and not self._faults:
            writer.turn()
        writer.client.disconnect()

    def _read(self, reader: Reader, progress: Callable[[], float]) -> None:
        follower, (page, until) = reader.follower, reader.sleeps
        self._wait(reader.begins, progress)
        while True:
            # Asked before the poll: what is acknowledged by now must be in this one, or in one before it.
            was_done = self._done.is_set()
            has_more = follower.poll()
            if page and follower.pages == page:
                follower.client.disconnect()
                self._wait(until, progress)
            if not has_more and was_done:
                break
            if not has_more:
                time.sleep(_PAUSE_SECONDS)
        follower.client.disconnect()

    def _wait(self, share: float, progress: Callable[[], float]) -> None:
        while progress() < share and not self._done.is_set():
            time.sleep(_PAUSE_SECONDS)


def race(directory: Path, database_url: str, writes: int, *, is_naive: bool = False) -> Outcome:
    """Start the API, or the naive one; let the devices write that many changes; stop it, and reckon up."""
    if is_naive:
        numbers_for(database_url)
    server = server_for(directory, database_url, "tests.support.naive_api:app" if is_naive else "wsgi:app")
    racing = Race(server.url, keyed=not is_naive)
    with server.running():
        racing.run(lambda: racing.acknowledged() / writes)
    return racing.outcome(database_url, are_tallied=not is_naive)


def server_for(directory: Path, database_url: str, app: str = "wsgi:app") -> GunicornServer:
    """An API of two workers that nothing holds back, and that needs no tenant; not started."""
    settings = {
        "DATABASE_URL": database_url,
        "MAX_RECORDS_PER_COLLECTION": "10000000",
        "MAX_BYTES_PER_USER": "10000000000",
        "LOG_LEVEL": "warning",
    }
    return GunicornServer.without_tenant(directory, app=app, **settings)


def _token_of(subject: str) -> str:
    now = int(time.time())
    changes = {"sub": subject, "iat": now, "exp": now + 6 * 3600, "aud": AUDIENCE, "scope": _SCOPE}
    return tokens.mint(tokens.rsa_key(), None, changes)


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(_PATIENCE_SECONDS)
        assert not thread.is_alive(), "a device does not come to its end"
