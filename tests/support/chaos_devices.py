"""Devices at a steady pace, each request of which is taken down: what came back, when, and after how long.

Takes   the API's URL; what gives a token for each request; a Tally
Gives   Device, a Client;  Tally: everything that was seen, by all devices;  Seen
Raises  NoAnswer, as a Client does
Not     what is asked (chaos_load.py, prove/soak.py), what may come back (chaos_judge.py)
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.sync_client import Answer, Client, NoAnswer


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when it was answered (monotonic), the status, or 0 for none; the problem's code, if it is one."""

    at: float
    status: int
    code: str
    seconds: float

    @property
    def is_well(self) -> bool:
        """Tell whether the user has noticed nothing."""
        return 200 <= self.status < 400 or self.status in {404, 410, 412}


@dataclass(slots=True)
class Tally:
    """What all devices of a load have seen."""

    seen: list[Seen] = field(default_factory=list)

    def between(self, begin: float, end: float) -> list[Seen]:
        """What was answered in that time."""
        return [one for one in list(self.seen) if begin <= one.at < end]

    def last_trouble(self, since: float) -> float | None:
        """When the last request failed, of those answered since then."""
        return max((one.at for one in list(self.seen) if one.at >= since and not one.is_well), default=None)

    def codes(self) -> Counter[str]:
        """How often each trouble came, by status and code."""
        return Counter(f"{one.status} {one.code}".strip() for one in self.seen if not one.is_well)


class Device(Client):
    """A client that asks no more often than its pace, with the token that `token` gives for each request."""

    def __init__(self, url: str, token: Callable[[], str], tally: Tally, *, pause_seconds: float) -> None:
        super().__init__(url, "")
        self._next_token, self._tally, self._pause_seconds = token, tally, pause_seconds
        self._next_at = 0.0

    def send(self, method: str, path: str, document: Any = None, **fields: str) -> Answer:
        """Send one request when its time has come, and take down what came of it."""
        self._wait()
        self._token = self._next_token()
        begun_at = time.monotonic()
        try:
            answer = super().send(method, path, document, **fields)
        except NoAnswer:
            self._tally.seen.append(Seen(time.monotonic(), 0, "no answer", time.monotonic() - begun_at))
            raise
        code = answer.document.get("code", "") if isinstance(answer.document, dict) else ""
        self._tally.seen.append(Seen(time.monotonic(), answer.status, str(code), time.monotonic() - begun_at))
        return answer

    def send_and_go(self, method: str, path: str, document: Any, **fields: str) -> None:
        """Send one request and hang up; nobody knows what came of it."""
        self._wait()
        self._token = self._next_token()
        super().send_and_go(method, path, document, **fields)

    def _wait(self) -> None:
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + self._pause_seconds


class Crew:
    """Threads, each of which does its work again and again until they are told to end; what one raises is raised."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self._threads, self._faults = list[threading.Thread](), list[BaseException]()

    def start(self, work: Callable[[], object], ends: threading.Event | None = None) -> threading.Thread:
        """Let one more work, until all are told to end, or that one is."""

        def run() -> None:
            try:
                while not (ends or self.ends).is_set():
                    work()
            except BaseException as fault:  # noqa: BLE001 - told by the thread that waits
                self._faults.append(fault)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def end(self, patience_seconds: float) -> None:
        """Tell them to end, and wait until they have."""
        self.ends.set()
        for thread in self._threads:
            thread.join(patience_seconds)
            assert not thread.is_alive(), "a device does not come to its end"
        for fault in self._faults:
            raise fault
