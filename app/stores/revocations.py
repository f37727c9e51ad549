"""Keep the revocations in the database, where every worker of every host sees the same.

Takes   Database; for_watch(url) makes one whose waits are short
Gives   Revocations: a RevocationStore for the watch; add(), lift(), entries() for the operator
Raises  RevocationsUnavailable to the watch;  DatabaseUnavailable, DatabaseBusy to the operator
Not     what an entry means (app/oauth/revocation/entry.py), the watch itself (app/oauth/revocation/watch.py)
Source  docs/contracts/tokens.md T24, K11

Every change raises `revocation_version` in its own transaction, first, and holds that row until it commits; the watch
reads version and entries from one snapshot. So whoever has seen a version has seen every change up to it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self, cast

from sqlalchemy import ColumnElement, delete, exists, make_url, or_, select, update
from sqlalchemy.orm import Session

from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.oauth.revocation.entry import Kind, Revocation, denylist_of, stricter
from app.oauth.revocation.watch import RevocationsUnavailable, Snapshot
from app.stores.revocation_models import RevocationRow, RevocationVersion

# A clock that is slow may still take a token for alive whose entry has ended by ours.
_MARGIN_SECONDS = 3600
_LOCK_SECONDS, _STATEMENT_SECONDS = 1.0, 2.0
# A network that swallows everything is noticed within the 5 s, too (libpq's shortest connect_timeout is 2 s).
_SHORT_WAITS = {"connect_timeout": "2", "tcp_user_timeout": "3000"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A revocation as it stands in the table."""

    revocation: Revocation
    created_at: datetime


class Revocations:
    """The revocations of one API."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def for_watch(cls, url: str) -> Self:
        """Use one connection of its own, so that no load of requests delays a look, and bound each of its waits."""
        address = make_url(url)
        if address.get_backend_name() != "sqlite":
            waits = {name: seconds for name, seconds in _SHORT_WAITS.items() if name not in address.query}
            address = address.update_query_dict(waits)
        return cls(
            Database(
                address.render_as_string(hide_password=False),
                pool_size=1,
                pool_timeout_seconds=_LOCK_SECONDS,
                lock_timeout_seconds=_LOCK_SECONDS,
                statement_timeout_seconds=_STATEMENT_SECONDS,
            )
        )

    def newer_than(self, version: int | None, *, now: float) -> Snapshot | None:
        """Return what is revoked at `now`; None if that version still is the newest."""
        with _unavailable(), self._database.read() as session:
            newest = session.scalar(select(RevocationVersion.version)) or 0
            if newest == version:
                return None
            return Snapshot(newest, denylist_of(_in_force(session, now)))

    def drop_ended(self, *, now: float) -> int:
        """Delete what ended an hour before `now`, and say how many."""
        ended = RevocationRow.expires_at < now - _MARGIN_SECONDS

        def drop(session: Session) -> int:
            _raise_version(session)
            return len(session.execute(delete(RevocationRow).where(ended).returning(RevocationRow.kind)).all())

        with _unavailable():
            with self._database.read() as session:
                if not session.scalar(select(exists().where(ended))):
                    return 0
            return self._database.transact(drop)

    def forget_connections(self) -> None:
        """In a forked child: leave the parent's connections to the parent."""
        self._database.dispose_after_fork()

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._database.dispose()

    def add(self, wanted: Revocation, *, at: datetime) -> Revocation:
        """Store the entry, joined with one that is there already; return what is in force now."""

        def store(session: Session) -> Revocation:
            _raise_version(session)
            row = session.get(RevocationRow, (wanted.kind, wanted.value))
            if row is None:
                row = RevocationRow(kind=wanted.kind, value=wanted.value, created_at=at)
                session.add(row)
                joined = wanted
            else:
                joined = stricter(_revocation(row), wanted)
            row.last_second, row.expires_at, row.note = joined.last_second, joined.expires_at, joined.note
            return joined

        return self._database.transact(store)

    def lift(self, kind: Kind, value: str) -> bool:
        """Delete the entry; False if there was none."""

        def remove(session: Session) -> bool:
            _raise_version(session)
            row = session.get(RevocationRow, (kind, value))
            if row is not None:
                session.delete(row)
            return row is not None

        return self._database.transact(remove)

    def entries(self, *, now: float) -> list[Entry]:
        """Return what is in force at `now`, by kind and value."""
        statement = select(RevocationRow).where(_lasts(now)).order_by(RevocationRow.kind, RevocationRow.value)
        with self._database.read() as session:
            return [Entry(_revocation(row), row.created_at) for row in session.scalars(statement)]


def _raise_version(session: Session) -> None:
    """Take the one row's lock; where somebody has emptied the table, write it anew."""
    raised = update(RevocationVersion).values(version=RevocationVersion.version + 1)
    if session.execute(raised.returning(RevocationVersion.version)).first() is None:
        session.add(RevocationVersion(id=1, version=1))


def _in_force(session: Session, now: float) -> Iterator[Revocation]:
    columns = select(RevocationRow.kind, RevocationRow.value, RevocationRow.last_second).where(_lasts(now))
    for kind, value, last_second in session.execute(columns):
        yield Revocation(kind=cast("Kind", kind), value=value, last_second=last_second)


def _lasts(now: float) -> ColumnElement[bool]:
    return or_(RevocationRow.expires_at.is_(None), RevocationRow.expires_at > now)


def _revocation(row: RevocationRow) -> Revocation:
    return Revocation(
        kind=cast("Kind", row.kind),
        value=row.value,
        last_second=row.last_second,
        expires_at=row.expires_at,
        note=row.note,
    )


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (DatabaseUnavailable, DatabaseBusy) as fault:
        raise RevocationsUnavailable(str(fault)) from fault
