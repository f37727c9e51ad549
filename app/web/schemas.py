"""The shapes of what goes in and out, for the OpenAPI document; one marshmallow Schema each.

Takes   nothing
Gives   Schema classes;  text, number, version, tag, moment, free: members with their bounds written out
Raises  nothing
Not     the check of what comes in: the domain owns that (app/users/validation.py); what the API says of itself
        (shapes_of_self.py), what is synced (sync/schemas.py)
Source  docs/contracts/user-data.md §3, §6; RFC 9457 §3.1; RFC 7519 §2
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from app.oauth.reasons import Action
from app.users.deletion import CONFIRMATION
from app.users.validation import MAX_LENGTHS

# What a token carries is bounded by the token; the usual MAX_TOKEN_BYTES.
TOKEN_BYTES = 16_384
SEQ = {"format": "int64", "description": "Number of this version: unique and increasing for each user", "example": 57}
ETAG: dict[str, Any] = {"description": "Strong entity-tag of this version, with its quotes", "example": '"57"'}
TIME: dict[str, Any] = {
    "description": "RFC 3339, UTC, milliseconds",
    "format": "date-time",
    "example": "2026-11-21T12:00:00.000Z",
}
FREE = {"additionalProperties": True}
_FREE = "Free JSON: no character U+0000, no half surrogate, no number outside 64 bits, no deeper than GET /v1 tells"
_LABEL = "[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20}){0,2}"
_NO_CONTROLS = r"^[^\u0000-\u001f\u007f-\u009f]*$"


def text(length: int, *, required: bool = True, null: bool = False, pattern: str | None = None, **said: Any) -> Any:
    """A text of at most `length` characters."""
    # The pattern and the length for the document alone: marshmallow's own check of them is never asked.
    metadata = {"maxLength": length, **({} if pattern is None else {"pattern": pattern}), **said}
    return fields.String(required=required, allow_none=null, metadata=metadata)


def number(*, required: bool = True, minimum: int = 0, wide: bool = False, **said: Any) -> Any:
    """A whole number; `wide`: 64 bits."""
    metadata = {"minimum": minimum, "format": "int64" if wide else "int32", **said}
    return fields.Integer(required=required, metadata=metadata)


def version(*, required: bool = True) -> Any:
    """The number of a version."""
    return fields.Integer(required=required, metadata={**SEQ, "minimum": 0})


def tag(*, required: bool = True) -> Any:
    """The entity-tag of a version."""
    return text(24, required=required, pattern=r'^"[0-9]{1,19}(-p)?"$', **ETAG)


def moment(*, required: bool = True, null: bool = False) -> Any:
    """A time of the server's."""
    return text(24, required=required, null=null, **TIME)


def free(*, required: bool = True, null: bool = False, **said: Any) -> Any:
    """Free JSON: an object."""
    return fields.Dict(required=required, allow_none=null, metadata={"description": _FREE, **FREE, **said})


class ErrorItemSchema(Schema):
    """One member of the body that must change."""

    pointer = text(4096, description="JSON pointer (RFC 6901)", example="/data/title")
    detail = text(1024, example="Must be an object.")


class ProblemSchema(Schema):
    """A refusal or a fault (RFC 9457): branch on `code`, do what `action` says."""

    type = fields.Url(required=True, metadata={"description": "The page that explains this code", "maxLength": 2048})
    title = text(255)
    status = number(minimum=400, maximum=599)
    detail = text(4096)
    code = text(64, pattern="^[a-z][a-z0-9_]*$", example="token_expired")
    action = fields.String(required=True, validate=validate.OneOf([str(action.value) for action in Action]))
    retryable = fields.Boolean(required=True, metadata={"description": "The same body can succeed later"})
    request_id = text(64)
    server_time = number(
        required=False, wide=True, description="Seconds since the epoch; where a clock may be wrong", example=1795262400
    )
    scope = text(1024, required=False, description="With insufficient_scope: what this route wants")
    max_age = number(required=False, description="With step_up_required: how old the login may be, in seconds")
    acr_values = text(1024, required=False, description="With step_up_required: the classes of login that will do")
    accepted = fields.List(
        text(128), metadata={"description": "With unsupported_media_type: the types that are taken", "maxItems": 8}
    )
    errors = fields.List(
        fields.Nested(ErrorItemSchema),
        metadata={"description": "What must change in the body", "maxItems": 50},
    )
    current = free(
        required=False, null=True,
        description="With precondition_failed and account_deletion_scheduled: what is stored now; null: nothing",
    )  # fmt: skip
    seq = number(required=False, wide=True, description="With gone: the number of the deletion")
    policy = text(64, required=False, description="With rate_limited: which limit, as RateLimit-Policy names it")
    quota = fields.String(
        validate=validate.OneOf(["records", "collections", "bytes"]),
        metadata={"description": "With quota_exceeded: which one"},
    )
    limit = number(required=False, wide=True, description="With quota_exceeded and payload_too_large: its number")
    results = fields.List(
        fields.Nested("ResultSchema"),
        metadata={
            "description": "With conflict: what is wrong with each operation of an atomic batch",
            "maxItems": 1000,
        },
    )


