"""What each status carries: response fields, 304, problems with an example for each code.

Takes   a route's policy and method, the codes and fields that it declares, DPOP_MODE
Gives   FIELDS, by name;  say_policy, say_fields, say_unmodified, say_examples, for one operation;  share;  components
Raises  nothing
Not     the fields' values (app/web/problems.py, conditional.py, request_log.py)
Source  RFC 9110 §8.8.3, §15.4.5; RFC 6750 §3; docs/contracts/user-data.md U3, U5, U8
"""

from collections.abc import Iterable, Mapping
from typing import Any

from werkzeug.http import HTTP_STATUS_CODES

from app.web.catalogue import PROBLEMS
from app.web.openapi.names import component_name
from app.web.policy import RoutePolicy

_PROBLEM_TYPE = "application/problem+json"
_UNAUTHORIZED, _ERROR = 401, 400
_OF_EVERY_TOKEN = tuple(
    code for code, problem in PROBLEMS.items() if problem.status == _UNAUTHORIZED and code != "step_up_required"
)
_OF_PROOFS = ("token_not_bound", "invalid_dpop_proof", "use_dpop_nonce")
_WRITES = frozenset({"post", "put", "patch", "delete"})
# What every write may be refused with because of its Idempotency-Key (U5).
_OF_KEYS = {"400": ("bad_request", "malformed_json"), "408": ("request_timeout",), "413": ("payload_too_large",),
            "422": ("idempotency_key_reused",)}  # fmt: skip
_SOON = {"type": "integer", "minimum": 0, "format": "int32"}


def _field(said: str, example: Any, schema: Mapping[str, Any] | None = None, *, always: bool = False) -> dict[str, Any]:
    shape = dict(schema or {"type": "string", "maxLength": 8192})
    return {"description": said, "required": always, "schema": shape, "example": example}


_TAG = {"type": "string", "pattern": '^"[^"]+"$', "maxLength": 4098}
FIELDS: Mapping[str, dict[str, Any]] = {
    "X-Request-Id": _field(
        "The request's name in the log: that of the request where it sends a sane one, else a new one.",
        "0af7651916cd43dd8448eb211c80319c",
        {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "maxLength": 64}, always=True,
    ),
    "Cache-Control": _field("Who may keep the answer.", "private, no-cache", always=True),
    "ETag": _field("Strong entity-tag of this version.", '"57"', _TAG, always=True),
    "Link": _field("The next page, where there is one (RFC 8288).", '<https://api.example.com/…>; rel="next"'),
    "Location": _field(
        "Where the new record is.", "https://api.example.com/v1/collections/notes/records/0192f0c1",
        {"type": "string", "format": "uri", "maxLength": 2048}, always=True,
    ),
    "Retry-After": _field("Seconds to wait.", 5, _SOON),
    "WWW-Authenticate": _field(
        "The challenge (RFC 6750 §3, RFC 9449 §7.1).", 'Bearer realm="api.example.com", error="invalid_token"',
    ),
    "RateLimit-Policy": _field(
        "How many requests are let through in which time.", '"requests";q=600;w=60',
    ),
    "RateLimit": _field("How many are left, and for how long.", '"requests";r=599;t=60'),
    "Idempotency-Replayed": _field(
        "This is the answer that was given before.", "true", {"type": "string", "enum": ["true"]},
    ),
    "DPoP-Nonce": _field("The nonce of the next proof, where nonces are demanded (RFC 9449 §8.2).", "eyJ7S_zG.eyJH0"),
}  # fmt: skip
# Which fields the problems of a status carry.
_OF_STATUS = {"401": ("WWW-Authenticate",), "403": ("WWW-Authenticate",), "409": ("Retry-After",),
              "429": ("Retry-After",), "503": ("Retry-After",)}  # fmt: skip


