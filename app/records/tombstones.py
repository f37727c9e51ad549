"""The purge of tombstones: deletions that are so old that a device which has not heard of them must sync anew.

Takes   session: inside Database.read for due(), inside Database.transact for purge();  before: aware, UTC
Gives   due(…), whose tombstones are old; purge(…), how many of a user's went
Raises  nothing of its own
Not     transactions: the command opens one for each user; how old is old (a setting)
Source  docs/contracts/user-data.md §7 "Tombstones"
"""

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.records.models import RecordRow
from app.users import account as accounts


def due(session: Session, before: datetime, limit: int, after: str = "") -> list[str]:
    """List users with tombstones from `before` or earlier, in the order of their keys."""
    is_old = (RecordRow.deleted, RecordRow.updated_at <= before, RecordRow.user_key > after)
    statement = select(RecordRow.user_key).where(*is_old).distinct().order_by(RecordRow.user_key).limit(limit)
    return list(session.scalars(statement))


def purge(session: Session, user_key: str, before: datetime) -> int:
    """Delete the user's tombstones from `before` or earlier, under the user's lock, and say how many.

    A cursor from before that number has missed a deletion for good: it is refused from then on. The head stays: to
    all others nothing has changed.
    """
    account = accounts.hold(session, user_key)
    if account is None:
        return 0
    is_old = (RecordRow.user_key == user_key, RecordRow.deleted, RecordRow.updated_at <= before)
    count, last = session.execute(select(func.count(), func.max(RecordRow.seq)).where(*is_old)).one()
    if not count:
        return 0
    session.execute(delete(RecordRow).where(*is_old).execution_options(synchronize_session=False))
    account.purged_seq = max(account.purged_seq, last)
    session.flush()
    return int(count)
