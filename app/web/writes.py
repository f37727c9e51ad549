"""Carry out the write of one request: one transaction, one answer.

Takes   the work: what to do in the transaction, and what to answer
Gives   the answer
Raises  what the work raises; DatabaseBusy, DatabaseUnavailable
Not     what is written (the domain), who may write (policy.py)
Source  docs/contracts/user-data.md §7 "Write", U5
"""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Response
from sqlalchemy.orm import Session

from app.users.identity import Identity
from app.web.auth import access_token
from app.web.runtime import runtime

Work = Callable[[Session, Identity, datetime], Response]


def carry_out(work: Work) -> Response:
    """Run the work in one write transaction. It may be run again, so it has no effect but on the session."""
    parts, now = runtime(), datetime.now(UTC)
    identity = parts.identity_of(access_token())
    return parts.database.transact(lambda session: work(session, identity, now))
