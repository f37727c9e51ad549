"""POST /v1/batch: many writes in one request, each for itself or all or nothing.

Takes   the verified access token; the operations; Device-Id
Gives   a result for each operation, in their order
Raises  what the domain raises: problems.py answers it
Not     the operations themselves (app/records/batch.py)
Source  docs/contracts/user-data.md §3, U15
"""

from datetime import datetime
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from app.oauth.errors import InsufficientScope
from app.oauth.scopes import require_all
from app.records import batch as domain
from app.records.operation_shapes import batch_in
from app.records.operations import Kind, Operation
from app.records.writing import Outcome, Written
from app.users.identity import Identity
from app.web.answers import PRIVATE, json_answer
from app.web.auth import access_token
from app.web.conditional import entity_tag, versions
from app.web.json_body import json_body
from app.web.openapi import Blueprint
from app.web.policy import require_token
from app.web.refusals import bounded, refusal_of, result_document
from app.web.runtime import runtime
from app.web.sync.device import device_id
from app.web.sync.schemas import BatchAnswerSchema, BatchBodySchema
from app.web.writes import carry_out

_BODY = {"required": True, "content": {"application/json": {"schema": BatchBodySchema}}}
_SCOPES = {Kind.RECORD: "write:records", Kind.PREFERENCES: "write:preferences", Kind.PROFILE: "write:profile"}
# The body, its list, the operation.
_LEVELS_ABOVE_DATA = 3
_STATUSES = {Outcome.CREATED: 201, Outcome.CHANGED: 200, Outcome.DELETED: 204}
blueprint = Blueprint("batch", __name__, description="Many writes in one request")


@blueprint.post("/v1/batch")
@blueprint.describes(
    "postBatch", "Carry out operations, each for itself; with `atomic`, all or none.", BatchAnswerSchema,
    takes=("Device-Id",),
    problems=("bad_request", "malformed_json", "account_deletion_scheduled", "request_timeout", "busy", "conflict",
              "account_deleted", "payload_too_large", "unsupported_media_type", "validation_failed", "unavailable"),
    doc={"requestBody": _BODY},
)  # fmt: skip
@require_token()
def post_batch() -> Response:
    """Carry out the operations in one transaction."""
    parts = runtime()
    settings, terms = parts.settings, parts.terms
    depth = settings.max_json_depth + _LEVELS_ABOVE_DATA
    document = json_body(("application/json",), depth, max_bytes=settings.max_batch_bytes)
    wished = batch_in(document, settings.max_batch_operations, versions, device_id())

    def work(session: Session, identity: Identity, now: datetime) -> Response:
        results = domain.run(session, identity, wished, terms, now, refusal_of=_refusal_of)
        documents = [_result(result) for result in results]
        return json_answer({"results": bounded(documents, terms.limits.answer_bytes)}, PRIVATE)

    return carry_out(work)


def _refusal_of(operation: Operation) -> Exception | None:
    try:
        require_all(access_token(), (_SCOPES[operation.kind],))
    except InsufficientScope as refused:
        return refused
    return None


def _result(result: domain.Result) -> dict[str, Any]:
    if isinstance(result, Written):
        return {"status": _STATUSES[result.outcome], "etag": entity_tag(result.seq), "seq": result.seq}
    return result_document(refusal_of(result, access_token()))
