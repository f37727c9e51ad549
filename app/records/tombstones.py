"""The purge of tombstones: deletions that are so old that a device which has not heard of them must sync anew.

Takes   session: inside Database.read for owners(), inside Database.transact for purge();  before: aware, UTC
Gives   owners(…), who has tombstones and whether they are old;  purge(…), how many of a user's went
Raises  nothing of its own
Not     transactions: the command opens one for each portion; how old is old (a setting)
Source  docs/contracts/user-data.md §7 "Tombstones"
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Integer, delete, func, literal, select
from sqlalchemy.orm import Session, aliased

from app.records.models import RecordRow
from app.users import account as accounts

# As many as one collection holds by default: a fraction of a second under the user's lock.
PORTION = 10_000


def owners(session: Session, before: datetime, limit: int, after: str = "") -> Mapping[str, bool]:
    """Tell of the next `limit` users with tombstones, by their keys, who has some from `before` or earlier.

    The index is entered once for each user: what is walked does not grow with the number of the tombstones.
    """
    tombstone, number = aliased(RecordRow), literal(1, Integer).label("number")
    first = func.min(RecordRow.user_key).label("user_key")
    found = select(first, number).where(RecordRow.deleted, RecordRow.user_key > after).cte("owners", recursive=True)
    following = (
        select(func.min(tombstone.user_key))
        .where(tombstone.deleted, tombstone.user_key > found.c.user_key)
        .scalar_subquery()
    )
    is_among = (found.c.user_key.is_not(None), found.c.number < limit)
    found = found.union_all(select(following, found.c.number + 1).where(*is_among))
    is_old = (
        select(literal(1))
        .where(RecordRow.deleted, RecordRow.user_key == found.c.user_key, RecordRow.updated_at <= before)
        .exists()
    )
    rows = session.execute(select(found.c.user_key, is_old).where(found.c.user_key.is_not(None))).all()
    return {user_key: bool(old) for user_key, old in sorted(rows)}


def purge(session: Session, user_key: str, before: datetime, limit: int = PORTION) -> int:
    """Delete the user's oldest tombstones, from `before` or earlier, under the user's lock, and say how many.

    A cursor from before the last of them has missed a deletion for good: it is refused from then on. The head stays:
    to all others nothing has changed. What was deleted in one moment goes together, be it more than the limit.
    """
    account = accounts.hold(session, user_key)
    if account is None:
        return 0
    is_mine = (RecordRow.user_key == user_key, RecordRow.deleted)
    oldest = select(RecordRow.updated_at).where(*is_mine, RecordRow.updated_at <= before)
    portion = oldest.order_by(RecordRow.updated_at).limit(limit).subquery()
    is_old = (*is_mine, RecordRow.updated_at <= select(func.max(portion.c.updated_at)).scalar_subquery())
    count, last = session.execute(select(func.count(), func.max(RecordRow.seq)).where(*is_old)).one()
    if not count:
        return 0
    session.execute(delete(RecordRow).where(*is_old).execution_options(synchronize_session=False))
    account.purged_seq = max(account.purged_seq, last)
    session.flush()
    return int(count)
