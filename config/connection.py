"""A client's connection with bounds: how long a request may take to arrive, and how much of it is read.

Takes   an accepted socket
Gives   the same socket to gunicorn, whose reads end at a deadline and at a size
Raises  ConnectionResetError when the time is over; LimitRequestHeaders for a head that is too large
Not     many idle connections at once: a buffering proxy in front keeps those
Source  RFC 9112 §9.5; RFC 6585 §5

gunicorn's gthread reads a request in a thread, without a deadline: one byte on each of WEB_THREADS connections, with no
token at all, would stop a worker for ever. And it searches all of a head again at each read, so that a head of many
megabytes costs seconds of a processor; a token needs one large field, not a hundred.
"""

import errno
import time
from socket import socket
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders

HEAD_SECONDS = 5.0
BODY_SECONDS = 60.0
WRITE_SECONDS = 30.0
MAX_HEAD_BYTES = 131_072
# T4: a token of 16 KiB must reach the app, which answers in JSON; gunicorn's own bound would be 8190.
MAX_FIELD_BYTES = 65_536


class BoundedConnection:
    """A socket whose reads are bounded; everything else is the socket's own."""

    def __init__(self, connection: socket, max_body_bytes: int) -> None:
        self._connection = connection
        # Chunked framing may double a small body; what is beyond that is nobody's honest request.
        self._max_body_bytes = 2 * max_body_bytes + MAX_HEAD_BYTES
        self._in_head = True
        self.begin_head()

    def begin_head(self) -> None:
        """Start the bounds of a request's head."""
        self._in_head, self._left = True, MAX_HEAD_BYTES
        self._deadline = time.monotonic() + HEAD_SECONDS

    def begin_body(self) -> None:
        """Start the bounds of its body."""
        self._in_head, self._left = False, self._max_body_bytes
        self._deadline = time.monotonic() + BODY_SECONDS

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read what there is, within the bounds."""
        if self._left <= 0:
            if self._in_head:
                raise LimitRequestHeaders("the head is too large")
            raise ConnectionResetError(errno.ECONNRESET, "the request is too large")
        left_seconds = self._deadline - time.monotonic()
        if left_seconds <= 0:
            raise ConnectionResetError(errno.ECONNRESET, "the request took too long")
        self._connection.settimeout(left_seconds)
        try:
            data = self._connection.recv(size, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the request took too long") from None
        self._left -= len(data)
        return data

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Write all of it, or give up on a client that does not read."""
        self._connection.settimeout(WRITE_SECONDS)
        self._connection.sendall(data, flags)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
