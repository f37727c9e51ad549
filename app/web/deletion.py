"""/v1/me/deletion: the user deletes the account, sees when, thinks better of it.

Takes   the verified access token; the words of confirmation
Gives   the deletion in the shape of docs/contracts/user-data.md §3
Raises  what the domain raises: problems.py answers it
Not     the deletion itself (app/users/deletion.py), the purge (app/commands/purge.py), a new account (me.py)
Source  docs/contracts/user-data.md U16; docs/contracts/tokens.md T23
"""

from datetime import UTC, datetime, timedelta

from flask import Response
from sqlalchemy.orm import Session

from app.users.deletion import as_document, cancel, find, refuse_unconfirmed, schedule
from app.users.identity import Identity
from app.web.answers import PRIVATE, json_answer, no_content
from app.web.auth import access_token
from app.web.json_body import json_body
from app.web.openapi import Blueprint
from app.web.policy import Setting, require_recent_login, require_scopes
from app.web.runtime import runtime
from app.web.schemas import DeletionRequestSchema, DeletionSchema
from app.web.writes import carry_out

MEDIA_TYPES = ("application/json",)
blueprint = Blueprint("deletion", __name__, description="The end of the user's account")
_BODY = {"required": True, "content": {"application/json": {"schema": DeletionRequestSchema}}}


@blueprint.post("/v1/me/deletion")
@blueprint.describes(
    "requestDeletion", "Delete the account, after a grace in which it can be cancelled.", DeletionSchema, status=202,
    problems=("malformed_json", "step_up_required", "request_timeout", "busy", "account_deleted", "payload_too_large",
              "unsupported_media_type", "validation_failed", "unavailable"),
    doc={"requestBody": _BODY},
)  # fmt: skip
@require_recent_login(max_age_seconds=Setting("deletion_max_age_seconds"), acr=Setting("deletion_acr"))
@require_scopes("delete:account")
def request_deletion() -> Response:
    """Schedule the deletion; asked again, answer as the first time."""
    settings = runtime().settings
    refuse_unconfirmed(json_body(MEDIA_TYPES, settings.max_json_depth))
    grace = timedelta(days=settings.account_deletion_grace_days)

    def work(session: Session, identity: Identity, now: datetime) -> Response:
        return json_answer(as_document(schedule(session, identity, grace, now)), PRIVATE, 202)

    return carry_out(work, in_grace=True)


@blueprint.get("/v1/me/deletion")
@blueprint.describes(
    "getDeletion", "Whether the account is to be deleted, and when.", DeletionSchema,
    problems=("account_deleted", "unavailable"),
)  # fmt: skip
@require_scopes("delete:account")
def get_deletion() -> Response:
    """Tell what is scheduled."""
    parts, now = runtime(), datetime.now(UTC)
    with parts.database.read() as session:
        found = find(session, parts.identity_of(access_token()), now)
    return json_answer(as_document(found), PRIVATE)


@blueprint.delete("/v1/me/deletion")
@blueprint.describes(
    "cancelDeletion", "Keep the account.", status=204, problems=("busy", "account_deleted", "unavailable"),
)  # fmt: skip
@require_scopes("delete:account")
def cancel_deletion() -> Response:
    """Cancel what is scheduled; where nothing is, the account is kept already."""

    def work(session: Session, identity: Identity, now: datetime) -> Response:
        cancel(session, identity, now)
        return no_content(PRIVATE)

    return carry_out(work, makes_account=False, in_grace=True)
