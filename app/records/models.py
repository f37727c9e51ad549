"""The tables of the records domain, as SQLAlchemy sees them; the migrations say the same in DDL.

Takes   nothing
Gives   RecordRow, CollectionRow, PreferencesRow; every key is led by the user's
Raises  nothing
Not     rules: what may be written (terms.py), in which order (draft.py)
Source  docs/contracts/user-data.md §7
"""

from datetime import datetime

from sqlalchemy import CHAR, BigInteger, Boolean, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime

MAX_COLLECTION_LENGTH = 32
MAX_ID_LENGTH = 64
MAX_ORIGIN_LENGTH = 64
# In the words of the statements: SQLite has no booleans, and takes a partial index for its very own condition only.
_IS_DELETED, _IS_DELETED_IN_SQLITE = text("deleted"), text("deleted = 1")
_IS_LIVING, _IS_LIVING_IN_SQLITE = text("NOT deleted"), text("deleted = 0")


def _name(length: int) -> String:
    """A name in ASCII: ordered by its bytes on both databases, so that pages have the same order everywhere."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class RecordRow(Base):
    """One record, or what is left of one: a tombstone keeps key and seq, so that devices learn of the deletion."""

    __tablename__ = "records"
    __table_args__ = (
        # The change feed. It also proves that no seq is given twice.
        UniqueConstraint("user_key", "seq"),
        # For the purge of tombstones alone, and of tombstones alone: it costs living records nothing.
        Index(None, "user_key", "updated_at", postgresql_where=_IS_DELETED, sqlite_where=_IS_DELETED_IN_SQLITE),
        # For a first sync, which has no use for tombstones: no quota bounds them, and each page would walk them.
        Index(
            "ix_records_user_key_seq_living",
            "user_key",
            "seq",
            postgresql_where=_IS_LIVING,
            sqlite_where=_IS_LIVING_IN_SQLITE,
        ),
    )

    user_key: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    collection: Mapped[str] = mapped_column(_name(MAX_COLLECTION_LENGTH), primary_key=True)
    id: Mapped[str] = mapped_column(_name(MAX_ID_LENGTH), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    created_seq: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[bool] = mapped_column(Boolean)
    # JSON as text: written once, and from then on spliced into answers as it is.
    data: Mapped[str | None] = mapped_column(Text)
    stored_bytes: Mapped[int] = mapped_column("bytes", Integer)
    origin: Mapped[str | None] = mapped_column(String(MAX_ORIGIN_LENGTH))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CollectionRow(Base):
    """What a collection holds: there while it has a living record, counted under the user's lock."""

    __tablename__ = "collections"

    user_key: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    name: Mapped[str] = mapped_column(_name(MAX_COLLECTION_LENGTH), primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
    stored_bytes: Mapped[int] = mapped_column("bytes", BigInteger)
    # That of the collection's last change, a deletion too.
    seq: Mapped[int] = mapped_column(BigInteger)


class PreferencesRow(Base):
    """The user's preferences: a row of their own, so that the account's, which every write updates, stays small."""

    __tablename__ = "preferences"

    user_key: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[str] = mapped_column(Text)
    origin: Mapped[str | None] = mapped_column(String(MAX_ORIGIN_LENGTH))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
