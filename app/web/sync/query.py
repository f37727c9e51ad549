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

_NUMBER = re.compile(r"0*([1-9]\d*)", re.ASCII)
# More than any page holds, and few enough digits for int().
_MANY = "999999999"


def page_size() -> int | None:
    """Return `limit`, or None where it is not said; too many are not refused, none and no number are."""
    value = request.args.get("limit")
    if value is None:
        return None
    number = _NUMBER.fullmatch(value)
    if number is None:
        raise WebProblem("bad_request", detail="`limit` must be a whole number, 1 or more.")
    return int(number[1] if len(number[1]) < len(_MANY) else _MANY)
