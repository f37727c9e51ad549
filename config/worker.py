"""gunicorn's gthread worker, with problem+json where gunicorn itself refuses a request.

Takes   what gunicorn writes to a connection when it cannot parse a request
Gives   the same status with our body: no HTML, and nothing of the request reflected
Raises  nothing of its own
Not     requests that can be parsed: the app answers those
Source  RFC 9457; RFC 9112 §2.2, §6.1
"""

import json
import os
from socket import socket
from typing import Any, cast

from gunicorn.workers.gthread import ThreadWorker

from config.settings import Settings

_CLIENTS_FAULT = {414: "URI Too Long", 417: "Expectation Failed", 431: "Request Header Fields Too Large"}
_INTERNAL = 500


class ProblemWorker(ThreadWorker):
    """A worker whose own refusals an app can read like all others."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Let gunicorn decide and log; answer in our words."""
        super().handle_error(req, cast("socket", _ProblemConnection(client)), addr, exc)


class _ProblemConnection:
    """A connection on which the one answer that is still to come is replaced by a problem document."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def sendall(self, data: bytes) -> None:
        """Write our answer in place of gunicorn's."""
        self._connection.sendall(problem(int(data.split(b" ", 2)[1])))


def problem(given_status: int) -> bytes:
    """Return a whole HTTP answer for a status that gunicorn chose; what cannot be parsed is the client's fault."""
    internal = given_status == _INTERNAL
    status = given_status if internal or given_status in _CLIENTS_FAULT else 400
    code = "internal_error" if internal else "bad_request"
    reason = "Internal Server Error" if internal else _CLIENTS_FAULT.get(status, "Bad Request")
    request_id = os.urandom(16).hex()
    document = {
        "type": f"{Settings.from_env().public_url.rstrip('/')}/problems/{code}",
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
