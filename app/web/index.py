"""GET /v1 and GET /v1/openapi.json: what this API is and can do, without a token.

Takes   settings
Gives   version, limits, capabilities and links (U8); the OpenAPI document
Raises  nothing
Not     anything about the caller
"""

import orjson
from flask import Response, current_app

from app.web.answers import PUBLIC, json_answer
from app.web.openapi import VERSION, Blueprint
from app.web.policy import public
from app.web.runtime import runtime
from app.web.scopes import SCOPES
from app.web.shapes_of_self import IndexSchema

blueprint = Blueprint("index", __name__, description="What this API is")
_DOCUMENT = {"type": "object", "additionalProperties": True}


@blueprint.get("/v1")
@blueprint.describes("getIndex", "Version, limits, capabilities and links. No token needed.", IndexSchema)
@public
def index() -> Response:
    """Tell what a developer wants to know first."""
    settings = runtime().settings
    base = settings.public_url.rstrip("/")
    document = {
        "name": "Postern",
        "version": VERSION,
        "limits": {
            "max_token_bytes": settings.max_token_bytes,
            "max_body_bytes": settings.max_body_bytes,
            "max_json_depth": settings.max_json_depth,
            "max_attributes_bytes": settings.max_attributes_bytes,
            "max_preferences_bytes": settings.max_preferences_bytes,
            "max_record_bytes": settings.max_record_bytes,
            "max_batch_bytes": settings.max_batch_bytes,
            "max_batch_operations": settings.max_batch_operations,
            "max_answer_bytes": settings.max_answer_bytes,
            "max_collections": settings.max_collections,
            "max_records_per_collection": settings.max_records_per_collection,
            "max_bytes_per_user": settings.max_bytes_per_user,
            "page_size_default": settings.page_size_default,
            "page_size_max": settings.page_size_max,
            "tombstone_days": settings.tombstone_days,
            "idempotency_hours": settings.idempotency_hours,
            "exports_per_day": settings.exports_per_day,
            "requests_per_minute": settings.rate_limit_requests_per_minute,
            "writes_per_minute": settings.rate_limit_writes_per_minute,
            "failures_per_minute": settings.rate_limit_failures_per_minute,
            "account_deletion_grace_days": settings.account_deletion_grace_days,
        },
        "capabilities": {
            "token_algorithms": list(settings.token_algorithms),
            "token_profile": settings.token_profile,
            "scopes": SCOPES,
        },
        "links": {
            "openapi": f"{base}/v1/openapi.json",
            **({"docs": f"{base}/docs"} if settings.docs else {}),
            "problems": f"{base}/problems",
            "resource_metadata": f"{base}/.well-known/oauth-protected-resource",
            "me": f"{base}/v1/me",
            "deletion": f"{base}/v1/me/deletion",
            "export": f"{base}/v1/me/export",
            "preferences": f"{base}/v1/me/preferences",
            "usage": f"{base}/v1/me/usage",
            "collections": f"{base}/v1/collections",
            "changes": f"{base}/v1/changes",
            "batch": f"{base}/v1/batch",
            "whoami": f"{base}/v1/whoami",
        },
    }
    return json_answer(document, PUBLIC)


@blueprint.get("/v1/openapi.json")
@blueprint.describes("getOpenApi", "This document.", _DOCUMENT)
@public
def openapi() -> Response:
    """Serve the OpenAPI document, which does not change while the process lives."""
    return Response(orjson.dumps(current_app.extensions["openapi"]), 200, PUBLIC, content_type="application/json")
