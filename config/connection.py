"""A client's connection with bounds: how long a request may take to arrive, how much of it is read, who waits for it.

Takes   an accepted socket
Gives   the same socket to gunicorn: requests that are there before a thread reads them, answers that no thread waits
        to get rid of; reads and writes end at a deadline and at a size
Raises  ConnectionResetError when the time is over; LimitRequestHeaders for a head that is too large
Not     when it is looked at (reception.py), where a request ends (framing.py)
Source  RFC 9112 §9.5; RFC 6585 §5; RFC 9110 §10.1.1

gunicorn's gthread reads and writes in its threads, without a deadline: one byte on each of WEB_THREADS connections,
with no token at all, would stop a worker for ever. And it searches all of a head again at each read, so that a head of
many megabytes costs seconds of a processor; a token needs one large field, not a hundred.
"""

import errno
import time
from contextlib import suppress
from socket import socket
from threading import Lock
from typing import Any, Final

from gunicorn.http.errors import LimitRequestHeaders

from config.framing import RequestFrame

HEAD_SECONDS = 5.0
BODY_SECONDS = 60.0
WRITE_SECONDS = 30.0
# For what a thread misses although it looked whole: such a request is not valid.
RESIDUAL_SECONDS = 2.0
MAX_HEAD_BYTES: Final = 131_072
# T4: a token of 16 KiB must reach the app, which answers in JSON; gunicorn's own bound would be 8190.
MAX_FIELD_BYTES: Final = 65_536
# What one connection may have unsent before its thread waits; no answer but an export is larger.
MAX_UNSENT_BYTES: Final = 2 * 1024 * 1024
_PIECE_BYTES: Final = 65_536
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Buffers:
    """How many bytes all connections of a worker may hold together; safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._lock = Lock()

    def take(self, count: int) -> bool:
        """Take room for so many bytes; they are held even where there is none left, and the answer says so."""
        with self._lock:
            self._left -= count
            return self._left >= 0

    def give(self, count: int) -> None:
        """Give room back."""
        with self._lock:
            self._left += count


class BoundedConnection:
    """A socket that knows its requests; everything else is the socket's own.

    One thread at a time has it: gunicorn's poller while something arrives or is left to send, a worker's thread while
    a request is answered.
    """

    def __init__(self, connection: socket, max_body_bytes: int, buffers: Buffers) -> None:
        self._connection = connection
        self._max_body_bytes = max_body_bytes
        self._buffers = buffers
        self._arrived, self._unsent = bytearray(), bytearray()
        self._has_ended = self._was_asked = False
        self.begin()

    def begin(self) -> None:
        """Start a request, with bounds of its own; what is there already belongs to it."""
        self._frame, self._in_head, self._handed = RequestFrame(), True, 0
        self._left = MAX_HEAD_BYTES
        self._was_asked = False
        self.begun_at = time.monotonic()
        self.deadline = self.begun_at + HEAD_SECONDS

    # While it arrives.

    def arrive(self) -> bool:
        """Take what has come, without waiting; True if a thread has something to do."""
        try:
            data = self._connection.recv(_PIECE_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        self._has_ended = not data
        self._arrived += data
        if not self._buffers.take(len(data)):
            # There is no room to wait for the rest of it; nobody waits in a thread either.
            self.deadline = time.monotonic()
            return True
        return self.is_ready()

    def is_ready(self) -> bool:
        """Tell whether a thread has something to do with what has come: answer it, refuse it, or close."""
        frame = self._frame
        if self._has_ended or frame.look(self._arrived):
            return True
        if not frame.has_head:
            return len(self._arrived) > MAX_HEAD_BYTES
        if self._in_head:
            self._in_head = False
            self.deadline = time.monotonic() + BODY_SECONDS
            if frame.waits_for_continue:
                self._ask_for_body()
        return frame.body_bytes > self._max_body_bytes or len(self._arrived) > self._most()

    @property
    def has_head(self) -> bool:
        """Whether there is a request that could be answered, if only by a refusal."""
        return self._frame.has_head

    @property
    def has_begun(self) -> bool:
        """Whether anything of a request has come that no thread has."""
        return bool(self._arrived)

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come and nothing is left to send."""
        return not self._arrived and not self._unsent

    @property
    def is_whole(self) -> bool:
        """Whether all of the request was there when a thread got it."""
        return self._frame.is_whole

    @property
    def has_all(self) -> bool:
        """Whether the request was whole and has been read to its end: the next byte is the next request's."""
        return self._frame.is_whole and self._handed == self._frame.end

    def hand_over(self) -> None:
        """Give it to a thread, which waits for hardly anything any more."""
        # For the log and the metrics (app/web/request_log.py): to wait for a thread is part of what the client sees.
        self.whole_at = time.perf_counter()
        self._in_head, self._left = True, MAX_HEAD_BYTES
        self.deadline = min(self.deadline, time.monotonic() + RESIDUAL_SECONDS)

    # While a thread has it.

    def begin_body(self) -> None:
        """Start the bounds of the body."""
        self._in_head, self._left = False, self._most()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read what there is, within the bounds, and never across the end of the request."""
        if self._left <= 0:
            if self._in_head:
                raise LimitRequestHeaders("the head is too large")
            raise ConnectionResetError(errno.ECONNRESET, "the request is too large")
        data = self._from_buffer(size) if self._arrived else self._from_socket(size, flags)
        self._left -= len(data)
        self._handed += len(data)
        return data

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Write all of it; what the client does not take at once is sent while no thread waits, up to a bound."""
        if not self._unsent:
            data = data[self._send_some(data, flags) :]
        if not data:
            return
        self._unsent += data
        if not self._buffers.take(len(data)):
            self._send_down_to(0, flags)
        elif len(self._unsent) > MAX_UNSENT_BYTES:
            self._send_down_to(MAX_UNSENT_BYTES // 2, flags)

    def send(self, data: bytes, flags: int = 0) -> int:
        """Write all of it; gunicorn itself sends no more than the invitation to go on, which is sent already."""
        if data != _CONTINUE or not self._was_asked:
            self.sendall(data, flags)
        return len(data)

    # While its answer is sent.

    @property
    def has_unsent(self) -> bool:
        """Whether a part of the answer is still here."""
        return bool(self._unsent)

    def begin_sending(self) -> None:
        """Start the bound of what is left to send; more takes longer."""
        self.deadline = time.monotonic() + WRITE_SECONDS * (1 + len(self._unsent) // _PIECE_BYTES)

    def send_more(self) -> None:
        """Send what the client takes, without waiting."""
        self._forget_sent(self._send_some(bytes(self._unsent[:_PIECE_BYTES]), 0))

    def discard(self) -> bool:
        """Read what nobody wants; True when the client has closed its end."""
        try:
            return not self._connection.recv(_PIECE_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close it, and give back its room."""
        self._buffers.give(len(self._arrived) + len(self._unsent))
        self._arrived.clear()
        self._unsent.clear()
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _most(self) -> int:
        # Chunked framing may double a small body; what is beyond that is nobody's honest request.
        return 2 * self._max_body_bytes + MAX_HEAD_BYTES

    def _ask_for_body(self) -> None:
        """A client that asks whether to go on would wait, and hold a thread, until it is told."""
        if not self._was_asked:
            self._was_asked = True
            with suppress(OSError):
                self._connection.send(_CONTINUE)

    def _from_buffer(self, size: int) -> bytes:
        rest = self._frame.end - self._handed
        if self._frame.is_whole and rest > 0:
            size = min(size, rest)
        data = bytes(self._arrived[:size])
        del self._arrived[:size]
        self._buffers.give(len(data))
        return data

    def _from_socket(self, size: int, flags: int) -> bytes:
        if self._has_ended:
            return b""
        left_seconds = self.deadline - time.monotonic()
        if left_seconds <= 0:
            raise ConnectionResetError(errno.ECONNRESET, "the request took too long")
        self._connection.settimeout(left_seconds)
        try:
            return self._connection.recv(size, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the request took too long") from None

    def _send_some(self, data: bytes, flags: int) -> int:
        self._connection.settimeout(0)
        try:
            return self._connection.send(data, flags)
        except (BlockingIOError, InterruptedError):
            return 0

    def _send_down_to(self, rest_bytes: int, flags: int) -> None:
        """Wait for the client, piece by piece; give up on one that takes none in time."""
        self._connection.settimeout(WRITE_SECONDS)
        try:
            while len(self._unsent) > rest_bytes:
                self._forget_sent(self._connection.send(bytes(self._unsent[:_PIECE_BYTES]), flags))
        except TimeoutError:
            # As if the client had gone away: gunicorn logs that as nothing to see to.
            raise ConnectionResetError(errno.ECONNRESET, "the client takes nothing") from None

    def _forget_sent(self, count: int) -> None:
        del self._unsent[:count]
        self._buffers.give(count)
