"""One write: create, put, patch or delete a record; put or patch the preferences; patch the profile.

Takes   session: inside Database.transact;  identity, operation, terms;  now: aware, UTC
Gives   Written, frozen: what happened, and the version that is stored now
Raises  in this order: ValidationFailed, PayloadTooLarge · NotFound, Gone · ValidationFailed, PayloadTooLarge of what
        a patch leads to · PreconditionRequired · PreconditionFailed · QuotaExceeded. Then nothing is written.
Not     several writes in one transaction (batch.py), who may write (the web knows the token)
Source  docs/contracts/user-data.md §2, §7, U2–U6, U14; docs/contracts/tokens.md T30; RFC 7396; RFC 9110 §13
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from app.records import preferences
from app.records.draft import Draft, Key
from app.records.errors import Gone, NotFound, PreconditionFailed, PreconditionRequired, ValidationFailed
from app.records.names import refuse_names
from app.records.operations import Kind, Operation, Verb
from app.records.record import Preferences, Record
from app.records.terms import Terms, refuse_shape
from app.users import profiles
from app.users.identity import Identity
from app.users.merge_patch import MergeTooDeep, merge
from app.users.profiles import Profile


class Outcome(StrEnum):
    """What happened: 201, 200 and 204 in HTTP."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Written:
    """The version that is stored now: of a deletion, the tombstone."""

    outcome: Outcome
    current: Record | Preferences | Profile

    @property
    def seq(self) -> int:
        """The version's number."""
        return self.current.seq


def write(session: Session, identity: Identity, operation: Operation, terms: Terms, now: datetime) -> Written:
    """Carry out one operation, or refuse it."""
    if operation.kind is not Kind.RECORD:
        return write_other(session, identity, operation, terms, now)
    text = prepared(operation, terms)
    draft = Draft(session, identity, terms.limits, now, numbers=1, keys=[key_of(operation)])
    written = perform(draft, operation, text, terms)
    draft.save()
    return written


def key_of(operation: Operation) -> Key:
    """The record that the operation is about."""
    return operation.collection, operation.id


def prepared(operation: Operation, terms: Terms) -> str | None:
    """Refuse what can be refused without a lock; the text to store, where the operation alone decides on it."""
    refuse_names(operation.collection, operation.id)
    if operation.verb in {Verb.PUT, Verb.CREATE}:
        return terms.record_text(operation.collection, operation.data)
    if operation.verb is Verb.PATCH:
        # Whatever is stored: what is no object would replace the whole record by it.
        refuse_shape(operation.data, "data", terms.limits.json_depth)
    return None


def perform(draft: Draft, operation: Operation, text: str | None, terms: Terms) -> Written:
    """Take one operation on a record into the draft, every check first."""
    current = draft.current(key_of(operation))
    if operation.verb is Verb.DELETE:
        return _delete(draft, operation, current, terms)
    if text is None:
        return _patch(draft, operation, _living(current), terms)
    _refuse_unexpected(operation, current, terms)
    is_new = current is None or current.deleted
    stored = draft.store(key_of(operation), text, operation.origin)
    return Written(Outcome.CREATED if is_new else Outcome.CHANGED, stored)


def write_other(session: Session, identity: Identity, operation: Operation, terms: Terms, now: datetime) -> Written:
    """Carry out an operation on the preferences or the profile: each takes the lock by itself."""
    if operation.kind is Kind.PREFERENCES:
        return Written(Outcome.CHANGED, preferences.write(session, identity, operation, terms, now))

    def check(current: Profile) -> None:
        if not operation.precondition.holds(current.seq):
            raise PreconditionFailed(current)

    limit = terms.limits.attributes_bytes
    changed = profiles.patch(session, identity, operation.data, check, now, max_attributes_bytes=limit)
    return Written(Outcome.CHANGED, changed)


def _delete(draft: Draft, operation: Operation, current: Record | None, terms: Terms) -> Written:
    if current is None:
        raise NotFound
    if current.deleted:
        # RFC 9110 §13.1.1: what was applied already may be answered with success, whatever If-Match says: an answer
        # that was lost on its way must not turn a deletion into a conflict.
        return Written(Outcome.DELETED, current)
    _refuse_unexpected(operation, current, terms)
    return Written(Outcome.DELETED, draft.bury(current, operation.origin))


def _patch(draft: Draft, operation: Operation, current: Record, terms: Terms) -> Written:
    """Merge under the lock, then judge what only the merged document shows; where nothing changes, no seq is taken."""
    try:
        merged = merge(draft.value(key_of(operation)), operation.data)
    except MergeTooDeep:
        raise ValidationFailed([{"pointer": "/data", "detail": "Must not be nested so deep."}]) from None
    text = terms.merged_record_text(current.collection, merged)
    _refuse_unexpected(operation, current, terms)
    if text == current.data:
        return Written(Outcome.CHANGED, current)
    stored = draft.store(key_of(operation), text, operation.origin)
    if terms.rule(current.collection).schema is None:
        # A schema of the operator's may change what it is shown.
        draft.keep(key_of(operation), text, merged)
    return Written(Outcome.CHANGED, stored)


def _living(current: Record | None) -> Record:
    if current is None:
        raise NotFound
    if current.deleted:
        raise Gone(current.seq)
    return current


def _refuse_unexpected(operation: Operation, current: Record | None, terms: Terms) -> None:
    if operation.precondition.is_absent and terms.rule(operation.collection).require_preconditions:
        raise PreconditionRequired
    seq = None if current is None or current.deleted else current.seq
    if not operation.precondition.holds(seq):
        raise PreconditionFailed(current)
