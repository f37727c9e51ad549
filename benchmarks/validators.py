"""Peers that verify each token with somebody's library, as its documentation shows: three of Flask's.

Takes   the address of the tenant's keys
Gives   Flask applications that gunicorn can serve, in the environment var/bench/peers alone
Raises  what the libraries raise at start
Not     the bare route and PyJWT's quickstart (peers.py), Express (express/server.js)
Source  Auth0's Flask quickstart with Authlib (JWTBearerTokenValidator, ResourceProtector); README of auth0-api-python;
        flask-jwt-extended "Configuration Options"
"""

import asyncio
import json
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from flask import Flask, request

from benchmarks.credentials import AUDIENCE, ISSUER
from benchmarks.peers import application, document, refusal


def authlib(keys_url: str) -> Flask:
    """Auth0's quickstart: the keys are read once, at the start; Authlib checks signature and claims."""
    flask, rfc7523 = import_module("authlib.integrations.flask_oauth2"), import_module("authlib.oauth2.rfc7523")
    keys = import_module("joserfc.jwk").KeySet.import_key_set(_json(keys_url))

    class Validator(rfc7523.JWTBearerTokenValidator):  # type: ignore[misc,name-defined]  # known when it is installed
        def __init__(self) -> None:
            super().__init__(keys)
            self.claims_options = {
                "exp": {"essential": True},
                "aud": {"essential": True, "value": AUDIENCE},
                "iss": {"essential": True, "value": ISSUER},
            }

    require_auth = flask.ResourceProtector()
    require_auth.register_token_validator(Validator())
    app = application()

    @app.get("/v1/whoami")
    @require_auth(None)  # type: ignore[untyped-decorator]
    def whoami() -> dict[str, Any]:
        return document(dict(flask.current_token))

    return app


def auth0(keys_url: str) -> Flask:
    """Auth0's SDK for APIs. It is asynchronous: in Flask each request runs a loop for it, as its README does."""
    sdk = import_module("auth0_api_python")

    async def fetch(url: str) -> Any:
        # NOTE: it asks https://tenant.example, which nobody runs; the two documents are kept for ten minutes.
        return {"issuer": ISSUER, "jwks_uri": keys_url} if url != keys_url else _json(keys_url)

    options = sdk.ApiClientOptions(domain=urlsplit(ISSUER).netloc, audience=AUDIENCE, custom_fetch=fetch)
    client = sdk.ApiClient(options)
    app = application()

    @app.get("/v1/whoami")
    def whoami() -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return refusal("a bearer token is required")
        try:
            claims = asyncio.run(client.verify_access_token(token))
        except sdk.errors.BaseAuthError as fault:
            return refusal(str(fault))
        return document(claims)

    return app


def jwt_extended(keys_url: str) -> Flask:
    """flask-jwt-extended with the tenant's one public key in its settings: it looks up no keys by itself."""
    extension = import_module("flask_jwt_extended")
    key = import_module("jwt").PyJWK(_json(keys_url)["keys"][0]).key
    app = application()
    app.config.update(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=key, JWT_DECODE_AUDIENCE=AUDIENCE, JWT_DECODE_ISSUER=ISSUER)
    extension.JWTManager(app)

    @app.get("/v1/whoami")
    @extension.jwt_required()  # type: ignore[untyped-decorator]
    def whoami() -> dict[str, Any]:
        return document(extension.get_jwt())

    return app


def _json(url: str) -> Any:
    with urlopen(url, timeout=5) as answer:  # noqa: S310 - the loopback address of this run's own keys
        return json.load(answer)
