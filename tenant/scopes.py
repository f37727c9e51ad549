"""Decide which API a request means, and which of the scopes it asks for are given.

Takes   the request's parameters; application, API, user
Gives   resolve_api(): Api or None (no audience: an opaque token);  granted_scope(): a space-separated string
Raises  OAuth2Error: "Service not found: …", or two audiences at once
Not     consent (authorize.py)
Source  D5, D8; RFC 8707 §2; Auth0 "API settings"
"""

from authlib.oauth2 import OAuth2Error

from tenant.context import Tenant
from tenant.registry import Api, Application, User
from tenant.server import Parameters, printable

OIDC_SCOPES = {
    "openid": "Know who you are",
    "profile": "Read your basic profile",
    "email": "Read your e-mail address at this tenant",
    "offline_access": "Stay logged in when you are away",
}


def resolve_api(tenant: Tenant, parameters: Parameters) -> Api | None:
    """Return the API that `audience`, or `resource` by its other name, asks for."""
    named = {*parameters.getlist("audience"), *parameters.getlist("resource")} - {"", tenant.userinfo_audience}
    if len(named) > 1:
        raise OAuth2Error("One audience at a time, please", error="invalid_target")
    if not named:
        return None
    identifier = named.pop()
    api = tenant.registry.apis.get(identifier)
    if api is None:
        raise OAuth2Error(printable(f"Service not found: {identifier}"), error="access_denied", status_code=403)
    return api


def granted_scope(application: Application, api: Api | None, user: User | None, asked: str) -> str:
    """Return what is given of what was asked, in the order asked; the rest is dropped silently, as Auth0 does."""
    given = [name for name in dict.fromkeys(asked.split()) if _is_given(application, api, user, name)]
    return " ".join(given)


def described(api: Api | None, scope: str) -> list[tuple[str, str]]:
    """Return name and description of each scope, for the consent page."""
    known = OIDC_SCOPES | dict(api.scopes if api else {})
    return [(name, known.get(name, name)) for name in scope.split()]


def _is_given(application: Application, api: Api | None, user: User | None, name: str) -> bool:
    if name == "offline_access":
        return application.check_grant_type("refresh_token") and (api is None or api.allow_offline_access)
    if name in OIDC_SCOPES:
        return True
    if api is None or name not in api.scopes:
        return False
    if application.type == "m2m":
        return name in application.scopes
    return not api.rbac or user is None or name in user.permissions
