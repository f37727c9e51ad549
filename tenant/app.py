"""Put a development tenant together.

Takes   TenantSettings
Gives   create_tenant(): a Flask application;  close(): its files closed
Raises  SettingsError, RegistryError, OSError
Not     serving it (serve.py)
Source  D1, D14, D16
"""

import json
import secrets
import time
from pathlib import Path

from flask import Flask, Response, jsonify, request
from joserfc.jwk import OctKey

from tenant import (
    authorize,
    consent,
    cross_origin,
    dev,
    discovery,
    login,
    logout,
    private_files,
    token_endpoint,
    userinfo,
)
from tenant.clock import Clock
from tenant.context import Tenant
from tenant.faults import Faults
from tenant.grants import AudienceAndScope, CodeGrant, MachineGrant, S256Only
from tenant.issue import IdTokens
from tenant.keys import KeyRing
from tenant.log import EventLog
from tenant.refresh import RefreshRevocation, RotatingRefreshGrant
from tenant.registry import load
from tenant.server import AuthorizationServer
from tenant.settings import TenantSettings
from tenant.store import Store

PLACES = {
    "/.well-known/jwks.json": "jwks",
    "/.well-known/openid-configuration": "discovery",
    "/.well-known/oauth-authorization-server": "discovery",
    "/oauth/token": "token",
    "/userinfo": "userinfo",
}


def create_tenant(settings: TenantSettings) -> Flask:
    """Make the application; its state directory is made where there is none."""
    registry = load(settings.registry_file, settings.api_identifier)
    private_files.make_private_directory(settings.state_dir)
    cookie_key, opaque_key = _secrets(settings.state_dir / "secrets.json")
    tenant = Tenant(
        settings=settings,
        registry=registry,
        clock=Clock(),
        faults=Faults(),
        keys=KeyRing(settings.state_dir, settings.issuer),
        store=Store(settings.state_dir),
        log=EventLog(quiet=settings.quiet),
        opaque_key=opaque_key,
    )
    tenant.store.forget_old(tenant.clock.now())
    app = Flask("tenant", static_url_path="/u/static")
    app.config.update(
        SECRET_KEY=cookie_key,
        SESSION_COOKIE_NAME="tenant_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.issuer.startswith("https:"),
        MAX_CONTENT_LENGTH=65536,
        SEND_FILE_MAX_AGE_DEFAULT=0,
    )
    app.extensions["tenant"] = tenant
    app.extensions["tenant_server"] = _authorization_server(tenant)
    for room in (authorize, login, consent, logout, token_endpoint, userinfo, discovery, dev):
        app.register_blueprint(room.blueprint)
    app.before_request(lambda: _fault(tenant))
    app.after_request(_harden)
    app.after_request(cross_origin.allow)
    return app


def close(app: Flask) -> None:
    """Close the tenant's database."""
    app.extensions["tenant"].store.close()


def _authorization_server(tenant: Tenant) -> AuthorizationServer:
    server = AuthorizationServer(tenant)
    server.register_grant(CodeGrant, [S256Only(required=True), AudienceAndScope(), IdTokens()])
    server.register_grant(RotatingRefreshGrant, [IdTokens()])
    server.register_grant(MachineGrant)
    server.register_endpoint(RefreshRevocation)
    return server


def _secrets(path: Path) -> tuple[str, OctKey]:
    kept = private_files.read(path)
    if kept is None:
        made = {"cookie": secrets.token_urlsafe(32), "opaque": OctKey.generate_key(256).as_dict()}
        kept = json.dumps(made)
        private_files.write(path, kept)
    values = json.loads(kept)
    return values["cookie"], OctKey.import_key(values["opaque"])


def _fault(tenant: Tenant) -> Response | None:
    path = "/" + request.path.lstrip("/")
    if path == "/_dev" or path.startswith("/_dev/"):
        return None
    kind = "down" if tenant.faults.take("outage") else tenant.faults.take(PLACES.get(path, ""))
    if kind is None:
        return None
    if kind == "slow":
        time.sleep(tenant.faults.slow_seconds)
        return None
    if kind == "malformed":
        return Response('{"keys": [{"kty": "RSA", "n": ', 200, content_type="application/json")
    if kind == "429":
        return _too_many(tenant)
    response = jsonify({"error": "server_error", "error_description": "A fault that was asked for at /_dev/faults"})
    response.status_code = 500 if kind == "500" else 503
    return response


def _too_many(tenant: Tenant) -> Response:
    response = jsonify({"error": "too_many_requests", "error_description": "Global limit has been reached"})
    response.status_code = 429
    reset = str(tenant.clock.now() + 1)
    response.headers.update({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
    response.headers["Retry-After"] = "1"
    return response


def _harden(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
