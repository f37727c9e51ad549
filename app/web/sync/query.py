"""Read the query of a list: how many, from where.

Takes   the current request
Gives   numbers and words
Raises  WebProblem: bad_request, with the name of the parameter
Not     limits (a wish for more is coerced by the domain), cursors and page tokens (the domain reads them)
Source  docs/contracts/user-data.md §2, §5
"""

import re

from flask import request

from app.web.problems import WebProblem

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def page_size() -> int | None:
    """Return `limit`, or None where it is not said."""
    value = request.args.get("limit")
    if value is None:
        return None
    if not _NUMBER.fullmatch(value) or int(value) == 0:
        raise WebProblem("bad_request", detail="`limit` must be a whole number, 1 or more.")
    return int(value)