class WhoAmISchema(Schema):
    """What the API understood of the token. Times are seconds since the epoch."""

    sub = text(255, example="auth0|abc")
    kind = fields.String(required=True, validate=validate.OneOf(["user", "client", "anonymous"]))
    issuer = text(2048, example="https://example.eu.auth0.com/")
    client_id = text(TOKEN_BYTES, null=True)
    audience = fields.List(text(TOKEN_BYTES), required=True)
    org_id = text(TOKEN_BYTES, null=True)
    scopes = fields.List(text(TOKEN_BYTES), required=True)
    permissions = fields.List(text(TOKEN_BYTES), required=True)
    issued_at = fields.Float(required=True, allow_none=True, metadata={"format": "double"})
    expires_at = fields.Float(required=True, metadata={"format": "double"})
    expires_in = number(wide=True, description="Seconds left")
    auth_time = fields.Float(required=True, allow_none=True, metadata={"format": "double"})
    acr = text(TOKEN_BYTES, null=True)
    amr = fields.List(text(TOKEN_BYTES), required=True)
    server_time = number(wide=True)


def _profile_text(name: str, **said: Any) -> Any:
    return text(MAX_LENGTHS[name], required=False, null=True, **said)


PROFILE: Mapping[str, Any] = {
    "sub": text(255, required=False, example="auth0|abc"),
    **{name: _profile_text(name) for name in ("name", "given_name", "family_name", "nickname")},
    "picture": _profile_text("picture", description="A URL"),
    "locale": _profile_text("locale", example="en-GB"),
    "zoneinfo": _profile_text("zoneinfo", example="Europe/London"),
    "email": _profile_text("email", description="With read:email alone"),
    "email_verified": fields.Boolean(allow_none=True, metadata={"description": "With read:email alone"}),
    "roles": fields.List(text(128), metadata={"maxItems": 100}),
    "app_attributes": free(required=False, description="The operator's (app_metadata)"),
    "attributes": free(required=False, description="The user's own (user_metadata)"),
    "created_at": moment(required=False),
}


class ProfileSchema(Schema):
    """The user's profile: all of it, or the members that `fields` asks for."""

    class Meta:
        """All members of a profile beside those below."""

        include = PROFILE

    etag = tag(required=False)
    seq = version(required=False)
    updated_at = moment(required=False)


class WrittenProfileSchema(Schema):
    """The profile as it is now; whoever may write and not read learns its version, and no more."""

    class Meta:
        """All members of a profile beside those below."""

        include = PROFILE

    etag = tag()
    seq = version()
    updated_at = moment()


def _name_of_person() -> Any:
    return text(255, required=False, null=True, minLength=1, pattern=_NO_CONTROLS)


class ProfilePatchSchema(Schema):
    """RFC 7396: what is named changes, null clears, what is left out stays."""

    name = _name_of_person()
    given_name = _name_of_person()
    family_name = _name_of_person()
    nickname = _name_of_person()
    # Narrower than what is taken, which no pattern says: hosts that are addresses or beyond ASCII.
    picture = text(
        MAX_LENGTHS["picture"], required=False, null=True, pattern=rf"^https?://{_LABEL}(\.{_LABEL})*(:[0-9]{{2,5}})?(/[!-~]*)?$",
        description="A URL", example="https://example.org/ada.png",
    )  # fmt: skip
    locale = text(
        MAX_LENGTHS["locale"], required=False, null=True,
        pattern="^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$", example="en-GB",
    )  # fmt: skip
    zoneinfo = text(
        MAX_LENGTHS["zoneinfo"], required=False, null=True,
        pattern="^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$", example="Europe/London",
    )  # fmt: skip
    attributes = free(required=False, null=True, example={"favourite_colour": "green"})


class NewAccountSchema(Schema):
    """Nothing: the tenant fills a new account, and PATCH changes it."""


class DeletionRequestSchema(Schema):
    """The wish, word for word, so that no slip deletes an account."""

    confirm = fields.String(
        required=True,
        validate=validate.OneOf([CONFIRMATION]),
        metadata={"example": CONFIRMATION, "maxLength": len(CONFIRMATION)},
    )


class DeletionSchema(Schema):
    """What is to become of the account; the times are null where nothing is scheduled."""

    state = fields.String(required=True, validate=validate.OneOf(["active", "scheduled", "erased"]))
    requested_at = moment(null=True)
    purge_at = moment(null=True)
    cancel_until = moment(null=True)
