"""/.well-known/oauth-protected-resource: what an app must know to get a token for this API.

Takes   settings
Gives   the RFC 9728 document, at the place that its §3.1 names for a PUBLIC_URL with a path, too
Raises  nothing
Not     the tenant's own metadata: apps find it from `authorization_servers`
Source  RFC 9728 §2, §3; RFC 9449 §7
"""

from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response

from app.oauth.dpop.proof import ALGORITHMS
from app.web.answers import PUBLIC, json_answer
from app.web.openapi import Blueprint
from app.web.policy import public
from app.web.runtime import runtime
from app.web.scopes import SCOPES
from app.web.shapes_of_self import ResourceMetadataSchema

WELL_KNOWN = "/.well-known/oauth-protected-resource"
blueprint = Blueprint("metadata", __name__, description="For apps that find their way by themselves")


@blueprint.get(WELL_KNOWN)
@blueprint.describes("getProtectedResourceMetadata", "Protected resource metadata (RFC 9728).", ResourceMetadataSchema)
@public
def protected_resource() -> Response:
    """Say which tenant issues tokens for this API, and which scopes there are."""
    settings = runtime().settings
    document: dict[str, Any] = {
        "resource": settings.public_url,
        "authorization_servers": list(settings.tenant_issuers),
        "scopes_supported": list(SCOPES),
        # Empty where a bearer token is taken in no way at all (RFC 9728 §2).
        "bearer_methods_supported": [] if settings.dpop_mode == "required" else ["header"],
        "resource_name": "Postern",
        "resource_documentation": f"{settings.public_url.rstrip('/')}/v1",
    }
    if settings.dpop_mode != "off":
        document["dpop_signing_alg_values_supported"] = list(ALGORITHMS)
        document["dpop_bound_access_tokens_required"] = settings.dpop_mode == "required"
    return json_answer(document, PUBLIC)


def install_at_path(app: Flask, public_url: str) -> None:
    """Serve the document also where a PUBLIC_URL with a path puts it (RFC 9728 §3.1)."""
    path = urlsplit(public_url).path.rstrip("/")
    if path:
        app.add_url_rule(WELL_KNOWN + path, endpoint="protected_resource_at_path", view_func=protected_resource)
