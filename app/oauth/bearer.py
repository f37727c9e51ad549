"""Take the access token out of the Authorization header, and out of nowhere else, with the scheme it came by.

Takes   the value of the header as WSGI gives it (repeated headers are joined by a comma), or None
Gives   scheme and token, or None if the caller sent no credentials of a scheme that is taken
Raises  InvalidToken(MALFORMED_AUTHORIZATION | TOKEN_TOO_LARGE)
Not     whether the token is a JWT (header.py) or good (verifier.py); the DPoP field (dpop/proof.py)
Source  RFC 6750 §2.1; RFC 9449 §7.1; RFC 9110 §11.4, §11.6.2; docs/contracts/tokens.md T1 to T4
"""

import re
from typing import Final, Literal

from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason

Scheme = Literal["Bearer", "DPoP"]

# RFC 6750's b64token; RFC 9449 takes the same characters and calls them token68.
_B64TOKEN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
# Not followed by what would go on with the name: `Bearerish x` is another scheme, `Bearer:x` and `Bearer,x` are slips.
_NAME_ENDS: Final = r"(?![A-Za-z0-9!#$%&'*+\-.^_`|~])"
_BEARER: Final = re.compile("bearer" + _NAME_ENDS, re.ASCII | re.IGNORECASE)
_BEARER_OR_DPOP: Final = re.compile("(?:bearer|(dpop))" + _NAME_ENDS, re.ASCII | re.IGNORECASE)
# What a client sends that has turned a missing token into a string.
_NOTHINGS: Final = frozenset({"null", "undefined"})


def credentials_from_header(
    value: str | None, max_token_bytes: int, *, takes_dpop: bool = True
) -> tuple[Scheme, str] | None:
    """Return the scheme and its one token; None for no header, an empty one or another scheme.

    Without `takes_dpop`, DPoP is another scheme (P4).
    """
    text = (value or "").strip(" \t")
    named = (_BEARER_OR_DPOP if takes_dpop else _BEARER).match(text)
    if named is None:
        return None
    rest = text[named.end() :]
    if not rest.startswith(" "):
        raise InvalidToken(Reason.MALFORMED_AUTHORIZATION)
    token = rest.lstrip(" ")
    if len(token) > max_token_bytes:
        raise InvalidToken(Reason.TOKEN_TOO_LARGE)
    if not _is_b64token(token) or token in _NOTHINGS:
        raise InvalidToken(Reason.MALFORMED_AUTHORIZATION)
    return ("DPoP" if named.lastindex else "Bearer"), token


def _is_b64token(token: str) -> bool:
    """Tell whether nothing is left without the characters that may stand there: a third of what a pattern takes."""
    if not token.isascii():
        return False
    characters = token.encode("ascii").rstrip(b"=")
    return bool(characters) and not characters.translate(None, _B64TOKEN)


def token_from_header(value: str | None, max_token_bytes: int) -> str | None:
    """Return the token alone, by whichever scheme it came: for who looks at tokens and lets nobody in."""
    credentials = credentials_from_header(value, max_token_bytes)
    return None if credentials is None else credentials[1]


def scheme_of(value: str | None) -> Scheme | None:
    """Return the scheme that the caller used, well or badly: the challenge of that one says what is wrong (T26)."""
    named = _BEARER_OR_DPOP.match((value or "").strip(" \t"))
    if named is None:
        return None
    return "DPoP" if named.lastindex else "Bearer"
