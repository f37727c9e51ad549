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

blueprint = Blueprint("index", __name__, description="What this API is")


@blueprint.get("/v1")
@blueprint.describes("getIndex", "Version, limits, capabilities and links. No token needed.")
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
            "account_deletion_grace_days": settings.account_deletion_grace_days,
        },
        "capabilities": {
            "token_algorithms": list(settings.token_algorithms),
            "token_profile": settings.token_profile,
            "scopes": SCOPES,
        },
        "links": {
            "openapi": f"{base}/v1/openapi.json",
            "problems": f"{base}/problems",
            "resource_metadata": f"{base}/.well-known/oauth-protected-resource",
            "me": f"{base}/v1/me",
            "deletion": f"{base}/v1/me/deletion",
            "whoami": f"{base}/v1/whoami",
        },
    }
    return json_answer(document, PUBLIC)


@blueprint.get("/v1/openapi.json")
@blueprint.describes("getOpenApi", "This document.")
@public
def openapi() -> Response:
    """Serve the OpenAPI document, which does not change while the process lives."""
    return Response(orjson.dumps(current_app.extensions["openapi"]), 200, PUBLIC, content_type="application/json")
