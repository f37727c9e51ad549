"""Read a request's JSON body: bounded before it is read, strict when it is parsed.

Takes   the current request, the media types that the route takes, the greatest depth, another limit than the usual
Gives   the JSON value;  raw_body(), its bytes, read now where no JSON was asked for
Raises  WebProblem: payload_too_large, unsupported_media_type, malformed_json
Not     what the value must look like (the domain's schemas)
Source  RFC 8259 §8.1, RFC 7493 §2.3; docs/contracts/tokens.md T30 (415 and 413 before 400)
"""

from collections.abc import Sequence
from typing import Any

from flask import g, request

from app.oauth.strict_json import NotStrictJson, parse
from app.web.problems import WebProblem
from app.web.runtime import runtime


def json_body(media_types: Sequence[str], max_depth: int, max_bytes: int | None = None) -> Any:
    """Return the body's JSON value, having refused another type, too many bytes, or what is not strict JSON."""
    if request.mimetype not in media_types:
        raise WebProblem("unsupported_media_type", accepted=list(media_types))
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WebProblem("unsupported_media_type", detail="Send the body without a Content-Encoding.")
    raw = _whole_body(max_bytes or runtime().settings.max_body_bytes)
    try:
        return parse(raw, max_bytes=len(raw), max_depth=max_depth)
    except NotStrictJson as fault:
        raise WebProblem("malformed_json", detail=f"The body is not strict JSON: {fault}.") from None


def raw_body() -> bytes:
    """Return the bytes of this request's body, for whoever tells requests apart by them."""
    if "raw_body" not in g:
        _whole_body(runtime().settings.max_body_bytes)
    raw: bytes = g.raw_body
    return raw


def _whole_body(limit: int) -> bytes:
    """Read all of the body or none of it.

    NOTE: werkzeug's own limit cuts a chunked body silently, and what was left of it would be taken for the whole.
    """
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    terminated = request.environ.get("wsgi.input_terminated", False)
    stream = request.environ["wsgi.input"] if terminated else request.stream
    try:
        raw: bytes = stream.read(limit + 1)
    except OSError:
        # The network's fault, not the app's: an offline queue must keep the write and send it again.
        raise WebProblem("request_timeout") from None
    except Exception:  # noqa: BLE001 - each server has its own errors for broken framing, and all are the client's
        raise WebProblem("malformed_json", detail="The body did not arrive whole.") from None
    if len(raw) > limit:
        raise _too_large(limit)
    if length is not None and len(raw) < length:
        raise WebProblem("malformed_json", detail="The body is shorter than its Content-Length.")
    g.raw_body = raw
    return raw


def _too_large(limit: int) -> WebProblem:
    return WebProblem("payload_too_large", limit=limit)
