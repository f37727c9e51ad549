"""Which members of a profile its user may set, and to what.

Takes   a merged document, or one value that the tenant has told
Gives   the checked members;  JSON pointers to every fault at once
Raises  ValidationFailed, FieldReadOnly
Not     the merge itself (merge_patch.py), who told the value (facts.py)
Source  docs/contracts/user-data.md U11, U12, U14, §6; OpenID Connect Core §5.1; RFC 5646 §2.1; RFC 6901 §3
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from app.users.errors import Fault, FieldReadOnly, ValidationFailed

MAX_ATTRIBUTES_BYTES = 16_384
MAX_ATTRIBUTES_DEPTH = 32
MAX_LENGTHS = {
    "name": 255,
    "given_name": 255,
    "family_name": 255,
    "nickname": 255,
    "picture": 2048,
    "locale": 35,
    "zoneinfo": 64,
    "email": 320,
}
TEXTS = ("name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo")
EDITABLE = (*TEXTS, "attributes")
READ_ONLY = frozenset(
    {"sub", "email", "email_verified", "roles", "app_attributes", "etag", "seq", "created_at", "updated_at"}
)
# Of one object whose members are ours to name: marshmallow makes an error for each that it does not know.
MAX_MEMBERS = 100
TOO_MANY_MEMBERS = f"Must not have more than {MAX_MEMBERS} members."
_MAX_FAULTS = 50
_MAX_POINTER_LENGTH = 1024
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Some platforms write en_GB; OpenID Connect Core §5.1 asks to accept it.
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
# The form only: a phone's time zone database is newer than the server's.
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_URL = validate.URL(schemes={"http", "https"}, require_tld=False)


class _Text(fields.String):
    """A bounded text without control characters; the length is checked before any pattern sees the value."""

    def __init__(self, name: str, pattern: re.Pattern[str] | validate.URL | None = None, detail: str = "") -> None:
        super().__init__(allow_none=True, required=True)
        self._max_length, self._pattern, self._detail = MAX_LENGTHS[name], pattern, detail

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if not 1 <= len(value) <= self._max_length:
            raise ValidationError(f"Must have 1 to {self._max_length} characters; null clears it.")
        if _CONTROL.search(value):
            raise ValidationError("Must not contain control characters.")
        if isinstance(self._pattern, re.Pattern) and not self._pattern.fullmatch(value):
            raise ValidationError(self._detail)
        if isinstance(self._pattern, validate.URL):
            self._pattern(value)
        return str(super()._deserialize(value, attr, data, **kwargs))


class _Attributes(fields.Field[dict[str, Any]]):
    """Free JSON, an object, bounded in depth and bytes."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(required=True)
        self._max_bytes = max_bytes

    def _deserialize(self, value: Any, *_context: Any, **_more: Any) -> dict[str, Any]:
        fault = attributes_fault(value, self._max_bytes)
        if fault is not None:
            raise ValidationError(fault)
        return dict(value)


_TEXT_FIELDS: Mapping[str, _Text] = {
    **{name: _Text(name) for name in ("name", "given_name", "family_name", "nickname")},
    "picture": _Text("picture", _URL),
    "locale": _Text("locale", _LOCALE, "Must be a language tag such as en-GB."),
    "zoneinfo": _Text("zoneinfo", _ZONE, "Must be a time zone name such as Europe/London."),
}


def refuse_read_only(document: Any) -> None:
    """Refuse a patch that is no object, or names what is not the user's, or too much: no lock is needed for that."""
    if not isinstance(document, Mapping):
        raise ValidationFailed([{"pointer": "", "detail": "Must be an object."}])
    if has_too_many_members(document):
        raise ValidationFailed([{"pointer": "", "detail": TOO_MANY_MEMBERS}])
    named = [pointer_to([name]) for name in document if name in READ_ONLY]
    if named:
        raise FieldReadOnly(named)


def has_too_many_members(document: Any) -> bool:
    """Tell it before a schema looks at the body: tens of thousands of unknown names would take tenths of a second."""
    return isinstance(document, Mapping) and len(document) > MAX_MEMBERS


def checked(document: Mapping[str, Any], max_attributes_bytes: int) -> dict[str, Any]:
    """Check a whole document, the merged one, or list every fault in it."""
    schema = Schema.from_dict({**_TEXT_FIELDS, "attributes": _Attributes(max_attributes_bytes)}, name="Editable")
    try:
        loaded: dict[str, Any] = schema(unknown=RAISE).load(document)
    except ValidationError as error:
        raise ValidationFailed(list(faults_of(error.messages))[:_MAX_FAULTS]) from error
    return loaded


def is_text(name: str, value: Any) -> bool:
    """Tell whether the value would do for the text member; None would not, for nothing is told by it."""
    try:
        return _TEXT_FIELDS[name].deserialize(value) is not None
    except ValidationError:
        return False


def is_clean(value: Any, max_length: int) -> bool:
    """Tell whether the value is a bounded text without control characters."""
    return isinstance(value, str) and 1 <= len(value) <= max_length and not _CONTROL.search(value)


def attributes_fault(value: Any, max_bytes: int) -> str | None:
    """Say what is wrong with free JSON, or None; never recurses, so no nesting can end the process."""
    if not isinstance(value, dict):
        return "Must be an object."
    if _is_too_large(value, max_bytes):
        return f"Must not be larger than {max_bytes} bytes."
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_ATTRIBUTES_DEPTH:
            return f"Must not be nested deeper than {MAX_ATTRIBUTES_DEPTH} levels."
        if isinstance(item, dict):
            if not all(_is_storable(name) for name in item):
                return "Must not contain the character U+0000 or half a surrogate pair."
            waiting.extend((member, depth + 1) for member in item.values())
        elif isinstance(item, list):
            waiting.extend((member, depth + 1) for member in item)
        elif not _is_storable(item):
            return "Must hold JSON values only: no U+0000, no half surrogate, no number outside 64 bits."
    return None


def _is_too_large(value: Any, max_bytes: int) -> bool:
    """Tell by the written length, before a walk that would take its time over a megabyte; of what cannot be written,
    the walk says why.
    """
    try:
        return len(orjson.dumps(value)) > max_bytes
    except TypeError:
        return False


def faults_of(messages: Any, path: tuple[str | int, ...] = ()) -> Iterable[Fault]:
    """Turn marshmallow's nested messages into JSON pointers; `_schema` stands for the object itself."""
    if isinstance(messages, Mapping):
        for name, below in messages.items():
            yield from faults_of(below, path if name == "_schema" else (*path, name))
    else:
        for message in [messages] if isinstance(messages, str) else messages:
            yield {"pointer": pointer_to(path), "detail": str(message)}


def pointer_to(path: Iterable[str | int]) -> str:
    """Write a JSON pointer (RFC 6901 §3: `~` and `/` are escaped).

    It ends above a name that is too long for it: fifty faults below a name of 60 KB would be an answer of 3 MB.
    """
    pointer = ""
    for step in path:
        longer = f"{pointer}/" + str(step).replace("~", "~0").replace("/", "~1")
        if len(longer) > _MAX_POINTER_LENGTH:
            break
        pointer = longer
    return pointer


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return _INT64_MIN <= value <= _UINT64_MAX
    return value is None
