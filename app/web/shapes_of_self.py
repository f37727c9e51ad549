"""The shapes of what the API says of itself, for the OpenAPI document: index, health, metadata, problem pages.

Takes   nothing
Gives   Schema classes
Raises  nothing
Not     what it says of its user (schemas.py, sync/schemas.py)
Source  docs/contracts/user-data.md U8; docs/contracts/tokens.md K10; RFC 9728 §2
"""

from typing import Any

from marshmallow import Schema, fields, validate

from app.oauth.reasons import Action
from app.web.schemas import number, text


def _url(*, required: bool = True) -> Any:
    return fields.Url(required=required, metadata={"maxLength": 2048})


class CapabilitiesSchema(Schema):
    """What this API takes."""

    token_algorithms = fields.List(text(16, example="RS256"), required=True)
    token_profile = fields.String(required=True, validate=validate.OneOf(["any", "rfc9068"]))
    scopes = fields.Dict(
        values=text(255),
        required=True,
        metadata={"description": "What each scope allows", "example": {"read:profile": "Read your profile"}},
    )


class IndexSchema(Schema):
    """What a developer wants to know first."""

    name = text(64, example="Postern")
    version = text(32, example="0.1.0")
    limits = fields.Dict(
        values=number(wide=True),
        required=True,
        metadata={"description": "Each limit by its name", "example": {"max_record_bytes": 65536}},
    )
    capabilities = fields.Nested(CapabilitiesSchema, required=True)
    links = fields.Dict(
        values=_url(),
        required=True,
        metadata={"description": "Where what is", "example": {"me": "https://api.example.com/v1/me"}},
    )


class LivenessSchema(Schema):
    """The process is alive."""

    status = fields.String(required=True, validate=validate.OneOf(["alive"]))


class ReadinessSchema(Schema):
    """Whether requests can be served, and each check by its name."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "not_ready"]))
    checks = fields.Dict(
        values=fields.Dict(metadata={"additionalProperties": True}),
        required=True,
        metadata={"description": "`ok` in each, and what it is about", "example": {"database": {"ok": True}}},
    )


class ResourceMetadataSchema(Schema):
    """Protected resource metadata (RFC 9728)."""

    resource = _url()
    authorization_servers = fields.List(_url(), required=True)
    scopes_supported = fields.List(text(64, example="read:profile"), required=True)
    bearer_methods_supported = fields.List(text(16, example="header"), required=True)
    resource_name = text(64)
    resource_documentation = _url()
    dpop_signing_alg_values_supported = fields.List(text(16, example="ES256"))
    dpop_bound_access_tokens_required = fields.Boolean()


class ProblemPageSchema(Schema):
    """What a problem's code means."""

    code = text(64, example="token_expired")
    status = number(minimum=400, maximum=599)
    title = text(255)
    detail = text(1024)
    action = fields.String(required=True, validate=validate.OneOf([str(action.value) for action in Action]))
    action_text = text(1024)
    retryable = fields.Boolean(required=True)
    help = fields.List(text(4096), required=True)


class ProblemPagesSchema(Schema):
    """Every code."""

    problems = fields.List(fields.Nested(ProblemPageSchema), required=True)
