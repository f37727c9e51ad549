"""gunicorn's gthread worker, with bounds on what arrives, and problem+json where gunicorn itself refuses a request.

Takes   connections and requests from anyone
Gives   answers that an app can read like all others: no HTML, and nothing of the request reflected or logged
Raises  nothing of its own
Not     requests that can be parsed: the app answers those
Source  RFC 9457; RFC 9112 §2.2, §6.1
"""

import json
import logging
import os
from contextlib import suppress
from functools import cache, partial
from typing import Any

from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException

from config.connection import MAX_HEAD_BYTES
from config.reception import Reception
from config.room import Room
from config.settings import Settings

_log = logging.getLogger("postern.gunicorn")
_STATUSES: dict[type[BaseException], tuple[int, str]] = {
    LimitRequestLine: (414, "URI Too Long"),
    ExpectationFailed: (417, "Expectation Failed"),
    LimitRequestHeaders: (431, "Request Header Fields Too Large"),
}


class ProblemWorker(Reception):
    """A worker that no client can hold, and whose own refusals are problem documents."""

    def init_process(self) -> None:
        """Take the bounds from the settings, then begin."""
        max_body_bytes = max(settings().max_body_bytes, settings().max_batch_bytes)
        self.room = Room(max_body_bytes, settings().max_answer_bytes + MAX_HEAD_BYTES)
        super().init_process()

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Hand a request whose head is complete to the app; keep the connection if all of it was read."""
        conn.sock.begin_body()
        app: Any = self.wsgi
        if app.extensions["postern"].drain.has_begun:
            # Whoever keeps connections open, a proxy's pool above all, opens the next one elsewhere.
            req.force_close()
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Read what the app left of a body that is there; what is not there is not waited for."""
        if not keepalive or not conn.sock.is_whole:
            return False
        try:
            is_read = bool(super()._keepalive_after(conn, keepalive))  # type: ignore[misc]
        except ParseException:
            # Broken framing, seen after the answer: a refusal now would be taken for the next request's.
            return False
        # What the parser took beyond the request's end, or left before it, must never be taken for another request.
        return is_read and conn.sock.has_all and not conn.parser.unreader.buf.getvalue()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Leave the balancer first: /readyz says no, requests are still taken, and then gunicorn's own end."""
        app = getattr(self, "wsgi", None)
        if app is None:
            super().handle_exit(sig, frame)
        else:
            app.extensions["postern"].drain.begin(partial(super().handle_exit, sig, frame))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn's
        """Refuse what cannot be parsed; log its kind alone, for its text repeats the request."""
        if isinstance(exc, ParseException):
            # No more than info: anyone can send such.
            _log.info("refused a request that is no valid HTTP: %s", type(exc).__name__)
            answer = problem(*_STATUSES.get(type(exc), (400, "Bad Request")))
        else:
            _log.error("unexpected", exc_info=exc)
            answer = problem(500, "Internal Server Error")
        with suppress(OSError):
            client.sendall(answer)


@cache
def settings() -> Settings:
    """Return the settings of the application that this worker serves; read once."""
    return Settings.from_env_or_exit()


def problem(status: int, reason: str) -> bytes:
    """Return a whole HTTP answer with a problem document."""
    internal = reason == "Internal Server Error"
    code = "internal_error" if internal else "bad_request"
    request_id = os.urandom(16).hex()
    document = {
        "type": f"{settings().public_url.rstrip('/')}/problems/{code}",
        "title": reason,
        "status": status,
        "detail": "The fault is on this side."
        if internal
        else "The request is not valid HTTP, or larger than allowed.",
        "code": code,
        "action": "ask_operator" if internal else "fix_client",
        "retryable": False,
        "request_id": request_id,
    }
    body = json.dumps(document)
    fields = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Cache-Control: no-store\r\nX-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (fields + body).encode("ascii")
