"""What kills at random while devices write: workers, the database's connections, the database itself.

Takes   a GunicornServer that runs;  the URL of a PostgreSQL database
Gives   race_under_kills(…) → Outcome;  worker_of, connections_of, database_of: whom to strike
Raises  what a thread has raised
Not     what must hold afterwards (reckoning.py)
Source  docs/contracts/user-data.md §8 "A fault test"
"""

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg

from tests.support.gunicorn_server import GunicornServer
from tests.support.http_race import Outcome, Race, server_for

_WRITES_BETWEEN = 5
_API = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'postern'"


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to strike, how often at least, and with which pauses.

    `disturbed` and `hung_up`: how many requests must have had no answer, or "later", and how many devices not waited.
    """

    strike: Callable[[GunicornServer], Callable[[], int]]
    kills: int
    pause_seconds: tuple[float, float]
    disturbed: int = 1
    hung_up: int = 1
    app: str = "wsgi:app"
    keyed: bool = True


def race_under_kills(directory: Path, database_url: str, plan: Plan) -> tuple[int, Outcome]:
    """Let the devices write and poll while the plan is carried out; tell how many were killed, and reckon up."""
    server = server_for(directory, database_url, plan.app)
    racing = Race(server.url, keyed=plan.keyed, patient=True)
    killer = Killer(plan, plan.strike(server), racing)
    with server.running(), killer:
        racing.run(killer.progress)
    return killer.count, racing.outcome(database_url)


class Killer:
    """Strikes until it is enough, each time after a pause of random length and when writes were acknowledged since.

    Without that, a machine on which a worker takes longer to start than it is let live would never come to an end.
    """

    def __init__(self, plan: Plan, strike: Callable[[], int], racing: Race) -> None:
        self._plan, self._strike, self._racing = plan, strike, racing
        self._ends, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)
        self._fault: BaseException | None = None
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(60)
        if self._fault is not None:
            raise self._fault

    def progress(self) -> float:
        """How much of the plan is carried out: 1 is all of it, and also when nothing more can come."""
        if self._fault is not None:
            return 1
        broken = self._racing.disturbed() / self._plan.disturbed, self._racing.hung_up() / self._plan.hung_up
        return min(self.count / self._plan.kills, *broken, 1)

    def _run(self) -> None:
        acknowledged = 0
        try:
            while self.progress() < 1 and not self._ends.wait(random.uniform(*self._plan.pause_seconds)):
                if self._racing.acknowledged() >= acknowledged + _WRITES_BETWEEN:
                    acknowledged = self._racing.acknowledged()
                    self.count += self._strike()
        except BaseException as fault:  # noqa: BLE001 - told by the thread that waits
            self._fault = fault


def worker_of(server: GunicornServer) -> Callable[[], int]:
    """SIGKILL for one worker, or for all of them at once; gunicorn starts new ones."""

    def strike() -> int:
        workers = sorted(server.workers())
        chosen = workers if random.random() < 0.2 else random.sample(workers, min(1, len(workers)))
        return sum(_killed(pid) for pid in chosen)

    return strike


def connections_of(server: GunicornServer) -> Callable[[], int]:
    """The end of some of the API's connections, as an administrator or a failover ends them."""

    def strike() -> int:
        with psycopg.connect(server.settings["DATABASE_URL"], autocommit=True) as connection:
            pids = [pid for (pid,) in connection.execute(_API)]
            chosen = random.sample(pids, (len(pids) + 1) // 2)
            return sum(connection.execute("SELECT pg_terminate_backend(%s)", [pid]).rowcount for pid in chosen)

    return strike


def database_of(server: GunicornServer) -> Callable[[], int]:
    """SIGKILL for one of the API's connections at the database: PostgreSQL then ends them all, and recovers."""

    def strike() -> int:
        try:
            with psycopg.connect(server.settings["DATABASE_URL"], autocommit=True) as connection:
                pids = [pid for (pid,) in connection.execute(_API)]
        except psycopg.OperationalError:
            # It recovers from the last time.
            return 0
        return _killed(random.choice(pids)) if pids else 0

    return strike


def _killed(pid: int) -> int:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1