def say_policy(operation: dict[str, Any], policy: RoutePolicy, method: str, dpop_mode: str) -> None:
    """Say which scopes the route asks for, and how it refuses a token."""
    if policy.credentials == "none":
        operation["security"] = []
        return
    groups = [[scope] for scope in policy.scopes] if policy.any_scope else [list(policy.scopes)]
    bearer: list[dict[str, list[str]]] = [{"tenant": scopes, "bearer": []} for scopes in groups]
    by_dpop: list[dict[str, list[str]]] = [{"tenant": scopes, "dpop": []} for scopes in groups]
    operation["security"] = {"off": bearer, "allowed": bearer + by_dpop, "required": by_dpop}[dpop_mode]
    refusals: dict[str, tuple[str, ...]] = {
        "400": ("malformed_authorization", "token_too_large"),
        "401": _OF_EVERY_TOKEN,
        "403": ("client_revoked",),
        "429": ("rate_limited",),
        "503": ("keys_unavailable", "unavailable"),
    }
    if dpop_mode == "off":
        refusals["401"] = tuple(code for code in _OF_EVERY_TOKEN if code not in _OF_PROOFS)
    else:
        refusals["429"] = ("rate_limited", "too_many_proofs")
    if policy.scopes:
        refusals["403"] = ("insufficient_scope", "user_required", "client_revoked")
    elif not policy.allow_clients:
        refusals["403"] = ("user_required", "client_revoked")
    for status, codes in refusals.items():
        _add(operation, status, codes)
    if method in _WRITES:
        for status, codes in _OF_KEYS.items():
            _add(operation, status, codes)


def say_refusals(operation: dict[str, Any], *codes: str) -> None:
    """Say that the operation may answer with these codes, too."""
    for code in codes:
        _add(operation, str(PROBLEMS[code].status), (code,))


def say_fields(operation: dict[str, Any], gives: Iterable[str], method: str, policy: RoutePolicy, mode: str) -> None:
    """Say which fields each answer carries."""
    is_public = policy.credentials == "none"
    for status, entry in operation["responses"].items():
        is_problem = int(status) >= _ERROR
        names = ["X-Request-Id", *(_OF_STATUS.get(status, ()) if is_problem else ("Cache-Control", *gives))]
        # A record has a place of its own only where it is new.
        names = [name for name in names if name != "Location" or status == "201"]
        if not is_public:
            names += ["RateLimit-Policy", "RateLimit", *(["DPoP-Nonce"] if mode != "off" else [])]
            names += ["Idempotency-Replayed"] if method in _WRITES else []
        entry["headers"] = {name: {"$ref": f"#/components/headers/{component_name(name)}"} for name in names}


def say_unmodified(operation: dict[str, Any]) -> None:
    """A conditional GET may be 304 (RFC 9110 §15.4.5)."""
    operation["responses"]["304"] = {"description": "Not Modified"}


def say_examples(operation: dict[str, Any]) -> None:
    """Show each code that a status may carry."""
    for entry in operation["responses"].values():
        shape = entry.get("content", {}).get(_PROBLEM_TYPE)
        if shape is not None:
            # In the order of the table: what operations have in common shall look alike.
            named = set(entry["description"].split())
            codes = [code for code in PROBLEMS if code in named]
            entry["description"] = " ".join(codes)
            shape["examples"] = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}


def components(public_url: str) -> dict[str, dict[str, Any]]:
    """The fields, and an example of each problem."""
    base = public_url.rstrip("/")
    examples = {
        code: {
            "summary": problem.title,
            "value": {
                "type": f"{base}/problems/{code}", "title": problem.title, "status": problem.status,
                "detail": problem.detail, "code": code, "action": str(problem.action.value),
                "retryable": problem.retryable, "request_id": FIELDS["X-Request-Id"]["example"],
            },
        }
        for code, problem in PROBLEMS.items()
    }  # fmt: skip
    return {"headers": {component_name(name): field for name, field in FIELDS.items()}, "examples": examples}


def share(operations: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Take the problems that operations have in common out of them, and give them as components."""
    shared: dict[str, Any] = {}
    for operation in operations:
        for status, entry in operation["responses"].items():
            if int(status) < _ERROR or "links" in entry or _PROBLEM_TYPE not in entry.get("content", {}):
                continue
            word = component_name(HTTP_STATUS_CODES[int(status)].replace(" ", "-"))
            same = (name for name, known in shared.items() if known == entry)
            number = sum(name.startswith(word) for name in shared) + 1
            name = next(same, word if number == 1 else f"{word}{number}")
            shared[name] = entry
            operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def _add(operation: dict[str, Any], status: str, codes: Iterable[str]) -> None:
    entry = operation["responses"].setdefault(status, {"description": ""})
    entry["description"] = " ".join(dict.fromkeys([*entry["description"].split(), *codes]))
    entry["content"] = {_PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
