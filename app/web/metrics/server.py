"""Serve the metrics on a port of their own: every worker listens on it, and whichever answers speaks for all.

Takes   host, port;  Metrics, Counting
Gives   MetricsServer: start() in a worker, stop()
Raises  nothing: a port that is taken is told in the log, and the API serves on
Not     the counts (counting.py); how a scrape is read and answered (scrape.py); the folder (config/metrics_folder.py)
Source  prometheus_client "Multiprocess Mode"; socket(7) SO_REUSEPORT
"""

import logging
import selectors
import socket
import threading
import time
from contextlib import suppress

from app.web.metrics.counting import Counting
from app.web.metrics.registry import Metrics
from app.web.metrics.scrape import Scrape, Site

LOOK_SECONDS = 5.0
# Whoever scrapes is one of us; still, a connection that says nothing must not keep the others waiting.
HEAD_SECONDS = 5.0
ANSWER_SECONDS = 10.0
CONNECTIONS = 16
STOP_SECONDS = 1.0
_log = logging.getLogger("postern.metrics")


class MetricsServer:
    """One worker's part in serving the metrics, and the thread that looks at the states."""

    def __init__(self, address: tuple[str, int], metrics: Metrics, counting: Counting) -> None:
        self._address, self._metrics, self._counting = address, metrics, counting
        self._loop: _Loop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, and look at once, so that the first scrape finds the states."""
        try:
            site = Site(self._metrics.registry)
            listener = _listening(self._address)
        except Exception as fault:  # noqa: BLE001 - a worker that does not start ends them all
            _log.error("the metrics cannot be served on %s port %d: %s", *self._address, fault)
            return
        self._loop = _Loop(listener, site, self._counting)
        self._loop.look()
        self._thread = threading.Thread(target=self._loop.run, name="postern-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the port to the other workers; whatever is half-way is cut, and nobody waits for it for long."""
        if self._loop is not None and self._thread is not None:
            self._loop.end()
            self._thread.join(STOP_SECONDS)


def _listening(address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(CONNECTIONS)
        listener.setblocking(False)  # noqa: FBT003 - the library's
    except OSError:
        listener.close()
        raise
    return listener


class _Loop:
    """One thread for all connections: none waits for another's next byte, and each has until its deadline."""

    def __init__(self, listener: socket.socket, site: Site, counting: Counting) -> None:
        self._listener, self._site, self._counting = listener, site, counting
        self._wake, self._woken = socket.socketpair()
        self._scrapes: list[Scrape] = []
        self._look_at, self._can_look = 0.0, True
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def end(self) -> None:
        """Let run() return."""
        with suppress(OSError):
            self._wake.send(b"!")

    def look(self) -> None:
        """Look at the states, every LOOK_SECONDS."""
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            self._site.look()
            self._counting.look()
            self._can_look = True
        except Exception:  # noqa: BLE001 - a dead thread would serve the numbers of its last day for ever
            if self._can_look:
                _log.exception("the states cannot be looked at")
            self._can_look = False

    def run(self) -> None:
        """Serve until end()."""
        with self._listener, self._wake, self._woken, self._selector:
            while True:
                due = min([self._look_at, *(scrape.deadline for scrape in self._scrapes)])
                ready = {key.fileobj for key, _ in self._selector.select(max(0.0, due - time.monotonic()))}
                if self._woken in ready:
                    break
                if self._listener in ready:
                    self._accept()
                for scrape in [scrape for scrape in self._scrapes if scrape.socket in ready]:
                    self._go_on(scrape)
                now = time.monotonic()
                for scrape in [scrape for scrape in self._scrapes if scrape.deadline <= now]:
                    self._drop(scrape)
                if self._look_at <= now:
                    self.look()
            for scrape in self._scrapes[:]:
                self._drop(scrape)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # Out of files, say: it stays readable, and asking again at once would take a whole core.
            time.sleep(0.1)
            return
        if len(self._scrapes) == CONNECTIONS:
            # Whoever scrapes says at once what he wants, so the oldest is none who does.
            self._drop(self._scrapes[0])
        connection.setblocking(False)  # noqa: FBT003 - as above
        self._scrapes.append(Scrape(connection, time.monotonic() + HEAD_SECONDS))
        self._selector.register(connection, selectors.EVENT_READ)

    def _go_on(self, scrape: Scrape) -> None:
        try:
            if scrape.answer is None:
                scrape.read()
                if scrape.is_asked:
                    scrape.answer = memoryview(self._site.answer(bytes(scrape.head)))
                    scrape.deadline = time.monotonic() + ANSWER_SECONDS
                    self._selector.modify(scrape.socket, selectors.EVENT_WRITE)
            if scrape.answer is not None:
                scrape.write()
        except BlockingIOError:
            return
        except Exception as fault:  # noqa: BLE001 - one connection's fault must not end the thread
            if not isinstance(fault, OSError):
                _log.exception("a scrape could not be answered")
            scrape.is_over = True
        if scrape.is_over:
            self._drop(scrape)

    def _drop(self, scrape: Scrape) -> None:
        self._selector.unregister(scrape.socket)
        self._scrapes.remove(scrape)
        scrape.socket.close()
