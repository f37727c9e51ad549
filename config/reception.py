"""Let requests arrive, and answers leave, while no thread waits for the client.

Takes   connections, from anyone
Gives   Reception: a gthread worker whose threads get requests that are there, and whose main loop never waits
Raises  nothing of its own
Not     what of a connection is bounded (connection.py), answers (worker.py)
Source  RFC 9112 §9.5, §9.6; docs/decisions.md "At the edge"

gunicorn's gthread gives a connection to a thread when it is accepted, and its main loop waits up to 2 s for a client
that does not close: so a handful of silent clients keeps all others waiting. Here the main loop reads what comes, and
a thread is asked when a request is whole; an answer that a client does not take leaves its thread at once.
"""

import errno
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from socket import socket
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

from config.connection import BoundedConnection
from config.room import Room

# So long without a byte, and so long in all: a proxy that is still sending must not meet a reset.
LINGER_SECONDS: Final = 2.0
MAX_LINGER_SECONDS: Final = 30.0
_LOOK_AT_DEADLINES_EVERY_SECONDS: Final = 0.25
_SAY_ALIVE_EVERY_SECONDS: Final = 1.0
# Room is made before the last place is taken.
_FULL: Final = 0.9
_NO_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Reception(ThreadWorker):
    """A worker that no client can hold by being slow."""

    room: Room
    """What connections may hold; made by whoever knows the settings."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Insertion order: what has waited longest comes first.
        self._waiting: dict[Any, Callable[[Any], None]] = {}
        self._look_at = self._say_alive_at = 0.0
        self._lacks_files = False

    def accept(self, listener: socket) -> None:
        """Take a connection; a thread hears of it when a request is there."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Another worker was faster, or the client is gone again.
            return
        except OSError as fault:
            if fault.errno not in _NO_FILES:
                raise
            self._lacks_files = True
            return
        self.nr_conns += 1
        conn: Any = TConn(self.cfg, client, address, listener.getsockname())
        conn.sock = BoundedConnection(client, self.room)
        conn.data_ready = True
        self._receive(conn)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Begin the next request of a connection that was kept."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        conn.sock.begin()
        self._receive(conn)

    def handle(self, conn: Any) -> Any:
        """Answer a request, in a thread: to the end, for at a fast stop the main loop is not there any more."""
        try:
            return super().handle(conn)
        finally:
            with suppress(OSError):
                conn.sock.flush()

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        """Get rid of what is left of the answer, then keep the connection or say goodbye."""
        is_kept = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        if not conn.sock.has_unsent:
            self._answered(conn, is_kept=is_kept)
            return
        conn.sock.begin_sending()
        self._wait(conn, EVENT_WRITE, partial(self._send, is_kept=is_kept), self._drop)

    def notify(self) -> None:
        """Tell the master that the loop turns: each second is enough for a time-out of 30, and it turns at each event.

        More than that is a system call for each request.
        """
        now = time.monotonic()
        if now >= self._say_alive_at:
            self._say_alive_at = now + _SAY_ALIVE_EVERY_SECONDS
            super().notify()

    def murder_pending(self) -> None:
        """Make room, and look at the deadlines; gunicorn's loop asks after each round of events.

        Not within a round: what is closed there may have an event in the same round.
        """
        self._make_room()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_AT_DEADLINES_EVERY_SECONDS
        for conn in [conn for conn in self._waiting if self._is_over(conn, now)]:
            on_time_over = self._waiting[conn]
            self._stop_waiting(conn)
            on_time_over(conn)

    def _is_over(self, conn: Any, now: float) -> bool:
        is_silent = not self.alive and conn.sock.is_silent
        return bool(now >= conn.sock.deadline or (is_silent and now >= conn.sock.begun_at + LINGER_SECONDS))

    def _receive(self, conn: Any) -> None:
        """Ask a thread at once if the request is there already, as it mostly is."""
        if (conn.sock.has_begun and conn.sock.is_ready()) or conn.sock.arrive():
            self._hand_over(conn)
        else:
            self._wait(conn, EVENT_READ, self._arrive, self._give_up)

    def _arrive(self, conn: Any) -> None:
        if conn.sock.arrive():
            self._stop_waiting(conn)
            self._hand_over(conn)

    def _give_up(self, conn: Any) -> None:
        """Refuse a body that did not arrive in time; of half a head there is nothing to answer."""
        if conn.sock.has_head:
            self._hand_over(conn)
        else:
            self._drop(conn)

    def _hand_over(self, conn: Any) -> None:
        if conn.sock.has_begun:
            conn.sock.hand_over()
            self.enqueue_req(conn)
        else:
            # The client has closed its end, and asks for nothing.
            self._drop(conn)

    def _send(self, conn: Any, *, is_kept: bool) -> None:
        try:
            conn.sock.send_more()
        except OSError:
            self._let_go(conn)
            return
        if not conn.sock.has_unsent:
            self._stop_waiting(conn)
            self._answered(conn, is_kept=is_kept)

    def _answered(self, conn: Any, *, is_kept: bool) -> None:
        if not is_kept:
            self._say_goodbye(conn)
        elif conn.sock.has_begun:
            # The next request came together with this one.
            conn.sock.begin()
            self._receive(conn)
        else:
            kept: Future[Any] = Future()
            kept.set_result(True)
            super().finish_request(conn, kept)

    def _say_goodbye(self, conn: Any) -> None:
        """Close our end, and read until the client closes its own: a reset could take the answer with it (§9.6)."""
        try:
            conn.sock.begin_goodbye()
        except OSError:
            self._drop(conn)
            return
        until = time.monotonic() + MAX_LINGER_SECONDS
        conn.sock.linger(LINGER_SECONDS, until)
        self._wait(conn, EVENT_READ, partial(self._discard, until=until), self._drop)

    def _discard(self, conn: Any, *, until: float) -> None:
        if conn.sock.discard():
            self._let_go(conn)
        else:
            conn.sock.linger(LINGER_SECONDS, until)

    def _drop(self, conn: Any) -> None:
        self.nr_conns -= 1
        with suppress(OSError):
            conn.close()

    def _make_room(self) -> None:
        """Let go of who has been here for longest, idle ones first, so that newcomers are never kept out."""
        most = _FULL * (self.nr_conns if self._lacks_files else self.worker_connections)
        self._lacks_files = False
        while self.nr_conns > most and self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
            self.poller.unregister(conn.sock)
            self._drop(conn)
        while self.nr_conns > most and self._waiting:
            self._let_go(next(iter(self._waiting)))
        while self.room.leaving.are_full and (sender := next((c for c in self._waiting if c.sock.has_unsent), None)):
            self._let_go(sender)

    def _let_go(self, conn: Any) -> None:
        self._stop_waiting(conn)
        self._drop(conn)

    def _wait(
        self, conn: Any, event: int, on_event: Callable[[Any], None], on_time_over: Callable[[Any], None]
    ) -> None:
        self._waiting[conn] = on_time_over
        self.poller.register(conn.sock, event, lambda _socket: on_event(conn))

    def _stop_waiting(self, conn: Any) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.sock)
