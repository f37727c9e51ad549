"""The account's row: read, or locked first in a write transaction and to its end.

Takes   session: inside Database.read for find() and head(), inside Database.transact for the rest;  identity;
        now: aware, UTC
Gives   the Account, or its Head; where it was locked for data, with its numbers already raised, so that commit order
        is seq order for each user
Raises  AccountMissing, AccountDeleted, AccountDeletionScheduled
Not     what is written under the lock (profiles.py, deletion.py)
Source  docs/contracts/user-data.md §7 "Write", U16
"""

import secrets
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.users.errors import AccountDeleted, AccountMissing
from app.users.identity import Identity
from app.users.models import ACTIVE, Account
from app.users.standing import is_erased, refuse_closed


class Head(NamedTuple):
    """How far the user's data have come, without the profile: what every poll reads."""

    user_key: str
    epoch: str
    seq: int
    purged_seq: int
    profile_seq: int
    deletion_requested_at: datetime | None
    purge_at: datetime | None


_COLUMNS = Account.__table__.c
# Made once, of columns and not of the model: a poll is one statement, and half of its time would go into making it.
_HEAD = select(*(_COLUMNS[name] for name in Head._fields)).where(_COLUMNS.user_key == bindparam("key"))


def find(session: Session, identity: Identity, now: datetime) -> Account | None:
    """Read the row for a request that wants the user's data; None where the user has no account yet."""
    found = session.scalars(select(Account).where(Account.user_key == identity.user_key)).one_or_none()
    if found is not None:
        refuse_closed(found, now)
    elif is_erased(session, identity.user_key):
        raise AccountDeleted
    return found


def head(session: Session, identity: Identity, now: datetime) -> Head | None:
    """Read the few numbers that the change feed needs, for a request that wants the user's data; None as find()."""
    row = session.execute(_HEAD, {"key": identity.user_key}).one_or_none()
    if row is not None:
        found = Head._make(row)
        refuse_closed(found, now)
        return found
    refuse_erased(session, identity)
    return None


def refuse_erased(session: Session, identity: Identity) -> None:
    """Refuse a user who was erased; asked where there is no account."""
    if is_erased(session, identity.user_key):
        raise AccountDeleted


def lock(session: Session, identity: Identity, now: datetime, numbers: int = 1) -> Account:
    """Raise the user's seq by `numbers` and hold the row of an account that may be used.

    Who else writes for this user waits here, and then reads what was committed: nothing read before this line may
    decide what is written after it.
    """
    found = hold(session, identity.user_key, numbers)
    if found is None:
        raise AccountDeleted if is_erased(session, identity.user_key) else AccountMissing
    refuse_closed(found, now)
    return found


def lock_or_make(session: Session, identity: Identity, now: datetime) -> Account:
    """The same, after making the account where there is none."""
    found = hold_or_make(session, identity, now, numbers=1)
    refuse_closed(found, now)
    return found


def give_back(account: Account, numbers: int = 1) -> None:
    """Lower the seq again when nothing was written: under the lock, nobody has seen the number."""
    account.seq -= numbers


def hold(session: Session, user_key: str, numbers: int = 0) -> Account | None:
    """Lock the row whatever its standing; None where there is none. The same statement locks on both databases."""
    statement = (
        update(Account)
        .where(Account.user_key == user_key)
        .values(seq=Account.seq + numbers)
        .returning(Account)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return session.scalars(statement).one_or_none()


def hold_or_make(session: Session, identity: Identity, now: datetime, numbers: int = 0) -> Account:
    """Lock the row whatever its standing, after making it where there is none; never of a user who was erased."""
    found = hold(session, identity.user_key, numbers)
    # A second round: another request has made the account, and a third has erased it before it could be locked.
    while found is None:
        ensure(session, identity, now)
        found = hold(session, identity.user_key, numbers)
        # NOTE: asked under the lock. Asked before it, the answer can be out of date when the row is made, and an old
        # device brings back what its user has erased.
        if found is not None and is_erased(session, identity.user_key):
            raise AccountDeleted
    return found


def ensure(session: Session, identity: Identity, now: datetime) -> bool:
    """Make an empty account unless there is one, and tell which; of several that try at once, one makes it."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = {
        "user_key": identity.user_key,
        "iss": identity.tenant,
        "sub": identity.subject,
        "epoch": secrets.token_hex(4),
        "seq": 0,
        "purged_seq": 0,
        "live": 0,
        "stored_bytes": 0,
        "profile_seq": 0,
        "roles": "[]",
        "app_attributes": "{}",
        "attributes": "{}",
        "sources": "{}",
        "state": ACTIVE,
        "created_at": now,
        "updated_at": now,
    }
    statement = insert(Account).values(row).on_conflict_do_nothing(index_elements=[Account.user_key])
    return session.scalar(statement.returning(Account.user_key)) is not None
