"""What has changed since a cursor: records, tombstones, the profile, the preferences, in the order of their seq.

Takes   session: inside Database.read;  identity;  Question: from where, how many, of what;  now: aware, UTC
Gives   ChangePage, whose items are finished JSON;  its cursor is the ETag of the answer
Raises  BadCursor, CursorExpired; what finding the account raises
Not     which scopes allow profile and preferences (the web knows the token); filters of any other kind
Source  docs/contracts/user-data.md §2, §3, §7 "Changes", "Cursor"
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import merge
from operator import itemgetter

import orjson
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.records import preferences
from app.records.cursor import NO_EPOCH, Cursor, decoded, encoded
from app.records.documents import list_body, preferences_change, profile_change, record_change
from app.records.errors import CursorExpired
from app.records.models import RecordRow
from app.records.reading import CHUNK, ENVELOPE_BYTES
from app.records.record import COLUMNS, Record
from app.records.terms import Limits
from app.users import account as accounts
from app.users import profiles
from app.users.identity import Identity
from app.users.models import Account

POLL_AFTER_SECONDS = 30
_Change = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Question:
    """What a device asks. With `collections`, it is told of their records and of nothing else."""

    cursor: str | None = None
    size: int | None = None
    collections: frozenset[str] | None = None
    with_profile: bool = False
    with_email: bool = False
    with_preferences: bool = False


@dataclass(frozen=True, slots=True)
class _Window:
    """What lies after `since` and up to the account's head, and how much of it is wanted."""

    account: Account
    since: int
    first_head: int | None
    count: int

    def has(self, seq: int) -> bool:
        """Tell whether a change is in it."""
        return self.since < seq <= self.account.seq


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some changes as JSON, and the cursor after them; `has_more`: there are more, to be asked for at once."""

    items: tuple[bytes, ...]
    cursor: str
    has_more: bool

    def body(self) -> bytes:
        """Write the answer."""
        poll_after = 0 if self.has_more else POLL_AFTER_SECONDS
        return list_body("changes", self.items, cursor=self.cursor, has_more=self.has_more, poll_after=poll_after)


def changes(session: Session, identity: Identity, question: Question, limits: Limits, now: datetime) -> ChangePage:
    """Read a page of changes. Where there is nothing new, one read of the account's row says so."""
    asked = None if question.cursor is None else decoded(question.cursor)
    # NOTE the head first: what is committed after this line belongs to the next page, however the rows are read.
    account = accounts.find(session, identity, now)
    start = _start(asked, account, question.collections)
    head = 0 if account is None else account.seq
    if account is None or start.since == head:
        return ChangePage((), encoded(_after(start, head)), has_more=False)
    count, room = limits.page_size(question.size), limits.answer_bytes - ENVELOPE_BYTES
    items: list[bytes] = []
    reached, has_more = head, False
    window = _Window(account, start.since, start.first_head, count + 1)
    others = [] if question.collections is not None else _other_changes(session, identity, question, window, now)
    records = _record_changes(session, window, question.collections)
    for seq, item in merge(records, others, key=itemgetter(0)):
        room -= len(item) + 1
        # One item at least, so that every page leads on.
        if len(items) == count or (items and room < 0):
            has_more = True
            break
        items.append(item)
        reached = seq
    return ChangePage(tuple(items), encoded(_after(start, reached if has_more else head)), has_more)


def _start(asked: Cursor | None, account: Account | None, collections: frozenset[str] | None) -> Cursor:
    """Where to begin; refuses a cursor from which changes would be missed."""
    if account is None:
        # A cursor of an account that is not there: the database was restored from a time before it.
        if asked is not None and asked.epoch != NO_EPOCH:
            raise CursorExpired
        return Cursor(NO_EPOCH, 0, 0, None, collections)
    if asked is None or asked.epoch == NO_EPOCH:
        return Cursor(account.epoch, 0, account.purged_seq, account.seq, collections)
    # Numbers that were never given in this life: the database was restored, and nobody said so by a new epoch.
    if asked.epoch != account.epoch or asked.since > account.seq or asked.purged_at_start > account.purged_seq:
        raise CursorExpired
    # A tombstone is gone that this device has not seen, of a record that it may have.
    if account.purged_seq > max(asked.since, asked.purged_at_start):
        raise CursorExpired
    # A device that was told of some collections only, and now wants more, has missed the others' changes until here.
    if asked.collections is not None and (collections is None or not collections <= asked.collections):
        raise CursorExpired
    return replace(asked, collections=collections)


def _after(start: Cursor, reached: int) -> Cursor:
    """The cursor of the next page; a first sync is over where it has reached what was there when it began."""
    is_first = start.first_head is not None and reached < start.first_head
    return replace(start, since=reached, first_head=start.first_head if is_first else None)


def _other_changes(
    session: Session, identity: Identity, question: Question, window: _Window, now: datetime
) -> list[_Change]:
    """The profile's and the preferences' last change, where it is within the window and may be told."""
    found: list[_Change] = []
    if question.with_profile and window.has(window.account.profile_seq):
        profile = profiles.find(session, identity, now)
        if profile is not None:
            found.append((profile.seq, orjson.dumps(profile_change(profile, with_email=question.with_email))))
    if question.with_preferences:
        stored = preferences.stored(session, identity.user_key)
        if window.has(stored.seq):
            found.append((stored.seq, orjson.dumps(preferences_change(stored))))
    return sorted(found)


def _record_changes(session: Session, window: _Window, collections: frozenset[str] | None) -> Iterator[_Change]:
    """The records' changes; in a first sync without the tombstones of what was deleted before it began.

    What is deleted while it goes on is told: the record may have been on an earlier page.
    """
    since, count = window.since, window.count
    while count > 0:
        size = min(count, CHUNK)
        statement = select(*COLUMNS).where(
            RecordRow.user_key == window.account.user_key, RecordRow.seq > since, RecordRow.seq <= window.account.seq
        )
        if window.first_head is not None:
            statement = statement.where(or_(~RecordRow.deleted, RecordRow.seq > window.first_head))
        if collections is not None:
            statement = statement.where(RecordRow.collection.in_(sorted(collections)))
        found = session.execute(statement.order_by(RecordRow.seq).limit(size)).all()
        for row in found:
            record = Record(*row)
            yield record.seq, orjson.dumps(record_change(record))
        if len(found) < size:
            return
        since, count = found[-1].seq, count - size
