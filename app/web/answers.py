"""Build JSON answers with the caching fields that their kind of content needs (T29, U3).

Takes   documents that orjson can write, or JSON that is written already
Gives   Flask responses
Raises  nothing
Not     problems (problems.py), 304 (conditional.py)
Source  RFC 9111 §5.2, RFC 9110 §12.5.5
"""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response

NO_STORE = {"Cache-Control": "no-store", "Vary": "Authorization"}
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Encoding"}
PUBLIC = {"Cache-Control": "public, max-age=300"}


def json_answer(document: Any, fields: Mapping[str, str], status: int = 200) -> Response:
    """Write a document as JSON."""
    # A line's end, so that a terminal's prompt does not stick to the answer.
    return Response(
        orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE), status, fields, content_type="application/json"
    )


def json_text(body: bytes, fields: Mapping[str, str]) -> Response:
    """Send JSON that is written already."""
    return Response(body + b"\n", 200, fields, content_type="application/json")
