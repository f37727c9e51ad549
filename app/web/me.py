"""GET, PATCH and POST /v1/me: the user's profile and attributes, and a new account after an erasure.

Takes   the verified access token; fields=, If-None-Match, If-Match; a merge patch
Gives   the profile in the shape of docs/contracts/user-data.md §3, 304, 412 with `current`
Raises  what the domain raises: problems.py answers it
Not     how the account comes to be (visit.py), what may change (app/users/profiles.py), its end (deletion.py)
Source  RFC 7396, RFC 9110 §13; docs/contracts/user-data.md U2–U4, U10–U14, U16
"""

from datetime import datetime
from typing import Any

import orjson
from flask import Response, g, request
from sqlalchemy.orm import Session

from app.oauth.access_token import AccessToken
from app.oauth.scopes import require_all
from app.records.errors import PreconditionFailed
from app.users.errors import ValidationFailed
from app.users.identity import Identity
from app.users.profiles import Profile, as_document, patch
from app.web.answers import PRIVATE, json_answer
from app.web.auth import access_token
from app.web.conditional import entity_tag, precondition, representation
from app.web.json_body import json_body
from app.web.openapi import Blueprint
from app.web.policy import require_scopes
from app.web.problems import WebProblem
from app.web.runtime import runtime
from app.web.schemas import NewAccountSchema, ProfilePatchSchema, ProfileSchema, WrittenProfileSchema
from app.web.shown import shown
from app.web.visit import begin_anew, profile_of
from app.web.writes import carry_out

MEDIA_TYPES = ("application/merge-patch+json", "application/json")
_EMAIL = frozenset({"email", "email_verified"})
_MEMBERS = frozenset(ProfileSchema().fields)
_CONDITIONS = ("If-Match", "If-None-Match")
_NO_MEMBERS = {"required": False, "content": {"application/json": {"schema": NewAccountSchema}}}
blueprint = Blueprint("me", __name__, description="The user's own profile")
_PATCH_BODY = {
    "required": True,
    "content": {media_type: {"schema": ProfilePatchSchema} for media_type in MEDIA_TYPES},
}


@blueprint.get("/v1/me")
@blueprint.describes(
    "getMe", "The user's profile, made at first use.", ProfileSchema,
    problems=("bad_request", "account_deletion_scheduled", "busy", "account_deleted", "precondition_failed",
              "unavailable"),
    takes=("fields", *_CONDITIONS), gives=("ETag",),
)  # fmt: skip
@require_scopes("read:profile")
def get_me() -> Response:
    """Answer with the profile, or 304."""
    token = access_token()
    members = _members_asked_for(token)
    profile = profile_of(runtime(), token, g.access_token_text)
    return _answer(profile, token, members)


@blueprint.patch("/v1/me")
@blueprint.describes(
    "patchMe", "Change members of the profile (RFC 7396).", WrittenProfileSchema, takes=_CONDITIONS, gives=("ETag",),
    problems=("malformed_json", "field_read_only", "account_deletion_scheduled", "request_timeout", "busy",
              "account_deleted", "precondition_failed", "payload_too_large", "unsupported_media_type",
              "validation_failed", "unavailable"),
    doc={"requestBody": _PATCH_BODY},
)  # fmt: skip
@require_scopes("write:profile")
def patch_me() -> Response:
    """Merge a patch into the profile under the user's lock."""
    parts, token = runtime(), access_token()
    # One level more than the attributes in it, as with records.
    document = json_body(MEDIA_TYPES, parts.settings.max_json_depth + 1)
    expected = precondition()

    def check(current: Profile) -> None:
        if not expected.holds(current.seq):
            raise PreconditionFailed(current)

    def work(session: Session, identity: Identity, now: datetime) -> Response:
        limit = parts.settings.max_attributes_bytes
        changed = patch(session, identity, document, check, now, max_attributes_bytes=limit)
        return json_answer(shown(changed, token), {**PRIVATE, "ETag": _etag(changed, token)})

    profile_of(parts, token, g.access_token_text)
    return carry_out(work)


@blueprint.post("/v1/me")
@blueprint.describes(
    "createMe", "Make a new account, also after an erasure. Takes no members.", WrittenProfileSchema, status=201,
    gives=("ETag",), doc={"requestBody": _NO_MEMBERS},
    problems=("malformed_json", "account_deletion_scheduled", "request_timeout", "busy", "conflict",
              "payload_too_large", "unsupported_media_type", "validation_failed", "unavailable"),
)  # fmt: skip
@require_scopes("write:profile")
def create_me() -> Response:
    """Begin anew, because the user says so."""
    parts, token = runtime(), access_token()
    if request.content_length or "Transfer-Encoding" in request.headers:
        _refuse_members(json_body(("application/json",), parts.settings.max_json_depth))

    def work(session: Session, _identity: Identity, now: datetime) -> Response:
        made = begin_anew(session, parts, token, now)
        return json_answer(shown(made, token), {**PRIVATE, "ETag": _etag(made, token)}, 201)

    return carry_out(work, makes_account=False)


def _refuse_members(document: Any) -> None:
    """Refuse what would be ignored: a new account is filled by the tenant, and then by PATCH."""
    if document != {}:
        raise ValidationFailed([{"pointer": "", "detail": "Must be empty: PATCH /v1/me sets members."}])


def _answer(profile: Profile, token: AccessToken, members: frozenset[str] | None) -> Response:
    def write() -> bytes:
        document = as_document(profile, with_email="read:email" in token.scopes)
        if members is not None:
            document = {name: value for name, value in document.items() if name in members}
        return orjson.dumps(document)

    return representation(_etag(profile, token), write, current=profile)


def _etag(profile: Profile, token: AccessToken) -> str:
    return entity_tag(profile.seq, partial="read:email" not in token.scopes)


def _members_asked_for(token: AccessToken) -> frozenset[str] | None:
    """Read `fields`; asking for the e-mail by name without read:email is a 403, not a silent gap."""
    value = request.args.get("fields")
    if value is None:
        return None
    members = frozenset(name.strip() for name in value.split(","))
    if members & _EMAIL:
        require_all(token, ("read:profile", "read:email"))
    unknown = members - _MEMBERS
    if unknown:
        raise WebProblem("bad_request", detail="`fields` names a member that a profile does not have.")
    return members
