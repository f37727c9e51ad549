"""/v1/collections and /v1/me/usage: what is stored, and how much of the quotas is used.

Takes   the verified access token; If-Match, If-None-Match, Device-Id
Gives   the collections, the usage, 304; how many records a deletion took
Raises  what the domain raises: problems.py answers it
Not     the records (records.py)
Source  docs/contracts/user-data.md §2, §5
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson
from flask import Response
from sqlalchemy.orm import Session

from app.records import overview as domain
from app.records.clearing import clear
from app.users.identity import Identity
from app.web.answers import PRIVATE, json_answer
from app.web.auth import access_token
from app.web.conditional import precondition, representation
from app.web.openapi import Blueprint
from app.web.policy import require_scopes
from app.web.runtime import runtime
from app.web.shown import collection_document
from app.web.sync.device import device_id
from app.web.sync.records import CONDITIONS
from app.web.sync.schemas import ClearedSchema, CollectionsSchema, UsageSchema
from app.web.writes import carry_out

_READING = ("account_deletion_scheduled", "account_deleted", "precondition_failed", "unavailable")
blueprint = Blueprint("overview", __name__, description="What is stored, and how much")


@blueprint.get("/v1/collections")
@blueprint.describes(
    "listCollections", "The collections that hold records.", CollectionsSchema, takes=CONDITIONS, gives=("ETag",),
    problems=_READING,
)  # fmt: skip
@require_scopes("read:records")
def list_collections() -> Response:
    """Answer with all of them: a handful."""
    parts = runtime()
    with parts.database.read() as session:
        found = domain.overview(session, parts.identity_of(access_token()), datetime.now(UTC))
    return _answer({"collections": [_document(collection) for collection in found.collections]})


@blueprint.delete("/v1/collections/<collection>")
@blueprint.describes(
    "deleteCollection", "Delete all records of a collection: a tombstone for each.", ClearedSchema,
    takes=(*CONDITIONS, "Device-Id"),
    problems=("bad_request", "account_deletion_scheduled", "busy", "account_deleted", "precondition_failed",
              "precondition_required", "validation_failed", "unavailable"),
)  # fmt: skip
@require_scopes("write:records")
def delete_collection(collection: str) -> Response:
    """Delete every record of it."""
    terms, expected, origin = runtime().terms, precondition(), device_id()

    def work(session: Session, identity: Identity, now: datetime) -> Response:
        cleared = clear(session, identity, collection, terms, now, precondition=expected, origin=origin)
        return json_answer({"deleted": cleared.deleted, "seq": cleared.seq}, PRIVATE)

    return carry_out(work)


@blueprint.get("/v1/me/usage")
@blueprint.describes(
    "getUsage", "How much of the quotas is used.", UsageSchema, takes=CONDITIONS, gives=("ETag",), problems=_READING,
)  # fmt: skip
@require_scopes("read:records")
def get_usage() -> Response:
    """Answer with the numbers, beside the limits."""
    parts = runtime()
    with parts.database.read() as session:
        used = domain.usage(session, parts.identity_of(access_token()), datetime.now(UTC))
    return _answer(domain.usage_document(used, parts.terms.limits))


def _document(collection: domain.Collection) -> dict[str, Any]:
    has_schema = runtime().terms.rule(collection.name).schema is not None
    base = runtime().settings.public_url.rstrip("/")
    link = f"{base}/v1/openapi.json#/components/schemas/Collection_{collection.name}" if has_schema else None
    return {**collection_document(collection), "schema_url": link}


def _answer(document: dict[str, Any]) -> Response:
    """Answer, or 304. The limits and the schemas are the operator's and have no seq: the content makes the tag."""
    body = orjson.dumps(document)
    return representation(f'"{sha256(body).hexdigest()[:32]}"', lambda: body)
