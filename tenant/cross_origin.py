"""Which pages of other origins a browser lets ask here: anyone's for the public documents, registered ones for tokens.

Takes   the Origin field
Gives   allow(response), to run after every request
Raises  nothing
Not     a protection of the tenant: a program that is no browser sends what it likes
Source  D17; Fetch Standard §3.2; Auth0's "Allowed Web Origins"
"""

from flask import Response, request

from tenant import context
from tenant.callbacks import is_allowed

_PUBLIC = "/.well-known/"
_TOKENS = ("/oauth/token", "/oauth/revoke")
_AN_HOUR = "3600"


def allow(response: Response) -> Response:
    """Say to the browser which page may read this answer."""
    path = "/" + request.path.lstrip("/")
    origin = request.headers.get("Origin")
    if path.startswith(_PUBLIC):
        response.headers["Access-Control-Allow-Origin"] = "*"
    elif path in _TOKENS:
        response.headers.add("Vary", "Origin")
        if origin is not None and _is_registered(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = "POST"
                asked = request.headers.get("Access-Control-Request-Headers")
                if asked is not None:
                    response.headers["Access-Control-Allow-Headers"] = asked
                response.headers["Access-Control-Max-Age"] = _AN_HOUR
    return response


def _is_registered(origin: str) -> bool:
    applications = context.current().registry.applications.values()
    return any(is_allowed(origin, application.web_origins) for application in applications)
