"""What a user has stored: the collections, and how much of the quotas is used.

Takes   session: inside Database.read;  identity;  now: aware, UTC
Gives   Overview, Usage: frozen;  seq is the user's head, which every change raises: a version for ETag
Raises  what finding the account raises
Not     the counting (draft.py does it, under the lock), the links to schemas (the web knows its URLs)
Source  docs/contracts/user-data.md §2, §5
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.records.models import CollectionRow
from app.records.terms import Limits
from app.users import account as accounts
from app.users.identity import Identity

_COLUMNS = (CollectionRow.name, CollectionRow.count, CollectionRow.stored_bytes, CollectionRow.seq)


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection: it is there while it has a living record. `seq` is that of its last change."""

    name: str
    count: int
    stored_bytes: int
    seq: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All collections, by name."""

    collections: tuple[Collection, ...]
    seq: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Living records and their bytes, over all collections."""

    collections: int
    records: int
    stored_bytes: int
    seq: int


def overview(session: Session, identity: Identity, now: datetime) -> Overview:
    """List the collections."""
    account = accounts.find(session, identity, now)
    statement = select(*_COLUMNS).where(CollectionRow.user_key == identity.user_key).order_by(CollectionRow.name)
    found = tuple(Collection(*row) for row in session.execute(statement))
    return Overview(found, 0 if account is None else account.seq)


def usage(session: Session, identity: Identity, now: datetime) -> Usage:
    """Tell what is used of the quotas."""
    account = accounts.find(session, identity, now)
    if account is None:
        return Usage(0, 0, 0, 0)
    counted = select(func.count()).select_from(CollectionRow).where(CollectionRow.user_key == identity.user_key)
    return Usage(session.scalars(counted).one(), account.live, account.stored_bytes, account.seq)


def usage_document(usage: Usage, limits: Limits) -> dict[str, Any]:
    """Write the usage beside the limits, by the same names."""
    return {
        "collections": usage.collections,
        "records": usage.records,
        "bytes": usage.stored_bytes,
        "limits": {
            "collections": limits.collections,
            "records_per_collection": limits.records_per_collection,
            "bytes": limits.bytes_per_user,
            "record_bytes": limits.record_bytes,
        },
    }


def collection_at(session: Session, user_key: str, name: str) -> Collection | None:
    """Read one collection where the account's standing is known already."""
    statement = select(*_COLUMNS).where(CollectionRow.user_key == user_key, CollectionRow.name == name)
    row = session.execute(statement).one_or_none()
    return None if row is None else Collection(*row)
