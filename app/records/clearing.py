"""Every record of a collection goes: a tombstone for each, so that every device learns of each.

Takes   session: inside Database.transact;  identity;  now: aware, UTC;  what the collection is expected to be
Gives   Cleared, frozen
Raises  ValidationFailed, PreconditionRequired, PreconditionFailed; what locking the account raises
Not     single records (writing.py), the purge of tombstones (tombstones.py)
Source  docs/contracts/user-data.md §2, U4, §7
"""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Table, bindparam, delete, select, update
from sqlalchemy.orm import Session

from app.records.draft import lock
from app.records.errors import PreconditionFailed, PreconditionRequired
from app.records.models import CollectionRow, RecordRow
from app.records.names import refuse_collection
from app.records.overview import Collection, collection_at
from app.records.preconditions import UNCONDITIONAL, Precondition
from app.records.terms import Terms
from app.users import account as accounts
from app.users.identity import Identity


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many records are gone, and the number of the last deletion; where there were none, that of the user."""

    deleted: int
    seq: int


def clear(  # noqa: PLR0913 - the session, who, what, on which terms, when; on which condition, from which device
    session: Session,
    identity: Identity,
    collection: str,
    terms: Terms,
    now: datetime,
    *,
    precondition: Precondition = UNCONDITIONAL,
    origin: str | None = None,
) -> Cleared:
    """Delete all records of the collection; its version is that of its last change."""
    refuse_collection(collection)
    account = lock(session, identity, now, 0)
    found = collection_at(session, identity.user_key, collection)
    _refuse_unexpected(found, precondition, is_required=terms.rule(collection).require_preconditions)
    if found is None:
        return Cleared(0, account.seq)
    # How many numbers are needed is known under the lock only: they are raised here, before any is used.
    first = account.seq
    accounts.hold(session, identity.user_key, found.count)
    _bury_all(session, identity.user_key, collection, first, now=now, origin=origin)
    is_it = (CollectionRow.user_key == identity.user_key, CollectionRow.name == collection)
    session.execute(delete(CollectionRow).where(*is_it))
    account.live -= found.count
    account.stored_bytes -= found.stored_bytes
    session.flush()
    return Cleared(found.count, account.seq)


def _refuse_unexpected(found: Collection | None, precondition: Precondition, *, is_required: bool) -> None:
    if is_required and precondition.is_absent:
        raise PreconditionRequired
    if not precondition.holds(None if found is None else found.seq):
        raise PreconditionFailed(found)


def _bury_all(  # noqa: PLR0913 - one statement's values
    session: Session, user_key: str, collection: str, first: int, *, now: datetime, origin: str | None
) -> None:
    """Make all living records tombstones; the numbers go in the order of their last changes.

    Row by row, each by its key, sent as one: PostgreSQL, which knows nothing of a collection that has just been filled,
    joins ten thousand rows to their row numbers by comparing each with each, and runs out of time.
    """
    table = cast("Table", RecordRow.__table__)
    records = table.c
    is_mine = (records.user_key == user_key, records.collection == collection)
    found = session.execute(select(records.seq, records.id).where(*is_mine, ~records.deleted))
    numbered = [
        {"its_id": record_id, "its_seq": seq}
        for seq, (_last_seq, record_id) in enumerate(sorted(found.all()), first + 1)
    ]
    tombstone = {"deleted": True, "data": None, "bytes": 0, "origin": origin, "updated_at": now}
    statement = update(table).where(*is_mine, records.id == bindparam("its_id"))
    session.execute(statement.values(seq=bindparam("its_seq"), **tombstone), numbered)
