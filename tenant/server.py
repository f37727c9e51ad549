"""Authlib's authorization server, taught Auth0's manners: JSON bodies, its statuses and error texts, RFC 9207's `iss`.

Takes   the parameters of a request, wherever they stood: query, form, JSON body, or kept over a login page
Gives   AuthorizationServer; TenantRequest, which carries the database session of its transaction
Raises  Authlib's OAuth2Error; BadBodyError for a body that is no flat JSON object
Not     the grants (grants.py, refresh.py)
Source  D1, D9; RFC 6749 §5.2; RFC 9207; Auth0 "Authentication API" error texts, which its SDKs compare
"""

import json
from typing import Any

from authlib.oauth2 import AuthorizationServer as AuthlibServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Request, Response, current_app
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from tenant.context import Tenant
from tenant.registry import Api, Application
from tenant.tokens import Order

UNKNOWN_CODE = "Invalid authorization code"
UNKNOWN_REFRESH_TOKEN = "Unknown or invalid refresh token."  # noqa: S105 - Auth0's error text, no secret
Parameters = MultiDict[str, str]


class BadBodyError(Exception):
    """The body is not a flat JSON object."""


class _Payload(OAuth2Payload):
    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @property
    def data(self) -> Any:
        return self._parameters

    @property
    def datalist(self) -> dict[str, list[str]]:
        return dict(self._parameters.lists())


class TenantRequest(OAuth2Request):
    """An OAuth request, apart from Flask's: /authorize goes on with kept parameters after a login page."""

    payload: _Payload

    def __init__(self, tenant: Tenant, session: Session, parameters: Parameters, headers: Any, method: str) -> None:
        # The address is the issuer's, not `Host`'s: Authlib uses it for nothing but its transport check.
        super().__init__(method, tenant.issuer, headers=headers)
        self.payload = _Payload(parameters)
        self.tenant = tenant
        self.session = session
        self.api: Api | None = None
        self.sid = ""
        self.auth_time = 0
        self.order: Order | None = None

    @property
    def form(self) -> Any:
        """The parameters again: Authlib asks for some here."""
        return self.payload.data


class _TenantIssuer(IssuerParameter):
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


class AuthorizationServer(AuthlibServer):
    """One tenant's authorization server."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__()
        self._applications = tenant.registry.applications
        self._issuer_parameter = _TenantIssuer(tenant.issuer)
        self.register_extension(self._issuer_parameter)

    def query_client(self, client_id: str) -> Any:
        """Return the application, or None."""
        return self._applications.get(client_id)

    def save_token(self, token: Any, request: Any) -> None:
        """Do nothing: the grants keep what they issue themselves, in the same transaction."""

    def send_signal(self, name: Any, *args: object, **kwargs: object) -> None:
        """Do nothing: nobody listens."""

    def create_oauth2_request(self, request: Any) -> OAuth2Request:
        """Pass on our own request; Flask's is never read here."""
        if not isinstance(request, TenantRequest):
            raise TypeError("the tenant's endpoints make their own request")
        return request

    def authorization_error(self, error: OAuth2Error) -> Response:
        """Send an authorization error to the application, with `state` and `iss` (RFC 9207 §2: errors too)."""
        response = self.handle_response(*error())
        self._issuer_parameter.add_issuer_parameter(self, response)
        return response

    def handle_error_response(self, request: Any, error: OAuth2Error) -> Response:
        """Say it as Auth0 says it."""
        if error.redirect_uri:
            return self.handle_response(*error())
        status, code, text = _as_auth0(error, request.payload.grant_type)
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache")]
        return self.handle_response(status, {"error": code, "error_description": text}, headers)

    def handle_response(self, status_code: int, payload: Any, headers: Any) -> Response:
        """Make Flask's response."""
        return Response(json.dumps(payload) if isinstance(payload, dict) else payload, status_code, headers)


def current_server() -> AuthorizationServer:
    """Return the running application's authorization server."""
    server: AuthorizationServer = current_app.extensions["tenant_server"]
    return server


def body_parameters(request: Request) -> Parameters:
    """Read a form or a JSON body; the query is never looked at (RFC 6749 §2.3.1, §3.2)."""
    if not request.is_json:
        return MultiDict(request.form)
    document = request.get_json(silent=True)
    if not isinstance(document, dict):
        raise BadBodyError("The body must be a JSON object")
    if any(isinstance(value, dict | list | bool) for value in document.values()):
        raise BadBodyError("Every member of the body must be a string")
    return MultiDict({name: str(value) for name, value in document.items() if value is not None})


def printable(text: str) -> str:
    """Replace what RFC 6749 §4.1.2.1 does not allow in an error description."""
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "'" for char in text)


def application_of(request: TenantRequest) -> Application:
    """Return the application that Authlib has found."""
    client: Any = request.client
    if not isinstance(client, Application):
        raise TypeError("no application has been authenticated yet")
    return client


def _as_auth0(error: OAuth2Error, grant_type: str | None) -> tuple[int, str, str]:
    text = str(error.get_error_description() or "")
    if isinstance(error, InvalidClientError):
        return 401, "access_denied", "Unauthorized"
    if isinstance(error, UnsupportedGrantTypeError):
        if not grant_type:
            return 400, "invalid_request", "Missing required parameter: grant_type"
        return 403, "unsupported_grant_type", f"Unsupported grant type: {grant_type}"
    if isinstance(error, UnauthorizedClientError):
        return 403, "unauthorized_client", f"Grant type '{grant_type}' not allowed for the client."
    if isinstance(error, InvalidGrantError):
        return 403, "invalid_grant", text or UNKNOWN_REFRESH_TOKEN
    return error.status_code, error.error or "invalid_request", text
