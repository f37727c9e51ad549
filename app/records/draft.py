"""The write path: the user's rows as they will be, worked out in memory under the user's lock, then written at once.

Takes   session: inside Database.transact;  identity;  now: aware, UTC;  how many numbers are wanted, which keys
Gives   Draft: current(), store() and bury() change nothing in the database until save()
Raises  QuotaExceeded, before anything of that change is taken into the draft; what locking the account raises
Not     preconditions, merging, schemas (writing.py): the draft stores what it is told
Source  docs/contracts/user-data.md §5, §7 "Write"
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
from sqlalchemy import Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db import Base
from app.records.errors import QuotaExceeded
from app.records.models import CollectionRow, RecordRow
from app.records.record import COLUMNS, Record
from app.records.terms import Limits
from app.users import account as accounts
from app.users.identity import Identity
from app.users.models import Account
from app.users.standing import refuse_closed

Key = tuple[str, str]
# Of JSON text whose parsed value is kept for the next patch of a batch: sixteen of the largest records.
_PARSED_BYTES = 1_048_576


def lock(session: Session, identity: Identity, now: datetime, numbers: int) -> Account:
    """Hold the account's row to the end of the transaction, with its seq raised; made where there is none."""
    account = accounts.hold_or_make(session, identity, now, numbers)
    refuse_closed(account, now)
    return account


@dataclass(slots=True)
class _Tally:
    """What a collection holds; `seq` is that of its last change."""

    count: int = 0
    stored_bytes: int = 0
    seq: int = 0


