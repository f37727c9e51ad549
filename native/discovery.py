"""Ask the issuer and the API what they are.

Takes   their addresses and a time-out
Gives   Issuer: its endpoints;  ApiMetadata: the audience to ask for and the scopes the API knows
Raises  LoginFailed (a document that cannot be trusted), Unavailable
Not     the issuer's keys (login.py fetches them when an ID token is there to check)
Source  OpenID Connect Discovery §4.3; RFC 8414 §3.3; RFC 9207 §3; RFC 9728 §3
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from native.errors import LoginFailed, NativeError, SettingsError
from native.settings import require_secure
from native.transport import get_json


@dataclass(frozen=True)
class Issuer:
    """What a client needs of an OpenID provider's metadata."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    revocation_endpoint: str | None
    sends_iss: bool  # RFC 9207: then an answer without `iss` is not from this issuer


@dataclass(frozen=True)
class ApiMetadata:
    """The API's identifier at the tenant, and the scopes it publishes (None: it publishes none)."""

    resource: str
    scopes: frozenset[str] | None


def discover(issuer: str, timeout_seconds: float) -> Issuer:
    """The issuer's endpoints, from its discovery document."""
    url = issuer.removesuffix("/") + "/.well-known/openid-configuration"
    document = get_json(url, timeout_seconds)
    # OpenID Connect Discovery §4.3: the value MUST be identical. A slash less is another issuer.
    if document.get("issuer") != issuer:
        raise LoginFailed(f"{url} speaks for another issuer: {document.get('issuer')}", "Check --issuer.")
    methods = document.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise LoginFailed(f"{issuer} does not offer PKCE with S256, which a native app needs.")
    return Issuer(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint"),
        token_endpoint=_endpoint(document, "token_endpoint"),
        jwks_uri=_endpoint(document, "jwks_uri"),
        revocation_endpoint=_endpoint(document, "revocation_endpoint") if "revocation_endpoint" in document else None,
        sends_iss=document.get("authorization_response_iss_parameter_supported") is True,
    )


def describe_api(api: str, timeout_seconds: float) -> ApiMetadata:
    """The API's protected-resource metadata; without any, its URL is its identifier."""
    parts = urlsplit(api)
    path = "/.well-known/oauth-protected-resource" + parts.path.rstrip("/")
    try:
        document = get_json(urlunsplit((parts.scheme, parts.netloc, path, "", "")), timeout_seconds)
    except NativeError:  # no document, or nothing there yet: a login does not need the API
        return ApiMetadata(api, None)
    resource = document.get("resource")
    # RFC 9728 §3.3: another value MUST NOT be used. An API that names somebody else's would collect their tokens.
    if not isinstance(resource, str) or resource.rstrip("/") != api.rstrip("/"):
        raise LoginFailed(
            f"The API at {api} calls itself {resource!r}.",
            "Call it by that address (--api), or name the audience yourself (--audience).",
        )
    scopes = document.get("scopes_supported")
    return ApiMetadata(resource, frozenset(map(str, scopes)) if isinstance(scopes, list) else None)


def _endpoint(document: dict[str, Any], name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str):
        raise LoginFailed(f"The issuer's metadata has no {name}.")
    try:
        require_secure(name, url)
    except SettingsError as error:
        raise LoginFailed(error.message) from error
    return url
