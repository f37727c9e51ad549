"""The discovery documents and the key set.

Takes   nothing from the request: every address is built from the issuer, never from `Host`
Gives   /.well-known/openid-configuration, /.well-known/oauth-authorization-server (each also behind a doubled slash:
        AppAuth-JS appends to an issuer that ends with one), /.well-known/jwks.json
Raises  nothing
Not     the keys themselves (keys.py), faults (app.py)
Source  D1, D2; OpenID Connect Discovery §3; RFC 8414 §2; RFC 9207 §3
"""

from typing import Any

from flask import Blueprint, Response, jsonify

from tenant import context
from tenant.scopes import OIDC_SCOPES

blueprint = Blueprint("discovery", __name__)
JWKS_CACHE_CONTROL = "public, max-age=15, stale-while-revalidate=15, stale-if-error=86400"  # as Auth0 says it


@blueprint.get("//.well-known/openid-configuration", merge_slashes=False)
@blueprint.get("//.well-known/oauth-authorization-server", merge_slashes=False)
@blueprint.get("/.well-known/openid-configuration")
@blueprint.get("/.well-known/oauth-authorization-server")
def configuration() -> Response:
    """Say where everything is."""
    response = jsonify(_metadata(context.current()))
    response.headers["Cache-Control"] = "public, max-age=15"
    return response


@blueprint.get("//.well-known/jwks.json", merge_slashes=False)
@blueprint.get("/.well-known/jwks.json")
def key_set() -> Response:
    """Publish the current key, the next one, and what is rotated out but not revoked."""
    response = jsonify(context.current().keys.published())
    response.headers["Cache-Control"] = JWKS_CACHE_CONTROL
    return response


def _metadata(tenant: context.Tenant) -> dict[str, Any]:
    issuer = tenant.issuer
    api_scopes = [scope for api in tenant.registry.apis.values() for scope in api.scopes]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}authorize",
        "token_endpoint": f"{issuer}oauth/token",
        "userinfo_endpoint": f"{issuer}userinfo",
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        "revocation_endpoint": f"{issuer}oauth/revoke",
        "end_session_endpoint": f"{issuer}oidc/logout",
        "scopes_supported": list(dict.fromkeys([*OIDC_SCOPES, *api_scopes])),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_supported": [
            *("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "sid", "name", "given_name", "family_name"),
            *("nickname", "picture", "locale", "zoneinfo", "email", "email_verified"),
        ],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
