"""The tables of the user domain, as SQLAlchemy sees them; the migrations say the same in DDL.

Takes   nothing
Gives   Account, Erasure, Export, OperatorChange; the words of an account's state
Raises  nothing
Not     rules: who may change what (validation.py), in which order (account.py)
Source  docs/contracts/user-data.md §7, U11, U13, U16
"""

from datetime import datetime

from sqlalchemy import CHAR, BigInteger, Boolean, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime
from app.users.validation import MAX_LENGTHS

ACTIVE = "active"
SCHEDULED = "scheduled"
_IS_SCHEDULED = text("purge_at IS NOT NULL")


class Account(Base):
    """One user: the row whose lock orders the user's writes, with the profile in it.

    JSON is kept as text, so that both databases store it alike and lists can be sent without being parsed.
    """

    __tablename__ = "accounts"
    # Every write of a user updates this row: free space in its page keeps the update off the index (HOT).
    __table_args__ = (
        # For the purge alone, and of those to be purged alone: it costs the other accounts nothing.
        Index(None, "purge_at", postgresql_where=_IS_SCHEDULED, sqlite_where=_IS_SCHEDULED),
        {"postgresql_with": {"fillfactor": 70}},
    )

    user_key: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    iss: Mapped[str] = mapped_column(Text)
    sub: Mapped[str] = mapped_column(String(255))
    # A new one for each life of the account: a sync cursor of an earlier life is recognised by it.
    epoch: Mapped[str] = mapped_column(CHAR(8))
    seq: Mapped[int] = mapped_column(BigInteger)
    purged_seq: Mapped[int] = mapped_column(BigInteger)
    live: Mapped[int] = mapped_column(Integer)
    stored_bytes: Mapped[int] = mapped_column("bytes", BigInteger)
    profile_seq: Mapped[int] = mapped_column(BigInteger)

    name: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["name"]))
    given_name: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["given_name"]))
    family_name: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["family_name"]))
    nickname: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["nickname"]))
    picture: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["picture"]))
    locale: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["locale"]))
    zoneinfo: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["zoneinfo"]))
    email: Mapped[str | None] = mapped_column(String(MAX_LENGTHS["email"]))
    email_verified: Mapped[bool | None] = mapped_column(Boolean)
    roles: Mapped[str] = mapped_column(Text)
    app_attributes: Mapped[str] = mapped_column(Text)
    attributes: Mapped[str] = mapped_column(Text)

    # Member → "user" or "operator", where one of them has set it; what is not named follows the tenant (U11).
    sources: Mapped[str] = mapped_column(Text)
    # Seconds since the epoch (UTC) of the tenant's word that was last taken over: an older token changes nothing.
    told_at: Mapped[int | None] = mapped_column(BigInteger)
    userinfo_checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    state: Mapped[str] = mapped_column(String(32))
    deletion_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    purge_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Erasure(Base):
    """What stays of an erased user: that there was one, for whoever can compute the key; nothing leads back from it."""

    __tablename__ = "erasures"

    user_key_hash: Mapped[str] = mapped_column(CHAR(64), primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Export(Base):
    """One export that the user has begun: there may be so many of them in a day."""

    __tablename__ = "exports"

    user_key: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)


class OperatorChange(Base):
    """What the operator changed of a user, by the command line; it goes with the user's other rows."""

    __tablename__ = "operator_changes"

    user_key: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    # A UUIDv7: in the order of the changes.
    id: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # The name in the operating system, or what the command was told.
    operator: Mapped[str] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(32))
    # JSON; null where nothing was changed, only shown.
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
