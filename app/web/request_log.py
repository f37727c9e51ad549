"""Give every request an id, and the log one structured line for each.

Takes   X-Request-Id of the request where it is a sane one, else a fresh id;  traceparent;  who counts requests
Gives   g.request_id; X-Request-Id and the security fields on the answer; one line: route, method, status, code, ms
Raises  nothing
Not     a token, a query, a body or a header; of the claims, issuer and client_id alone, and a keyed hash of the subject
Source  W3C Trace Context §3.2, §4
"""

import os
import re
import time
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from random import getrandbits
from typing import NamedTuple

import structlog
from flask import Flask, Response
from flask.globals import app_ctx, request_ctx

from app.web.answers import JsonAnswer

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# Neither version ff nor an id of zeros alone; what may follow the flags in a later version may not in 00.
_TRACE = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?", re.ASCII
)
_NO_TRACE = (None, None)
_SERVER_ERROR = 500
_NOT_READY = ("/readyz", 503)
# A disk that is full is so for every request.
_SAY_AGAIN_SECONDS = 60.0
_SUBJECTS_REMEMBERED = 10_000
# Written out although browsers are not the audience: an answer opened in one must not be sniffed, framed or run.
_CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Served(NamedTuple):
    """What a request is counted by. `issuer`: of a token that was accepted; `credentials`: as they came in."""

    route: str
    method: str
    status: int
    seconds: float
    issuer: str | None
    code: str | None
    credentials: str | None


CountRequest = Callable[[Served], None]


def install(app: Flask, hash_key: str | None = None, count: CountRequest | None = None) -> None:
    """Log every request of `app`. Must be installed before authentication, so that a refusal has an id."""
    # Bound here and now: unbound, structlog would assemble a logger anew for each request.
    log = structlog.get_logger("postern.request").bind()
    key = os.urandom(32) if hash_key is None else blake2b(hash_key.encode()).digest()[:32]

    @lru_cache(_SUBJECTS_REMEMBERED)
    def hashed(subject: str) -> str:
        return blake2b(subject.encode("utf-8", "surrogatepass"), key=key, digest_size=8).hexdigest()

    say_again_at = 0.0

    def uncounted(fault: Exception) -> None:
        nonlocal say_again_at
        if time.monotonic() >= say_again_at:
            say_again_at = time.monotonic() + _SAY_AGAIN_SECONDS
            log.error("a request could not be counted", reason=f"{type(fault).__name__}: {fault}")

    # NOTE: `request` and `g` look themselves up at each use; these two hooks run for every request and ask once.
    @app.before_request
    def begin() -> None:
        kept, environ = app_ctx.g, request_ctx.request.environ
        # With all threads busy a request waits before it gets here, and that is when its time is looked at. Only our
        # worker (config/reception.py) says since when it is there.
        whole_at = getattr(environ.get("gunicorn.socket"), "whole_at", None)
        kept.started = time.perf_counter() if whole_at is None else whole_at
        given = environ.get("HTTP_X_REQUEST_ID")
        kept.request_id = given if given is not None and _SANE_ID.fullmatch(given) else _new_id()

    @app.after_request
    def end(response: Response) -> Response:
        kept, request = app_ctx.g, request_ctx.request
        headers = response.headers
        # Added, not set: nothing else writes these, and setting compares with every field that is there.
        headers.add("X-Request-Id", kept.request_id)
        headers.add("X-Content-Type-Options", "nosniff")
        headers.add("Referrer-Policy", "no-referrer")
        # JSON has no policy of its own; to look for one compares with every field that is there.
        if isinstance(response, JsonAnswer) or "Content-Security-Policy" not in headers:
            headers.add("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        token, code = kept.get("access_token"), kept.get("problem_code")
        rule, environ = request.url_rule, request.environ
        # What has no route is anybody's invention: neither its path nor its method is written down.
        route, method = ("-", "-") if rule is None else (rule.rule, request.method)
        status = response.status_code
        seconds = time.perf_counter() - kept.started
        issuer = None if token is None else token.issuer
        if count is not None:
            try:
                count(Served(route, method, status, seconds, issuer, code, environ.get("HTTP_AUTHORIZATION")))
            except Exception as fault:  # noqa: BLE001 - a full disk, a folder that is gone: no fault of the request
                uncounted(fault)
        trace_id, parent_id = _trace(environ.get("HTTP_TRACEPARENT"))
        # A probe that is told no is an answer as any other: readiness.py has said why, once.
        is_fault = status >= _SERVER_ERROR and (route, status) != _NOT_READY
        write = log.error if is_fault else log.info
        write(
            "request",
            method=method,
            route=route,
            status=status,
            code=code,
            ms=round(seconds * 1000, 2),
            request_id=kept.request_id,
            trace_id=trace_id,
            parent_id=parent_id,
            issuer=issuer,
            client_id=None if token is None else token.client_id,
            user=None if token is None else hashed(token.subject),
            kid=None if token is None else token.key_id,
        )
        return response


def _new_id() -> str:
    """Unlike any other, which is all that is asked of it: a secret would cost each request a system call."""
    return f"{getrandbits(128):032x}"


def _trace(traceparent: str | None) -> tuple[str | None, str | None]:
    """The trace that the request belongs to and the caller's span in it, by W3C's field; anything else is left out."""
    form = None if traceparent is None else _TRACE.fullmatch(traceparent)
    return _NO_TRACE if form is None else (form[1], form[2])
