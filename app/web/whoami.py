"""GET /v1/whoami: what the API understood of the token. The first thing to try with curl.

Takes   the verified access token
Gives   the principal, scopes, permissions, seconds left
Raises  nothing
Not     the user's data (me.py), claims that the API does not use
"""

import time

from flask import Response

from app.web.answers import NO_STORE, json_answer
from app.web.auth import access_token
from app.web.openapi import Blueprint
from app.web.policy import require_token
from app.web.schemas import WhoAmISchema

blueprint = Blueprint("whoami", __name__, description="What the API understood of the token")


@blueprint.get("/v1/whoami")
@blueprint.describes("whoAmI", "The principal, its scopes and permissions, and how long the token lives.", WhoAmISchema)
@require_token(allow_clients=True)
def whoami() -> Response:
    """Tell whom the token speaks for."""
    token = access_token()
    now = time.time()
    document = {
        "sub": token.subject,
        "kind": token.kind,
        "issuer": token.issuer,
        "client_id": token.client_id,
        "audience": token.audience,
        "org_id": token.org_id,
        "scopes": sorted(token.scopes),
        "permissions": sorted(token.permissions),
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "expires_in": max(0, int(token.expires_at - now)),
        "auth_time": token.auth_time,
        "acr": token.acr,
        "amr": token.amr,
        "server_time": int(now),
    }
    return json_answer(document, NO_STORE)
