"""One user's records as a test uses them: each call a transaction of its own, answers as parsed JSON.

Takes   a migrated Database, and terms
Gives   Store: put, patch, create, delete, batch, clear, changes, page, …;  Device: a client that keeps a copy
Raises  what the domain raises
Not     HTTP
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.records import batch, changes, clearing, operations, overview, preferences, reading, tombstones, writing
from app.records.changes import Question
from app.records.documents import record_document
from app.records.errors import CursorExpired
from app.records.models import RecordRow
from app.records.operation_shapes import Batch
from app.records.operations import Operation
from app.records.preconditions import Precondition, Versions
from app.records.record import Preferences
from app.records.terms import Terms
from app.records.writing import Written
from app.users.identity import Identity
from app.users.models import Account

ADA = Identity("https://tenant.example/", "auth0|ada")
BOB = Identity("https://tenant.example/", "auth0|bob")
NOW = datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=UTC)
DAY = timedelta(days=1)


def if_match(*seqs: int) -> Precondition:
    return Precondition(if_match=Versions(frozenset(seqs)))


def if_none_match(*seqs: int) -> Precondition:
    return Precondition(if_none_match=Versions(frozenset(seqs)))


EXISTS = Precondition(if_match=Versions(is_any=True))
ABSENT = Precondition(if_none_match=Versions(is_any=True))


class Store:
    """One user's data."""

    def __init__(self, database: Database, terms: Terms | None = None, identity: Identity = ADA) -> None:
        self.database, self.terms, self.identity = database, terms or Terms(), identity
        self.now = NOW

    def do(self, work: Callable[[Session], Any]) -> Any:
        return self.database.transact(work)

    def read(self, work: Callable[[Session], Any]) -> Any:
        with self.database.read() as session:
            return work(session)

    def write(self, operation: Operation) -> Written:
        return self.do(lambda session: writing.write(session, self.identity, operation, self.terms, self.now))

    def put(self, record_id: str, data: Any, collection: str = "notes", **more: Any) -> Written:
        return self.write(operations.put(collection, record_id, data, **more))

    def patch(self, record_id: str, data: Any, collection: str = "notes", **more: Any) -> Written:
        return self.write(operations.patch(collection, record_id, data, **more))

    def create(self, data: Any, collection: str = "notes", **more: Any) -> Written:
        return self.write(operations.create(collection, data, self.now, **more))

    def delete(self, record_id: str, collection: str = "notes", **more: Any) -> Written:
        return self.write(operations.delete(collection, record_id, **more))

    def batch(self, *wishes: Operation, atomic: bool = False, **more: Any) -> Sequence[batch.Result]:
        wished = Batch(wishes, atomic)
        return self.do(lambda session: batch.run(session, self.identity, wished, self.terms, self.now, **more))

    def clear(self, collection: str = "notes", **more: Any) -> clearing.Cleared:
        return self.do(lambda session: clearing.clear(session, self.identity, collection, self.terms, self.now, **more))

    def purge(self, before: datetime | None = None) -> int:
        return self.do(lambda session: tombstones.purge(session, self.identity.user_key, before or self.now))

    def find(self, record_id: str, collection: str = "notes") -> dict[str, Any]:
        found = self.read(lambda session: reading.find(session, self.identity, collection, record_id, self.now))
        return orjson.loads(orjson.dumps(record_document(found)))

    def preferences(self) -> Preferences:
        return self.read(lambda session: preferences.find(session, self.identity, self.now))

    def page(self, collection: str = "notes", **more: Any) -> dict[str, Any]:
        limits = self.terms.limits
        found = self.read(lambda session: reading.page(session, self.identity, collection, limits, self.now, **more))
        if more.pop("token", None) is None:
            # The shorter way says nothing, or the same; unless somebody wrote in between.
            glanced = self.glance(collection, **more)
            assert glanced is None or glanced == found or glanced.seq > found.seq
        return orjson.loads(found.body())

    def glance(self, collection: str = "notes", **more: Any) -> reading.RecordPage | None:
        limits = self.terms.limits
        with self.database.look() as session:
            return reading.glance(session, self.identity, collection, limits, **more)

    def changes(self, cursor: str | None = None, **more: Any) -> dict[str, Any]:
        question, limits = Question(cursor, **more), self.terms.limits
        found = self.read(lambda session: changes.changes(session, self.identity, question, limits, self.now))
        return orjson.loads(found.body())

    def collections(self) -> dict[str, tuple[int, int, int]]:
        found = self.read(lambda session: overview.overview(session, self.identity, self.now))
        return {item.name: (item.count, item.stored_bytes, item.seq) for item in found.collections}

    def usage(self) -> overview.Usage:
        return self.read(lambda session: overview.usage(session, self.identity, self.now))

    def account(self) -> Account:
        return self.read(lambda session: session.get_one(Account, self.identity.user_key))

    def refuse_wrong_numbers(self) -> None:
        """Count everything anew and compare with what is kept under the lock."""

        def rows(session: Session) -> Sequence[RecordRow]:
            return session.scalars(select(RecordRow).where(RecordRow.user_key == self.identity.user_key)).all()

        found, account, kept = self.read(rows), self.account(), self.collections()
        assert all(row.stored_bytes == len((row.data or "").encode()) for row in found)
        assert all(row.deleted == (row.data is None) and row.created_seq <= row.seq for row in found)
        living = [row for row in found if not row.deleted]
        assert (account.live, account.stored_bytes) == (len(living), sum(row.stored_bytes for row in living))
        assert set(kept) == {row.collection for row in living}
        for name, (count, stored_bytes, seq) in kept.items():
            sizes = [row.stored_bytes for row in living if row.collection == name]
            assert (count, stored_bytes) == (len(sizes), sum(sizes))
            # Its last change may have been a deletion whose tombstone has been purged.
            last = max(row.seq for row in found if row.collection == name)
            assert last == seq or last < seq <= account.purged_seq
        assert account.seq >= max([row.seq for row in found], default=0)


class Device:
    """A client that follows the changes as the contract says, and keeps a copy."""

    def __init__(self, store: Store, **question: Any) -> None:
        self.store, self.question = store, question
        self.cursor: str | None = None
        self.copy: dict[Any, Any] = {}
        self.resyncs = 0

    def turn(self) -> bool:
        """Ask once and apply the page; tell whether there is more."""
        try:
            page = self.store.changes(self.cursor, **self.question)
        except CursorExpired:
            self.cursor, self.copy = None, {}
            self.resyncs += 1
            return True
        for change in page["changes"]:
            self.apply(change)
        self.cursor = page["cursor"]
        return page["has_more"]

    def sync(self) -> dict[Any, Any]:
        while self.turn():
            pass
        return self.copy

    def apply(self, change: dict[str, Any]) -> None:
        key = (change["collection"], change["id"]) if change["kind"] == "record" else change["kind"]
        if change.get("deleted"):
            self.copy.pop(key, None)
        else:
            self.copy[key] = change.get("data", change.get("preferences"))
