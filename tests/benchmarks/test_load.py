"""The load generator looks at every answer: a server that refuses must not pass for a fast one."""

import threading
from collections.abc import Iterator
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


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OnlyWithToken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_send_when_all_answers_are_right_gives_the_first_body(port: int) -> None:
    outcome = send(Load(port, (get("/x", "t"),) * 6, 200))

    assert outcome.body == b"content"
    assert outcome.seconds > 0


def test_send_when_one_answer_has_another_status_stops(port: int) -> None:
    with pytest.raises(WrongAnswer, match="401"):
        send(Load(port, (get("/x", "t"), get("/x", None)), 200))
