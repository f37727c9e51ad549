"""Whether an account may be used: open, in the grace before its deletion, or erased.

Takes   session;  the account's row as it was read or locked, and now: aware, UTC
Gives   refuse_closed(…), which every read and write of a user's data asks; is_erased; hash_of, an erasure's key
Raises  AccountDeletionScheduled, AccountDeleted
Not     who asks it (account.py), the deletion itself (deletion.py, erasure.py)
Source  docs/contracts/user-data.md U16
"""

import hashlib
from datetime import datetime
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.users.errors import AccountDeleted, AccountDeletionScheduled
from app.users.models import Erasure


class Dated(Protocol):
    """An account's row, or those of its columns that say when it ends."""

    @property
    def deletion_requested_at(self) -> datetime | None:
        """When the user asked for the end."""
        ...

    @property
    def purge_at(self) -> datetime | None:
        """When it comes."""
        ...


def refuse_closed(account: Dated, now: datetime) -> None:
    """Refuse what is scheduled for deletion, and what should be gone by now."""
    if account.purge_at is None or account.deletion_requested_at is None:
        return
    if is_over(account, now):
        raise AccountDeleted
    raise AccountDeletionScheduled(account.deletion_requested_at, account.purge_at)


def is_over(account: Dated, now: datetime) -> bool:
    """Tell whether the grace has passed: from then on the account counts as erased, however late the purge is."""
    return account.purge_at is not None and account.purge_at <= now


def is_erased(session: Session, user_key: str) -> bool:
    """Tell whether the user has been erased; asked where there is no account."""
    statement = select(Erasure.erased_at).where(Erasure.user_key_hash == hash_of(user_key))
    return session.scalar(statement) is not None


def hash_of(user_key: str) -> str:
    """Return what is kept of an erased user: it can be recomputed from tenant and subject, and leads to neither."""
    return hashlib.sha256(user_key.encode("ascii")).hexdigest()
