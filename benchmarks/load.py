"""Send a bounded number of requests over a few kept-alive connections, and look at every answer.

Takes   a port, ready-made requests, the status that each must have
Gives   how long it took; the first answer's body
Raises  WrongAnswer for the first one that is otherwise
Not     the server's processor time (servers.py)

Raw sockets: a client library would take more processor time than the server and so measure itself.
"""

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

_CONNECTIONS = 4
_TIMEOUT_SECONDS = 30
_END_OF_HEADER = b"\r\n\r\n"


class WrongAnswer(Exception):  # noqa: N818 - what a server gave, not a fault of this program
    """A server answered otherwise than it must: what it cost is of no interest."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send; each request is sent once."""

    port: int
    requests: tuple[bytes, ...]
    status: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    seconds: float
    body: bytes


def get(path: str, token: str | None) -> bytes:
    """The bytes of a GET request."""
    authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n{authorization}\r\n".encode()


def send(load: Load) -> Outcome:
    """Send all requests, as many at a time as there are connections."""
    expected = f"HTTP/1.1 {load.status} ".encode()
    body = b""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", load.port), _TIMEOUT_SECONDS))
            for _ in range(_CONNECTIONS)
        ]
        started = time.perf_counter()
        requests = iter(load.requests)
        while batch := tuple(islice(requests, _CONNECTIONS)):
            for connection, request in zip(connections, batch, strict=False):
                connection.sendall(request)
            for connection, _request in zip(connections, batch, strict=False):
                head, content = _answer(connection)
                if not head.startswith(expected):
                    raise WrongAnswer(f"wanted {load.status}, got {head.splitlines()[0]!r}: {content[:300]!r}")
                body = body or content
        return Outcome(time.perf_counter() - started, body)


def _answer(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while _END_OF_HEADER not in received:
        received += _some(connection)
    head, _, body = received.partition(_END_OF_HEADER)
    length = _content_length(head)
    while len(body) < length:
        body += _some(connection)
    return head, body


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise WrongAnswer("the server closed the connection")
    return received


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise WrongAnswer("the answer has no Content-Length")
