"""Keep the answer to a write under the key that its app gave it: for the retry whose first answer was lost.

Takes   session: inside Database.transact, for find() and keep() with the user's lock held;  times: aware, UTC
Gives   Answer, frozen;  find(…) and keep(…);  purge(…), one portion of what is too old, and Portion, frozen
Raises  KeyReused: the key belongs to another request
Not     what makes two requests the same, which answers are kept (app/web/idempotency.py); the transaction
Source  docs/contracts/user-data.md U5, §7 "Write"; IETF draft-ietf-httpapi-idempotency-key-header-07
"""

from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from app.records.draft import upsert
from app.stores.idempotency_models import IdempotencyRow
from app.users.models import Account


class KeyReused(Exception):  # noqa: N818 - named by what the caller learns
    """The key was sent before with another method, path or body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is kept. `scopes` decided what the body shows."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Portion:
    """How many answers went, and when the youngest of them was given: the next portion begins there."""

    count: int
    last: datetime


def find(session: Session, user_key: str, key: str, fingerprint: str, since: datetime) -> Answer | None:
    """Look for an answer that is younger than `since`: what has expired is none, whether it is purged or not."""
    row = session.execute(
        select(IdempotencyRow.fingerprint, IdempotencyRow.status, IdempotencyRow.fields, IdempotencyRow.body).where(
            IdempotencyRow.user_key == user_key, IdempotencyRow.key == key, IdempotencyRow.created_at > since
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise KeyReused
    kept = orjson.loads(row.fields)
    fields = tuple((name, value) for name, value in kept["fields"])
    return Answer(row.status, fields, row.body, frozenset(kept["scopes"]))


def keep(  # noqa: PLR0913 - the session, whose, under which key, for which request, what, since when
    session: Session, user_key: str, key: str, *, fingerprint: str, answer: Answer, now: datetime
) -> None:
    """Keep the answer, in the place of one that has expired; nothing of a user who has no account (any more)."""
    # NOTE: asked after the work: where a deletion has no grace, it has just erased every row of the user's.
    if session.scalar(select(Account.user_key).where(Account.user_key == user_key)) is None:
        return
    kept = {"fields": answer.fields, "scopes": sorted(answer.scopes)}
    row: dict[str, object] = {
        "user_key": user_key,
        "key": key,
        "fingerprint": fingerprint,
        "status": answer.status,
        "fields": orjson.dumps(kept).decode(),
        "body": answer.body,
        "created_at": now,
    }
    upsert(session, IdempotencyRow, ("user_key", "key"), [row])


def purge(session: Session, before: datetime, after: datetime | None, limit: int) -> Portion | None:
    """Delete the oldest of what was kept `before` or earlier, past rows that are locked; None where there is none.

    A portion begins where the last one ended: the entries of deleted rows stay in the index for a while, and would be
    walked through again each time.
    """
    is_old = IdempotencyRow.created_at <= before
    if after is not None:
        is_old &= IdempotencyRow.created_at >= after
    names = (IdempotencyRow.user_key, IdempotencyRow.key)
    listed = select(*names).where(is_old).order_by(IdempotencyRow.created_at).limit(limit)
    # NOTE a CTE: a subquery with a limit may be run again for each row that it is compared with, and the limit is none.
    oldest = listed.with_for_update(skip_locked=True).cte("oldest")
    # What it lists, it has locked and looked at again: no request replaces an expired answer by a new one in between.
    statement = delete(IdempotencyRow).where(tuple_(*names).in_(select(oldest)))
    gone = session.scalars(
        statement.returning(IdempotencyRow.created_at).execution_options(synchronize_session=False)
    ).all()
    return Portion(len(gone), max(gone)) if gone else None
