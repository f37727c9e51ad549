"""/userinfo.

Takes   a bearer token in the Authorization header, whose audience holds /userinfo
Gives   the user's claims, by the token's scopes
Raises  nothing; a refusal is 401 with RFC 6750's challenge
Not     tokens without `openid` (their audience is the API alone)
Source  D12; OpenID Connect Core §5.3; RFC 6750 §3
"""

from flask import Blueprint, Response, jsonify, request

from tenant import context, tokens
from tenant.store import Grant, IssuedAccessToken, digest

blueprint = Blueprint("userinfo", __name__)


@blueprint.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> Response:
    """Answer with the claims of the token's user."""
    tenant = context.current()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return _refused(None)
    try:
        claims = tokens.open_for_userinfo(tenant, token.strip())
    except tokens.TokenRefusedError as error:
        tenant.log.write("f", f"/userinfo: {error}")
        return _refused("invalid_token")
    user = tenant.registry.users.get(claims.get("sub", ""))
    if user is None or _is_revoked(tenant, token.strip()):
        return _refused("invalid_token")
    response = jsonify(tokens.user_claims(user, claims.get("scope", "")))
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_revoked(tenant: context.Tenant, token: str) -> bool:
    with tenant.store.transaction() as session:
        issued = session.get(IssuedAccessToken, digest(token))
        return issued is not None and session.get_one(Grant, issued.grant_id).revoked_at is not None


def _refused(error: str | None) -> Response:
    challenge = 'Bearer realm="Users"' + (f', error="{error}"' if error else "")
    response = jsonify({"error": error or "unauthorized", "error_description": "Unauthorized"})
    response.status_code = 401
    response.headers["WWW-Authenticate"] = challenge
    return response
