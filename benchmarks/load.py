"""Send a bounded number of requests over a few kept-alive connections, and look at every answer.

Takes   a port, ready-made requests, the status that each must have
Gives   how long it took; the first answer's head and body
Raises  WrongAnswer for the first one that is otherwise
Not     the server's processor time (servers.py)

Raw sockets: a client library would take more processor time than the server and so measure itself.
"""

import selectors
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NoReturn, cast

_CONNECTIONS = 4
_TIMEOUT_SECONDS = 30
_END_OF_HEADER = b"\r\n\r\n"
# RFC 9112 §6.3: these end with their head, whatever its fields say.
_WITHOUT_BODY = (b"HTTP/1.1 204 ", b"HTTP/1.1 304 ")


class WrongAnswer(Exception):  # noqa: N818 - what a server gave, not a fault of this program
    """A server answered otherwise than it must: what it cost is of no interest."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send; each request is sent once, and answered by `status` or, in a flood, by one of the others."""

    port: int
    requests: tuple[bytes, ...]
    status: int
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    seconds: float
    body: bytes
    head: bytes = b""
    latencies: tuple[float, ...] = ()
    """Seconds from the sending of each request to the end of its answer."""


def get(path: str, token: str | None) -> bytes:
    """The bytes of a GET request."""
    return message("GET", path, {} if token is None else {"Authorization": f"Bearer {token}"})


def message(method: str, path: str, fields: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of any request."""
    content = {"Content-Type": "application/json", "Content-Length": str(len(body))} if body else {}
    lines = (
        f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", "Accept": "*/*", **fields, **content}.items()
    )
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def send(load: Load) -> Outcome:
    """Send all requests over a few connections; each connection sends its next one when it has its answer."""
    expected = tuple(f"HTTP/1.1 {status} ".encode() for status in (load.status, *load.others))
    body = first_head = b""
    latencies = []
    sent_at: dict[socket.socket, float] = {}
    requests = iter(load.requests)
    with ExitStack() as stack:
        ready = stack.enter_context(selectors.DefaultSelector())
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", load.port), _TIMEOUT_SECONDS))
            for _ in range(min(_CONNECTIONS, len(load.requests)))
        ]
        started = time.perf_counter()
        for connection in connections:
            ready.register(connection, selectors.EVENT_READ)
            sent_at[connection] = time.perf_counter()
            connection.sendall(next(requests))
        while sent_at:
            for key, _ in ready.select(_TIMEOUT_SECONDS) or _nothing():
                connection = cast("socket.socket", key.fileobj)
                head, content = _answer(connection)
                latencies.append(time.perf_counter() - sent_at.pop(connection))
                if not head.startswith(expected):
                    raise WrongAnswer(f"wanted {load.status}, got {head.splitlines()[0]!r}: {content[:300]!r}")
                body, first_head = body or content, first_head or head
                request = next(requests, None)
                if request is not None:
                    sent_at[connection] = time.perf_counter()
                    connection.sendall(request)
        return Outcome(time.perf_counter() - started, body, first_head, tuple(latencies))


def _nothing() -> NoReturn:
    raise WrongAnswer(f"the server gave no answer within {_TIMEOUT_SECONDS} s")


def _answer(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while _END_OF_HEADER not in received:
        received += _some(connection)
    head, _, body = received.partition(_END_OF_HEADER)
    length = 0 if head.startswith(_WITHOUT_BODY) else _content_length(head)
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
