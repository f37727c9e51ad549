"""The load generator looks at every answer: a server that refuses must not pass for a fast one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load import Load, WrongAnswer, get, send


class _OnlyWithToken(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == "Bearer t" else 401)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_arguments: object) -> None:
        pass


class _NotModified(_OnlyWithToken):
    def do_GET(self) -> None:
        self.send_response(304)
        self.send_header("Content-Length", "7")
        self.end_headers()


@pytest.fixture
def port() -> Iterator[int]:
    with running(_OnlyWithToken) as number:
        yield number


@pytest.fixture
def empty_port() -> Iterator[int]:
    with running(_NotModified) as number:
        yield number


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_send_when_all_answers_are_right_gives_the_first_body(port: int) -> None:
    outcome = send(Load(port, (get("/x", "t"),) * 6, 200))

    assert outcome.body == b"content"
    assert outcome.seconds > 0
    assert len(outcome.latencies) == 6
    assert all(0 < latency <= outcome.seconds for latency in outcome.latencies)


def test_send_when_there_are_fewer_requests_than_connections_then_each_is_sent_once(port: int) -> None:
    assert len(send(Load(port, (get("/x", "t"),), 200)).latencies) == 1


def test_send_when_the_answer_has_no_body_then_none_is_waited_for(empty_port: int) -> None:
    """RFC 9112 §6.3: a 304 ends with its head, whatever length the 200 would have had."""
    outcome = send(Load(empty_port, (get("/x", None),) * 6, 304))

    assert outcome.body == b""
    assert outcome.head.startswith(b"HTTP/1.1 304 ")


def test_send_when_one_answer_has_another_status_stops(port: int) -> None:
    with pytest.raises(WrongAnswer, match="401"):
        send(Load(port, (get("/x", "t"), get("/x", None)), 200))


def test_send_when_the_other_status_is_expected_too_goes_on(port: int) -> None:
    outcome = send(Load(port, (get("/x", "t"), get("/x", None)), 200, (401,)))

    assert len(outcome.latencies) == 2