class Draft:
    """The rows of one user during one write. Several changes of one record leave the last one; each has its seq."""

    def __init__(  # noqa: PLR0913 - the session, who, under which limits, when, and what is to be locked and read
        self,
        session: Session,
        identity: Identity,
        limits: Limits,
        now: datetime,
        *,
        numbers: int,
        keys: Iterable[Key],
    ) -> None:
        self._session, self._limits, self._now = session, limits, now
        self._user_key = identity.user_key
        self.account = lock(session, identity, now, numbers)
        self._records = self._read(keys)
        self._tallies = self._read_tallies()
        # Raised in the database, which is the lock; from here on the number in memory says what is used up.
        accounts.give_back(self.account, numbers)
        self._changed: set[Key] = set()
        self._touched: set[str] = set()
        self._parsed: dict[Key, tuple[str, Any]] = {}

    def current(self, key: Key) -> Record | None:
        """The record as it stands after the changes so far; a tombstone too. Only keys that were named are known."""
        return self._records.get(key)

    def value(self, key: Key) -> Any:
        """The data of a living record as a value, which nobody may change: many patches of one parse it once."""
        record = self._records[key]
        text = record.data or ""
        kept = self._parsed.get(key)
        if kept is None or kept[0] is not text:
            kept = text, orjson.loads(text)
            self.keep(key, *kept)
        return kept[1]

    def keep(self, key: Key, text: str, value: Any) -> None:
        """Remember what the text says, which is the record's from now on."""
        self._parsed.pop(key, None)
        if sum(len(other) for other, _ in self._parsed.values()) + len(text) > _PARSED_BYTES:
            self._parsed.clear()
        self._parsed[key] = text, value

    def store(self, key: Key, text: str, origin: str | None) -> Record:
        """Take a new version into the draft, if the quotas have room for it."""
        before, size = self._records.get(key), len(text.encode())
        is_new = before is None or before.deleted
        growth = size - (0 if before is None else before.stored_bytes)
        tally = self._tallies.get(key[0]) or _Tally()
        self._refuse_excess(tally, is_new=is_new, growth=growth)
        seq = self._next()
        created_seq = seq if before is None or is_new else before.created_seq
        after = Record(*key, seq, created_seq, False, text, size, origin, self._now)  # noqa: FBT003 - deleted
        self._take(key, after, tally, int(is_new), growth)
        return after

    def bury(self, before: Record, origin: str | None) -> Record:
        """Take a deletion into the draft: the tombstone keeps key and seq, and drops the data."""
        key = (before.collection, before.id)
        after = Record(*key, self._next(), before.created_seq, True, None, 0, origin, self._now)  # noqa: FBT003
        self._take(key, after, self._tallies[before.collection], -1, -before.stored_bytes)
        return after

    def save(self) -> None:
        """Write what has changed: the records, the tallies of their collections, the account's numbers."""
        if self._changed:
            rows = [self._row(self._records[key]) for key in sorted(self._changed)]
            upsert(self._session, RecordRow, ("user_key", "collection", "id"), rows)
        kept = [name for name in sorted(self._touched) if self._tallies[name].count]
        if kept:
            rows = [self._tally_row(name, self._tallies[name]) for name in kept]
            upsert(self._session, CollectionRow, ("user_key", "name"), rows)
        emptied = self._touched.difference(kept)
        if emptied:
            is_emptied = CollectionRow.name.in_(sorted(emptied))
            self._session.execute(delete(CollectionRow).where(CollectionRow.user_key == self._user_key, is_emptied))
        self._session.flush()

    def _read(self, keys: Iterable[Key]) -> dict[Key, Record]:
        """Read the touched rows, under the lock; one statement for each collection, so that its key's index does."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for collection, record_id in keys:
            wanted[collection].add(record_id)
        found: dict[Key, Record] = {}
        for collection, ids in sorted(wanted.items()):
            statement = select(*COLUMNS).where(
                RecordRow.user_key == self._user_key,
                RecordRow.collection == collection,
                RecordRow.id.in_(sorted(ids)),
            )
            for row in self._session.execute(statement):
                found[collection, row.id] = Record(*row)
        return found

    def _read_tallies(self) -> dict[str, _Tally]:
        """Read all collections of the user: a handful, and their number is a quota."""
        columns = (CollectionRow.name, CollectionRow.count, CollectionRow.stored_bytes, CollectionRow.seq)
        rows = self._session.execute(select(*columns).where(CollectionRow.user_key == self._user_key))
        return {name: _Tally(*numbers) for name, *numbers in rows}

    def _refuse_excess(self, tally: _Tally, *, is_new: bool, growth: int) -> None:
        limits = self._limits
        living = sum(1 for other in self._tallies.values() if other.count)
        if is_new and not tally.count and living >= limits.collections:
            raise QuotaExceeded("collections", limits.collections)
        if is_new and tally.count >= limits.records_per_collection:
            raise QuotaExceeded("records", limits.records_per_collection)
        # What makes it smaller is welcome also where the operator has lowered the limit.
        if growth > 0 and self.account.stored_bytes + growth > limits.bytes_per_user:
            raise QuotaExceeded("bytes", limits.bytes_per_user)

    def _next(self) -> int:
        self.account.seq += 1
        return self.account.seq

    def _take(self, key: Key, after: Record, tally: _Tally, more: int, growth: int) -> None:
        self._records[key] = after
        tally.count += more
        tally.stored_bytes += growth
        tally.seq = after.seq
        self._tallies[key[0]] = tally
        self.account.live += more
        self.account.stored_bytes += growth
        self._changed.add(key)
        self._touched.add(key[0])

    def _row(self, record: Record) -> dict[str, object]:
        return {
            "user_key": self._user_key,
            "collection": record.collection,
            "id": record.id,
            "seq": record.seq,
            "created_seq": record.created_seq,
            "deleted": record.deleted,
            "data": record.data,
            "bytes": record.stored_bytes,
            "origin": record.origin,
            "updated_at": record.updated_at,
        }

    def _tally_row(self, name: str, tally: _Tally) -> dict[str, object]:
        numbers = {"count": tally.count, "bytes": tally.stored_bytes, "seq": tally.seq}
        return {"user_key": self._user_key, "name": name, **numbers}


def upsert(session: Session, model: type[Base], key: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    """Insert the rows or replace those that are there; the same words on both databases."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(cast("Table", model.__table__))
    replaced = {name: statement.excluded[name] for name in rows[0] if name not in key}
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=replaced), rows)
