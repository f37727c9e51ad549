"""The user's preferences: one JSON object, with a seq of its own.

Takes   session, then identity: every statement is filtered by it;  operation, terms;  now: aware, UTC
Gives   Preferences, frozen; empty and with seq 0 before the first write
Raises  ValidationFailed, PayloadTooLarge, PreconditionFailed; what finding or locking the account raises
Not     the shape of the answer (documents.py)
Source  docs/contracts/user-data.md §2, §3, §5, U4; RFC 7396
"""

from datetime import datetime

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.records.draft import lock, upsert
from app.records.errors import PreconditionFailed, ValidationFailed
from app.records.models import PreferencesRow
from app.records.operations import Operation, Verb
from app.records.record import NO_PREFERENCES, Preferences
from app.records.terms import Terms, refuse_shape
from app.users import account as accounts
from app.users.identity import Identity
from app.users.merge_patch import MergeTooDeep, merge


def find(session: Session, identity: Identity, now: datetime) -> Preferences:
    """Read the preferences of a user whose account may be used."""
    accounts.find(session, identity, now)
    return stored(session, identity.user_key)


def stored(session: Session, user_key: str) -> Preferences:
    """Read them where the account's standing is known already."""
    columns = (PreferencesRow.data, PreferencesRow.seq, PreferencesRow.origin, PreferencesRow.updated_at)
    row = session.execute(select(*columns).where(PreferencesRow.user_key == user_key)).one_or_none()
    return NO_PREFERENCES if row is None else Preferences(*row)


def write(session: Session, identity: Identity, operation: Operation, terms: Terms, now: datetime) -> Preferences:
    """Replace or merge them under the user's lock; a patch that changes nothing takes no seq."""
    text = terms.preferences_text(operation.data) if operation.verb is Verb.PUT else None
    if text is None:
        refuse_shape(operation.data, "preferences", terms.limits.json_depth)
    account = lock(session, identity, now, 1)
    before = stored(session, identity.user_key)
    if text is None:
        text = _merged(before, operation, terms)
    if not _is_expected(before, operation):
        raise PreconditionFailed(before)
    if operation.verb is Verb.PATCH and text == before.data:
        accounts.give_back(account)
        session.flush()
        return before
    after = Preferences(text, account.seq, operation.origin, now)
    row = {"user_key": identity.user_key, "seq": after.seq, "data": text, "origin": after.origin, "updated_at": now}
    upsert(session, PreferencesRow, ("user_key",), [row])
    return after


def _is_expected(before: Preferences, operation: Operation) -> bool:
    """Before the first write both are true: they are empty and have version 0, and nothing is stored."""
    precondition = operation.precondition
    return precondition.holds(before.seq) or (before.seq == 0 and precondition.holds(None))


def _merged(before: Preferences, operation: Operation, terms: Terms) -> str:
    try:
        merged = merge(orjson.loads(before.data), operation.data)
    except MergeTooDeep:
        raise ValidationFailed([{"pointer": "/preferences", "detail": "Must not be nested so deep."}]) from None
    return terms.merged_preferences_text(merged)
