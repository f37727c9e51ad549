"""The same API with naive ways of writing, for which the proofs must not hold.

Takes   the environment of the API; for `app`, numbers_for(url) was called once
Gives   app, for gunicorn: a global sequence and no lock, by which it loses changes. All of Postern, but the routes
        that write records and GET /v1/changes;  piecemeal: batches that can end half-way
Raises  what the domain raises
Not     preconditions, quotas, tallies, idempotency keys: what it shows, it shows without them
Source  docs/contracts/user-data.md §8 "the naive variant"
"""

import random
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
from flask import Flask, Response, request
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.db import Database
from app.factory import create_app
from app.records import batch
from app.records.draft import upsert
from app.records.models import RecordRow
from app.records.operation_shapes import Batch, batch_in
from app.records.terms import Terms
from app.records.writing import Written
from app.users.identity import Identity
from app.users.merge_patch import merge
from app.web.auth import access_token
from app.web.conditional import versions
from app.web.runtime import runtime
from config.settings import Settings

# A part of the writes is slow between its number and its commit, as a busy host or a long batch is.
_SLOW_SHARE, _SLOW_SECONDS = 0.1, 0.01
_WAY_SECONDS = 0.005
Wish = dict[str, Any]


def numbers_for(url: str) -> None:
    """Make the sequence: once, before the workers start."""
    database = Database(url)
    try:
        for statement in _statements(database):
            database.transact(partial(_execute, statement))
    finally:
        database.dispose()


def naive_app() -> Flask:
    """Make the application."""
    app = create_app(Settings.from_env())
    app.view_functions |= {
        "records.put_record": lambda collection, record_id: _single("put", collection, record_id),
        "records.patch_record": lambda collection, record_id: _single("patch", collection, record_id),
        "records.delete_record": lambda collection, record_id: _single("delete", collection, record_id),
        "records.create_record": lambda collection: _single("put", collection, uuid4().hex),
        "batch.post_batch": _batch,
        "changes.get_changes": _changes,
    }
    return app


def piecemeal_app() -> Flask:
    """Make the API whose batches are one transaction for each operation: what dies between two leaves half of one."""
    app = create_app(Settings.from_env())
    app.view_functions["batch.post_batch"] = _piecemeal
    return app


def __getattr__(name: str) -> Flask:
    """Make `app` or `piecemeal` for gunicorn, and only for who asks for it."""
    makers = {"app": naive_app, "piecemeal": piecemeal_app}
    if name in makers:
        return makers[name]()
    raise AttributeError(name)


def _single(verb: str, collection: str, record_id: str) -> Response:
    body = request.get_json(silent=True) or {}
    wish = {"op": verb, "collection": collection, "id": record_id, "data": body.get("data")}
    result = _carry_out([wish])[0]
    return Response(orjson.dumps(result), result["status"], {"ETag": f'"{result.get("seq", 0)}"'})


def _batch() -> Response:
    return Response(orjson.dumps({"results": _carry_out(request.get_json()["operations"])}))


def _piecemeal() -> Response:
    parts, identity = runtime(), runtime().identity_of(access_token())
    wished = batch_in(request.get_json(), parts.settings.max_batch_operations, versions)
    results: list[dict[str, Any]] = []
    for operation in wished.operations:
        # As a longer way to the database would take.
        time.sleep(_WAY_SECONDS)
        work = partial(_one, Batch((operation,)), identity, parts.terms)
        results.append(parts.database.transact(work))
    return Response(orjson.dumps({"results": results}))


def _one(wished: Batch, identity: Identity, terms: Terms, session: Session) -> dict[str, Any]:
    (done,) = batch.run(session, identity, wished, terms, datetime.now(UTC))
    return {"status": 201, "seq": done.seq} if isinstance(done, Written) else {"status": 412}


def _carry_out(wishes: list[Wish]) -> list[dict[str, Any]]:
    database, user_key = runtime().database, runtime().identity_of(access_token()).user_key
    is_sqlite = database.engine.dialect.name == "sqlite"
    # SQLite has no sequence: what is like one is a number that is taken in a transaction of its own.
    taken = iter(database.transact(lambda session: _numbers(session, len(wishes))) if is_sqlite else ())
    if is_sqlite:
        _dawdle()

    def work(session: Session) -> list[dict[str, Any]]:
        numbers = taken if is_sqlite else iter(_numbers(session, len(wishes)))
        results = [_write(session, user_key, wish, next(numbers)) for wish in wishes]
        if not is_sqlite:
            _dawdle()
        return results

    return database.transact(work)


def _write(session: Session, user_key: str, wish: Wish, seq: int) -> dict[str, Any]:
    before = session.get(RecordRow, (user_key, wish["collection"], wish["id"]))
    data = wish.get("data")
    if wish["op"] == "patch":
        if before is None or before.data is None:
            return {"status": 404}
        data = merge(orjson.loads(before.data), data)
    stored = None if wish["op"] == "delete" else orjson.dumps(data).decode()
    row = {
        "user_key": user_key, "collection": wish["collection"], "id": wish["id"], "seq": seq, "created_seq": seq,
        "deleted": stored is None, "data": stored, "bytes": len(stored or ""), "origin": None,
        "updated_at": datetime.now(UTC),
    }  # fmt: skip
    upsert(session, RecordRow, ("user_key", "collection", "id"), [row])
    session.expire_all()
    if stored is None:
        return {"status": 204, "seq": seq}
    status = 200 if wish["op"] == "patch" or (before is not None and not before.deleted) else 201
    return {"status": status, "id": wish["id"], "seq": seq, "data": data}


def _changes() -> Response:
    """Tell what has a number above the greatest one seen."""
    since, size = int(request.args.get("cursor", "0")), int(request.args["limit"])
    user_key = runtime().identity_of(access_token()).user_key
    statement = select(RecordRow).where(RecordRow.user_key == user_key, RecordRow.seq > since)
    if "collections" in request.args:
        statement = statement.where(RecordRow.collection.in_(request.args["collections"].split(",")))
    with runtime().database.read() as session:
        rows = session.scalars(statement.order_by(RecordRow.seq).limit(size + 1)).all()
    told, has_more = [_told(row) for row in rows[:size]], len(rows) > size
    cursor = str(told[-1]["seq"] if told else since)
    return Response(orjson.dumps({"changes": told, "cursor": cursor, "has_more": has_more}))


def _told(row: RecordRow) -> dict[str, Any]:
    change: dict[str, Any] = {"collection": row.collection, "id": row.id, "seq": row.seq}
    return change | ({"deleted": True} if row.data is None else {"data": orjson.loads(row.data)})


def _numbers(session: Session, count: int) -> list[int]:
    if session.get_bind().dialect.name == "sqlite":
        last: int = session.execute(
            text("UPDATE naive SET last = last + :count RETURNING last"), {"count": count}
        ).scalar_one()
        return list(range(last - count + 1, last + 1))
    found = session.scalars(text("SELECT nextval('naive') FROM generate_series(1, :count)"), {"count": count})
    return sorted(found)


def _statements(database: Database) -> list[str]:
    if database.engine.dialect.name == "sqlite":
        return ["CREATE TABLE naive (last BIGINT)", "INSERT INTO naive VALUES (0)"]
    return ["CREATE SEQUENCE naive"]


def _execute(statement: str, session: Session) -> None:
    session.execute(text(statement))


def _dawdle() -> None:
    if random.random() < _SLOW_SHARE:
        time.sleep(_SLOW_SECONDS)
