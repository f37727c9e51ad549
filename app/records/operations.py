"""What a request wishes to write, as data: the same for a request of its own and for one of a batch.

Takes   names, documents and preconditions as they came in, nothing checked
Gives   Operation, frozen, and a function for each kind of wish
Raises  nothing
Not     carrying it out (writing.py), reading it from JSON (operation_shapes.py)
Source  docs/contracts/user-data.md §2, U4, U6
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.records.names import new_id
from app.records.preconditions import UNCONDITIONAL, Precondition, Versions


class Verb(StrEnum):
    """What to do."""

    CREATE = "create"
    PUT = "put"
    PATCH = "patch"
    DELETE = "delete"


class Kind(StrEnum):
    """What to do it to; each kind has a scope of its own."""

    RECORD = "record"
    PREFERENCES = "preferences"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class Operation:
    """One wish. `origin` is the Device-Id of the request, which the change will carry."""

    verb: Verb
    kind: Kind = Kind.RECORD
    collection: str = ""
    id: str = ""
    data: Any = None
    precondition: Precondition = UNCONDITIONAL
    origin: str | None = None


def create(collection: str, data: Any, now: datetime, origin: str | None = None) -> Operation:
    """Wish for a new record, under an id that the server gives."""
    nothing_there = Precondition(if_none_match=Versions(is_any=True))
    return Operation(Verb.CREATE, Kind.RECORD, collection, new_id(now), data, nothing_there, origin)


def put(
    collection: str, record_id: str, data: Any, precondition: Precondition = UNCONDITIONAL, origin: str | None = None
) -> Operation:
    """Wish for a record to be exactly this, whether it is there or not."""
    return Operation(Verb.PUT, Kind.RECORD, collection, record_id, data, precondition, origin)


def patch(
    collection: str, record_id: str, data: Any, precondition: Precondition = UNCONDITIONAL, origin: str | None = None
) -> Operation:
    """Wish for members of a record to change (RFC 7396)."""
    return Operation(Verb.PATCH, Kind.RECORD, collection, record_id, data, precondition, origin)


def delete(
    collection: str, record_id: str, precondition: Precondition = UNCONDITIONAL, origin: str | None = None
) -> Operation:
    """Wish a record away."""
    return Operation(Verb.DELETE, Kind.RECORD, collection, record_id, None, precondition, origin)


def put_preferences(value: Any, precondition: Precondition = UNCONDITIONAL, origin: str | None = None) -> Operation:
    """Wish for the preferences to be exactly this."""
    return Operation(Verb.PUT, Kind.PREFERENCES, data=value, precondition=precondition, origin=origin)


def patch_preferences(value: Any, precondition: Precondition = UNCONDITIONAL, origin: str | None = None) -> Operation:
    """Wish for members of the preferences to change (RFC 7396)."""
    return Operation(Verb.PATCH, Kind.PREFERENCES, data=value, precondition=precondition, origin=origin)
