"""Idempotency-Key: which requests are the same, which answers are final, what a retry is shown.

Takes   the current request;  an answer, the scopes of a token
Gives   key_asked_for(), fingerprint();  is_final(…), kept_form(…);  replayed(…), an answer from what was kept
Raises  WebProblem: bad_request for a malformed key; what reading a body raises
Not     when it is looked up (writes.py), where it is kept (app/stores/idempotency.py)
Source  docs/contracts/user-data.md U5; IETF draft-ietf-httpapi-idempotency-key-header-07 §2; RFC 8941 §3.3.3
"""

import re
from hashlib import sha256
from typing import Any

import orjson
from flask import Response, g, request

from app.oauth.access_token import AccessToken
from app.stores.idempotency import Answer
from app.web.catalogue import PROBLEMS
from app.web.json_body import raw_body
from app.web.problems import CONTENT_TYPE, WebProblem
from app.web.runtime import runtime

FIELD, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
MAX_KEPT_BYTES = 262_144
_KEY = re.compile(r"[\x21-\x7e]{8,255}")
_QUOTED = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
# Of the account, not of the request: when the deletion is cancelled, or the user begins anew, the same request runs.
_OF_THE_ACCOUNT = frozenset({"account_deleted", "account_deletion_scheduled"})
_SERVER_ERROR, _REFUSED = 500, 400
# What a version is told by, and the status of its operation in a batch.
_VERSION = ("status", "etag", "seq", "updated_at")


def key_asked_for() -> str | None:
    """Return the key of this request, without quotes; None where there is none, or keys are turned off."""
    value = request.headers.get(FIELD)
    if value is None or not runtime().settings.idempotency_hours:
        return None
    key = value
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        key = "" if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1])
    if _KEY.fullmatch(key) is None:
        raise WebProblem("bad_request", detail=f"{FIELD} must be 8 to 255 visible ASCII characters, quoted or bare.")
    return key


def fingerprint() -> str:
    """Name the request by its method, its path with the query, and its body.

    No header field is in it: a retry has another token, and If-Match may have been learnt anew.
    """
    wsgi = request.environ
    parts = (wsgi["PATH_INFO"].encode("latin-1"), wsgi["QUERY_STRING"].encode("latin-1"), raw_body())
    # Each part's digest has one length, so that no part can run into the next.
    joined = b"".join(sha256(part).digest() for part in parts)
    return sha256(wsgi["REQUEST_METHOD"].encode("latin-1") + b" " + joined).hexdigest()


def is_final(answer: Response) -> bool:
    """Tell whether the same request would be answered alike for ever: 401, 408, 429, 5xx and `busy` are no last word.

    What the catalogue calls retryable can succeed once something is done: kept, it would bar the way for a day. A
    batch is final as soon as one of its operations was carried out.
    """
    if answer.status_code >= _SERVER_ERROR:
        return False
    results = _document(answer).get("results", ())
    if any(result["status"] < _REFUSED for result in results):
        return True
    code = _code(answer)
    if code is not None and (PROBLEMS[code].retryable or code in _OF_THE_ACCOUNT):
        return False
    return not any(result["problem"]["retryable"] for result in results)


def kept_form(answer: Response, token: AccessToken) -> Answer:
    """Return what is to be kept; of a body beyond 256 KiB, statuses and entity-tags."""
    body = answer.get_data()
    if len(body) > MAX_KEPT_BYTES:
        body = _versions_alone(body)
    fields = tuple((name, value) for name, value in answer.headers.items() if name != "Content-Length")
    return Answer(answer.status_code, fields, body, _reading_scopes(token), _code(answer))


def replayed(kept: Answer, token: AccessToken) -> Response:
    """Answer as the first time, byte for byte; to a token that may read less, with statuses and entity-tags alone."""
    if kept.code is not None:
        g.problem_code = kept.code
    body = kept.body if kept.scopes <= token.scopes else _versions_alone(kept.body)
    answer = Response(body, kept.status, [*kept.fields, (REPLAYED, "true")])
    if "Content-Type" not in dict(kept.fields):
        # An answer without content has none; werkzeug gives each one that says nothing of its type.
        del answer.headers["Content-Type"]
    return answer


def _reading_scopes(token: AccessToken) -> frozenset[str]:
    return frozenset(scope for scope in token.scopes if scope.startswith("read:"))


def _code(answer: Response) -> str | None:
    return _document(answer)["code"] if answer.mimetype == CONTENT_TYPE else None


def _document(answer: Response) -> dict[str, Any]:
    body = answer.get_data()
    document: dict[str, Any] = orjson.loads(body) if body else {}
    return document


def _versions_alone(body: bytes) -> bytes:
    """Cut every resource in an answer to its version."""
    return orjson.dumps(_cut(orjson.loads(body)), option=orjson.OPT_APPEND_NEWLINE) if body else body


def _cut(value: Any) -> Any:
    """Whatever has an entity-tag is a resource; `errors` show nothing, and may be the largest member of all."""
    if isinstance(value, list):
        return [_cut(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "etag" in value:
        return {name: value[name] for name in _VERSION if name in value}
    return {name: _cut(item) for name, item in value.items() if name != "errors"}
