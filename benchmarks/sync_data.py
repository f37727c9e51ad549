"""What is stored while the sync is measured: users with many records, written past the API, for 100 000 take long.

Takes   a migrated Database, users by their subject, how many records each
Gives   fill(): accounts, collections and records whose numbers agree, as if the API had written them;
        surround(): other users;  cursor_at()
Raises  what the database raises
Not     how the API writes them (app/records)
"""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.db import Database
from app.records.cursor import Cursor, encoded
from app.records.models import CollectionRow, PreferencesRow, RecordRow
from app.users import account as accounts
from app.users.identity import Identity
from app.users.models import Account
from benchmarks.credentials import ISSUER

COLLECTIONS = 10
_ROWS_AT_ONCE = 5_000


def fill(database: Database, subject: str, records: int, collections: int = COLLECTIONS) -> None:
    """Give a user so many records, dealt out to the collections in turn."""
    identity, now = Identity(ISSUER, subject), datetime.now(UTC)

    def work(session: Session) -> None:
        account = accounts.hold_or_make(session, identity, now)
        held: dict[str, list[int]] = {}
        for rows in _chunks(_rows(identity, records, collections, now)):
            for row in rows:
                numbers = held.setdefault(row["collection"], [0, 0, 0])
                numbers[:] = numbers[0] + 1, numbers[1] + row["stored_bytes"], row["seq"]
            session.execute(insert(RecordRow), rows)
        for name, (count, size, seq) in held.items():
            collection = {"user_key": identity.user_key, "name": name, "count": count}
            session.execute(insert(CollectionRow).values(**collection, stored_bytes=size, seq=seq))
        account.seq, account.live = records, records
        account.stored_bytes = sum(size for _count, size, _seq in held.values())

    database.transact(work)


def surround(database: Database, users: int) -> None:
    """Store other users' accounts and preferences: in a table of two rows, the planner would use no index."""
    now = datetime.now(UTC)

    def work(session: Session) -> None:
        keys = []
        for number in range(users):
            identity = Identity(ISSUER, f"auth0|other-{number}")
            accounts.ensure(session, identity, now)
            keys.append(identity.user_key)
        rows = [{"user_key": key, "seq": 1, "data": "{}", "origin": None, "updated_at": now} for key in keys]
        session.execute(insert(PreferencesRow), rows)

    database.transact(work)


def cursor_at(database: Database, subject: str, since: int) -> str:
    """The cursor of a device that has read everything up to `since`."""
    key = Identity(ISSUER, subject).user_key
    with database.read() as session:
        epoch = session.scalars(select(Account.epoch).where(Account.user_key == key)).one()
    return encoded(Cursor(epoch, since, 0))


def content(number: int) -> str:
    """What a note looks like: about 200 bytes of JSON."""
    return f'{{"title":"Note {number}","text":"{secrets.token_hex(60)}","done":false,"position":{number}}}'


def _rows(identity: Identity, records: int, collections: int, now: datetime) -> Iterator[dict[str, Any]]:
    for seq in range(1, records + 1):
        data = content(seq)
        yield {
            "user_key": identity.user_key,
            "collection": f"notes-{seq % collections}",
            "id": f"r{seq:07d}",
            "seq": seq,
            "created_seq": seq,
            "deleted": False,
            "data": data,
            "stored_bytes": len(data),
            "origin": "device-1",
            "updated_at": now,
        }


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(rows, _ROWS_AT_ONCE)):
        yield chunk
