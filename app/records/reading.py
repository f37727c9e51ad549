"""Read records: one by its id, or a page of a collection's, in the order of their ids.

Takes   session: inside Database.read, or Database.look for find() and glance();  identity, names, limits;
        now: aware, UTC
Gives   Record; RecordPage, whose items are finished JSON
Raises  NotFound, Gone, BadPageToken; what finding the account raises
Not     the change feed (changes.py): a device that keeps a copy asks there, and is told of deletions too
Source  docs/contracts/user-data.md §2, §5, §6; RFC 9110 §15.5.11
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import BindParameter, Integer, bindparam, outerjoin, select, true
from sqlalchemy.orm import Session

from app.records.documents import list_body, record_document
from app.records.errors import BadPageToken, Gone, NotFound
from app.records.models import RecordRow
from app.records.names import COLLECTION_PATTERN, ID_PATTERN, is_collection, is_id
from app.records.record import STORED, Record
from app.records.terms import Limits
from app.users import account as accounts
from app.users.identity import Identity
from app.users.models import Account
from app.users.standing import refuse_closed

# Rows that one statement brings: so many of the largest records (64 KiB) are 8 MiB, however long the page may be.
CHUNK = 128
# Rows that a statement passes by, tombstones too, which no quota bounds: a page ends there, be it an empty one.
WALK = 10_000
# Room in an answer for what stands around the items.
ENVELOPE_BYTES = 4096
_NO_RECORD: Final = [None] * len(STORED)
_TOKEN = re.compile(rf"r1\|{COLLECTION_PATTERN}\|({ID_PATTERN})")
_MAX_TOKEN_LENGTH = 256
_ACCOUNT, _RECORD = Account.__table__.c, RecordRow.__table__.c
# Made once, of columns and not of the models: most of a small read's time would go into making it.
# NOTE the record's user is the parameter, not the account's column: so that each half finds its shard by itself.
_KEY: BindParameter[str] = bindparam("key")
_FIND = (
    select(_ACCOUNT.deletion_requested_at, _ACCOUNT.purge_at, *STORED)
    .select_from(
        outerjoin(
            Account.__table__,
            RecordRow.__table__,
            (_RECORD.user_key == _KEY)
            & (_RECORD.collection == bindparam("collection"))
            & (_RECORD.id == bindparam("id")),
        )
    )
    .where(_ACCOUNT.user_key == _KEY)
)
_FOLLOWING = (
    (_RECORD.user_key == _KEY) & (_RECORD.collection == bindparam("collection")) & (_RECORD.id > bindparam("after"))
)
_WALKED = select(*STORED).where(_FOLLOWING).order_by(_RECORD.id).limit(bindparam("walk", type_=Integer)).subquery()
# NOTE no second ORDER BY: it is the order of the index, which both databases hand on as they read. SQLite would sort
# all that is walked before it gives the first row; that the order holds, tests/records/test_list_cost.py looks.
_LIVING = select(_WALKED).where(~_WALKED.c.deleted).limit(bindparam("count", type_=Integer))
_PAGE = _LIVING.subquery()
_GLANCE = (
    select(_ACCOUNT.seq, _ACCOUNT.purge_at.is_not(None), *_PAGE.c)
    .select_from(outerjoin(Account.__table__, _PAGE, true()))
    .where(_ACCOUNT.user_key == _KEY)
)
_REACHED = select(_RECORD.id).where(_FOLLOWING).order_by(_RECORD.id).offset(bindparam("walk", type_=Integer)).limit(1)


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records as JSON, and the token of the page after them. `seq` is the user's head: a version for ETag."""

    items: tuple[bytes, ...]
    next: str | None
    seq: int

    def body(self) -> bytes:
        """Write the answer."""
        return list_body("records", self.items, next=self.next)


def find(session: Session, identity: Identity, collection: str, record_id: str, now: datetime) -> Record:
    """Read one living record, in one statement with its account's standing: Database.look will do."""
    is_named = is_collection(collection) and is_id(record_id)
    # What is no name is not sent: it may hold what the database cannot take. The account is asked all the same.
    names = {"collection": collection, "id": record_id} if is_named else {"collection": "", "id": ""}
    row = session.execute(_FIND, {"key": identity.user_key, **names}).one_or_none()
    if row is None:
        accounts.refuse_erased(session, identity)
        raise NotFound
    refuse_closed(row, now)
    if row.id is None:
        raise NotFound
    record = Record(*row[2:])
    if record.deleted:
        raise Gone(record.seq)
    return record


