"""Idempotency-Key: which requests are the same, which answers are kept, what a retry is shown.

Takes   the current request;  an answer, the scopes of a token
Gives   key_asked_for(), fingerprint();  has_effect(…), kept_form(…);  replayed(…), an answer from what was kept
Raises  WebProblem: bad_request for a malformed key; what reading a body raises
Not     when it is looked up (writes.py), where it is kept (app/stores/idempotency.py)
Source  docs/contracts/user-data.md U5; IETF draft-ietf-httpapi-idempotency-key-header-07 §2; RFC 8941 §3.3.3
"""

import re
from hashlib import sha256
from typing import Any

import orjson
from flask import Response, request

from app.oauth.access_token import AccessToken
from app.stores.idempotency import Answer
from app.web.json_body import raw_body
from app.web.problems import WebProblem
from app.web.runtime import runtime

FIELD, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
# Kept answers count in no quota: a body is whole where it is as small as most records are.
MAX_KEPT_BYTES = 8192
_KEY = re.compile(r"[\x21-\x7e]{8,255}")
_QUOTED = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_REFUSED = 400
# What a version is told by, and the status of its operation in a batch.
_VERSION = ("status", "etag", "seq", "updated_at")
# Words, by far the largest part of an answer whose resources are cut: a hundred refusals of a batch have the same.
_WORDS = frozenset({"errors", "detail"})


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

    No header field is in it: a retry has another token, and after a 412 another If-Match.
    """
    wsgi = request.environ
    parts = (wsgi["PATH_INFO"].encode("latin-1"), wsgi["QUERY_STRING"].encode("latin-1"), raw_body())
    # Each part's digest has one length, so that no part can run into the next.
    joined = b"".join(sha256(part).digest() for part in parts)
    return sha256(wsgi["REQUEST_METHOD"].encode("latin-1") + b" " + joined).hexdigest()


def has_effect(answer: Response) -> bool:
    """Tell whether something was carried out: of a batch, at least one operation.

    A refusal has done nothing that could be done twice, and the user may do something about nearly every one: make
    room, merge, create what was missing. Kept, it would bar the way for a day.
    """
    results = _document(answer).get("results")
    return results is None or any(result["status"] < _REFUSED for result in results)


def kept_form(answer: Response, token: AccessToken) -> Answer:
    """Return what is to be kept; of a body beyond 8 KiB, statuses and entity-tags."""
    body = answer.get_data()
    if len(body) > MAX_KEPT_BYTES:
        body = _versions_alone(body)
    fields = tuple((name, value) for name, value in answer.headers.items() if name != "Content-Length")
    return Answer(answer.status_code, fields, body, _reading_scopes(token))


def replayed(kept: Answer, token: AccessToken) -> Response:
    """Answer as the first time, byte for byte; to a token that may read less, with statuses and entity-tags alone."""
    body = kept.body if kept.scopes <= token.scopes else _versions_alone(kept.body)
    answer = Response(body, kept.status, [*kept.fields, (REPLAYED, "true")])
    if "Content-Type" not in dict(kept.fields):
        # An answer without content has none; werkzeug gives each one that says nothing of its type.
        del answer.headers["Content-Type"]
    return answer


def _reading_scopes(token: AccessToken) -> frozenset[str]:
    return frozenset(scope for scope in token.scopes if scope.startswith("read:"))


def _document(answer: Response) -> dict[str, Any]:
    body = answer.get_data()
    document: dict[str, Any] = orjson.loads(body) if body else {}
    return document


def _versions_alone(body: bytes) -> bytes:
    """Cut every resource in an answer to its version."""
    return orjson.dumps(_cut(orjson.loads(body)), option=orjson.OPT_APPEND_NEWLINE) if body else body


def _cut(value: Any) -> Any:
    """Whatever has an entity-tag is a resource; of a refusal, its code says what to do."""
    if isinstance(value, list):
        return [_cut(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "etag" in value:
        return {name: value[name] for name in _VERSION if name in value}
    return {name: _cut(item) for name, item in value.items() if name not in _WORDS}
