"""After a backup was restored: every account begins a new life, so that no device goes on from the one that is lost.

Takes   session: inside Database.read for keys_after, inside Database.transact for renew;  now: aware, UTC
Gives   the users' keys, page by page; how many accounts were renewed
Raises  nothing
Not     the restoring itself; who was erased, and what was revoked, since the backup (docs/operating.md)
Source  docs/contracts/user-data.md §7 "Cursor": "410 when the epoch differs (restore, re-created account)"

What was written after the backup was made is gone, but devices have seen it: their cursors, and entity-tags with
numbers that the restored database would give again, to other contents. So the epoch changes, which sends every cursor
back to the beginning, and the numbers go on from where no account can have come: the milliseconds of now, as for an
account that is made anew.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from app.users.models import Account


def keys_after(session: Session, last: str, count: int) -> Sequence[str]:
    """Read some users' keys, in their order."""
    return session.scalars(
        select(Account.user_key).where(Account.user_key > last).order_by(Account.user_key).limit(count)
    ).all()


def renew(session: Session, keys: Sequence[str], now: datetime) -> int:
    """Give these accounts a new epoch, and numbers that no device has seen; returns how many there were."""
    number = int(now.timestamp() * 1000)
    raised = case((Account.seq < number, number), else_=Account.seq)
    statement = (
        update(Account)
        .where(Account.user_key.in_(keys))
        # One epoch for all of them: it is compared with the same account's former ones alone.
        .values(epoch=secrets.token_hex(4), seq=raised)
        .returning(Account.user_key)
        .execution_options(synchronize_session=False)
    )
    return len(session.scalars(statement).all())
