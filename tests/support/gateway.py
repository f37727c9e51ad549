"""A way to PostgreSQL that a test can close: a TCP port in front of the server's socket.

Takes   the URL of a database on a Unix socket, as the fixture postgresql_url gives it
Gives   Gateway: `url` through the port; close(), open(), hang()
Raises  nothing: what goes wrong goes wrong on the connection
Not     the database
"""

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import parse_qs, urlsplit


class Gateway:
    """The port; use it as a context manager. It begins open."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._target = parse_qs(address.query)["host"][0] + "/.s.PGSQL.5432"
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._is_open = True
        self._flows = threading.Event()
        self._flows.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}{address.path}"

    def close(self) -> None:
        """Break every connection, and refuse new ones."""
        with self._lock:
            self._is_open = False
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._is_open = True

    def hang(self) -> None:
        """Keep every connection and pass nothing on, until flow()."""
        self._flows.clear()

    def flow(self) -> None:
        """Pass on what was kept back, too."""
        self._flows.set()

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.flow()
        self.close()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listening.close()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.append(client)
                if not self._is_open:
                    with contextlib.suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)
                    continue
                server = socket.socket(socket.AF_UNIX)
                self._sockets.append(server)
                server.connect(self._target)
            self._run(self._pump, client, server)
            self._run(self._pump, server, client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65_536):
                self._flows.wait()
                sink.sendall(chunk)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _run(self, work: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
