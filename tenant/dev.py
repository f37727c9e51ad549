"""/_dev: the tenant's own controls, from this machine only.

Takes   JSON bodies: keys, faults, clock, lifetimes, mint, log
Gives   what is on now, as JSON;  GET /_dev: a page with an example for each
Raises  nothing; a wrong body is 400 with a sentence
Not     anything that Auth0 has
Source  D1, D10, D14, D15
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request

from tenant import context
from tenant.context import Tenant
from tenant.faults import POSSIBLE
from tenant.keys import KeyStateError
from tenant.mint import mint
from tenant.pages import page
from tenant.settings import is_loopback

blueprint = Blueprint("dev", __name__, url_prefix="/_dev")
LARGEST_OFFSET_SECONDS = 10 * 365 * 86400


@blueprint.before_request
def this_machine_only() -> Response | None:
    """Refuse other machines, and pages of other sites that run in this machine's browser."""
    tenant = context.current()
    host = urlsplit(f"//{request.host}").hostname or ""
    # The Host check is against DNS rebinding: evil.example may resolve to 127.0.0.1, but it is not called so.
    known_host = is_loopback(host) or host == urlsplit(tenant.issuer).hostname
    origin = request.headers.get("Origin")
    if is_loopback(request.remote_addr or "") and known_host and origin in (None, tenant.issuer.rstrip("/")):
        return None
    return _problem(403, "These controls are for this machine only.")


@blueprint.get("")
@blueprint.get("/")
def overview() -> Response:
    """Show every control with an example."""
    tenant = context.current()
    api = tenant.registry.default_api().identifier
    return page("dev.html", api=api, state=_state(tenant), possible=POSSIBLE, registry=tenant.registry)


@blueprint.get("/state")
def state() -> Response:
    """Say what is on now."""
    return jsonify(_state(context.current()))


@blueprint.post("/mint")
def mint_token() -> Response:
    """Make a token without a login."""
    return _control(mint)


@blueprint.post("/keys/<any('rotate', 'revoke', 'rotate-and-revoke'):action>")
def change_keys(action: str) -> Response:
    """Rotate the signing keys, stop publishing those rotated out, or both."""

    def change(tenant: Tenant, _body: dict[str, Any]) -> dict[str, Any]:
        if action != "revoke":
            tenant.keys.rotate()
        revoked = tenant.keys.revoke() if action != "rotate" else []
        tenant.log.write("sapi", f"keys: {action}")
        return {"keys": tenant.keys.states(), "revoked": revoked}

    return _control(change)


@blueprint.post("/faults")
def turn_faults_on() -> Response:
    """Add faults to those that are on."""

    def change(tenant: Tenant, body: dict[str, Any]) -> dict[str, Any]:
        tenant.faults.turn_on(body)
        return {"faults": tenant.faults.shown()}

    return _control(change)


@blueprint.delete("/faults")
def clear_faults() -> Response:
    """Turn every fault off."""
    context.current().faults.clear()
    return jsonify({"faults": {}})


@blueprint.post("/clock")
def turn_clock() -> Response:
    """Shift the tenant's time."""

    def change(tenant: Tenant, body: dict[str, Any]) -> dict[str, Any]:
        offset = body.get("offset_seconds")
        if not isinstance(offset, int) or isinstance(offset, bool) or abs(offset) > LARGEST_OFFSET_SECONDS:
            raise ValueError("offset_seconds must be a whole number of seconds, ten years at most")
        tenant.clock.offset_seconds = offset
        return {"offset_seconds": offset, "now": tenant.clock.now()}

    return _control(change)


@blueprint.post("/lifetimes")
def change_lifetimes() -> Response:
    """Change how long things live; null puts a lifetime back."""

    def change(tenant: Tenant, body: dict[str, Any]) -> dict[str, Any]:
        tenant.clock.lifetimes = tenant.clock.lifetimes.changed(body)
        return asdict(tenant.clock.lifetimes)

    return _control(change)


@blueprint.post("/reset")
def reset() -> Response:
    """Faults off, clock right, lifetimes as the registry says; keys, logins and grants stay."""

    def change(tenant: Tenant, _body: dict[str, Any]) -> dict[str, Any]:
        tenant.faults.clear()
        tenant.clock.offset_seconds = 0
        tenant.clock.lifetimes = type(tenant.clock.lifetimes)()
        return _state(tenant)

    return _control(change)


@blueprint.get("/log")
def show_log() -> Response:
    """Return the last events, newest first: ?limit=…&type=…"""
    limit = request.args.get("limit", 100, type=int)
    return jsonify({"events": context.current().log.newest(max(0, limit), request.args.get("type"))})


@blueprint.delete("/log")
def clear_log() -> Response:
    """Forget every event."""
    context.current().log.clear()
    return jsonify({"events": []})


def _control(change: Callable[[Tenant, dict[str, Any]], dict[str, Any]]) -> Response:
    if request.content_length and not request.is_json:
        return _problem(415, "Send JSON: curl --json '{…}', or -H 'Content-Type: application/json'.")
    body = request.get_json(silent=True) if request.content_length else {}
    if not isinstance(body, dict):
        return _problem(400, "The body must be a JSON object.")
    try:
        return jsonify(change(context.current(), body))
    except ValueError as error:
        return _problem(400, str(error))
    except KeyStateError as error:
        return _problem(409, str(error))


def _state(tenant: Tenant) -> dict[str, Any]:
    return {
        "issuer": tenant.issuer,
        "keys": tenant.keys.states(),
        "faults": tenant.faults.shown(),
        "clock": {"offset_seconds": tenant.clock.offset_seconds, "now": tenant.clock.now()},
        "lifetimes": asdict(tenant.clock.lifetimes),
    }


def _problem(status: int, text: str) -> Response:
    response = jsonify({"error": text})
    response.status_code = status
    return response
