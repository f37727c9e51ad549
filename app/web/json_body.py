"""Read a request's JSON body: bounded before it is read, strict when it is parsed.

Takes   the current request, the media types that the route takes, the greatest depth
Gives   the JSON value
Raises  WebProblem: payload_too_large, unsupported_media_type, malformed_json
Not     what the value must look like (the domain's schemas)
Source  RFC 8259 §8.1, RFC 7493 §2.3; docs/contracts/tokens.md T30 (415 and 413 before 400)
"""

from collections.abc import Sequence
from typing import Any

import orjson
from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.web.problems import WebProblem


def json_body(media_types: Sequence[str], max_depth: int) -> Any:
    """Return the body's JSON value, having refused another type, too many bytes, or what is not strict JSON."""
    if request.mimetype not in media_types:
        raise WebProblem("unsupported_media_type", accepted=list(media_types))
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise WebProblem("payload_too_large") from None
    except ClientDisconnected:
        raise WebProblem("malformed_json") from None
    try:
        # NOTE: orjson bounds its own recursion (1024): a million brackets are a JSONDecodeError, not a lost stack.
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}"
        raise WebProblem("malformed_json", detail=f"The body is not JSON in UTF-8: look at {where}.") from None
    if _is_deeper(value, max_depth):
        raise WebProblem("malformed_json", detail=f"The body is nested deeper than {max_depth} levels.")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Walk level by level, without recursion."""
    level = [value]
    for _ in range(levels + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