def page(  # noqa: PLR0913 - the session, who, where, from where, how many, and the limits
    session: Session,
    identity: Identity,
    collection: str,
    limits: Limits,
    now: datetime,
    *,
    size: int | None = None,
    token: str | None = None,
) -> RecordPage:
    """Read a page of living records; a collection without any has an empty one.

    A page may be short, and empty even, and yet lead on: behind very many tombstones.
    """
    account = accounts.head(session, identity, now)
    if not is_collection(collection):
        raise NotFound
    after = "" if token is None else _position(token, collection)
    count = limits.page_size(size)
    # Every row has a number of its own: of a user with few numbers, no statement passes by more than it may.
    is_walkable = account is None or account.seq <= WALK
    found = _living(session, identity.user_key, collection, after, count + 1, is_walkable=is_walkable)
    return _page(found, collection, count, limits, 0 if account is None else account.seq)


def glance(
    session: Session, identity: Identity, collection: str, limits: Limits, *, size: int | None = None
) -> RecordPage | None:
    """Read the first page in one statement with its account, as most are: Database.look will do.

    None where page() has to look: more records than one statement brings, an account that is not there or about to go,
    tombstones that no walk passes by at once, what is no name.
    """
    count = limits.page_size(size)
    if count >= CHUNK or not is_collection(collection):
        return None
    wanted = {"key": identity.user_key, "collection": collection, "after": "", "count": count + 1, "walk": WALK}
    rows = session.execute(_GLANCE, wanted).all()
    if not rows:
        return None
    seq, is_closing, *first = rows[0]
    found = [] if first == _NO_RECORD else [Record(*row[2:]) for row in rows]
    if is_closing or (len(found) <= count and seq > WALK):
        return None
    return _page(found, collection, count, limits, seq)


def _page(found: Iterable[Record | str], collection: str, count: int, limits: Limits, seq: int) -> RecordPage:
    """Write as many as there is room for; what came with more than `count` leads on."""
    items: list[bytes] = []
    room, last = limits.answer_bytes - ENVELOPE_BYTES, ""
    for record in found:
        if isinstance(record, str):
            return RecordPage(tuple(items), _token(collection, record), seq)
        item = orjson.dumps(record_document(record))
        room -= len(item) + 1
        # One item at least, so that every page leads on.
        if len(items) == count or (items and room < 0):
            return RecordPage(tuple(items), _token(collection, last), seq)
        items.append(item)
        last = record.id
    return RecordPage(tuple(items), None, seq)


def _living(  # noqa: PLR0913 - the session, whose, where, from where, how many, and whether they can be walked at once
    session: Session, user_key: str, collection: str, after: str, count: int, *, is_walkable: bool
) -> Iterator[Record | str]:
    """The records; in the end, where there is more than may be walked at once, the id up to which all was walked."""
    while count > 0:
        size = min(count, CHUNK)
        wanted = {"key": user_key, "collection": collection, "after": after, "count": size, "walk": WALK}
        found = [Record(*row) for row in session.execute(_LIVING, wanted).all()]
        yield from found
        if len(found) < size:
            # NOTE from where this statement began, not from its last record: else what was not walked would be missed.
            reached = None if is_walkable else session.scalar(_REACHED, {**wanted, "walk": WALK - 1})
            if reached is not None:
                yield reached
            return
        after, count = found[-1].id, count - size


def _token(collection: str, last: str) -> str:
    return urlsafe_b64encode(f"r1|{collection}|{last}".encode("ascii")).decode("ascii").rstrip("=")


def _position(token: str, collection: str) -> str:
    """The id after which the page begins; the token of another collection would begin anywhere."""
    try:
        text = urlsafe_b64decode(token[:_MAX_TOKEN_LENGTH] + "=" * (-len(token) % 4)).decode("ascii")
    except (Error, ValueError):
        raise BadPageToken from None
    form = _TOKEN.fullmatch(text)
    if form is None or _token(collection, form[1]) != token:
        raise BadPageToken
    return form[1]
