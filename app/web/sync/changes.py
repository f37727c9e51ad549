"""GET /v1/changes: what is new since a cursor.

Takes   the verified access token; cursor, limit, collections; If-None-Match
Gives   a page of changes, 304 where there are none
Raises  what the domain raises: problems.py answers it
Not     the feed itself (app/records/changes.py), how a client follows it (docs/sync.md)
Source  docs/contracts/user-data.md §2, §3, §7
"""

from datetime import UTC, datetime

from flask import Response, request

from app.oauth.access_token import AccessToken
from app.records.changes import Question, changes, nothing_new
from app.records.names import collections_in
from app.records.terms import Limits
from app.web.auth import access_token
from app.web.conditional import representation
from app.web.openapi import Blueprint
from app.web.policy import require_scopes
from app.web.runtime import runtime
from app.web.sync.query import page_size
from app.web.sync.records import CONDITIONS
from app.web.sync.schemas import ChangesSchema

blueprint = Blueprint("changes", __name__, description="What is new since a cursor")


@blueprint.get("/v1/changes")
@blueprint.describes(
    "getChanges", "What has changed since the cursor; without one, all that is stored.", ChangesSchema,
    takes=("cursor", "limit", "collections", *CONDITIONS), gives=("ETag",),
    problems=("bad_request", "bad_cursor", "account_deletion_scheduled", "cursor_expired", "account_deleted",
              "precondition_failed", "unavailable"),
)  # fmt: skip
@require_scopes("read:records")
def get_changes() -> Response:
    """Answer with a page; its cursor is its ETag."""
    parts, token = runtime(), access_token()
    limits = parts.terms.limits
    question, identity, now = _question(token, limits), parts.identity_of(token), datetime.now(UTC)
    page = None
    if question.cursor is not None:
        # Most polls end here.
        with parts.database.look() as session:
            page = nothing_new(session, identity, question, now)
    if page is None:
        with parts.database.read() as session:
            page = changes(session, identity, question, limits, now)
    return representation(f'"{page.cursor}"', page.body)


def _question(token: AccessToken, limits: Limits) -> Question:
    asked = request.args.get("collections")
    return Question(
        cursor=request.args.get("cursor"),
        size=page_size(),
        collections=None if asked is None else collections_in(asked, limits.collections),
        with_profile="read:profile" in token.scopes,
        with_email="read:email" in token.scopes,
        with_preferences="read:preferences" in token.scopes,
    )
