"""A client's connection with bounds: how long a request may take to arrive, how much of it is read, who waits for it.

Takes   an accepted socket
Gives   the same socket to gunicorn: a thread reads what has arrived and never the socket, and no thread waits to get
        rid of an answer; both have a deadline and a size
Raises  ConnectionResetError where the rest has not come, or is not taken; LimitRequestHeaders for too large a head
Not     when it is looked at (reception.py), where a request ends (framing.py), what all may hold together (room.py)
Source  RFC 9112 §9.5; RFC 6585 §5; RFC 9110 §10.1.1

gunicorn's gthread reads and writes in its threads, without a deadline: one byte on each of WEB_THREADS connections,
with no token at all, would stop a worker for ever. And it searches all of a head again at each read, so that a head of
many megabytes costs seconds of a processor; a token needs one large field, not a hundred.
"""

import errno
import time
from contextlib import suppress
from socket import SHUT_WR, socket
from typing import Any, Final

from gunicorn.http.errors import LimitRequestHeaders

from config.framing import RequestFrame
from config.room import Room

HEAD_SECONDS = 5.0
BODY_SECONDS = 60.0
WRITE_SECONDS = 30.0
MAX_HEAD_BYTES: Final = 131_072
# T4: a token of 16 KiB must reach the app, which answers in JSON; gunicorn's own bound would be 8190.
MAX_FIELD_BYTES: Final = 65_536
_PIECE_BYTES: Final = 65_536
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BoundedConnection:
    """A socket that knows its requests; everything else is the socket's own.

    One thread at a time has it: gunicorn's poller while something arrives or is left to send, a worker's thread while
    a request is answered. The socket never blocks: what would is looked at by the poller.
    """

    def __init__(self, connection: socket, room: Room) -> None:
        self._connection = connection
        self._room = room
        self._arrived, self._unsent = bytearray(), bytearray()
        self._has_ended = False
        self.begin()

    def begin(self) -> None:
        """Start a request, with bounds of its own; what is there already belongs to it."""
        # The head is awaited while it arrives; a thread is in the head while it reads what has arrived.
        self._frame, self._awaits_head, self._in_head, self._handed = RequestFrame(), True, True, 0
        self._left = MAX_HEAD_BYTES
        self._head: bytes | None = None
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
        has_room = self._room.arriving.take(len(data))
        # Where there is no room to wait for the rest of it, a thread refuses it.
        return self.is_ready() or not has_room

    def is_ready(self) -> bool:
        """Tell whether a thread has something to do with what has come: answer it, refuse it, or close."""
        frame = self._frame
        if self._has_ended or frame.look(self._arrived):
            return True
        if not frame.has_head:
            return len(self._arrived) > MAX_HEAD_BYTES
        if self._awaits_head:
            self._awaits_head = False
            self.deadline = time.monotonic() + BODY_SECONDS
            if frame.waits_for_continue and frame.body_bytes <= self._room.max_body_bytes:
                # The client would wait until it is told.
                with suppress(OSError):
                    self._keep(_CONTINUE[self._send_some(_CONTINUE, 0) :])
        return frame.body_bytes > self._room.max_body_bytes or len(self._arrived) > self._most()

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
        """Give it to a thread, which reads what is here and waits for no more."""
        # For the log and the metrics (app/web/request_log.py): to wait for a thread is part of what the client sees.
        self.whole_at = time.perf_counter()
        self._in_head, self._left = True, MAX_HEAD_BYTES

    # While a thread has it.

    def begin_body(self) -> None:
        """Start the bounds of the body."""
        self._in_head, self._left = False, self._most()

    def recv(self, size: int, flags: int = 0) -> bytes:  # noqa: ARG002 - the socket's
        """Read what there is, within the bounds, and never across the end of the request."""
        if self._left <= 0:
            if self._in_head:
                raise LimitRequestHeaders("the head is too large")
            raise ConnectionResetError(errno.ECONNRESET, "the request is too large")
        if not self._arrived and not self._has_ended:
            raise ConnectionResetError(errno.ECONNRESET, "the rest of the request has not come")
        rest = self._frame.end - self._handed
        if self._frame.is_whole and rest > 0:
            size = min(size, rest)
        data = bytes(self._arrived[:size])
        self._forget_arrived(len(data))
        self._left -= len(data)
        self._handed += len(data)
        return data

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Write all of it; what the client does not take at once is sent while no thread waits, up to a bound.

        gunicorn writes an answer's head and body one after the other: the head waits for what follows, or for flush().
        """
        if self._head is None and len(data) < _PIECE_BYTES:
            self._head = data
            return
        # Forgotten first: where a part was sent before a fault, it must not be sent again.
        head, self._head = self._head or b"", b""
        self._send_or_keep(head + data, flags)

    def send(self, data: bytes, flags: int = 0) -> int:
        """Write all of it, but not gunicorn's invitation to go on: the client has been asked, or need not be."""
        if data != _CONTINUE:
            self.sendall(data, flags)
        return len(data)

    def flush(self) -> None:
        """Send a head that nothing followed."""
        if self._head:
            head, self._head = self._head, b""
            self._send_or_keep(head, 0)

    def shutdown(self, how: int) -> None:
        """Close one end or both; what gunicorn has begun to say before a fault is said."""
        with suppress(OSError):
            self.flush()
        self._connection.shutdown(how)

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the socket's
        """Do nothing. gunicorn asks for it again and again, and each time another thread would get the interpreter."""

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing, for the same reason."""

    def gettimeout(self) -> float:
        """Return what a socket that does not block says."""
        return 0.0

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

    def begin_goodbye(self) -> None:
        """Close our end, and forget what nobody wants."""
        self._forget_arrived(len(self._arrived))
        self._connection.shutdown(SHUT_WR)

    def linger(self, seconds: float, until: float) -> None:
        """Give the client so long to close its end, or to go on sending, but not beyond a time."""
        self.begun_at = time.monotonic()
        self.deadline = min(self.begun_at + seconds, until)

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
        self._forget_arrived(len(self._arrived))
        self._forget_sent(len(self._unsent))
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _most(self) -> int:
        # Chunked framing may double a small body; what is beyond that is nobody's honest request.
        return 2 * self._room.max_body_bytes + MAX_HEAD_BYTES

    def _forget_arrived(self, count: int) -> None:
        del self._arrived[:count]
        self._room.arriving.give(count)

    def _keep(self, data: bytes) -> None:
        self._unsent += data
        self._room.leaving.take(len(data))

    def _send_or_keep(self, data: bytes, flags: int) -> None:
        if not self._unsent:
            data = data[self._send_some(data, flags) :]
        if not data:
            return
        self._keep(data)
        if len(self._unsent) > self._room.max_unsent_bytes:
            self._send_down_to(self._room.max_unsent_bytes // 2, flags)

    def _send_some(self, data: bytes, flags: int) -> int:
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
            self._forget_sent(len(self._unsent))
            raise ConnectionResetError(errno.ECONNRESET, "the client takes nothing") from None
        finally:
            self._connection.settimeout(0)

    def _forget_sent(self, count: int) -> None:
        del self._unsent[:count]
        self._room.leaving.give(count)
