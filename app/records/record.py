"""Records and preferences as data.

Takes   a row of the database, column by column
Gives   Record, Preferences: frozen
Raises  nothing
Not     their shapes in answers (documents.py)
Source  docs/contracts/user-data.md U2, §7
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from app.records.models import RecordRow

# In the order of Record's members: Record(*row).
COLUMNS = (
    RecordRow.collection,
    RecordRow.id,
    RecordRow.seq,
    RecordRow.created_seq,
    RecordRow.deleted,
    RecordRow.data,
    RecordRow.stored_bytes,
    RecordRow.origin,
    RecordRow.updated_at,
)
# The same as the table's own columns: a statement of these alone passes by the mapper, which would take more time than
# the database does.
STORED = tuple(RecordRow.__table__.c[column.expression.name] for column in COLUMNS)


class Record(NamedTuple):
    """One version of a record; a tombstone has no data. `data` is the JSON text as it was stored.

    A tuple, for a page has hundreds: a frozen dataclass takes seven times as long to make.
    """

    collection: str
    id: str
    seq: int
    created_seq: int
    deleted: bool
    data: str | None
    stored_bytes: int
    origin: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Preferences:
    """One version of the preferences; before the first write they are empty, and their seq is 0."""

    data: str
    seq: int
    origin: str | None
    updated_at: datetime | None


NO_PREFERENCES = Preferences("{}", 0, None, None)
