"""The shapes of answers, for the OpenAPI document; one marshmallow Schema each.

Takes   nothing
Gives   Schema classes
Raises  nothing
Not     the check of what comes in: the domain owns that (app/users/validation.py)
Source  docs/contracts/user-data.md §3, §6; RFC 9457 §3.1
"""

from marshmallow import Schema, fields, validate

from app.users.deletion import CONFIRMATION

_ETAG = {"description": "Strong entity-tag of this version", "example": '"42"'}
_TIME = {"description": "RFC 3339, UTC, milliseconds", "format": "date-time", "example": "2026-11-21T12:00:00.000Z"}


class ErrorItemSchema(Schema):
    """One member of the body that must change."""

    pointer = fields.String(required=True, metadata={"description": "JSON pointer (RFC 6901)"})
    detail = fields.String(required=True)


class ProblemSchema(Schema):
    """A refusal or a fault (RFC 9457): branch on `code`, do what `action` says."""

    type = fields.Url(required=True, metadata={"description": "The page that explains this code"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True, metadata={"example": "token_expired"})
    action = fields.String(
        required=True,
        validate=validate.OneOf(
            ["send_token", "refresh", "reauthenticate", "request_scope", "step_up", "fix_client", "ask_operator",
             "retry_now", "retry_later", "resync"]
        ),
    )  # fmt: skip
    retryable = fields.Boolean(required=True)
    request_id = fields.String(required=True)
    server_time = fields.Integer(metadata={"description": "Seconds since the epoch; where a clock may be wrong"})
    scope = fields.String(metadata={"description": "With insufficient_scope: what this route wants"})
    errors = fields.List(fields.Nested(ErrorItemSchema))
    current = fields.Dict(
        metadata={"description": "With precondition_failed and account_deletion_scheduled: what is stored now"}
    )


class WhoAmISchema(Schema):
    """What the API understood of the token. Times are seconds since the epoch."""

    sub = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["user", "client", "anonymous"]))
    issuer = fields.String(required=True)
    client_id = fields.String(required=True, allow_none=True)
    audience = fields.List(fields.String(), required=True)
    org_id = fields.String(required=True, allow_none=True)
    scopes = fields.List(fields.String(), required=True)
    permissions = fields.List(fields.String(), required=True)
    issued_at = fields.Float(required=True, allow_none=True)
    expires_at = fields.Float(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds left"})
    auth_time = fields.Float(required=True, allow_none=True)
    acr = fields.String(required=True, allow_none=True)
    amr = fields.List(fields.String(), required=True)
    server_time = fields.Integer(required=True)


class ProfileSchema(Schema):
    """The user's profile. The e-mail members are there with the scope read:email only."""

    sub = fields.String(required=True, metadata={"example": "auth0|abc"})
    name = fields.String(required=True, allow_none=True)
    given_name = fields.String(required=True, allow_none=True)
    family_name = fields.String(required=True, allow_none=True)
    nickname = fields.String(required=True, allow_none=True)
    picture = fields.String(required=True, allow_none=True)
    locale = fields.String(required=True, allow_none=True)
    zoneinfo = fields.String(required=True, allow_none=True)
    email = fields.String(allow_none=True)
    email_verified = fields.Boolean(allow_none=True)
    roles = fields.List(fields.String(), required=True)
    app_attributes = fields.Dict(required=True, metadata={"description": "The operator's (app_metadata)"})
    attributes = fields.Dict(required=True, metadata={"description": "The user's own (user_metadata)"})
    etag = fields.String(required=True, metadata=_ETAG)
    seq = fields.Integer(required=True, metadata={"format": "int64"})
    created_at = fields.String(required=True, metadata=_TIME)
    updated_at = fields.String(required=True, metadata=_TIME)


class ProfilePatchSchema(Schema):
    """RFC 7396: what is named changes, null clears, what is left out stays."""

    name = fields.String(allow_none=True)
    given_name = fields.String(allow_none=True)
    family_name = fields.String(allow_none=True)
    nickname = fields.String(allow_none=True)
    picture = fields.Url(allow_none=True)
    locale = fields.String(allow_none=True, metadata={"example": "en-GB"})
    zoneinfo = fields.String(allow_none=True, metadata={"example": "Europe/London"})
    attributes = fields.Dict(allow_none=True, metadata={"example": {"favourite_colour": "green"}})


class DeletionRequestSchema(Schema):
    """The wish, word for word, so that no slip deletes an account."""

    confirm = fields.String(required=True, validate=validate.Equal(CONFIRMATION), metadata={"example": CONFIRMATION})


class DeletionSchema(Schema):
    """What is to become of the account; the times are null where nothing is scheduled."""

    state = fields.String(required=True, validate=validate.OneOf(["active", "scheduled", "erased"]))
    requested_at = fields.String(required=True, allow_none=True, metadata=_TIME)
    purge_at = fields.String(required=True, allow_none=True, metadata=_TIME)
    cancel_until = fields.String(required=True, allow_none=True, metadata=_TIME)
