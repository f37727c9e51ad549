"""Serve the metrics on a port of their own: every worker listens on it, and whichever answers speaks for all.

Takes   host, port;  Metrics, Counting
Gives   MetricsServer: start() in a worker, stop()
Raises  nothing: a port that is taken is told in the log, and the API serves on
Not     the counts (counting.py); the folder that the workers share (config/gunicorn_conf.py)
Source  prometheus_client "Multiprocess Mode"; socket(7) SO_REUSEPORT
"""

import logging
import socket
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app, values
from prometheus_client.multiprocess import MultiProcessCollector

from app.web.metrics.counting import Counting
from app.web.metrics.registry import Metrics

LOOK_SECONDS = 5.0
# Whoever scrapes is one of us; still, a connection that says nothing must not keep the others waiting.
_REQUEST_SECONDS = 5.0
_log = logging.getLogger("postern.metrics")


class MetricsServer:
    """One worker's part in serving the metrics, and the thread that looks at the states."""

    def __init__(self, address: tuple[str, int], metrics: Metrics, counting: Counting) -> None:
        self._address, self._metrics, self._counting = address, metrics, counting
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen, and look at once, so that the first scrape finds the states."""
        self._counting.look()
        try:
            server = _Server(self._address, self._counting)
        except OSError as fault:
            _log.error("the metrics cannot be served on %s port %d: %s", *self._address, fault.strerror)
            return
        server.set_app(make_wsgi_app(self._readable()))
        self._server = server
        threading.Thread(target=server.serve_forever, args=(LOOK_SECONDS,), name="postern-metrics", daemon=True).start()

    def stop(self) -> None:
        """Leave the port to the other workers."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _readable(self) -> CollectorRegistry:
        """What a scrape reads: the shared files where several processes count, else this process's own."""
        # The library has decided when it was imported, by what gunicorn_conf.py had set by then.
        if values.ValueClass is values.MutexValue:
            return self._metrics.registry
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return shared


class _Quiet(WSGIRequestHandler):
    timeout = _REQUEST_SECONDS

    def log_message(self, *_words: Any) -> None:
        """Say nothing of a scrape."""


class _Server(WSGIServer):
    """One request at a time: scrapes are rare. Between them it looks at the states."""

    allow_reuse_port = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], counting: Counting) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._counting = counting
        super().__init__(address, _Quiet)

    def server_bind(self) -> None:
        """Bind without asking DNS for our own name, as the parent does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def service_actions(self) -> None:
        """Called every LOOK_SECONDS, and after each scrape."""
        try:
            self._counting.look()
        except Exception:  # noqa: BLE001 - a dead thread would serve the numbers of its last day for ever
            _log.exception("the states could not be looked at")
