"""Turn every fault into problem+json: what is wrong, whose fault it is, and what to do.

Takes   any exception that leaves a request
Gives   application/problem+json answers, with the challenge where the contract wants one
Raises  nothing
Not     the table of codes (catalogue.py), which code a refusal of the domain has (refusals.py)
Source  RFC 9457; RFC 6750 §3; docs/contracts/tokens.md T25–T29
"""

import time
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import orjson
import structlog
from flask import Flask, Response, g
from flask.globals import app_ctx, request_ctx
from werkzeug.exceptions import HTTPException

from app.db import DatabaseBusy, DatabaseUnavailable
from app.oauth import challenge
from app.oauth.bearer import Scheme, scheme_of
from app.oauth.dpop.faults import InvalidProof, ProofsUnavailable, TooManyProofs
from app.oauth.dpop.proof import ALGORITHMS
from app.oauth.errors import InsufficientScope, KeysUnavailable, Refused, StepUpRequired
from app.oauth.reasons import Reason
from app.web.answers import NO_STORE, JsonAnswer
from app.web.catalogue import PROBLEMS
from app.web.refusals import DOMAIN_ERRORS, refusal_of
from app.web.runtime import runtime

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
# Proofs are remembered for a minute or two, so that in ten seconds some room has become free.
_RETRY_AFTER_TOO_MANY_PROOFS_SECONDS = 10
_SCHEMES: dict[str, tuple[Scheme, ...]] = {
    "off": ("Bearer",),
    "allowed": ("Bearer", "DPoP"),
    "required": ("DPoP",),
}
# Which code stands for what werkzeug raises; what is not listed is `bad_request` with the status as it is.
_CODES_OF_HTTP = {
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}
_KEPT_FIELDS = ("Allow", "Retry-After")
_SERVER_ERROR = 500
_CHALLENGES_REMEMBERED = 256

log = structlog.get_logger("postern.problems")


class WebProblem(Exception):  # noqa: N818 - an answer that a route or a reader of the body decides on
    """A fault that the web rooms find themselves, by its code."""

    def __init__(self, code: str, **members: Any) -> None:
        super().__init__(code)
        self.code = code
        self.members = members


def answer(code: str, fields: Mapping[str, str] | None = None, status: int | None = None, **members: Any) -> Response:
    """Write one problem document; `members` replace or extend the table's."""
    # NOTE: `g` looks itself up at each use; forged tokens come in floods, and this runs for each.
    kept = app_ctx.g
    kept.problem_code = code
    document = {**_document(code, runtime().settings.public_url), "request_id": kept.get("request_id")}
    if status is not None:
        document["status"] = status
    if PROBLEMS[code].tells_time:
        document["server_time"] = int(time.time())
    document.update(members)
    headers = {**NO_STORE, **(fields or {})}
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    return JsonAnswer(body, document["status"], headers, content_type=CONTENT_TYPE)


@cache
def _document(code: str, public_url: str) -> Mapping[str, Any]:
    """What the table says of a code, as it stands in every answer."""
    problem = PROBLEMS[code]
    return {
        "type": f"{public_url.rstrip('/')}/problems/{code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": code,
        "action": problem.action,
        "retryable": problem.retryable,
    }


def install(app: Flask) -> None:
    """Answer every exception of `app`."""
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(KeysUnavailable, _keys_unavailable)
    app.register_error_handler(ProofsUnavailable, _proofs_unavailable)
    app.register_error_handler(TooManyProofs, _too_many_proofs)
    app.register_error_handler(WebProblem, lambda fault: answer(fault.code, **fault.members))
    for domain_error in DOMAIN_ERRORS:
        app.register_error_handler(domain_error, _domain_refused)
    app.register_error_handler(DatabaseUnavailable, _database_unavailable)
    app.register_error_handler(DatabaseBusy, lambda _fault: answer("busy", {"Retry-After": "1"}))
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def resource_metadata_url(public_url: str) -> str:
    """Where RFC 9728 §3.1 puts the document: the well-known part between the host and the path."""
    scheme, _, rest = public_url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}/.well-known/oauth-protected-resource{slash}{path}"


