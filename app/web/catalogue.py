"""Every problem that this API can answer with: the token core's, and the web's and the domain's own.

Takes   nothing
Gives   Problem, frozen; PROBLEMS, one for each code
Raises  nothing
Not     the longer help of each page (problem_help.py)
Source  RFC 9457 §3.1; docs/contracts/tokens.md T25, docs/contracts/user-data.md §4
"""

from dataclasses import dataclass

from app.oauth.reasons import Action, Reason


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table. `retryable`: the same body can succeed once `action` is done."""

    code: str
    status: int
    title: str
    detail: str
    action: Action
    retryable: bool = False
    tells_time: bool = False


_OF_TOKENS = tuple(
    Problem(reason.code, reason.status, reason.title, reason.detail, reason.action, reason.retryable, reason.tells_time)
    for reason in Reason
)

_OTHERS = (
    Problem(
        "field_read_only", 403, "This member is not yours to change",
        "A member of the body belongs to the tenant, the operator or the server: leave it out.", Action.FIX_CLIENT,
    ),
    Problem(
        "account_deletion_scheduled", 403, "The account is about to be deleted",
        "The user has asked for it: until `current.cancel_until` DELETE /v1/me/deletion keeps the account.",
        Action.RESYNC,
    ),
    Problem(
        "quota_exceeded", 403, "There is no room left",
        "The write would pass a limit of this user's storage: delete what is no longer needed, then send it again.",
        Action.FIX_CLIENT,
    ),
    Problem(
        "not_found", 404, "There is nothing here",
        "No resource has this path: GET /v1 lists where everything is.", Action.FIX_CLIENT,
    ),
    Problem(
        "method_not_allowed", 405, "The method is not allowed here",
        "This path does not take this method: the Allow field lists those it takes.", Action.FIX_CLIENT,
    ),
    Problem(
        "request_timeout", 408, "The body did not arrive in time",
        "The connection was too slow or broke off: nothing was changed, send the same request again.",
        Action.RETRY_NOW, retryable=True,
    ),
    Problem(
        "busy", 409, "Another request is at work on this account",
        "Another write of the same user took too long to end: send the request again.", Action.RETRY_NOW,
        retryable=True,
    ),
    Problem(
        "conflict", 409, "It is not as the request takes it to be",
        "What is stored does not allow this: fetch it, and decide again.", Action.RESYNC,
    ),
    Problem(
        "gone", 410, "It has been deleted",
        "There was such a record, and it was deleted: `seq` is the number of the deletion.", Action.RESYNC,
    ),
    Problem(
        "cursor_expired", 410, "The cursor is too old to go on from",
        "Changes since this cursor are no longer all known: ask without a cursor, and replace what the device holds.",
        Action.RESYNC,
    ),
    Problem(
        "account_deleted", 410, "The account has been deleted",
        "Nothing is stored of this user any more: a new account is made by POST /v1/me and by nothing else.",
        Action.FIX_CLIENT,
    ),
    Problem(
        "precondition_failed", 412, "It has changed meanwhile",
        "If-Match does not name the current version: take `current`, apply the change to it and try again.",
        Action.RESYNC,
    ),
    Problem(
        "precondition_required", 428, "Say which version you expect",
        "This collection takes no write without If-Match (or If-None-Match: * for a new record).", Action.FIX_CLIENT,
    ),
    Problem(
        "payload_too_large", 413, "The body is too large",
        "The body is larger than this API takes: GET /v1 tells the limits.", Action.FIX_CLIENT,
    ),
    Problem(
        "unsupported_media_type", 415, "The body has a type this path does not take",
        "Send the body as JSON, with the Content-Type that the documentation of this path names.", Action.FIX_CLIENT,
    ),
    Problem(
        "validation_failed", 422, "The content is not acceptable",
        "The JSON is well formed and its content is not: `errors` points to each member that must change.",
        Action.FIX_CLIENT,
    ),
    Problem(
        "idempotency_key_reused", 422, "The Idempotency-Key belongs to another request",
        "This key was sent before with another method, path or body: make a new key for each new request.",
        Action.FIX_CLIENT,
    ),
    Problem(
        "bad_cursor", 400, "The cursor was never given out",
        "Send the cursor of the last answer as it was: it is opaque. If it is lost, ask without one.", Action.RESYNC,
    ),
    Problem(
        "bad_page_token", 400, "The page token was not given out for this list",
        "Send `next` of the page before, for the same collection, or follow the Link field.", Action.FIX_CLIENT,
    ),
    Problem(
        "malformed_json", 400, "The body is not JSON",
        "The body must be one JSON value in UTF-8, without NaN and not nested too deep.",
        Action.FIX_CLIENT,
    ),
    Problem(
        "bad_request", 400, "The request is malformed",
        "Something in the request is not valid HTTP or not valid for this path.", Action.FIX_CLIENT,
    ),
    Problem(
        "too_many_proofs", 429, "Too many requests with proofs of one key",
        "This key has used as many DPoP proofs in two minutes as are remembered of one key: wait, and make a new one.",
        Action.RETRY_LATER, retryable=True,
    ),
    Problem(
        "rate_limited", 429, "Too many requests",
        "The limit is in the RateLimit-Policy field: wait as long as Retry-After says.", Action.RETRY_LATER,
        retryable=True,
    ),
    Problem(
        "unavailable", 503, "The API cannot answer at the moment",
        "The fault is on this side: try again later, a write with the same Idempotency-Key.", Action.RETRY_LATER,
        retryable=True,
    ),
    Problem(
        "internal_error", 500, "Something broke on this side",
        "The fault is on this side and is logged under request_id: tell it to the operator.", Action.ASK_OPERATOR,
    ),
)  # fmt: skip

PROBLEMS: dict[str, Problem] = {problem.code: problem for problem in (*_OF_TOKENS, *_OTHERS)}
