"""The write path: the account's row is locked first, to the end of the transaction.

Takes   session: inside Database.transact;  identity
Gives   the Account with its numbers already raised, so that commit order is seq order for each user
Raises  nothing of its own
Not     what is written under the lock (profiles.py)
Source  docs/contracts/user-data.md §7 "Write"
"""

import secrets
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from app.users.identity import Identity
from app.users.models import ACTIVE, Account


def lock(session: Session, identity: Identity, numbers: int = 1) -> Account | None:
    """Raise the user's seq by `numbers` and hold the row; None where there is no account.

    The same statement locks on both databases. Who else writes for this user waits here, and then reads what was
    committed: nothing read before this line may decide what is written after it.
    """
    return session.scalars(_raising(identity, numbers)).one_or_none()


def lock_or_make(session: Session, identity: Identity, now: datetime) -> Account:
    """The same, after making the account where there is none."""
    found = lock(session, identity)
    if found is None:
        ensure(session, identity, now)
        found = session.scalars(_raising(identity, 1)).one()
    return found


def give_back(account: Account, numbers: int = 1) -> None:
    """Lower the seq again when nothing was written: under the lock, nobody has seen the number."""
    account.seq -= numbers


def ensure(session: Session, identity: Identity, now: datetime) -> None:
    """Make an empty account unless there is one; of several that try at once, one makes it and none fails."""
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
    session.execute(insert(Account).values(row).on_conflict_do_nothing(index_elements=[Account.user_key]))


def _raising(identity: Identity, numbers: int) -> ReturningUpdate[Account]:
    return (
        update(Account)
        .where(Account.user_key == identity.user_key)
        .values(seq=Account.seq + numbers)
        .returning(Account)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
