"""Take the bearer token out of the Authorization header, and out of nowhere else.

Takes   the value of the header as WSGI gives it (repeated headers are joined by a comma), or None
Gives   the token, or None if the caller sent no bearer credentials at all
Raises  InvalidToken(MALFORMED_AUTHORIZATION | TOKEN_TOO_LARGE)
Not     whether the token is a JWT (header.py) or good (verifier.py)
Source  RFC 6750 §2.1; RFC 9110 §11.4, §11.6.2
"""

import re
from typing import Final

from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason

_B64TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
# Not followed by what would go on with the name: `Bearerish x` is another scheme, `Bearer:x` and `Bearer,x` are slips.
_BEARER: Final = re.compile(r"bearer(?![A-Za-z0-9!#$%&'*+\-.^_`|~])", re.ASCII | re.IGNORECASE)
# What a client sends that has turned a missing token into a string.
_NOTHINGS: Final = frozenset({"null", "undefined"})


def token_from_header(value: str | None, max_token_bytes: int) -> str | None:
    """Return the one token of a `Bearer` header; None for no header, an empty one or another scheme."""
    text = (value or "").strip(" \t")
    scheme = _BEARER.match(text)
    if scheme is None:
        return None
    rest = text[scheme.end() :]
    if not rest.startswith(" "):
        raise InvalidToken(Reason.MALFORMED_AUTHORIZATION)
    token = rest.lstrip(" ")
    if len(token) > max_token_bytes:
        raise InvalidToken(Reason.TOKEN_TOO_LARGE)
    if _B64TOKEN.fullmatch(token) is None or token in _NOTHINGS:
        raise InvalidToken(Reason.MALFORMED_AUTHORIZATION)
    return token
