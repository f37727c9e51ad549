"""The shapes of answers, to be written by orjson: a record's stored JSON text is spliced in, never parsed.

Takes   records, preferences, profiles as data
Gives   documents (dicts with orjson.Fragment in them), and whole bodies of lists as bytes
Raises  nothing
Not     HTTP; a profile's own shape (app/users/profiles.py)
Source  docs/contracts/user-data.md §3, §6, U2
"""

from collections.abc import Sequence
from typing import Any

import orjson

from app.records.record import Preferences, Record
from app.users.profiles import Profile
from app.users.profiles import as_document as profile_document
from app.users.timestamps import rfc3339


def record_document(record: Record) -> dict[str, Any]:
    """Write one record; of a tombstone, what a device has to know of it."""
    named = {"id": record.id, "collection": record.collection}
    version = {"etag": f'"{record.seq}"', "seq": record.seq}
    told = {"origin": record.origin, "updated_at": rfc3339(record.updated_at)}
    if record.data is None:
        return {**named, **version, "deleted": True, **told}
    return {**named, "data": orjson.Fragment(record.data), **version, "created_seq": record.created_seq, **told}


def preferences_document(preferences: Preferences) -> dict[str, Any]:
    """Write the preferences."""
    moment = preferences.updated_at
    return {
        "preferences": orjson.Fragment(preferences.data),
        "etag": f'"{preferences.seq}"',
        "seq": preferences.seq,
        "updated_at": None if moment is None else rfc3339(moment),
    }


def record_change(record: Record) -> dict[str, Any]:
    """Write a record as the change feed has it: the same members, and what kind of thing it is."""
    return {"kind": "record", **record_document(record)}


def preferences_change(preferences: Preferences) -> dict[str, Any]:
    """The same of the preferences."""
    return {"kind": "preferences", **preferences_document(preferences), "origin": preferences.origin}


def profile_change(profile: Profile, *, with_email: bool) -> dict[str, Any]:
    """The same of the profile."""
    return {"kind": "profile", **profile_document(profile, with_email=with_email)}


def list_body(name: str, items: Sequence[bytes], **members: Any) -> bytes:
    """Write a list's body: the items, which are JSON already, then the other members."""
    return orjson.dumps({name: [orjson.Fragment(item) for item in items], **members})
