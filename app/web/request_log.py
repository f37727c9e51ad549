"""Give every request an id, and the log one structured line for each.

Takes   X-Request-Id of the request where it is a sane one, else a fresh id
Gives   g.request_id; X-Request-Id and the security fields on the answer; one line: route, method, status, code, ms
Raises  nothing
Not     a token, a query, a body or a header; of the claims, issuer and client_id alone: none of a user's data
"""

import os
import re
import time

import structlog
from flask import Flask, Response
from flask.globals import app_ctx, request_ctx

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SERVER_ERROR = 500
# Written out although browsers are not the audience: an answer opened in one must not be sniffed, framed or run.
_CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"


def install(app: Flask) -> None:
    """Log every request of `app`. Must be installed before authentication, so that a refusal has an id."""
    # Bound here and now: unbound, structlog would assemble a logger anew for each request.
    log = structlog.get_logger("postern.request").bind()

    # NOTE: `request` and `g` look themselves up at each use; these two hooks run for every request and ask once.
    @app.before_request
    def begin() -> None:
        kept = app_ctx.g
        kept.started = time.perf_counter()
        given = request_ctx.request.environ.get("HTTP_X_REQUEST_ID")
        kept.request_id = given if given is not None and _SANE_ID.fullmatch(given) else os.urandom(16).hex()

    @app.after_request
    def end(response: Response) -> Response:
        kept, request = app_ctx.g, request_ctx.request
        headers = response.headers
        # Added, not set: nothing else writes these, and setting compares with every field that is there.
        headers.add("X-Request-Id", kept.request_id)
        headers.add("X-Content-Type-Options", "nosniff")
        headers.add("Referrer-Policy", "no-referrer")
        if "Content-Security-Policy" not in headers:
            headers.add("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        token = kept.get("access_token")
        rule = request.url_rule
        status = response.status_code
        write = log.error if status >= _SERVER_ERROR else log.info
        write(
            "request",
            method=request.method if rule is not None else "-",
            route=rule.rule if rule is not None else "-",
            status=status,
            code=kept.get("problem_code"),
            ms=round((time.perf_counter() - kept.started) * 1000, 2),
            request_id=kept.request_id,
            issuer=token.issuer if token is not None else None,
            client_id=token.client_id if token is not None else None,
            kid=token.key_id if token is not None else None,
        )
        return response
