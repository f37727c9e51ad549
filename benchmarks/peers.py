"""What stands beside /v1/whoami: a Flask route without any check, and the way most tutorials protect one.

Takes   the address of the tenant's keys, for the quickstart
Gives   Flask applications that gunicorn can serve
Raises  nothing of its own
Not     other libraries (validators.py); an example to follow: docs/libraries.md says what PyJWKClient lacks, nothing
        here logs, and problems are plain
Source  PyJWT's documentation of PyJWKClient; the Flask quickstarts of the tenants
"""

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jwt
from flask import Flask, Response, g, jsonify, request

from benchmarks.credentials import AUDIENCE, ISSUER
from config.drain import Drain

_FORGED_STATUS = 401


class _Nothing:
    """What gunicorn's configuration starts and stops in each worker; these have nothing to start."""

    drain = Drain(0)

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


def bare(subject: str, issued_at: int, expires_at: int) -> Flask:
    """A route that returns the JSON of /v1/whoami for one user, and asks for nothing."""
    app = application()

    @app.get("/v1/whoami")
    def whoami() -> dict[str, Any]:
        return document(
            {
                "iss": ISSUER,
                "sub": subject,
                "aud": [AUDIENCE, f"{ISSUER}userinfo"],
                "iat": issued_at,
                "exp": expires_at,
                "scope": "openid profile email offline_access read:profile read:email write:profile",
                "azp": "nativeAppClientId0123456789abcdef",
                "permissions": ["read:profile", "read:email", "write:profile"],
            }
        )

    return app


def quickstart(keys_url: str) -> Flask:
    """The same route behind the decorator of the quickstarts: PyJWKClient finds the key, jwt.decode does the rest."""
    app = application()
    keys = jwt.PyJWKClient(keys_url)

    def requires_auth(view: Callable[[], dict[str, Any]]) -> Callable[[], Any]:
        @wraps(view)
        def decorated() -> Any:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                return refusal("a bearer token is required")
            try:
                key = keys.get_signing_key_from_jwt(token)
                g.claims = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)
            except jwt.PyJWTError as fault:
                return refusal(str(fault))
            return view()

        return decorated

    @app.get("/v1/whoami")
    @requires_auth
    def whoami() -> dict[str, Any]:
        return document(g.claims)

    return app


def application() -> Flask:
    """An application with what gunicorn's configuration expects of ours."""
    app = Flask("peer", static_folder=None)
    app.extensions["postern"] = _Nothing()
    return app


def refusal(text: str) -> tuple[Response, int]:
    """A plain 401."""
    return jsonify(error=text), _FORGED_STATUS


def document(claims: Mapping[str, Any]) -> dict[str, Any]:
    """What /v1/whoami says of these claims."""
    now = time.time()
    return {
        "sub": claims["sub"],
        "kind": "user",
        "issuer": claims["iss"],
        "client_id": claims["azp"],
        "audience": claims["aud"],
        "org_id": claims.get("org_id"),
        "scopes": sorted(claims["scope"].split()),
        "permissions": sorted(claims["permissions"]),
        "issued_at": claims["iat"],
        "expires_at": claims["exp"],
        "expires_in": max(0, int(claims["exp"] - now)),
        "auth_time": claims.get("auth_time"),
        "acr": claims.get("acr"),
        "amr": claims.get("amr", []),
        "server_time": int(now),
    }
