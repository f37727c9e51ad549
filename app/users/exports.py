"""How many exports a user has begun in the last 24 hours, counted under the user's lock.

Takes   session: inside Database.transact;  identity;  how many there may be;  now: aware, UTC
Gives   begin(…): when this one is counted as begun;  look(…), without counting;  give_back(…), for one that failed on
        this side;  purge(…)
Raises  ExportsUsedUp; AccountDeleted, AccountDeletionScheduled
Not     what is exported (app/records/export.py); who has no account is not counted: there is nothing to export
Source  docs/contracts/user-data.md §2; GDPR art. 12(5), 20
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from app.users import account as accounts
from app.users.errors import AccountMissing, UsersError
from app.users.identity import Identity
from app.users.models import Export

DAY = timedelta(days=1)
# Times are stored to the millisecond, and each export has one of its own.
_NEXT = timedelta(milliseconds=1)


class ExportsUsedUp(UsersError):  # noqa: N818 - says what is the case
    """As many exports as there may be in 24 hours have been begun; the next one may be in so many seconds."""

    def __init__(self, limit: int, retry_after_seconds: int) -> None:
        super().__init__("no export left")
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds


def begin(session: Session, identity: Identity, per_day: int, now: datetime) -> datetime | None:
    """Count one more, or refuse it; None where there is no account to count it for."""
    try:
        accounts.lock(session, identity, now, numbers=0)
    except AccountMissing:
        return None
    is_mine = Export.user_key == identity.user_key
    session.execute(delete(Export).where(is_mine, Export.started_at <= now - DAY))
    counted = look(session, identity, per_day, now)
    started_at = max(now, counted[-1] + _NEXT) if counted else now
    session.add(Export(user_key=identity.user_key, started_at=started_at))
    session.flush()
    return started_at


def look(session: Session, identity: Identity, per_day: int, now: datetime) -> Sequence[datetime]:
    """Refuse where none is left, and count nothing; when those of the last day were begun."""
    is_counted = (Export.user_key == identity.user_key, Export.started_at > now - DAY)
    counted = session.scalars(select(Export.started_at).where(*is_counted).order_by(Export.started_at)).all()
    if len(counted) >= per_day:
        wait = counted[-per_day] + DAY - now
        raise ExportsUsedUp(per_day, max(1, math.ceil(wait.total_seconds())))
    return counted


def give_back(session: Session, identity: Identity, started_at: datetime) -> None:
    """Forget an export that could not be made."""
    accounts.hold(session, identity.user_key)
    session.execute(delete(Export).where(Export.user_key == identity.user_key, Export.started_at == started_at))


def purge(session: Session, before: datetime, after: str, limit: int) -> list[str]:
    """Forget so many that were begun `before` or earlier, of users from `after` on, and tell whose they were.

    Past rows that another transaction holds: the next purge takes those.
    """
    names = (Export.user_key, Export.started_at)
    is_old = (Export.started_at <= before, Export.user_key >= after)
    listed = select(*names).where(*is_old).order_by(Export.user_key).limit(limit)
    # NOTE a CTE: a subquery with a limit may be run again for each row that it is compared with, and the limit is none.
    old = listed.with_for_update(skip_locked=True).cte("old")
    statement = delete(Export).where(tuple_(*names).in_(select(old))).returning(Export.user_key)
    return list(session.scalars(statement.execution_options(synchronize_session=False)))
