"""A store that is down, silent or nonsense: requests are served, few wait, and the log says it once."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.web.limiting.shared_counters import PAUSE_SECONDS, SharedCounters
from tests.support.valkey import running_valkey

ROOT = Path(__file__).parents[3]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class StubbornServer:
    """Accepts every connection, and says always the same, or nothing."""

    def __init__(self, words: bytes = b"") -> None:
        self.connections: list[socket.socket] = []
        self._words = words
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"valkey://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._ends:
                connection.close()
                return
            self.connections.append(connection)
            if self._words:
                connection.sendall(self._words)

    _ends = False

    def close(self) -> None:
        self._ends = True
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        for one in (self._socket, *self.connections):
            one.close()


@contextmanager
def counting(url: str, clock: Clock, timeout_seconds: float = 20) -> Iterator[SharedCounters]:
    with closing(SharedCounters(url, timeout_seconds=timeout_seconds, clock=clock)) as counters:
        yield counters


def test_counters_when_the_store_stops_and_comes_back_then_requests_are_counted_all_the_while(
    caplog: pytest.LogCaptureFixture,
):
    """Fail open: while the store is down each worker counts for itself; the log has one line for each change."""
    clock = Clock()
    with running_valkey() as server, counting(server.url, clock) as counters, caplog.at_level(logging.INFO):
        assert [counters.add("ada") for _ in range(3)] == [1, 2, 3]
        assert counters.state().shared
        server.stop()
        assert [counters.add("ada") for _ in range(4)] == [1, 2, 3, 4]
        state = counters.state()
        assert (state.shared, state.error) == (False, "ConnectionError")
        server.start()
        clock.now += PAUSE_SECONDS - 0.1
        assert counters.add("ada") == 5
        clock.now += 0.2
        # The store has been empty since its start.
        assert [counters.add("ada") for _ in range(2)] == [1, 2]
        assert counters.state().shared
    told = [record.getMessage() for record in caplog.records if "store" in record.getMessage()]
    assert len(told) == 2
    assert "cannot count" in told[0]
    assert "again" in told[1]


def test_counters_when_the_outage_goes_on_then_the_log_is_silent(caplog: pytest.LogCaptureFixture):
    clock = Clock()
    with running_valkey() as server, counting(server.url, clock) as counters, caplog.at_level(logging.INFO):
        server.stop()
        for _ in range(20):
            counters.add("ada")
            clock.now += PAUSE_SECONDS
    assert len(caplog.records) == 1


def test_counters_when_the_store_hangs_then_one_request_in_five_seconds_waits_for_it():
    """A socket that accepts and says nothing: an outage must not cost every request its time-out."""
    clock = Clock()
    with closing(StubbornServer()) as server, counting(server.url, clock, timeout_seconds=0.05) as counters:
        assert [counters.add("ada") for _ in range(200)] == list(range(1, 201))
        assert counters.state().error == "TimeoutError"
        assert len(server.connections) == 1
        clock.now += PAUSE_SECONDS
        assert [counters.add("ada") for _ in range(200)] == list(range(201, 401))
        assert len(server.connections) == 2


def test_counters_when_many_requests_come_at_the_end_of_a_pause_then_one_alone_asks():
    clock = Clock()
    with closing(StubbornServer()) as server, counting(server.url, clock, timeout_seconds=0.3) as counters:
        counters.add("ada")
        clock.now += PAUSE_SECONDS
        threads = [threading.Thread(target=counters.add, args=("ada",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":one\r\n", b"$9\r\n", b"-OOM full\r\n", b"\x00"]
)
def test_counters_when_something_else_answers_then_requests_are_served(words: bytes):
    """Whatever ails the store or its client must not be a 500."""
    with closing(StubbornServer(words)) as server, counting(server.url, Clock(), timeout_seconds=0.2) as counters:
        assert [counters.add("ada") for _ in range(3)] == [1, 2, 3]
        assert counters.state().error


@pytest.mark.parametrize("url", ["valkey://127.0.0.1:1?foo=bar", "valkey://127.0.0.1:1?socket_timeout=x", "http://x"])
def test_counters_when_the_client_cannot_take_the_address_then_the_start_fails(url: str):
    with pytest.raises((TypeError, ValueError)):
        SharedCounters(url)


def test_factory_when_there_is_no_shared_store_then_its_clients_are_not_loaded():
    """They take 5 MB in each worker: only who uses them pays."""
    asked = "import sys, app.factory; print([name for name in ('valkey', 'limits') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
