"""One connection that reads the metrics, and what it is told.

Takes   a connection that does not block;  the registry of this process
Gives   Scrape: read() and write() what there is;  Site.answer(head), the bytes of a whole answer
Raises  OSError of the connection
Not     when to go on, and how long it may take (server.py)
Source  RFC 9112 §2.1, §2.2; prometheus_client "WSGI", "Multiprocess Mode"
"""

import logging
import re
import socket
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app, values
from prometheus_client.multiprocess import MultiProcessCollector

from config.metrics_files import reading

HEAD_BYTES = 16384
_READ_BYTES = 4096
# A recipient may take a bare LF for the end of a line (§2.2): people ask by hand, too.
_END = re.compile(rb"\n\r?\n")
_log = logging.getLogger("postern.metrics")


class Scrape:
    """How far one connection is. `answer` is what is still to be sent, None while the head is read."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.socket, self.deadline = connection, deadline
        self.head = bytearray()
        self.answer: memoryview | None = None
        self.is_asked = self.is_over = False

    def read(self) -> None:
        """Read what there is."""
        found = self.socket.recv(_READ_BYTES)
        self.head += found
        self.is_asked = _END.search(self.head) is not None
        self.is_over = not found or (not self.is_asked and len(self.head) > HEAD_BYTES)

    def write(self) -> None:
        """Send what goes."""
        if self.answer is not None:
            self.answer = self.answer[self.socket.send(self.answer) :]
            self.is_over = not self.answer


class Site:
    """What is told: the shared files where several processes count, else this process's own numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.base_environ = {"SERVER_NAME": "", "SERVER_PORT": "", "SCRIPT_NAME": "", "SERVER_PROTOCOL": "HTTP/1.0"}
        self._shared: _Shared | None = None
        # The library has decided when it was imported, by what the master had set by then.
        if values.ValueClass is not values.MutexValue:
            self._shared = _Shared()
            registry = CollectorRegistry()
            registry.register(self._shared)
        self._app: Any = make_wsgi_app(registry)
        self._can_read = True

    def answer(self, head: bytes) -> bytes:
        """Return the whole answer to a request's head."""
        return _Exchange(head, ("", 0), self).answer()  # type: ignore[arg-type]

    def get_app(self) -> Any:
        """Called by the library's handler."""
        return self._serve

    def look(self) -> None:
        """Say it once when the folder is gone: nobody reads what is counted then."""
        if self._shared is not None and self._can_read and not self._shared.folder.is_dir():
            self._cannot("it is gone")

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            answer: Iterable[bytes] = self._app(environ, start_response)
        except Exception as fault:  # noqa: BLE001 - a file that ends too early, a folder that is gone: all are one here
            if self._can_read:
                self._cannot(str(fault))
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"The metrics cannot be read; the log says why.\n"]
        self._can_read = True
        return answer

    def _cannot(self, why: str) -> None:
        self._can_read = False
        folder = None if self._shared is None else self._shared.folder
        _log.error("the metrics in the folder %s cannot be read: %s. A reload makes it anew", folder, why)


class _Shared(MultiProcessCollector):
    """Reads the workers' files while the master does not put those of the dead together."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[no-untyped-call]
        self.folder = Path(self._path)

    def collect(self) -> Any:
        with reading(self.folder):
            return super().collect()  # type: ignore[no-untyped-call]


class _Exchange(WSGIRequestHandler):
    """HTTP as the library speaks it, from bytes to bytes: it would wait for a connection."""

    def setup(self) -> None:
        self._written = BytesIO()
        self.rfile, self.wfile = BytesIO(self.request), self._written

    def finish(self) -> None:
        """Close nothing: there is no connection."""

    def answer(self) -> bytes:
        """Return what was written."""
        return self._written.getvalue()

    def log_message(self, *_words: Any) -> None:
        """Say nothing of a scrape."""
