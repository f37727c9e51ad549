"""Give every request an id, and the log one structured line for each.

Takes   X-Request-Id of the request where it is a sane one, else a fresh id
Gives   g.request_id; X-Request-Id and the security fields on the answer; one line: route, method, status, code, ms
Raises  nothing
Not     a token, a claim's value, a query, a body or a header: none of these ever gets into the log
"""

import os
import re
import time

import structlog
from flask import Flask, Response, g, request

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SERVER_ERROR = 500
# Written out although browsers are not the audience: an answer opened in one must not be sniffed, framed or run.
_SECURITY_FIELDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
_CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"


def install(app: Flask) -> None:
    """Log every request of `app`. Must be installed before authentication, so that a refusal has an id."""
    log = structlog.get_logger("postern.request")

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        given = request.environ.get("HTTP_X_REQUEST_ID")
        g.request_id = given if given is not None and _SANE_ID.fullmatch(given) else os.urandom(16).hex()

    @app.after_request
    def end(response: Response) -> Response:
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        for name, value in _SECURITY_FIELDS:
            headers[name] = value
        headers.setdefault("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        token = g.get("access_token")
        status = response.status_code
        write = log.error if status >= _SERVER_ERROR else log.info
        write(
            "request",
            method=request.method if request.url_rule is not None else "-",
            route=request.url_rule.rule if request.url_rule is not None else "-",
            status=status,
            code=g.get("problem_code"),
            ms=round((time.perf_counter() - g.started) * 1000, 2),
            request_id=g.request_id,
            issuer=token.issuer if token is not None else None,
            client_id=token.client_id if token is not None else None,
            kid=token.key_id if token is not None else None,
        )
        return response
