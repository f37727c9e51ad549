"""The user's own say in the life of the account: delete it, think better of it, begin anew.

Takes   session: inside Database.transact, but for find();  identity;  now: aware, UTC
Gives   Deletion, frozen;  as_document(deletion), the shape of the contract
Raises  AccountDeleted once the account is erased or should be; AccountExists, AccountDeletionScheduled;
        ValidationFailed where the wish is not confirmed
Not     what erasing is (erasure.py); how recent the login must be (the web knows the token)
Source  docs/contracts/user-data.md §3, U16
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate
from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.users import account as accounts
from app.users import standing
from app.users.erasure import erase
from app.users.errors import AccountDeleted, AccountExists, ValidationFailed
from app.users.identity import Identity
from app.users.models import ACTIVE, SCHEDULED, Account, Erasure
from app.users.timestamps import rfc3339
from app.users.validation import faults_of

CONFIRMATION = "delete my account"
ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to become of the account; the times are there unless it is active."""

    state: str
    requested_at: datetime | None = None
    purge_at: datetime | None = None


class _Confirmation(Schema):
    confirm = fields.String(required=True, validate=validate.Equal(CONFIRMATION))


def refuse_unconfirmed(document: Any) -> None:
    """Refuse a body that does not say, word for word, what is wanted: no slip deletes an account."""
    try:
        _Confirmation(unknown=RAISE).load(document)
    except ValidationError as error:
        raise ValidationFailed(list(faults_of(error.messages))) from error


def find(session: Session, identity: Identity, now: datetime) -> Deletion:
    """Read what is scheduled; a user without an account has nothing scheduled."""
    account = session.get(Account, identity.user_key)
    if account is None:
        if standing.is_erased(session, identity.user_key):
            raise AccountDeleted
        return Deletion(ACTIVE)
    return _of(account, now)


def schedule(session: Session, identity: Identity, grace: timedelta, now: datetime) -> Deletion:
    """Schedule the deletion, or leave it as it is scheduled already; without a grace, erase at once.

    A user without an account gets one for it: the wish must be kept somewhere, and outlive the user's old devices.
    """
    account = accounts.hold_or_make(session, identity, now)
    found = _of(account, now)
    if found.state == SCHEDULED:
        return found
    if not grace:
        erase(session, identity.user_key, now)
        return Deletion(ERASED, now, now)
    account.state, account.deletion_requested_at, account.purge_at = SCHEDULED, now, now + grace
    session.flush()
    return _of(account, now)


def cancel(session: Session, identity: Identity, now: datetime) -> None:
    """Keep the account; where nothing is scheduled, that is so already."""
    account = accounts.hold(session, identity.user_key)
    if account is None:
        if standing.is_erased(session, identity.user_key):
            raise AccountDeleted
        return
    if standing.is_over(account, now):
        raise AccountDeleted
    account.state, account.deletion_requested_at, account.purge_at = ACTIVE, None, None
    session.flush()


def begin_anew(session: Session, identity: Identity, now: datetime) -> None:
    """Make an account where there is none; after an erasure too, whose record goes with it.

    The new life numbers its changes from the milliseconds of its begin: above all numbers of the lives before it, of
    which nothing is kept. From 0 it would give an old entity-tag to a new profile, and an old device would be told
    304 about what it holds of the erased one.
    """
    while not accounts.ensure(session, identity, now):
        found = accounts.hold(session, identity.user_key)
        if found is None:
            continue  # erased since the line above
        if not standing.is_over(found, now):
            standing.refuse_closed(found, now)
            raise AccountExists
        erase(session, identity.user_key, now)  # the purge is late
    forgotten = delete(Erasure).where(Erasure.user_key_hash == standing.hash_of(identity.user_key))
    if session.scalar(forgotten.returning(Erasure.user_key_hash)) is not None:
        accounts.hold(session, identity.user_key, numbers=int(now.timestamp() * 1000))


def as_document(deletion: Deletion) -> dict[str, str | None]:
    """Write the shape of §3; until the very moment of the purge the user may cancel."""
    requested_at = None if deletion.requested_at is None else rfc3339(deletion.requested_at)
    purge_at = None if deletion.purge_at is None else rfc3339(deletion.purge_at)
    return {"state": deletion.state, "requested_at": requested_at, "purge_at": purge_at, "cancel_until": purge_at}


def _of(account: Account, now: datetime) -> Deletion:
    if standing.is_over(account, now):
        raise AccountDeleted
    return Deletion(account.state, account.deletion_requested_at, account.purge_at)
