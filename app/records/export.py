"""All that is stored of a user, as lines of JSON: one consistent snapshot, however much it is.

Takes   session: inside Database.read, so that every line is of the same moment;  identity;  now: aware, UTC;
        documents of what other rooms keep of the user
Gives   lines, each ended by a line feed: header, profile, preferences, records and tombstones in the order of
        collection and id, operator_changes, exports, what other rooms keep, footer
Raises  AccountDeleted, AccountDeletionScheduled
Not     how many exports there may be (app/users/exports.py), where the lines go (app/web/export.py)
Source  docs/contracts/user-data.md §3; GDPR art. 15, 20; https://github.com/ndjson/ndjson-spec

Rows are fetched CHUNK by CHUNK from a cursor, on the server where there is one: memory does not grow with what is
stored. A record's text is spliced in as it was stored, never parsed.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from app.records import preferences
from app.records.documents import preferences_document, record_document
from app.records.models import RecordRow
from app.records.reading import CHUNK
from app.records.record import COLUMNS, Record
from app.users import profiles
from app.users.identity import Identity
from app.users.models import Export, OperatorChange
from app.users.profiles import Profile
from app.users.timestamps import rfc3339

FORMAT = 1
Document = Mapping[str, Any]


def export(session: Session, identity: Identity, now: datetime, elsewhere: Iterable[Document] = ()) -> Iterator[bytes]:
    """Write the lines; the footer counts those before it and has the SHA-256 of their bytes.

    Whoever reads no footer has not read all of it.
    """
    digest, lines = hashlib.sha256(), 0
    for document in _documents(session, identity, now, elsewhere):
        line = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
        digest.update(line)
        lines += 1
        yield line
    footer = {"type": "footer", "lines": lines, "sha256": digest.hexdigest()}
    yield orjson.dumps(footer, option=orjson.OPT_APPEND_NEWLINE)


def _documents(
    session: Session, identity: Identity, now: datetime, elsewhere: Iterable[Document]
) -> Iterator[Document]:
    profile = profiles.find(session, identity, now)
    told = {"format": FORMAT, "sub": identity.subject, "exported_at": rfc3339(now), "tenant": identity.tenant}
    yield {"type": "header", **told}
    if profile is not None:
        yield {"type": "profile", **_profile_document(profile)}
    found = preferences.stored(session, identity.user_key)
    if found.seq:
        yield {"type": "preferences", **preferences_document(found), "origin": found.origin}
    yield from _records(session, identity.user_key)
    yield from _operator_changes(session, identity.user_key)
    started = select(Export.started_at).where(Export.user_key == identity.user_key).order_by(Export.started_at)
    for (started_at,) in _rows(session, started):
        yield {"type": "export", "started_at": rfc3339(started_at)}
    yield from elsewhere


def _profile_document(profile: Profile) -> Document:
    """Write the profile as GET /v1/me does, with the e-mail, and what is kept beside it: who has set what, and when."""
    checked_at = profile.userinfo_checked_at
    return {
        **profiles.as_document(profile, with_email=True),
        "state": profile.state,
        "sources": profile.sources,
        # Seconds since the epoch, as in the token that told it.
        "told_at": profile.told_at,
        "userinfo_checked_at": None if checked_at is None else rfc3339(checked_at),
    }


def _records(session: Session, user_key: str) -> Iterator[Document]:
    statement = select(*COLUMNS).where(RecordRow.user_key == user_key).order_by(RecordRow.collection, RecordRow.id)
    for row in _rows(session, statement):
        record = Record(*row)
        yield {"type": "record" if record.data is not None else "tombstone", **record_document(record)}


def _operator_changes(session: Session, user_key: str) -> Iterator[Document]:
    """Write what the operator did, and when, but not which employee it was (CJEU C-579/21, 22 June 2023)."""
    columns = (OperatorChange.changed_at, OperatorChange.action, OperatorChange.before, OperatorChange.after)
    statement = select(*columns).where(OperatorChange.user_key == user_key).order_by(OperatorChange.id)
    for changed_at, action, before, after in _rows(session, statement):
        told = {"changed_at": rfc3339(changed_at), "action": action}
        yield {"type": "operator_change", **told, "before": _spliced(before), "after": _spliced(after)}


def _rows(session: Session, statement: Select[*tuple[Any, ...]]) -> Iterator[Row[*tuple[Any, ...]]]:
    yield from session.execute(statement.execution_options(yield_per=CHUNK))


def _spliced(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)
