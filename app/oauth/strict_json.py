"""Read a JSON object as a token may hold it, and refuse everything that two parsers could read in two ways.

Takes   bytes, from anyone: a header is read before any signature is checked
Gives   dict of JSON values; every string in it can be encoded, every number is finite
Raises  NotStrictJson and nothing else, whatever the bytes are
Not     what the members mean (header.py, claims.py)
Source  RFC 8259 §4, §8.1; RFC 7515 §4 (no duplicate names); RFC 8725 §2.4 (one encoding); RFC 7493 §2
"""

import json
import math
import re
from typing import Any, Final

import orjson

MAX_BYTES: Final = 65_536
MAX_DEPTH: Final = 32

# 64 bits: what a database column and a fast JSON writer hold. Also keeps int() away from its digit limit.
_SMALLEST_INTEGER: Final = -(2**63)
_LARGEST_INTEGER: Final = 2**64 - 1
_LONGEST_INTEGER: Final = 20

# A string counts as one piece, so that brackets inside it do not. Its closing quote is optional and the repetition
# possessive: without either, a run of escaped quotes would make the scan quadratic.
_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class NotStrictJson(ValueError):  # noqa: N818 - reads as what it says
    """The bytes are not a JSON object that every parser reads alike."""


def parse_object(content: bytes) -> dict[str, Any]:
    """Parse one JSON object of a token.

    Raises:
        NotStrictJson: as `parse`, or not an object.
    """
    value = parse(content, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH)
    if type(value) is not dict:
        raise NotStrictJson("not an object")
    return value


def parse(content: bytes, *, max_bytes: int, max_depth: int) -> Any:
    """Parse one JSON value.

    Raises:
        NotStrictJson: too large, too deep, not UTF-8, not JSON, a name twice, a number out of bounds.
    """
    if len(content) > max_bytes:
        raise NotStrictJson("too large")
    # Few brackets cannot be deep: the usual token is not scanned.
    may_be_deep = content.count(b"{") + content.count(b"[") > max_depth
    value = None if may_be_deep else _read_if_plain(content)
    if value is not None:
        return value
    try:
        text = content.decode("utf-8")
        # Bounded before the parser recurses.
        if may_be_deep:
            _refuse_deep(text, max_depth)
        value = _DECODER.decode(text)
        # NOTE: "\ud800" is a str that no later encode() accepts, so a half surrogate would become an error 500.
        if b"\\u" in content:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except NotStrictJson:
        raise
    except (ValueError, RecursionError) as fault:
        raise NotStrictJson("not JSON in UTF-8") from fault
    return value


def _read_if_plain(content: bytes) -> dict[str, Any] | None:
    """Read the object if writing it again gives the very same bytes; None says nothing about it.

    Then there is one reading only: a name that stood twice, a number that did not fit or an escape that could be read
    in two ways would not have come back. Most tenants write such JSON, and this reads it in a third of the time.
    """
    try:
        value = orjson.loads(content)
        return value if type(value) is dict and orjson.dumps(value) == content else None
    except ValueError:
        return None


def _refuse_deep(text: str, max_depth: int) -> None:
    depth = 0
    for piece in _PIECE.findall(text):
        if piece in "[{":
            depth += 1
            if depth > max_depth:
                raise NotStrictJson("too deep")
        elif piece in "]}":
            depth -= 1


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise NotStrictJson("a name twice")
    return unique


def _integer(digits: str) -> int:
    if len(digits) <= _LONGEST_INTEGER:
        value = int(digits)
        if _SMALLEST_INTEGER <= value <= _LARGEST_INTEGER:
            return value
    raise NotStrictJson("an integer beyond 64 bits")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise NotStrictJson("a number beyond a double")
    return value


def _constant(name: str) -> float:
    raise NotStrictJson(f"{name} is not JSON")


# Made once: json.loads with hooks would build a decoder for each call.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
