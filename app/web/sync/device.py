"""Device-Id: which device a write comes from, so that it can skip its own echo in the changes.

Takes   the current request
Gives   the name, or None
Raises  WebProblem: bad_request where it is too long or not printable
Not     a proof of anything: the name is the device's own word
Source  docs/contracts/user-data.md U6
"""

import re

from flask import request

from app.web.problems import WebProblem

_NAME = re.compile(r"[\x21-\x7e]{1,64}", re.ASCII)


def device_id() -> str | None:
    """Return the name that this request gives its device."""
    value = request.headers.get("Device-Id")
    if value is None or _NAME.fullmatch(value):
        return value
    raise WebProblem("bad_request", detail="Device-Id must be 1 to 64 visible ASCII characters.")
