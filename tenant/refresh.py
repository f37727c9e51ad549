"""Refresh tokens: rotation with leeway, reuse detection, expiry, revocation.

Takes   TenantRequest, inside one write transaction: use, successor and revocation are committed together or not at all
Gives   RotatingRefreshGrant, RefreshRevocation
Raises  Authlib's OAuth2Error: whatever is wrong, the text is "Unknown or invalid refresh token."
Not     the first refresh token of a grant (grants.py)
Source  D8; RFC 6749 §6; RFC 7009; RFC 9700 §4.14; Auth0 "Refresh Token Rotation"
"""

from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidGrantError
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from sqlalchemy import select

from tenant.issue import new_refresh_token, order_for, token_response
from tenant.registry import User
from tenant.scopes import granted_scope, resolve_api
from tenant.server import UNKNOWN_REFRESH_TOKEN, TenantRequest, application_of
from tenant.store import Grant, RefreshToken, digest


class RotatingRefreshGrant(RefreshTokenGrant):
    """RFC 6749 §6. An old token within the leeway is a phone that never got our answer; a later one is a thief."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")
    request: TenantRequest

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        """Return the grant of a token that can still be exchanged."""
        request = self.request
        row = request.session.get(RefreshToken, digest(refresh_token))
        grant = request.session.get_one(Grant, row.grant_id) if row else None
        if row is None or grant is None or not grant.check_client(request.client):
            raise InvalidGrantError(UNKNOWN_REFRESH_TOKEN)
        if reason := self._why_unusable(row, grant):
            event = "ferrt" if "came back" in reason else "fertft"
            request.tenant.log.write(event, reason, client_id=grant.client_id, user_id=grant.user_id)
            raise InvalidGrantError(UNKNOWN_REFRESH_TOKEN)
        self._check_audience(grant)
        self._presented = row
        return grant

    def authenticate_user(self, refresh_token: Any) -> User | None:
        """Return the grant's user."""
        return self.request.tenant.registry.users.get(refresh_token.user_id)

    def issue_token(self, user: Any, refresh_token: Any) -> dict[str, Any]:
        """Issue within what the grant gave, and what the registry gives today; then rotate."""
        request, grant = self.request, refresh_token
        application, now = application_of(request), request.tenant.clock.now()
        asked = request.payload.scope or grant.scope
        scope = granted_scope(application, order_for(request, grant, asked).api, user, asked)
        answer = token_response(request, grant, scope)
        row = self._presented
        if not application.rotate_refresh_tokens:
            row.active_at = now
            return answer
        row.used_at = now if row.used_at is None else row.used_at
        answer["refresh_token"] = new_refresh_token(request, grant, parent=row.digest)
        return answer

    def revoke_old_credential(self, refresh_token: Any) -> None:
        """Do nothing more: `used_at`, set above in the same transaction, has retired the old token."""

    def _why_unusable(self, row: RefreshToken, grant: Grant) -> str | None:
        clock = self.request.tenant.clock
        now, lifetimes = clock.now(), clock.lifetimes
        if grant.revoked_at is not None:
            return "the grant is revoked"
        if grant.user_id not in self.request.tenant.registry.users:
            return "the user is gone"
        if now >= grant.created_at + lifetimes.refresh_absolute_seconds:
            return "the grant has reached its absolute lifetime"
        if now >= row.active_at + lifetimes.refresh_idle_seconds:
            return "the refresh token was idle for too long"
        if row.used_at is not None and not self._in_leeway(row, row.used_at, now):
            grant.revoked_at = now
            return "a used refresh token came back: its whole family is revoked"
        return None

    def _in_leeway(self, row: RefreshToken, used_at: int, now: int) -> bool:
        turned = self.request.tenant.clock.lifetimes.refresh_leeway_seconds
        leeway = application_of(self.request).refresh_leeway_seconds if turned is None else turned
        # Leeway is for an answer that got lost. Once a successor was used, somebody has had that answer.
        successor_used = select(RefreshToken.digest).where(
            RefreshToken.parent == row.digest, RefreshToken.used_at.is_not(None)
        )
        return now < used_at + leeway and self.request.session.scalar(successor_used.limit(1)) is None

    def _check_audience(self, grant: Grant) -> None:
        api = resolve_api(self.request.tenant, self.request.payload.data)
        if api is not None and api.identifier != grant.audience:
            raise OAuth2Error("The refresh token was given for another audience", error="invalid_target")


class RefreshRevocation(RevocationEndpoint):
    """RFC 7009 for refresh tokens: one of them ends the whole grant. Access tokens live until they expire."""

    CLIENT_AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")

    def authenticate_token(self, request: TenantRequest, client: Any) -> Grant | None:
        """Return the grant to revoke; another application's token is left alone, and said to be unknown."""
        self.check_params(request, client)
        row = request.session.get(RefreshToken, digest(request.form["token"]))
        grant = request.session.get_one(Grant, row.grant_id) if row else None
        return grant if grant is not None and grant.check_client(client) else None

    def revoke_token(self, token: Grant, request: TenantRequest) -> None:
        """End the grant."""
        token.revoked_at = token.revoked_at or request.tenant.clock.now()
        request.tenant.log.write(
            "srrt", "the refresh token's grant is revoked", client_id=token.client_id, user_id=token.user_id
        )
