"""What an attacker tried against the API under gunicorn, byte by byte: each ends in 4xx, and is never repeated."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import tokens
from tests.support.api import SCOPES
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Issuer

SECRET = "SECRETvalue0123456789"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Wire:
    """A server, and requests to it that no HTTP library would send."""

    def __init__(self, server: GunicornServer, authorization: bytes) -> None:
        self.server, self._authorization = server, authorization

    def send(self, data: bytes, *, timeout_seconds: float = 10) -> tuple[int, dict[str, object], bytes]:
        """Send these bytes and no more; give status, the body's document and the whole answer."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=timeout_seconds) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        body = answer.partition(b"\r\n\r\n")[2]
        return int(answer[9:12]), json.loads(body), answer

    def patch(self, fields: bytes, body: bytes) -> tuple[int, dict[str, object], bytes]:
        """PATCH /v1/me with a good token."""
        head = b"PATCH /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        return self.send(head + self._authorization + fields + b"\r\n" + body)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    directory: Path = tmp_path_factory.mktemp("attacks")
    settings = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "4", "RATE_LIMIT_FAILURES_PER_MINUTE": "60"}
    with Issuer(tokens.rsa_key()) as issuer, GunicornServer(directory, issuer.url, **settings).running() as server:
        now = int(time.time())
        claims = {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": SCOPES}
        token = tokens.mint(tokens.rsa_key(), None, claims)
        yield Wire(server, f"Authorization: Bearer {token}\r\n".encode())


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}XX0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
        b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
    ],
)
def test_chunked_body_when_its_framing_is_broken_then_400(wire: Wire, body: bytes):
    """Gunicorn's InvalidChunkSize and its like were raised while the route read, and became an error 500."""
    status, document, _ = wire.patch(CHUNKED, body)
    assert (status, document["code"]) in {(400, "bad_request"), (400, "malformed_json")}


@pytest.mark.parametrize("body", [b"zz\r\n", b"2\r\n{}XX0\r\n\r\n", b"2\r\n{}\r\n0\r\nno colon\r\n\r\n"])
def test_chunked_body_when_it_is_broken_and_nobody_reads_it_then_one_answer(wire: Wire, body: bytes):
    """Gunicorn sends a 400 after the answer, which whoever keeps the connection takes for the next request's."""
    _, _, answer = wire.send(b"PUT /v1/nowhere HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n" + body)
    assert answer[9:12] == b"404"
    assert answer.count(b"HTTP/1.1 ") == 1


def test_chunked_body_when_larger_than_the_limit_then_413_and_nothing_is_stored(wire: Wire):
    """The body was silently cut at MAX_BODY_BYTES and what was left of it stored: 200 for what is 413 with a length."""
    body = b'{"nickname": "cut"}'.ljust(1_048_576) + b"this is no JSON any more"
    status, document, _ = wire.patch(CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    assert (status, document["code"]) == (413, "payload_too_large")


def test_body_when_it_ends_before_its_length_then_400_and_nothing_is_stored(wire: Wire):
    """RFC 9112 §8: a message whose body is shorter than its Content-Length is incomplete; it was stored with a 200."""
    status, document, _ = wire.patch(b"Content-Length: 50\r\n", b'{"nickname": "torn"}')
    assert (status, document["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    "fields", [b"SCRIPT_NAME: /x\r\n", b"SCRIPT_NAME: /v1\r\n", b"PATH_INFO: /v1/me\r\n"], ids=["other", "own", "path"]
)
def test_path_when_a_field_names_another_then_the_request_line_counts(wire: Wire, fields: bytes):
    """A client's SCRIPT_NAME, taken over by gunicorn from loopback as if a proxy had sent it, was a 500 or a 404."""
    status, document, _ = wire.send(b"GET /v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + fields + b"\r\n")
    assert (status, document.get("name", document.get("code"))) in {(200, "Postern"), (400, "bad_request")}


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"GET /v1/me?access_token={SECRET}\xff HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"),
        f"GET /v1/me?access_token={SECRET} and more HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {SECRET}\r\n\r\n".encode(),
        f"GET /v1/me HTTP/1.1\r\nHost: x\r\nExpect: {SECRET}\r\n\r\n".encode(),
    ],
    ids=["query", "query with spaces", "field without a colon", "expect"],
)
def test_log_when_gunicorn_refuses_a_request_then_nothing_of_it_is_in_the_log(wire: Wire, request_bytes: bytes):
    """request_log.py: "a token, a claim's value, a query, a body or a header: none of these ever gets into the log".

    gunicorn's own warning ("Invalid request from ip=…") repeats the request line or the field that it refuses.
    """
    wire.server.log.write_bytes(b"")
    status, _, answer = wire.send(request_bytes)
    assert 400 <= status < 500
    assert SECRET.encode() not in answer
    time.sleep(0.2)
    assert SECRET not in wire.server.log.read_text()


def test_head_when_of_many_megabytes_then_refused_and_not_parsed_for_seconds(wire: Wire):
    """100 fields of 64 KiB each are allowed together, and gunicorn searches all of it again at each read.

    One head of 6 MB, without a token, cost 4 s of a processor that all threads of the worker share.
    """
    field = b": " + b"a" * 65_000 + b"\r\n"
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"".join(b"X-%d" % n + field for n in range(96))
    answer = b""
    with socket.create_connection(("127.0.0.1", wire.server.port), timeout=30) as connection, suppress(OSError):
        connection.sendall(head + b"\r\n")
        answer = connection.recv(65_536)
    # A refusal may also be a reset: the server need not read the rest.
    assert answer[9:12] in {b"", b"431"}


def test_heads_when_left_unfinished_on_more_connections_than_threads_then_others_are_answered(wire: Wire):
    """A connection that sent one byte held a thread for ever: WEB_THREADS of them, without a token, stopped the API."""
    idle = [socket.create_connection(("127.0.0.1", wire.server.port), timeout=10) for _ in range(8)]
    try:
        for connection in idle:
            connection.sendall(b"G")
        time.sleep(0.5)
        status, _, _ = wire.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", timeout_seconds=15)
        assert status == 200
    finally:
        for connection in idle:
            connection.close()
