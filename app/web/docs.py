"""/docs: a page to read the OpenAPI document and to try it, logged in at the tenant.

Takes   settings
Gives   the page, the page that a login comes back to, and their scripts and styles, from disk
Raises  NotFound for an asset that there is not
Not     the login: the browser does it at the tenant by Authorization Code + PKCE (assets/docs.js); the token stays
        in the page. No other room serves HTML with a script
Source  RFC 7636; RFC 9700 §2.1.1; CSP Level 3; docs/contracts/user-data.md §2
"""

from pathlib import Path
from urllib.parse import urlsplit

import flask_swagger_ui
from flask import Blueprint, Response, abort, render_template, send_file

from app.web.answers import PUBLIC
from app.web.policy import public
from app.web.runtime import runtime

blueprint = Blueprint("docs", __name__)

_OURS = Path(__file__).parent / "assets"
_PACKAGED = Path(flask_swagger_ui.__file__).parent / "dist"
# By name, so that no path of a request ever reaches the file system.
_ASSETS = {
    "docs.js": _OURS,
    "docs.css": _OURS,
    "swagger-ui-bundle.js": _PACKAGED,
    "swagger-ui.css": _PACKAGED,
    "oauth2-redirect.js": _PACKAGED,
    "favicon-32x32.png": _PACKAGED,
}
_AN_HOUR = 3600


@blueprint.get("/docs")
@public
def docs() -> Response:
    """Serve the page."""
    settings = runtime().settings
    return _page(
        "docs.html",
        issuer=settings.tenant_issuers[0],
        audience=settings.api_audiences[0],
        client_id=settings.docs_client_id or "",
    )


@blueprint.get("/docs/oauth2-redirect")
@public
def oauth2_redirect() -> Response:
    """Serve the page that the tenant sends the login's window back to."""
    return _page("docs_redirect.html")


@blueprint.get("/docs/assets/<name>")
@public
def asset(name: str) -> Response:
    """Serve a script or a style."""
    if name not in _ASSETS:
        abort(404)
    return send_file(_ASSETS[name] / name, max_age=_AN_HOUR)


def _page(template: str, **context: str) -> Response:
    fields = {**PUBLIC, "Content-Security-Policy": _policy()}
    return Response(render_template(template, **context), 200, fields, content_type="text/html; charset=utf-8")


def _policy() -> str:
    """Let the page run its own scripts and ask this API and the tenant, and nobody else."""
    settings = runtime().settings
    asked = sorted({_origin(settings.public_url), _origin(settings.tenant_issuers[0])})
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {' '.join(asked)}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
