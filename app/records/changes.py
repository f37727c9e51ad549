"""What has changed since a cursor: records, tombstones, the profile, the preferences, in the order of their seq.

Takes   session: inside Database.read, or look for nothing_new();  identity;  now: aware, UTC
        Question: from where, how many, of what
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
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.records import preferences
from app.records.cursor import NO_EPOCH, Cursor, decoded, encoded
from app.records.documents import list_body, preferences_change, profile_change, record_change
from app.records.errors import CursorExpired
from app.records.models import RecordRow
from app.records.reading import CHUNK, ENVELOPE_BYTES
from app.records.record import STORED, Record
from app.records.terms import Limits
from app.users import account as accounts
from app.users import profiles
from app.users.identity import Identity

POLL_AFTER_SECONDS = 30
_RECORD = RecordRow.__table__.c
# Its place among the others, what it is of, and the finished JSON.
_Change = tuple[int, str, bytes]


@dataclass(frozen=True, slots=True)
class Question:
    """What a device asks. With `collections`, it is told of their records and of nothing else."""

    cursor: str | None = None
    size: int | None = None
    collections: frozenset[str] | None = None
    with_profile: bool = False
    with_email: bool = False
    with_preferences: bool = False

    @property
    def hidden(self) -> frozenset[str]:
        """What it may not be told. Who asks for some collections wants nothing else, and misses nothing else."""
        if self.collections is not None:
            return frozenset()
        told = {
            "profile": self.with_profile,
            "email": self.with_profile and self.with_email,
            "preferences": self.with_preferences,
        }
        return frozenset(name for name, is_told in told.items() if not is_told)


@dataclass(frozen=True, slots=True)
class _Window:
    """What lies after `since` and up to the account's head, and how much of it is wanted.

    `uncovered`: what was hidden from the device until now, and is told to it whenever it has changed.
    """

    account: accounts.Head
    since: int
    first_head: int | None
    count: int
    uncovered: frozenset[str]

    def has(self, kind: str, seq: int) -> bool:
        """Tell whether the profile or the preferences, last changed at `seq`, belong into it."""
        is_news = kind in self.uncovered or (kind == "profile" and "email" in self.uncovered)
        return (0 if is_news else self.since) < seq <= self.account.seq


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


def nothing_new(session: Session, identity: Identity, question: Question, now: datetime) -> ChangePage | None:
    """The empty page of a device that has everything: one statement, for which Database.look will do.

    None where there may be something: changes() is to be asked, which sees to it anew, and in one snapshot.
    """
    start, account, uncovered = _begin(session, identity, question, now)
    if account is not None and (start.since != account.seq or uncovered):
        return None
    return ChangePage((), encoded(_after(start, start.since)), has_more=False)


def changes(session: Session, identity: Identity, question: Question, limits: Limits, now: datetime) -> ChangePage:
    """Read a page of changes. Where there is nothing new, one read of the account's row says so."""
    # NOTE the head first: what is committed after this line belongs to the next page, however the rows are read.
    start, account, uncovered = _begin(session, identity, question, now)
    head = 0 if account is None else account.seq
    if account is None or (start.since == head and not uncovered):
        return ChangePage((), encoded(_after(start, head)), has_more=False)
    count, room = limits.page_size(question.size), limits.answer_bytes - ENVELOPE_BYTES
    items: list[bytes] = []
    reached, told = head, set[str]()
    window = _Window(account, start.since, start.first_head, count + 1, uncovered)
    others = _other_changes(session, identity, question, window, now)
    for place, kind, item in merge(others, _record_changes(session, window, question.collections), key=itemgetter(0)):
        room -= len(item) + 1
        # One item at least, so that every page leads on.
        if len(items) == count or (items and room < 0):
            # What had no room and was hidden until now would else be told at its next change only.
            after = _after(replace(start, hidden=question.hidden | (uncovered - told)), reached)
            return ChangePage(tuple(items), encoded(after), has_more=True)
        items.append(item)
        told |= {"profile", "email"} if kind == "profile" else {kind}
        reached = place
    return ChangePage(tuple(items), encoded(_after(start, head)), has_more=False)


def _begin(
    session: Session, identity: Identity, question: Question, now: datetime
) -> tuple[Cursor, accounts.Head | None, frozenset[str]]:
    """Where to begin, how far the account is, and what is told to the device that was hidden from it before."""
    asked = None if question.cursor is None else decoded(question.cursor)
    account = accounts.head(session, identity, now)
    start = _start(asked, account, question)
    return replace(start, hidden=question.hidden), account, start.hidden - question.hidden


def _start(asked: Cursor | None, account: accounts.Head | None, question: Question) -> Cursor:
    """Where to begin; refuses a cursor from which changes would be missed."""
    collections = question.collections
    if account is None:
        # A cursor of an account that is not there: the database was restored from a time before it.
        if asked is not None and asked.epoch != NO_EPOCH:
            raise CursorExpired
        return Cursor(NO_EPOCH, 0, 0, None, collections, question.hidden)
    if asked is None or asked.epoch == NO_EPOCH:
        return Cursor(account.epoch, 0, account.purged_seq, account.seq, collections, question.hidden)
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
    if question.collections is not None:
        return []
    found: list[_Change] = []
    if question.with_profile and window.has("profile", window.account.profile_seq):
        profile = profiles.find(session, identity, now)
        if profile is not None:
            item = orjson.dumps(profile_change(profile, with_email=question.with_email))
            found.append((profile.seq, "profile", item))
    if question.with_preferences:
        stored = preferences.stored(session, identity.user_key)
        if window.has("preferences", stored.seq):
            found.append((stored.seq, "preferences", orjson.dumps(preferences_change(stored))))
    # What is told late stands before all others, and the cursor after it is where the device was.
    return [(max(seq, window.since), kind, item) for seq, kind, item in sorted(found)]


def _record_changes(session: Session, window: _Window, collections: frozenset[str] | None) -> Iterator[_Change]:
    """The records' changes; in a first sync without the tombstones of what was deleted before it began.

    What is deleted while it goes on is told: the record may have been on an earlier page.
    """
    since, count, head = window.since, window.count, window.account.seq
    while count > 0:
        size = min(count, CHUNK)
        # NOTE two stretches and no OR: the index of living records answers for those alone.
        is_early = window.first_head is not None and since < window.first_head
        until = min(head, window.first_head) if window.first_head is not None and is_early else head
        statement = select(*STORED).where(
            _RECORD.user_key == window.account.user_key, _RECORD.seq > since, _RECORD.seq <= until
        )
        if is_early:
            statement = statement.where(~_RECORD.deleted)
        if collections is not None:
            statement = statement.where(_RECORD.collection.in_(sorted(collections)))
        found = session.execute(statement.order_by(_RECORD.seq).limit(size)).all()
        for row in found:
            record = Record(*row)
            yield record.seq, "record", orjson.dumps(record_change(record))
        if len(found) < size and until == head:
            return
        since, count = (found[-1].seq if len(found) == size else until), count - len(found)
