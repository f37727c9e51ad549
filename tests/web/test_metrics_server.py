"""The port of the metrics: nobody who asks slowly, or for nothing, keeps a scrape waiting, or the worker's end."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from app.web.metrics import scrape, server
from app.web.metrics.server import MetricsServer
from dev.processes import free_port
from tests.support.api import Api, running, settings_for

LONG = 3600.0
PATIENCE_SECONDS = 60


@pytest.fixture
def counted(tmp_path: Path, migrated: str) -> Iterator[Api]:
    """The API with its metrics served once somebody starts it."""
    with running(settings_for(tmp_path, migrated, metrics_port=free_port())) as api:
        yield api
        served(api).stop()


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def served(api: Api) -> MetricsServer:
    metrics = api.app.extensions["postern"].metrics
    assert isinstance(metrics, MetricsServer)
    return metrics


def port_of(api: Api) -> int:
    port: int = api.app.extensions["postern"].settings.metrics_port
    return port


def connect(api: Api, connections: ExitStack, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port_of(api)), timeout=PATIENCE_SECONDS)
    connections.callback(connection.close)
    connection.sendall(first)
    return connection


def status(api: Api) -> int:
    return requests.get(f"http://127.0.0.1:{port_of(api)}/metrics", timeout=PATIENCE_SECONDS).status_code


def answer(connection: socket.socket) -> bytes:
    found = b""
    try:
        while more := connection.recv(65536):
            found += more
    except ConnectionError:
        return found + b"(reset)"
    return found


def drip(connection: socket.socket, over: threading.Event) -> None:
    """Send a byte now and then, for as long as it is taken."""
    try:
        while not over.wait(0.05):
            connection.sendall(b"X")
    except OSError:
        over.set()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_scrape_when_many_ask_slowly_then_answered(
    counted: Api, connections: ExitStack, monkeypatch: pytest.MonkeyPatch
):
    """Twelve connections with a byte every two seconds kept every scrape waiting: the time-out was one of each read."""
    monkeypatch.setattr(server, "HEAD_SECONDS", LONG)
    served(counted).start()
    over = threading.Event()
    connections.callback(over.set)
    for _ in range(12):
        slow = connect(counted, connections, b"GET /metrics HTTP/1.1\r\n")
        threading.Thread(target=drip, args=(slow, over)).start()
    assert [status(counted) for _ in range(5)] == [200] * 5
    assert not over.is_set()  # none of the slow ones was cut for it


@pytest.mark.parametrize(("seconds", "is_cut"), [(0.5, True), (LONG, False)])
def test_head_when_it_comes_byte_by_byte_then_cut_at_the_deadline_of_the_whole(
    counted: Api, connections: ExitStack, monkeypatch: pytest.MonkeyPatch, seconds: float, is_cut: bool
):
    monkeypatch.setattr(server, "HEAD_SECONDS", seconds)
    served(counted).start()
    over = threading.Event()
    connections.callback(over.set)
    slow = connect(counted, connections, b"GET /metrics HTTP/1.1\r\n")
    threading.Thread(target=drip, args=(slow, over)).start()
    if is_cut:
        assert answer(slow) in {b"", b"(reset)"}
    else:
        slow.settimeout(1.5)
        with pytest.raises(TimeoutError):
            slow.recv(1)


@pytest.mark.parametrize(("seconds", "is_cut"), [(0.5, True), (LONG, False)])
def test_answer_when_nobody_reads_it_then_cut_at_its_deadline(
    counted: Api, connections: ExitStack, monkeypatch: pytest.MonkeyPatch, seconds: float, is_cut: bool
):
    monkeypatch.setattr(server, "ANSWER_SECONDS", seconds)
    whole = b"x" * 20_000_000  # more than the kernel keeps on the way
    monkeypatch.setattr(scrape.Site, "answer", lambda *_: whole)
    served(counted).start()
    deaf = connect(counted, connections, b"GET /metrics HTTP/1.1\r\n\r\n")
    loop = served(counted)._loop
    assert loop is not None
    wait_until(lambda: [each.answer is not None for each in loop._scrapes] == [True])
    if is_cut:
        wait_until(lambda: not loop._scrapes)
        assert len(answer(deaf)) < len(whole)
    else:
        assert answer(deaf) == whole


def test_connections_when_as_many_as_are_kept_then_all_are_and_one_more_ends_the_oldest(
    counted: Api, connections: ExitStack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "HEAD_SECONDS", LONG)
    served(counted).start()
    loop = served(counted)._loop
    assert loop is not None
    silent = []
    for number in range(1, server.CONNECTIONS + 1):
        silent.append(connect(counted, connections))
        wait_until(lambda number=number: len(loop._scrapes) == number)  # type: ignore[misc]
    assert status(counted) == 200
    assert answer(silent[0]) == b""
    for others in silent[1:]:
        others.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert answer(others).startswith(b"HTTP/1.0 200 OK\r\n")


def test_head_when_larger_than_allowed_then_cut_and_when_as_large_then_answered(counted: Api, connections: ExitStack):
    served(counted).start()
    start, end = b"GET /metrics HTTP/1.1\r\nX: ", b"\r\n\r\n"
    fits = start + b"a" * (scrape.HEAD_BYTES - len(start) - len(end)) + end
    assert answer(connect(counted, connections, fits)).startswith(b"HTTP/1.0 200 OK\r\n")
    too_long = start + b"a" * (scrape.HEAD_BYTES + 1 - len(start))
    assert answer(connect(counted, connections, too_long)) in {b"", b"(reset)"}


@pytest.mark.parametrize(
    ("sent", "begins"),
    [
        (b"GET /metrics HTTP/1.0\n\n", b"HTTP/1.0 200 OK\r\n"),
        (b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.0 "),
        (b"GET /metrics HTTP/nine\r\n\r\n", b""),
        (b"\x16\x03\x01\x02\r\n\r\n", b""),
        (b"\r\n\r\n", b""),
        (b"GET  HTTP/1.1\r\n: \xff\r\n\r\n", b""),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.0 "),
    ],
)
def test_head_when_anything_at_all_then_answered_or_cut_and_the_next_scrape_is_served(
    counted: Api, connections: ExitStack, capfd: pytest.CaptureFixture[str], sent: bytes, begins: bytes
):
    served(counted).start()
    assert answer(connect(counted, connections, sent)).startswith(begins)
    assert status(counted) == 200
    assert "Traceback" not in capfd.readouterr().err


def test_stop_when_connections_are_half_way_then_the_thread_ends_and_the_port_is_free(
    counted: Api, connections: ExitStack, monkeypatch: pytest.MonkeyPatch
):
    """A stop waited for the handler of a slow connection, and gunicorn for that worker: 30 s."""
    monkeypatch.setattr(server, "HEAD_SECONDS", LONG)
    served(counted).start()
    half_way = connect(counted, connections, b"GET /metrics")
    thread = served(counted)._thread
    assert thread is not None
    assert thread.daemon
    served(counted).stop()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert answer(half_way) in {b"", b"(reset)"}
    with pytest.raises(ConnectionRefusedError):
        connect(counted, connections)


def test_stop_when_the_thread_hangs_then_it_waits_for_no_longer_than_a_second_or_so(
    counted: Api, monkeypatch: pytest.MonkeyPatch
):
    released, begun = threading.Event(), threading.Event()

    def hang(*_: object) -> bytes:
        begun.set()
        released.wait(PATIENCE_SECONDS)
        return b""

    monkeypatch.setattr(scrape.Site, "answer", hang)
    monkeypatch.setattr(server, "STOP_SECONDS", 0.1)
    served(counted).start()
    with socket.create_connection(("127.0.0.1", port_of(counted))) as asking:
        asking.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert begun.wait(PATIENCE_SECONDS)
        thread = served(counted)._thread
        assert thread is not None
        served(counted).stop()
        assert thread.is_alive()
        released.set()
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_states_when_nobody_scrapes_then_looked_at_by_the_clock(counted: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.02)
    looks = []
    monkeypatch.setattr(served(counted)._counting, "look", lambda: looks.append(1))
    served(counted).start()
    wait_until(lambda: len(looks) > 3)


def test_states_when_looks_fail_then_logged_once_and_the_next_one_comes(
    counted: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The first look is part of the worker's start: its fault would have been the end of all."""
    looks = []

    def fail() -> None:
        looks.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(server, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(served(counted)._counting, "look", fail)
    counted.app.extensions["postern"].start()
    wait_until(lambda: len(looks) > 3)
    assert status(counted) == 200
    said = [record.getMessage() for record in caplog.records if record.name == "postern.metrics"]
    assert said == ["the states cannot be looked at"]


def test_request_when_it_cannot_be_counted_then_answered_and_told_once_a_minute(
    tmp_path: Path, migrated: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A full disk, or a folder that somebody has removed, is no fault of the request."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.web.metrics.counting.Counting.request", fail)
    with running(settings_for(tmp_path, migrated, metrics_port=free_port())) as api:
        capsys.readouterr()
        assert [api.get("/v1/whoami").status_code for _ in range(3)] == [200] * 3
        assert capsys.readouterr().err.count("a request could not be counted") == 1
        now = time.monotonic()
        monkeypatch.setattr("time.monotonic", lambda: now + 61)
        api.get("/v1/whoami")
        assert capsys.readouterr().err.count("a request could not be counted") == 1
