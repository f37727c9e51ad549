"""/v1/collections/{c}/records: list, create, read, replace, merge, delete.

Takes   the verified access token; names in the path; {"data": …}; If-Match, If-None-Match, Device-Id
Gives   records in the shape of docs/contracts/user-data.md §3, 304
Raises  what the domain raises: problems.py answers it
Not     the rules (app/records), several writes at once (batch.py), what changed (changes.py)
Source  RFC 7396, RFC 9110 §13; docs/contracts/user-data.md §2, U2–U6
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Response, request
from sqlalchemy.orm import Session

from app.records import operations, reading, writing
from app.records.documents import record_document
from app.records.operation_shapes import data_in
from app.records.operations import Operation
from app.records.record import Record
from app.users.identity import Identity
from app.web.answers import PRIVATE, json_answer, no_content
from app.web.auth import access_token
from app.web.conditional import entity_tag, precondition, representation
from app.web.json_body import json_body
from app.web.openapi import Blueprint
from app.web.policy import require_scopes
from app.web.runtime import runtime
from app.web.shown import shown
from app.web.sync.device import device_id
from app.web.sync.query import page_size
from app.web.sync.schemas import RecordBodySchema, RecordPageSchema, RecordSchema, WrittenRecordSchema
from app.web.writes import carry_out

JSON = ("application/json",)
CONDITIONS = ("If-Match", "If-None-Match")
MERGE_PATCH = ("application/merge-patch+json", "application/json")
_LIST = "/v1/collections/<collection>/records"
_ONE = _LIST + "/<record_id>"
_BODY = {"required": True, "content": {"application/json": {"schema": RecordBodySchema}}}
_PATCH_BODY = {"required": True, "content": {media_type: {"schema": RecordBodySchema} for media_type in MERGE_PATCH}}
_READING = ("account_deletion_scheduled", "account_deleted", "precondition_failed", "unavailable")
_WRITING = ("bad_request", "malformed_json", "account_deletion_scheduled", "request_timeout", "busy", "account_deleted",
            "precondition_failed", "precondition_required", "payload_too_large", "unsupported_media_type",
            "validation_failed", "unavailable")  # fmt: skip
blueprint = Blueprint("records", __name__, description="What apps store for their user")


@blueprint.get(_LIST)
@blueprint.describes(
    "listRecords", "A collection's records, by id.", RecordPageSchema,
    takes=("limit", "page", *CONDITIONS), gives=("ETag", "Link"),
    problems=("bad_request", "bad_page_token", "not_found", *_READING),
)  # fmt: skip
@require_scopes("read:records")
def list_records(collection: str) -> Response:
    """Answer with one page."""
    parts, token = runtime(), request.args.get("page")
    identity, size, limits = parts.identity_of(access_token()), page_size(), parts.terms.limits
    page = None
    if token is None:
        with parts.database.look() as session:
            page = reading.glance(session, identity, collection, limits, size=size)
    if page is None:
        with parts.database.read() as session:
            page = reading.page(session, identity, collection, limits, datetime.now(UTC), size=size, token=token)
    return representation(entity_tag(page.seq), page.body, more=_link(collection, page.next, size))


@blueprint.post(_LIST)
@blueprint.describes(
    "createRecord", "Store a record under an id of the server's.", WrittenRecordSchema, status=201,
    takes=(*CONDITIONS, "Device-Id"), gives=("ETag", "Location"),
    problems=("quota_exceeded", *_WRITING), doc={"requestBody": _BODY},
)  # fmt: skip
@require_scopes("write:records")
def create_record(collection: str) -> Response:
    """Store a new record."""
    data, expected = data_in(_json(JSON)), precondition()
    wished = operations.create(collection, data, datetime.now(UTC), device_id())
    # Nothing is there that If-Match could match; If-None-Match holds, whatever it names.
    return _write(replace(wished, precondition=replace(wished.precondition, if_match=expected.if_match)))


@blueprint.get(_ONE)
@blueprint.describes(
    "getRecord", "One record.", RecordSchema, takes=CONDITIONS, gives=("ETag",),
    problems=("not_found", "gone", *_READING),
)  # fmt: skip
@require_scopes("read:records")
def get_record(collection: str, record_id: str) -> Response:
    """Answer with the record, or 304."""
    parts, now = runtime(), datetime.now(UTC)
    with parts.database.look() as session:
        found = reading.find(session, parts.identity_of(access_token()), collection, record_id, now)
    return representation(entity_tag(found.seq), lambda: orjson.dumps(record_document(found)), current=found)


@blueprint.put(_ONE)
@blueprint.describes(
    "putRecord", "Create or replace a record.", WrittenRecordSchema, status=(200, 201),
    takes=(*CONDITIONS, "Device-Id"), gives=("ETag", "Location"), problems=("quota_exceeded", *_WRITING),
    doc={"requestBody": _BODY},
)  # fmt: skip
@require_scopes("write:records")
def put_record(collection: str, record_id: str) -> Response:
    """Store the record as it is sent."""
    data = data_in(_json(JSON))
    return _write(operations.put(collection, record_id, data, precondition(), device_id()))


@blueprint.patch(_ONE)
@blueprint.describes(
    "patchRecord", "Merge into a record (RFC 7396).", WrittenRecordSchema,
    takes=(*CONDITIONS, "Device-Id"), gives=("ETag",),
    problems=("quota_exceeded", "not_found", "gone", *_WRITING), doc={"requestBody": _PATCH_BODY},
)  # fmt: skip
@require_scopes("write:records")
def patch_record(collection: str, record_id: str) -> Response:
    """Merge what is sent into the record."""
    data = data_in(_json(MERGE_PATCH))
    return _write(operations.patch(collection, record_id, data, precondition(), device_id()))


@blueprint.delete(_ONE)
@blueprint.describes(
    "deleteRecord", "Delete a record; what is deleted already stays so.", status=204,
    takes=(*CONDITIONS, "Device-Id"), gives=("ETag",),
    problems=("bad_request", "account_deletion_scheduled", "not_found", "busy", "account_deleted",
              "precondition_failed", "precondition_required", "validation_failed", "unavailable"),
)  # fmt: skip
@require_scopes("write:records")
def delete_record(collection: str, record_id: str) -> Response:
    """Leave a tombstone."""
    return _write(operations.delete(collection, record_id, precondition(), device_id()))


def body_depth() -> int:
    """How deep a body may be nested: one level more than what it carries, which a batch nests deeper still."""
    return runtime().settings.max_json_depth + 1


def _write(operation: Operation) -> Response:
    terms = runtime().terms

    def work(session: Session, identity: Identity, now: datetime) -> Response:
        return _answer(writing.write(session, identity, operation, terms, now))

    return carry_out(work)


def _answer(written: writing.Written) -> Response:
    current = written.current
    assert isinstance(current, Record)  # noqa: S101 - for the type: these are operations on records
    fields = {**PRIVATE, "ETag": entity_tag(written.seq)}
    if written.outcome is writing.Outcome.DELETED:
        return no_content(fields)
    if written.outcome is writing.Outcome.CHANGED:
        return json_answer(shown(current, access_token()), fields)
    base = runtime().settings.public_url.rstrip("/")
    fields["Location"] = f"{base}/v1/collections/{current.collection}/records/{current.id}"
    return json_answer(shown(current, access_token()), fields, 201)


def _json(media_types: tuple[str, ...]) -> Any:
    return json_body(media_types, body_depth())


def _link(collection: str, following: str | None, size: int | None) -> dict[str, str]:
    if following is None:
        return {}
    base = runtime().settings.public_url.rstrip("/")
    query = urlencode({"page": following} | ({} if size is None else {"limit": size}))
    return {"Link": f'<{base}/v1/collections/{collection}/records?{query}>; rel="next"'}
