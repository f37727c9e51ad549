"""The tables of the revocations, as SQLAlchemy sees them; migration 0002 says the same in DDL.

Takes   nothing
Gives   RevocationRow, RevocationVersion
Raises  nothing
Not     rules: what an entry means (app/oauth/revocation/entry.py), in which order rows change (revocations.py)
Source  docs/contracts/tokens.md T24, K11
"""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime

MAX_NOTE_LENGTH = 200


class RevocationRow(Base):
    """One entry; times are seconds since the epoch (UTC), as in the tokens that they are compared with."""

    __tablename__ = "revocations"
    __table_args__ = (CheckConstraint("kind IN ('token', 'user', 'client', 'key')", name="kind"),)

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    value: Mapped[str] = mapped_column(String(255), primary_key=True)
    last_second: Mapped[int | None] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger, index=True)
    note: Mapped[str] = mapped_column(String(MAX_NOTE_LENGTH))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RevocationVersion(Base):
    """The one row that every change raises, in its own transaction: its lock puts the changes into one order."""

    __tablename__ = "revocation_version"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)
