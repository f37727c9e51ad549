"""What is stored now, as this token may see it: the whole of it, or its version alone.

Takes   a record, preferences, a profile, a collection, or None;  the scopes of the token
Gives   a document that orjson can write, or None where nothing is stored
Raises  nothing
Not     the shapes themselves (app/records/documents.py, app/users/profiles.py)
Source  docs/contracts/user-data.md §2, §3, U4
"""

from typing import Any

from app.oauth.access_token import AccessToken
from app.records.documents import preferences_document, record_document
from app.records.overview import Collection
from app.records.record import Preferences, Record
from app.users.profiles import Profile, as_document

VERSION = ("etag", "seq", "updated_at")


def shown(current: Record | Preferences | Profile | Collection | None, token: AccessToken) -> dict[str, Any] | None:
    """Write it for this token: whoever may write and not read learns which version there is, and no more."""
    if current is None:
        return None
    scope, document = _document(current, with_email="read:email" in token.scopes)
    if scope in token.scopes:
        return document
    return {name: document[name] for name in VERSION if name in document}


def collection_document(collection: Collection) -> dict[str, Any]:
    """Write what a collection holds."""
    return {
        "name": collection.name,
        "count": collection.count,
        "bytes": collection.stored_bytes,
        "etag": f'"{collection.seq}"',
        "seq": collection.seq,
    }


def _document(current: Record | Preferences | Profile | Collection, *, with_email: bool) -> tuple[str, dict[str, Any]]:
    if isinstance(current, Record):
        return "read:records", record_document(current)
    if isinstance(current, Preferences):
        return "read:preferences", preferences_document(current)
    if isinstance(current, Collection):
        return "read:records", collection_document(current)
    return "read:profile", as_document(current, with_email=with_email)
