"""Catch the browser's answer on a port of this machine.

Takes   callback: a loopback URL, with a port (exactly that one) or without (any free one)
        judge: reads the answer's parameters and gives the code, or raises LoginFailed
Gives   redirect_uri to send to the issuer; wait(): the code from the one request on the exact path
Raises  LoginFailed (what judge said, the port is taken, time is up); whatever was handed to give_up()
Not     what makes an answer a good one (login.py); opening the browser
Source  RFC 8252 §7.3, §8.3; RFC 6749 §3.1 (a parameter stands at most once)
"""

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from native import pages
from native.errors import LoginFailed

Judge = Callable[[Mapping[str, str]], str]
IDLE_SECONDS = 5  # a browser opens connections ahead and then says nothing on them


class Loopback:
    """A server for one answer: `with Loopback(…) as loopback: …; loopback.wait(300)`."""

    def __init__(self, callback: str, judge: Judge) -> None:
        wanted = urlsplit(callback)
        self._judge = judge
        self._answer: Future[str] = Future()
        self._first = Lock()
        self._path = wanted.path
        host = "::1" if wanted.hostname == "::1" else "127.0.0.1"  # RFC 8252 §8.3: never another interface
        try:
            self._server = _Server(host, wanted.port or 0, self)
        except OSError as error:
            raise LoginFailed(
                f"Port {wanted.port} on this machine is taken.", "Stop the other program, or choose another --callback."
            ) from error
        shown = f"[{wanted.hostname}]" if wanted.hostname == "::1" else wanted.hostname
        self._authority = f"{shown}:{self._server.server_port}"
        self.redirect_uri = f"http://{self._authority}{self._path}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, timeout_seconds: float) -> str:
        """The code; raises when the answer is a bad one or does not come in time."""
        try:
            return self._answer.result(timeout_seconds)
        except TimeoutError as error:
            raise LoginFailed("Nobody logged in in time.", "Try again, or use --no-browser.") from error

    def give_up(self, reason: BaseException) -> None:
        """End the wait with this reason, unless the answer is already there."""
        with suppress(InvalidStateError):
            self._answer.set_exception(reason)

    def answer(self, host: str | None, target: str) -> tuple[HTTPStatus, bytes, Callable[[], None]]:
        """What to send for a GET of `target`, and what to do once it is sent."""
        parts = urlsplit(target)
        # A favicon or a port scan is not the answer; neither is a page that reached us by another name for 127.0.0.1.
        if parts.path != self._path or host != self._authority:
            return HTTPStatus.NOT_FOUND, b"", lambda: None
        if not self._first.acquire(blocking=False):  # held for good: there is one answer
            return HTTPStatus.GONE, pages.refused("This login has already been answered."), lambda: None
        try:
            code = self._judge(read_parameters(parts.query))
        except LoginFailed as failed:
            reason = failed
            return HTTPStatus.BAD_REQUEST, pages.refused(reason.message), lambda: self.give_up(reason)
        return HTTPStatus.OK, pages.received(), lambda: self._accept(code)

    def _accept(self, code: str) -> None:
        with suppress(InvalidStateError):
            self._answer.set_result(code)


def read_parameters(query: str) -> dict[str, str]:
    """The parameters of a redirect; RFC 6749 §3.1: they MUST NOT be included more than once."""
    pairs = parse_qsl(query, keep_blank_values=True)
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise LoginFailed("The answer names a parameter twice.")
    return parameters


class _Server(ThreadingHTTPServer):
    # NOTE: a thread per connection, because one idle connection that the browser opened ahead would block the answer.
    daemon_threads = True

    def __init__(self, host: str, port: int, loopback: Loopback) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.loopback = loopback
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is not news for the terminal."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        status, page, when_sent = self.server.loopback.answer(self.headers.get("Host"), self.path)
        try:
            self.send_response(status)
            for name, value in pages.HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        finally:
            when_sent()  # only now: the process may end as soon as the answer is known

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Nothing: the request line holds the code."""
