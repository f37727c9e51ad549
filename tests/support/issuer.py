"""An issuer over real HTTP on 127.0.0.1 that a test can break in every way a tenant breaks.

Takes   switches, plain attributes, set while it runs: `discovery` and `jwks` each hold a Fault, or None
Gives   discovery and key set at `url`; `requests`: how often each path was asked for
Raises  nothing: what goes wrong goes wrong over HTTP
Not     tokens (tokens.py), logging in (provider.py)
Source  OpenID Connect Discovery 1.0 §4; docs/contracts/tokens.md K1, K2
"""

import json
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Self

from tests.support.tokens import SigningKey, key_set

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks.json"
_DRIP_SECONDS = 0.02


@dataclass(frozen=True)
class Fault:
    """What one document's answer is instead of the good one; unset members stay good."""

    drops: bool = False
    """The connection is closed without an answer."""
    drips: str = ""
    """`headers` or `body`: one byte at a time, for ever. `silence`: nothing, for ever."""
    status: int = 200
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    truncated: bool = False
    """Content-Length promises more than is sent."""
    chunked: bool = False
    """Chunked; with `truncated`, without its end."""


DOWN = Fault(drops=True)
SILENT = Fault(drips="silence")
UNAVAILABLE = Fault(status=503, body=b"{}")
MALFORMED = Fault(body=b'{"keys": [')
OVERSIZED = Fault(body=b'{"keys": [], "padding": "' + b"x" * 300_000 + b'"}')
KEYLESS = Fault(body=b'{"keys": []}')
TRUNCATED = Fault(truncated=True)


class Issuer:
    """The issuer; use it as a context manager. `keys` are published, `rotate` replaces them."""

    def __init__(
        self, *keys: SigningKey | Mapping[str, Any], path: str = "/", tls: ssl.SSLContext | None = None
    ) -> None:
        self.keys: tuple[SigningKey | Mapping[str, Any], ...] = keys
        self.discovery: Fault | None = None
        self.jwks: Fault | None = None
        self.cache_control: str | None = None
        self.metadata: dict[str, Any] = {}  # over the good document; None takes a member out
        self.on_request: Callable[[str], None] = lambda _path: None  # runs in the server, before the answer
        self.requests: Counter[str] = Counter()
        self.seen_headers: list[dict[str, str]] = []
        self._lock = Lock()
        self._ends = Event()
        self._server = _server(self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.origin = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}{path}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def rotate(self, *keys: SigningKey | Mapping[str, Any]) -> None:
        """Publish these keys and no others."""
        self.keys = keys

    def down(self) -> None:
        """Answer nothing any more."""
        self.discovery = self.jwks = DOWN

    def up(self) -> None:
        """Answer well again."""
        self.discovery = self.jwks = None

    def document(self) -> dict[str, Any]:
        """The good discovery document, with `metadata` laid over it."""
        members = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "userinfo_endpoint": f"{self.origin}/userinfo",
            "jwks_uri": f"{self.origin}{JWKS}",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            **self.metadata,
        }
        return {name: value for name, value in members.items() if value is not None}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.requests[handler.path] += 1
            self.seen_headers.append({name.lower(): value for name, value in handler.headers.items()})
        self.on_request(handler.path)
        if handler.path.endswith(DISCOVERY):
            self._send(handler, self.discovery or Fault(), json.dumps(self.document()).encode())
        elif handler.path == JWKS:
            self._send(handler, self.jwks or Fault(), key_set(*self.keys))
        else:
            self._send(handler, Fault(status=404), b"{}")

    def _send(self, handler: BaseHTTPRequestHandler, fault: Fault, good: bytes) -> None:
        if fault.drops:
            return
        body = good if fault.body is None else fault.body
        length = len(body) + 100 if fault.truncated else len(body)
        framing = {"Transfer-Encoding": "chunked"} if fault.chunked else {"Content-Length": str(length)}
        caching = {} if self.cache_control is None else {"Cache-Control": self.cache_control}
        headers = {"Content-Type": fault.content_type, **framing, **caching, **fault.headers}
        head = f"HTTP/1.1 {fault.status} X\r\n".encode()
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        if fault.drips == "silence":
            self._ends.wait()
        elif fault.drips == "headers":
            self._drip(handler, head, b"X-Endless: ")
        elif fault.drips == "body":
            self._drip(handler, head.replace(str(length).encode(), b"99999") + b"\r\n", b"")
        elif fault.chunked:
            end = b"" if fault.truncated else b"0\r\n\r\n"
            handler.wfile.write(head + b"\r\n" + b"%x\r\n" % len(body) + body + b"\r\n" + end)
        else:
            handler.wfile.write(head + b"\r\n" + body)

    def _drip(self, handler: BaseHTTPRequestHandler, at_once: bytes, start: bytes) -> None:
        handler.wfile.write(at_once + start)
        while not self._ends.wait(_DRIP_SECONDS):
            handler.wfile.write(b"x")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _server(issuer: Issuer) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A client that went away is part of some tests.
            with suppress(ConnectionError, ssl.SSLError):
                issuer.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away, or refused our certificate, is part of some tests."""

    return Server(("127.0.0.1", 0), Handler)