def _offer(realm: str, public_url: str, dpop_mode: str) -> challenge.Offer:
    """Say by which schemes these settings take tokens (T26, P4)."""
    return challenge.Offer(
        realm=realm,
        resource_metadata=resource_metadata_url(public_url),
        schemes=_SCHEMES[dpop_mode],
        proof_algorithms=ALGORITHMS,
    )


def _refused(fault: Refused) -> Response:
    reason = fault.reason
    if not reason.carries_challenge:
        return answer(reason.code)
    said: dict[str, Any] = {}
    members: dict[str, Any] = {}
    if isinstance(fault, InsufficientScope):
        said = {"scope": fault.required}
        members = {"scope": " ".join(fault.required)}
    elif isinstance(fault, StepUpRequired):
        age, values = fault.max_age_seconds, fault.acr_values
        said = {"max_age_seconds": age, "acr_values": values}
        asked = {"max_age": age, "acr_values": " ".join(values) or None}
        members = {name: word for name, word in asked.items() if word is not None}
    elif isinstance(fault, InvalidProof):
        said = {"description": fault.fault.value}
        members = {"detail": fault.fault.value}
    used = scheme_of(request_ctx.request.environ.get("HTTP_AUTHORIZATION"))
    settings = runtime().settings
    if said:
        value = challenge.refused(
            reason, _offer(settings.realm, settings.public_url, settings.dpop_mode), used=used, **said
        )
    else:
        value = _plain_challenge(reason, settings.realm, settings.public_url, settings.dpop_mode, used)
    return answer(reason.code, {"WWW-Authenticate": value}, **members)


@lru_cache(_CHALLENGES_REMEMBERED)
def _plain_challenge(reason: Reason, realm: str, public_url: str, dpop_mode: str, used: Scheme | None) -> str:
    """What a refusal says by its reason alone: there are few, and forged tokens come in floods."""
    return challenge.refused(reason, _offer(realm, public_url, dpop_mode), used=used)


def _keys_unavailable(fault: KeysUnavailable) -> Response:
    """T27: our fault is never the user's; no challenge, or a phone would log its user out."""
    return answer(fault.reason.code, {"Retry-After": str(fault.retry_after_seconds)})


def _proofs_unavailable(fault: ProofsUnavailable) -> Response:
    """P2: a proof that cannot be remembered cannot be accepted, and is none the worse for it (T27)."""
    log.error("used DPoP proofs cannot be remembered", reason=str(fault), cause=_cause(fault))
    return answer("unavailable", {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _too_many_proofs(_fault: TooManyProofs) -> Response:
    return answer("too_many_proofs", {"Retry-After": str(_RETRY_AFTER_TOO_MANY_PROOFS_SECONDS)})


def _domain_refused(fault: Exception) -> Response:
    refusal = refusal_of(fault, g.access_token)
    return answer(refusal.code, **refusal.members)


def _database_unavailable(fault: DatabaseUnavailable) -> Response:
    log.error("the database is not reachable", reason=str(fault), cause=_cause(fault))
    return answer("unavailable", {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _cause(fault: Exception) -> str:
    """Name what the fault came from: in an outage each request writes this line; tracebacks would fill the disk."""
    found: BaseException = fault
    while found.__cause__ is not None:
        found = found.__cause__
    return type(found).__name__


def _http(fault: HTTPException) -> Response | HTTPException:
    status = fault.code or _SERVER_ERROR
    if status >= _SERVER_ERROR:
        return _unexpected(fault)
    given = fault.get_response().headers
    fields = {name: given[name] for name in _KEPT_FIELDS if name in given}
    code = _CODES_OF_HTTP.get(status, "bad_request")
    if code == "bad_request":
        return answer(code, fields, status, title=fault.name)
    return answer(code, fields)


def _unexpected(fault: Exception) -> Response:
    """A 500 is a bug of ours: the whole traceback goes into the log, and not a word of it into the answer."""
    log.error("unexpected", exc_info=fault)
    return answer("internal_error")
