"""Build JSON answers with the caching fields that their kind of content needs (T29, U3).

Takes   documents that orjson can write, or JSON that is written already
Gives   Flask responses
Raises  nothing
Not     problems (problems.py), 304 (conditional.py)
Source  RFC 9111 §5.2, RFC 9110 §12.5.5
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response
from werkzeug.datastructures import Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NO_STORE = {"Cache-Control": "no-store", "Vary": "Authorization"}
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Encoding"}
PUBLIC = {"Cache-Control": "public, max-age=300"}


_WITHOUT_ADDRESS = frozenset({200, 400, 401, 403, 404, 409, 410, 412, 413, 415, 422, 429, 500, 503})


class JsonAnswer(Response):
    """JSON that is written already, sent with the fields that it has."""

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """Copy no field: the length is known since the body was set, and such an answer does not say where it is.

        For each answer Flask copies all fields one by one, to make an address absolute that is not there.
        """
        if self.status_code in _WITHOUT_ADDRESS and self.is_sequence:
            return self.headers
        return super().get_wsgi_headers(environ)


def json_answer(document: Any, fields: Mapping[str, str], status: int = 200) -> Response:
    """Write a document as JSON."""
    # A line's end, so that a terminal's prompt does not stick to the answer.
    return JsonAnswer(
        orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE), status, fields, content_type="application/json"
    )


def no_content(fields: Mapping[str, str]) -> Response:
    """Answer 204, without the type that Flask would give to no content at all."""
    response = Response(status=204, headers=fields)
    response.headers.remove("Content-Type")
    return response


def json_text(body: bytes, fields: Mapping[str, str]) -> Response:
    """Send JSON that is written already."""
    return JsonAnswer(body + b"\n", 200, fields, content_type="application/json")
