"""/oauth/token and /oauth/revoke.

Takes   a form or a JSON body
Gives   Authlib's answer, made in one write transaction: what a refusal revokes is committed with it
Raises  nothing; errors are RFC 6749 §5.2 bodies with Auth0's statuses
Not     the grants
Source  D1, D9, D14, D15
"""

import json
from typing import Any, cast

from flask import Blueprint, Response, request

from tenant import context
from tenant.server import BadBodyError, TenantRequest, body_parameters, current_server
from tenant.store import Grant

blueprint = Blueprint("token_endpoint", __name__)
EVENTS = {
    "authorization_code": ("seacft", "feacft"),
    "refresh_token": ("sertft", "fertft"),
    "client_credentials": ("seccft", "feccft"),
}


@blueprint.post("/oauth/token")
def token() -> Response:
    """Exchange a grant for tokens."""
    tenant, server = context.current(), current_server()
    try:
        parameters = body_parameters(request)
    except BadBodyError as error:
        return _bad_body(error)
    with tenant.store.transaction() as session:
        asked = TenantRequest(tenant, session, parameters, request.headers, request.method)
        response: Any = server.create_token_response(asked)  # the stubs say a tuple; ours is handle_response()'s
        _log(tenant, asked, response)
    return cast("Response", response)


@blueprint.post("/oauth/revoke")
def revoke() -> Response:
    """Revoke a refresh token and its family; an unknown one is 200 too (RFC 7009 §2.2)."""
    tenant, server = context.current(), current_server()
    try:
        parameters = body_parameters(request)
    except BadBodyError as error:
        return _bad_body(error)
    with tenant.store.transaction() as session:
        asked = TenantRequest(tenant, session, parameters, request.headers, request.method)
        response: Any = server.create_endpoint_response("revocation", asked)  # type: ignore[no-untyped-call]  # the stubs leave it open
    return cast("Response", response)


def _bad_body(error: BadBodyError) -> Response:
    body = json.dumps({"error": "invalid_request", "error_description": str(error)})
    return Response(body, 400, {"Content-Type": "application/json", "Cache-Control": "no-store"})


def _log(tenant: context.Tenant, asked: TenantRequest, response: Response) -> None:
    grant_type = asked.payload.grant_type or ""
    succeeded, failed = EVENTS.get(grant_type, ("f", "f"))
    client_id = asked.payload.client_id or getattr(asked.client, "client_id", None)
    grant = asked.refresh_token if isinstance(asked.refresh_token, Grant) else None
    user_id = getattr(asked.user, "user_id", None) or (grant.user_id if grant else None)
    if response.status_code == 200:  # noqa: PLR2004 - HTTP's number reads best
        tenant.log.write(succeeded, f"{grant_type} exchanged for tokens", client_id=client_id, user_id=user_id)
        return
    body = json.loads(response.get_data())
    why = f"{body.get('error')}: {body.get('error_description')}"
    tenant.log.write(failed, why, client_id=client_id, user_id=user_id)
