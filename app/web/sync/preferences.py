"""/v1/me/preferences: one JSON object of the user's own.

Takes   the verified access token; {"preferences": …}; If-Match, If-None-Match, Device-Id
Gives   the preferences in the shape of docs/contracts/user-data.md §3, 304
Raises  what the domain raises: problems.py answers it
Not     the rules (app/records/preferences.py)
Source  RFC 7396, RFC 9110 §13; docs/contracts/user-data.md §2, U2–U6
"""

from datetime import UTC, datetime

import orjson
from flask import Response
from sqlalchemy.orm import Session

from app.records import operations, writing
from app.records import preferences as domain
from app.records.documents import preferences_document
from app.records.operation_shapes import preferences_in
from app.records.operations import Operation
from app.users.identity import Identity
from app.web.answers import PRIVATE, json_answer
from app.web.auth import access_token
from app.web.conditional import entity_tag, precondition, representation
from app.web.json_body import json_body
from app.web.openapi import Blueprint
from app.web.policy import require_scopes
from app.web.runtime import runtime
from app.web.shown import shown
from app.web.sync.device import device_id
from app.web.sync.records import CONDITIONS, JSON, MERGE_PATCH, body_depth
from app.web.sync.schemas import PreferencesBodySchema, PreferencesSchema, WrittenPreferencesSchema
from app.web.writes import carry_out

_PATH = "/v1/me/preferences"
_BODY = {"required": True, "content": {"application/json": {"schema": PreferencesBodySchema}}}
_PATCH_BODY = {
    "required": True,
    "content": {media_type: {"schema": PreferencesBodySchema} for media_type in MERGE_PATCH},
}
_WRITING = ("bad_request", "malformed_json", "account_deletion_scheduled", "request_timeout", "busy", "account_deleted",
            "precondition_failed", "payload_too_large", "unsupported_media_type", "validation_failed",
            "unavailable")  # fmt: skip
blueprint = Blueprint("preferences", __name__, description="The user's preferences")


@blueprint.get(_PATH)
@blueprint.describes(
    "getPreferences", "The preferences; empty before the first write.", PreferencesSchema,
    takes=CONDITIONS, gives=("ETag",),
    problems=("account_deletion_scheduled", "account_deleted", "precondition_failed", "unavailable"),
)  # fmt: skip
@require_scopes("read:preferences")
def get_preferences() -> Response:
    """Answer with the preferences, or 304."""
    parts = runtime()
    with parts.database.read() as session:
        found = domain.find(session, parts.identity_of(access_token()), datetime.now(UTC))
    return representation(entity_tag(found.seq), lambda: orjson.dumps(preferences_document(found)), current=found)


@blueprint.put(_PATH)
@blueprint.describes(
    "putPreferences", "Replace the preferences.", WrittenPreferencesSchema,
    takes=(*CONDITIONS, "Device-Id"), gives=("ETag",), problems=_WRITING, doc={"requestBody": _BODY},
)  # fmt: skip
@require_scopes("write:preferences")
def put_preferences() -> Response:
    """Store them as they are sent."""
    value = preferences_in(json_body(JSON, body_depth()))
    return _write(operations.put_preferences(value, precondition(), device_id()))


@blueprint.patch(_PATH)
@blueprint.describes(
    "patchPreferences", "Merge into the preferences (RFC 7396).", WrittenPreferencesSchema,
    takes=(*CONDITIONS, "Device-Id"), gives=("ETag",), problems=_WRITING,
    doc={"requestBody": _PATCH_BODY},
)  # fmt: skip
@require_scopes("write:preferences")
def patch_preferences() -> Response:
    """Merge what is sent into them."""
    value = preferences_in(json_body(MERGE_PATCH, body_depth()))
    return _write(operations.patch_preferences(value, precondition(), device_id()))


def _write(operation: Operation) -> Response:
    terms = runtime().terms

    def work(session: Session, identity: Identity, now: datetime) -> Response:
        written = writing.write(session, identity, operation, terms, now)
        return json_answer(shown(written.current, access_token()), {**PRIVATE, "ETag": entity_tag(written.seq)})

    return carry_out(work)
