"""Read what can be read of a token, good or not: for people, never for a decision.

Takes   token: str
Gives   Decoded: its parts, its header and its claims as far as they can be read
Raises  nothing
Not     any check (checks.py): duplicates, padding and stray bits pass here, so that they can be shown
Source  RFC 7515 §7.1
"""

import base64
import json
import math
import re
from dataclasses import dataclass
from typing import Any

_JWS_PARTS = 3


@dataclass(frozen=True, slots=True)
class Decoded:
    """A token taken apart."""

    parts: tuple[str, ...]
    header: dict[str, Any] | None
    """None: not readable as an object."""
    claims: dict[str, Any] | None
    payload: bytes | None


def decode(token: str) -> Decoded:
    """Take the token apart."""
    parts = tuple(token.split("."))
    # Of an encrypted token only the header can be read.
    payload = leniently(parts[1]) if len(parts) == _JWS_PARTS else None
    header = leniently(parts[0]) if len(parts) > 1 else None
    return Decoded(parts, _object(header), _object(payload), payload)


def leniently(part: str) -> bytes | None:
    """Decode base64 in either alphabet, with or without padding, blanks left out; None where nothing comes of it."""
    bare = re.sub(r"[\s=]", "", part).translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None


def _object(content: bytes | None) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        value = json.loads(content, parse_constant=str, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(digits: str) -> float | str:
    """Keep what is no number to anybody as it is written."""
    value = float(digits)
    return value if math.isfinite(value) else digits
