"""The authorization-code grant with PKCE S256, and client credentials.

Takes   TenantRequest, inside one write transaction
Gives   grant classes and extensions for Authlib
Raises  Authlib's OAuth2Error with Auth0's statuses and texts
Not     refresh tokens (refresh.py); login and consent (authorize.py)
Source  D5, D6, D8, D13; RFC 6749 §4.1, §4.4; RFC 7636; RFC 9700 §2.1.1, §4.5
"""

import secrets
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7636 import CodeChallenge

from tenant import tokens
from tenant.issue import new_refresh_token, token_response
from tenant.registry import Application, User
from tenant.scopes import granted_scope, resolve_api
from tenant.server import UNKNOWN_CODE, TenantRequest, application_of
from tenant.store import Code, Grant, digest


class CodeGrant(AuthorizationCodeGrant):
    """RFC 6749 §4.1: a code lives 60 s, once, bound to application and redirect address."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")
    request: TenantRequest

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Keep the code's digest with everything it is bound to."""
        asked = request.payload.data
        application, user = application_of(request), request.user
        request.session.add(
            Code(
                digest=digest(code),
                client_id=application.client_id,
                user_id=user.user_id,
                redirect_uri=request.payload.redirect_uri,
                scope=granted_scope(application, request.api, user, request.scope),
                audience=request.api.identifier if request.api else None,
                nonce=asked.get("nonce"),
                code_challenge=asked["code_challenge"],
                code_challenge_method=asked["code_challenge_method"],
                sid=request.sid,
                auth_time=request.auth_time,
                created_at=request.tenant.clock.now(),
            )
        )

    def query_authorization_code(self, code: str, client: Any) -> Code:
        """Return a code that can still be used; a second use revokes what the first one gave (RFC 6749 §4.1.2)."""
        request, tenant = self.request, self.request.tenant
        row = request.session.get(Code, digest(code))
        if row is None or row.client_id != client.client_id:
            raise InvalidGrantError(UNKNOWN_CODE)
        if row.grant_id is not None:
            given = request.session.get_one(Grant, row.grant_id)
            given.revoked_at = given.revoked_at or tenant.clock.now()
            tenant.log.write(
                "feacft", "a code was used twice: its tokens are revoked", client_id=row.client_id, user_id=row.user_id
            )
            raise InvalidGrantError(UNKNOWN_CODE)
        if tenant.clock.now() >= row.created_at + tenant.clock.lifetimes.code_seconds:
            raise InvalidGrantError(UNKNOWN_CODE)
        return row

    def authenticate_user(self, authorization_code: Any) -> User | None:
        """Return the user who logged in."""
        return self.request.tenant.registry.users.get(authorization_code.user_id)

    def generate_token(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """Make the grant, its access token and, where it is allowed, its first refresh token."""
        request, code = self.request, self._code()
        grant = Grant(
            id=secrets.token_urlsafe(16),
            client_id=code.client_id,
            user_id=code.user_id,
            scope=code.scope,
            audience=code.audience,
            sid=code.sid,
            auth_time=code.auth_time,
            created_at=request.tenant.clock.now(),
        )
        request.session.add(grant)
        request.session.flush()
        code.grant_id = grant.id
        answer = token_response(request, grant, code.scope)
        # granted_scope() has dropped offline_access where the API or the application does not allow it.
        if "offline_access" in code.scope.split():
            answer["refresh_token"] = new_refresh_token(request, grant, parent=None)
        return answer

    def delete_authorization_code(self, authorization_code: Any) -> None:
        """Keep the row: its `grant_id`, set in the same transaction, is what makes a second use visible."""

    def _code(self) -> Code:
        code = self.request.authorization_code
        if not isinstance(code, Code):
            raise TypeError("no code has been checked yet")
        return code


class S256Only(CodeChallenge):
    """RFC 7636 with S256; RFC 9700 §2.1.1: public clients MUST use PKCE."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - Authlib declares it so, as an instance variable

    def validate_code_challenge(self, grant: Any, redirect_uri: Any) -> None:
        """Ask for a challenge, and for its method in words: RFC 7636's default would be `plain`."""
        asked = grant.request.payload.data
        if not asked.get("code_challenge"):
            raise InvalidRequestError("Parameter 'code_challenge' is required: this application must use PKCE")
        if asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("Parameter 'code_challenge_method' must be S256")
        super().validate_code_challenge(grant, redirect_uri)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Say a wrong verifier in Auth0's words."""
        try:
            super().validate_code_verifier(grant, result)
        except InvalidGrantError as error:
            raise InvalidGrantError("Failed to verify code verifier") from error


class AudienceAndScope:
    """Decides an authorization request's API and scopes, once its client and redirect address are known good."""

    def __call__(self, grant: Any) -> None:
        """Hook in after Authlib's own checks."""
        grant.register_hook("after_validate_authorization_request_payload", self.decide)

    def decide(self, grant: Any, _result: Any) -> None:
        """Refuse what goes to the application as an error; drop unknown scopes."""
        request: TenantRequest = grant.request
        asked = request.payload.data
        if asked.get("response_mode", "query") != "query":
            raise InvalidRequestError("Parameter 'response_mode' must be query")
        if "request" in asked or "request_uri" in asked:
            raise OAuth2Error("Request objects are not supported", error="request_not_supported")
        request.api = resolve_api(request.tenant, asked)
        request.scope = granted_scope(application_of(request), request.api, None, asked.get("scope", ""))


class MachineGrant(ClientCredentialsGrant):
    """RFC 6749 §4.4, in Auth0's manner: subject `…@clients`, `gty`, no refresh token."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post", "client_secret_basic")
    request: TenantRequest

    def generate_token(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """Make the token for the application itself."""
        request, application = self.request, application_of(self.request)
        api = resolve_api(request.tenant, request.payload.data)
        if api is None:
            text = "No audience parameter was provided, and no default audience has been configured"
            raise OAuth2Error(text, error="access_denied", status_code=403)
        scope = granted_scope(application, api, None, _asked_or_all(request, application))
        order = tokens.Order(application.client_id, f"{application.client_id}@clients", None, api, scope)
        access, lifetime = tokens.access_token(request.tenant, order)
        return {"access_token": access, "token_type": "Bearer", "expires_in": lifetime, "scope": scope}


def _asked_or_all(request: TenantRequest, application: Application) -> str:
    asked: str | None = request.payload.data.get("scope")
    # `openid` and its like mean nothing without a person.
    return " ".join(name for name in (asked.split() if asked else application.scopes) if name in application.scopes)
