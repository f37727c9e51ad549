"""What the operator allows: limits for everybody, and rules of single collections.

Takes   numbers, and marshmallow schemas by the name of their collection
Gives   Limits, Rule, Terms: frozen;  the text to store of what came in
Raises  PayloadTooLarge, ValidationFailed: every fault that a schema finds at once, by JSON pointer; at the start
        ValueError, TypeError for a rule that could never be kept
Not     where the numbers come from (the composition root reads the settings); quotas (draft.py)
Source  docs/contracts/user-data.md §5, §6, U4; RFC 7493 §2
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from marshmallow import Schema

from app.records.errors import PayloadTooLarge, ValidationFailed
from app.records.names import is_collection
from app.users.validation import faults_of, pointer_to

_MAX_FAULTS = 50
_NUL, _NUL_WRITTEN = "\0", b"\\u0000"
# Not the text of a backslash and `u0000`, whose backslash is written twice.
_NUL_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of §5."""

    record_bytes: int = 65_536
    preferences_bytes: int = 16_384
    attributes_bytes: int = 16_384
    json_depth: int = 32
    collections: int = 64
    records_per_collection: int = 10_000
    bytes_per_user: int = 52_428_800
    batch_operations: int = 100
    page_size_default: int = 100
    page_size_max: int = 500
    answer_bytes: int = 4_194_304

    def page_size(self, asked: int | None) -> int:
        """How many items a page has: what is asked for is coerced, not refused."""
        return max(1, min(self.page_size_default if asked is None else asked, self.page_size_max))


@dataclass(frozen=True, slots=True)
class Rule:
    """What the operator wants of one collection."""

    schema: Schema | None = None
    require_preconditions: bool = False

    def __post_init__(self) -> None:
        """Refuse, at the start, a class in an instance's place: every write of the collection would fail."""
        if self.schema is not None and not isinstance(self.schema, Schema):
            raise TypeError("Rule(schema=…) wants an instance of a marshmallow Schema: NoteSchema(), not NoteSchema")


_FREE = Rule()


@dataclass(frozen=True, slots=True)
class Terms:
    """Limits and rules; a collection that has no rule takes free JSON."""

    limits: Limits = field(default_factory=Limits)
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse, at the start, a rule that would never be asked: nobody would notice that it is not kept."""
        for name in self.rules:
            if not is_collection(name):
                raise ValueError(f"a rule is for the collection {name!r}, and none can have this name")

    def rule(self, collection: str) -> Rule:
        """Find what is wanted of the collection."""
        return self.rules.get(collection, _FREE)

    def record_text(self, collection: str, data: Any) -> str:
        """Check a record's whole data, and write them as they are stored."""
        text = _text(data, "data", self.limits.record_bytes)
        refuse_shape(data, "data", self.limits.json_depth)
        self._refuse_misfit(collection, data)
        return text

    def merged_record_text(self, collection: str, merged: Any) -> str:
        """The same for what a patch leads to, where both of its parts have a shape that was judged already.

        NOTE: judged again, a large document would be walked under the user's lock for each small patch of it. A merge
        makes nothing deeper: every part of a patch ends at the depth that it has in the patch (RFC 7396 §2).
        """
        text = _text(merged, "data", self.limits.record_bytes)
        self._refuse_misfit(collection, merged)
        return text

    def preferences_text(self, value: Any) -> str:
        """Check the whole preferences, and write them as they are stored."""
        text = self.merged_preferences_text(value)
        refuse_shape(value, "preferences", self.limits.json_depth)
        return text

    def merged_preferences_text(self, merged: Any) -> str:
        """The same for what a patch leads to, as with records."""
        return _text(merged, "preferences", self.limits.preferences_bytes)

    def _refuse_misfit(self, collection: str, data: Any) -> None:
        schema = self.rule(collection).schema
        if schema is not None:
            faults = list(faults_of(schema.validate(data), ("data",)))
            if faults:
                raise ValidationFailed(faults[:_MAX_FAULTS])


def refuse_shape(value: Any, member: str, max_depth: int) -> None:
    """Refuse what is no object, nested too deep, or holds no finite number: of whole data, and of a patch."""
    fault = _fault(value, max_depth) if isinstance(value, dict) else "Must be an object."
    if fault is not None:
        raise ValidationFailed([{"pointer": f"/{member}", "detail": fault}])
    try:
        text = orjson.dumps(value)
    except TypeError:
        return  # of what cannot be written, _text() says why
    if _holds_nul(text):
        _refuse_nul(value, member)


def _holds_nul(text: bytes) -> bool:
    return _NUL_WRITTEN in text and _NUL_ESCAPED.search(text) is not None


def _text(value: Any, member: str, max_bytes: int) -> str:
    if not isinstance(value, dict):
        raise ValidationFailed([{"pointer": f"/{member}", "detail": "Must be an object."}])
    try:
        text = orjson.dumps(value)
    except TypeError:
        detail = "Must be JSON that every parser reads alike: no half surrogate, no integer beyond 64 bits."
        raise ValidationFailed([{"pointer": f"/{member}", "detail": detail}]) from None
    if len(text) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    if _holds_nul(text):
        _refuse_nul(value, member)
    return text.decode()


def _fault(value: dict[str, Any], max_depth: int) -> str | None:
    """Say what orjson lets pass; walks without recursion."""
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, dict | list):
            if depth > max_depth:
                return f"Must not be nested deeper than {max_depth} levels."
            below = item.values() if isinstance(item, dict) else item
            waiting.extend((member, depth + 1) for member in below)
        elif isinstance(item, float) and not math.isfinite(item):
            return "Must hold finite numbers only."
    return None


def _refuse_nul(value: dict[str, Any], member: str) -> None:
    """Point at every U+0000: it would be stored, and no operator could ever read it as JSON in PostgreSQL."""
    paths: list[tuple[str | int, ...]] = []
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(value, (member,))]
    while waiting and len(paths) < _MAX_FAULTS:
        item, path = waiting.pop()
        if isinstance(item, dict):
            # The name itself stands in no pointer: other parsers would stumble over it there.
            paths += [path] * any(_NUL in name for name in item)
            waiting += [(below, (*path, name)) for name, below in item.items() if _NUL not in name]
        elif isinstance(item, list):
            waiting += [(below, (*path, number)) for number, below in enumerate(item)]
        elif isinstance(item, str) and _NUL in item:
            paths.append(path)
    if paths:
        detail = "Must not hold the character U+0000."
        raise ValidationFailed([{"pointer": pointer_to(path), "detail": detail} for path in sorted(paths, key=str)])
