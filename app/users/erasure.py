"""Erase a user: every row that is keyed by the user goes, and one that says so stays.

Takes   session: inside Database.transact, but for due();  user_key;  now: aware, UTC
Gives   erase(…);  due(…) and purge(…) for the accounts whose grace has passed
Raises  nothing of its own
Not     who may ask for it (deletion.py); transactions: the command opens one for each user (app/commands/purge.py)
Source  docs/contracts/user-data.md U16, §7; GDPR art. 17
"""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db import Base
from app.users.account import hold
from app.users.models import Account, Erasure
from app.users.standing import hash_of, is_over


def erase(session: Session, user_key: str, now: datetime) -> None:
    """Delete the user's rows, under the user's lock: the caller holds it.

    Every table with a `user_key` is found by that column, so that a new room cannot be forgotten here.
    """
    for table in reversed(Base.metadata.sorted_tables):
        if "user_key" in table.columns:
            session.execute(delete(table).where(table.columns.user_key == user_key))
    session.merge(Erasure(user_key_hash=hash_of(user_key), erased_at=now))
    session.flush()


def due(session: Session, now: datetime, limit: int, after: str = "") -> list[str]:
    """List users whose grace has passed, in the order of their keys; what a list says may be out of date at once."""
    statement = select(Account.user_key).where(Account.purge_at <= now, Account.user_key > after)
    return list(session.scalars(statement.order_by(Account.user_key).limit(limit)))


def purge(session: Session, user_key: str, now: datetime) -> bool:
    """Erase the user if the account is still there and still due; its user, or another purge, may have been faster."""
    account = hold(session, user_key)
    if account is None or not is_over(account, now):
        return False
    erase(session, user_key, now)
    return True
