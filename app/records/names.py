"""Which collections and records there can be, and the ids that the server gives.

Takes   names as they come in;  now: aware, UTC
Gives   is_collection, is_id; refuse_names, refuse_collection for writes; collections_in, a filter; new_id, UUIDv7
Raises  ValidationFailed, BadFilter
Not     which of them exist
Source  docs/contracts/user-data.md §2, §5; RFC 9562 §5.7
"""

import re
import secrets
from datetime import datetime
from uuid import UUID

from app.records.errors import BadFilter, Fault, ValidationFailed

COLLECTION_PATTERN = "[a-z][a-z0-9_-]{0,31}"
ID_PATTERN = "[A-Za-z0-9_-]{1,64}"
_COLLECTION = re.compile(COLLECTION_PATTERN)
_ID = re.compile(ID_PATTERN)
_RANDOM_BITS = 80
# So many of the longest names fit into a cursor, beside its largest numbers.
MAX_FILTERED = 90


def is_collection(name: str) -> bool:
    """Tell whether a collection can have this name."""
    return _COLLECTION.fullmatch(name) is not None


def is_id(name: str) -> bool:
    """Tell whether a record can have this id."""
    return _ID.fullmatch(name) is not None


def refuse_collection(name: str) -> None:
    """Refuse to write into what can be no collection."""
    if not is_collection(name):
        raise ValidationFailed([_fault("collection", COLLECTION_PATTERN)])


def refuse_names(collection: str, record_id: str) -> None:
    """The same for a record; both names are judged."""
    faults = [] if is_collection(collection) else [_fault("collection", COLLECTION_PATTERN)]
    if not is_id(record_id):
        faults.append(_fault("id", ID_PATTERN))
    if faults:
        raise ValidationFailed(faults)


def collections_in(text: str, max_collections: int) -> frozenset[str]:
    """Read a filter: names with commas between them; no more than a cursor can carry, whatever the quota is."""
    most = min(max_collections, MAX_FILTERED)
    found = frozenset(name.strip() for name in text.split(",", most + 1))
    if len(found) > most or not all(is_collection(name) for name in found):
        raise BadFilter
    return found


def new_id(now: datetime) -> str:
    """Make a UUIDv7: ordered by time to the millisecond, so that new records are neighbours in the index."""
    value = int(now.timestamp() * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    value = value & ~(0xF << 76) | 7 << 76  # version
    value = value & ~(0b11 << 62) | 0b10 << 62  # variant
    return str(UUID(int=value))


def _fault(member: str, pattern: str) -> Fault:
    return {"pointer": f"/{member}", "detail": f"Must match {pattern}."}
