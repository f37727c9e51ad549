"""Issue tokens on a grant, and remember which grant they came from.

Takes   TenantRequest, inside its transaction;  the grant and the scope to issue for
Gives   the token response as Authlib's grants pass it on;  IdTokens, the extension that adds the ID token
Raises  nothing of its own
Not     whether it may be issued (grants.py, refresh.py)
Source  RFC 6749 §5.1; OpenID Connect Core §3.1.3.3, §12.2
"""

import secrets
from typing import Any

from authlib.oidc.core.grants import OpenIDToken

from tenant import tokens
from tenant.server import TenantRequest
from tenant.store import Grant, IssuedAccessToken, RefreshToken, digest


def order_for(request: TenantRequest, grant: Grant, scope: str) -> tokens.Order:
    """Return what the tokens of this answer shall say."""
    registry = request.tenant.registry
    return tokens.Order(
        client_id=grant.client_id,
        subject=grant.user_id,
        user=registry.users.get(grant.user_id),
        api=registry.apis.get(grant.audience) if grant.audience else None,
        scope=scope,
        auth_time=grant.auth_time,
        sid=grant.sid,
    )


def token_response(request: TenantRequest, grant: Grant, scope: str) -> dict[str, Any]:
    """Make the access token and its place in the answer."""
    request.order = order_for(request, grant, scope)
    access, lifetime = tokens.access_token(request.tenant, request.order)
    expires_at = request.tenant.clock.now() + lifetime
    # merge, not add: two tokens of one second can be the same bytes, since Auth0's dialect has no `jti`.
    request.session.merge(IssuedAccessToken(digest=digest(access), grant_id=grant.id, expires_at=expires_at))
    return {"access_token": access, "token_type": "Bearer", "expires_in": lifetime, "scope": scope}


def new_refresh_token(request: TenantRequest, grant: Grant, parent: str | None) -> str:
    """Make a refresh token of the grant; `parent` is the digest of the one it replaces."""
    secret = "v1." + secrets.token_urlsafe(48)
    now = request.tenant.clock.now()
    request.session.add(RefreshToken(digest=digest(secret), grant_id=grant.id, parent=parent, active_at=now))
    return secret


class IdTokens(OpenIDToken):
    """Adds an ID token where `openid` was given."""

    def encode_id_token(self, token: Any, request: Any) -> str:
        """Sign with the tenant's current key and clock; a refreshed ID token has no nonce (OIDC Core §12.2)."""
        nonce = request.authorization_code.nonce if request.authorization_code else None
        return tokens.id_token(request.tenant, request.order, token["access_token"], nonce)
