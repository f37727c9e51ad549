"""Serve a tenant on a socket.

Takes   TenantSettings;  a listening socket, where the port was chosen by the system
Gives   TenantServer: run() until stop(), from any thread
Raises  OSError when the address cannot be had
Not     production: it is werkzeug's threaded server, one process, because faults, clock and log live in memory
Source  D16
"""

import socket

from werkzeug.serving import WSGIRequestHandler, make_server

from tenant import app
from tenant.settings import TenantSettings

IDLE_SECONDS = 30
BACKLOG = 128


class _Handler(WSGIRequestHandler):
    timeout = IDLE_SECONDS

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing: a request line here holds codes and states; the tenant has a log of its own."""


class TenantServer:
    """A tenant and its socket."""

    def __init__(self, settings: TenantSettings, listening: socket.socket | None = None) -> None:
        with listening or listen(settings.host, settings.port) as taken:
            self.port = int(taken.getsockname()[1])
            self.app = app.create_tenant(settings)
            # werkzeug duplicates the descriptor; ours is closed at the end of the block.
            self._server = make_server(
                settings.host, settings.port, self.app, threaded=True, request_handler=_Handler, fd=taken.fileno()
            )

    def run(self) -> None:
        """Serve until stop(), or until an interrupt in the main thread."""
        try:
            self._server.serve_forever(poll_interval=0.05)
        finally:
            self._server.server_close()
            app.close(self.app)

    def stop(self) -> None:
        """Ask run() to end; called from another thread."""
        self._server.shutdown()


def listen(host: str, port: int) -> socket.socket:
    """Take the address; port 0 lets the system choose."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
