"""The table of kept answers, as SQLAlchemy sees it; the migration says the same in DDL.

Takes   nothing
Gives   IdempotencyRow
Raises  nothing
Not     what is kept and for how long (idempotency.py)
Source  docs/contracts/user-data.md U5, §7
"""

from datetime import datetime

from sqlalchemy import CHAR, Index, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime

MAX_KEY_LENGTH = 255


class IdempotencyRow(Base):
    """The answer to one request, under the key that its app gave it."""

    __tablename__ = "idempotency"
    # For the purge, which takes the oldest of all users.
    __table_args__ = (Index(None, "created_at"),)

    user_key: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    key: Mapped[str] = mapped_column(String(MAX_KEY_LENGTH), primary_key=True)
    # SHA-256 of method, path and body, in hex.
    fingerprint: Mapped[str] = mapped_column(CHAR(64))
    status: Mapped[int] = mapped_column(SmallInteger)
    # JSON: the answer's own header fields, the scopes that decided what its body shows.
    fields: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
