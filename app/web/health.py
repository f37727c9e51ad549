"""/livez and /readyz: is the process alive, may it be given requests.

Takes   the runtime
Gives   200 or 503, with each check by name
Raises  nothing: a check that fails is an answer
Not     why in detail: the log has it
Source  docs/contracts/tokens.md K1, K10, T24
"""

from typing import Any

from flask import Response

from app.db import DatabaseUnavailable
from app.web.answers import NO_STORE, json_answer
from app.web.openapi import Blueprint
from app.web.policy import public
from app.web.runtime import Runtime, runtime
from app.web.shapes_of_self import LivenessSchema, ReadinessSchema

blueprint = Blueprint("health", __name__, description="For the balancer")


@blueprint.get("/livez")
@blueprint.describes("livez", "The process is alive. Depends on nothing.", LivenessSchema)
@public
def livez() -> Response:
    """Say that the process is alive."""
    return json_answer({"status": "alive"}, NO_STORE)


@blueprint.get("/readyz")
@blueprint.describes(
    "readyz", "It may be given requests: keys once held, database there and migrated, no stop ahead.",
    ReadinessSchema, status=(200, 503),
)  # fmt: skip
@public
def readyz() -> Response:
    """Say whether requests can be served; once keys were held, a tenant's outage no longer matters (K10)."""
    parts = runtime()
    checks = {
        "drain": {"ok": not parts.drain.has_begun},
        "keys": _keys(parts),
        "database": _database(parts),
        "revocations": _revocations(parts),
        "limits": _limits(parts),
    }
    unready = [name for name, check in checks.items() if not check["ok"]]
    parts.readiness.tell(unready)
    ready = not unready
    status = "ready" if ready else "not_ready"
    return json_answer({"status": status, "checks": checks}, NO_STORE, 200 if ready else 503)


def _keys(parts: Runtime) -> dict[str, Any]:
    """One issuer's keys suffice: the other name of the tenant must not take everyone out of the balancer."""
    states = [source.state() for source in parts.key_sources.values()]
    issuers = [
        {
            "issuer": state.issuer,
            "held": state.held,
            "age_seconds": None if state.age_seconds is None else round(state.age_seconds),
            "stale": state.stale,
            "error": state.last_error,
        }
        for state in states
    ]
    return {"ok": any(state.ever_held for state in states), "issuers": issuers}


def _database(parts: Runtime) -> dict[str, Any]:
    try:
        current = parts.database.is_at_head()
    except DatabaseUnavailable:
        return {"ok": False, "error": "the database is not reachable"}
    if not current:
        return {"ok": False, "error": "migrations are missing: run `flask --app wsgi db upgrade`"}
    return {"ok": True}


def _revocations(parts: Runtime) -> dict[str, Any]:
    """Once they were read, an outage does not matter here: the API goes on with what it knows, and this says so."""
    state = parts.denylist.state()
    age_seconds = None if state.age_seconds is None else round(state.age_seconds)
    return {"ok": state.ever_loaded, "age_seconds": age_seconds, "error": state.error}


def _limits(parts: Runtime) -> dict[str, Any]:
    """For information: a store that cannot count makes nobody unready, each worker counts for itself meanwhile."""
    if parts.limiter is None:
        return {"ok": True, "shared": False, "error": None}
    state = parts.limiter.state()
    return {"ok": True, "shared": state.shared, "error": state.error}
