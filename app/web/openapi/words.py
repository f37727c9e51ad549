"""What the document says about each operation beside what its route declares: a description, and examples.

Takes   nothing
Gives   DESCRIPTIONS, EXAMPLES (request, response) by operation, TAGS
Raises  nothing
Not     summaries, codes, parameters: they stand above the routes
Source  docs/contracts/user-data.md §2, §3
"""

from collections.abc import Mapping
from typing import Any

_ID = "0192f0c1-7c3e-7a51-9d6f-3f2a1b0c9d8e"
_NOW = "2026-11-21T12:00:00.000Z"
_RECORD: dict[str, Any] = {
    "id": _ID, "collection": "notes", "data": {"title": "Milk"}, "etag": '"57"', "seq": 57, "created_seq": 57,
    "origin": "ios-1", "updated_at": _NOW,
}  # fmt: skip
_DELETED = {"kind": "record", "id": "0192f0c2", "collection": "notes", "etag": '"58"', "seq": 58, "deleted": True,
            "origin": None, "updated_at": _NOW}  # fmt: skip
_PREFERENCES = {"preferences": {"theme": "dark"}, "etag": '"44"', "seq": 44, "updated_at": _NOW}
_PROFILE = {
    "sub": "auth0|abc", "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "nickname": None,
    "picture": None, "locale": "en-GB", "zoneinfo": "Europe/London", "email": "ada@example.org",
    "email_verified": True, "roles": ["editor"], "app_attributes": {"plan": "pro"},
    "attributes": {"favourite_colour": "green"}, "etag": '"42"', "seq": 42, "created_at": _NOW, "updated_at": _NOW,
}  # fmt: skip
_SCHEDULED = {"state": "scheduled", "requested_at": _NOW, "purge_at": "2026-12-05T12:00:00.000Z",
              "cancel_until": "2026-12-05T12:00:00.000Z"}  # fmt: skip
_OPERATIONS = [
    {"op": "put", "collection": "notes", "id": "0192f0c1", "if_none_match": "*", "data": {"title": "Milk"}},
    {"op": "patch", "kind": "preferences", "data": {"theme": "dark"}},
]

TAGS: Mapping[str, str] = {
    "index": "What this API is",
    "whoami": "What the API understood of the token",
    "me": "The user's own profile",
    "preferences": "One JSON object of the user's own",
    "overview": "What is stored, and how much",
    "records": "What apps store for their user",
    "changes": "What is new since a cursor",
    "batch": "Many writes in one request",
    "export": "All that is stored of the user",
    "deletion": "The end of the account",
    "metadata": "For apps that find their way by themselves",
    "problem_pages": "What each problem means",
    "health": "For the balancer",
}

DESCRIPTIONS: Mapping[str, str] = {
    "getIndex": "The first thing to ask: what is allowed here, and where everything is.",
    "getOpenApi": "OpenAPI 3.0.3, for people and for generators of clients.",
    "whoAmI": "Shows the token as this API reads it: the first thing to try when something is refused.",
    "getMe": "The account is made at first use, from the token's claims and the tenant's /userinfo. The e-mail "
    "members are there with read:email alone; to ask for them by name without it is 403.",
    "patchMe": "A merge patch: what is named becomes the user's, and the tenant no longer changes it; null clears. "
    "A member of the tenant, the operator or the server is 403 `field_read_only`.",
    "createMe": "The only way to an account after the old one was erased; 409 where there is one.",
    "requestDeletion": "Until `cancel_until` the account can be kept; then everything is erased. Asked again, the "
    "answer is the same. The operator may demand a recent login: 401 `step_up_required`.",
    "getDeletion": "`active`, with null times, where nothing is scheduled.",
    "cancelDeletion": "The account is kept, and its data can be reached again.",
    "getPreferences": "Before the first write they are empty, and their seq is 0.",
    "putPreferences": "Whatever was there is replaced by what is sent.",
    "patchPreferences": "Members that are named change, null removes them, the others stay.",
    "listCollections": "A collection is there while it holds a record. `schema_url` leads to the schema of its data, "
    "where the operator has given it one.",
    "deleteCollection": "Every record of it becomes a tombstone, which other devices learn of by the changes.",
    "getUsage": "Living records and their bytes, beside the limits.",
    "listRecords": "In the order of their ids. `next`, and the field Link, lead to the next page. A device that keeps "
    "a copy asks for changes instead: there it is told of deletions too.",
    "createRecord": "The server gives the id, a UUIDv7. A device that is offline makes ids itself, and uses PUT.",
    "getRecord": "410 `gone`, with the `seq` of the deletion, for a record that was deleted.",
    "putRecord": "201 where there was none, also in the place of a deleted one; 200 where it is replaced. "
    "`If-None-Match: *` makes and never replaces.",
    "patchRecord": "Members of `data` that are named change, null removes them, the others stay. A patch that changes "
    "nothing makes no new version.",
    "deleteRecord": "Leaves a tombstone. Sent again, it is 204 again.",
    "getChanges": "Each record once, in its last version, in the order of `seq`. Keep `cursor` and send it the next "
    "time; with If-None-Match, 304 where nothing is new. 410 `cursor_expired`: ask without a cursor, and replace what "
    "the device holds. Profile and preferences stand among the changes for tokens that may read them.",
    "postBatch": "Each operation needs its own scope, and has its own result, in the same order. Without `atomic` "
    "they are independent; with it, one refusal is 409 and nothing is written.",
    "exportAccount": "NDJSON: a header, a line for each thing that is stored, and a footer with their number and hash.",
    "livez": "Depends on nothing but the process.",
    "readyz": "503 with the same shape where a check is not well.",
    "getProtectedResourceMetadata": "Which tenant issues tokens for this API, and which scopes there are.",
    "listProblems": "A page for people, or JSON.",
    "getProblem": "Where a problem's `type` leads: a page for people, or JSON.",
}

# By operation: what may be sent, and what may come back.
EXAMPLES: Mapping[str, tuple[Any, Any]] = {
    "whoAmI": (
        None,
        {"sub": "auth0|abc", "kind": "user", "issuer": "https://example.eu.auth0.com/", "client_id": "postern-native",
         "audience": ["https://api.example.com"], "org_id": None, "scopes": ["read:profile"], "permissions": [],
         "issued_at": 1795262400, "expires_at": 1795348800, "expires_in": 86400, "auth_time": None, "acr": None,
         "amr": [], "server_time": 1795262400},
    ),
    "getMe": (None, _PROFILE),
    "patchMe": ({"nickname": "countess", "attributes": {"favourite_colour": None}}, _PROFILE),
    "createMe": ({}, _PROFILE),
    "requestDeletion": ({"confirm": "delete my account"}, _SCHEDULED),
    "getDeletion": (None, _SCHEDULED),
    "getPreferences": (None, _PREFERENCES),
    "putPreferences": ({"preferences": {"theme": "dark"}}, _PREFERENCES),
    "patchPreferences": ({"preferences": {"theme": "dark", "old": None}}, _PREFERENCES),
    "listCollections": (
        None,
        {"collections": [{"name": "notes", "count": 3, "bytes": 120, "etag": '"57"', "seq": 57, "schema_url": None}]},
    ),
    "deleteCollection": (None, {"deleted": 3, "seq": 60}),
    "getUsage": (
        None,
        {"collections": 1, "records": 3, "bytes": 120,
         "limits": {"collections": 64, "records_per_collection": 10000, "bytes": 52428800, "record_bytes": 65536}},
    ),
    "listRecords": (None, {"records": [_RECORD], "next": None}),
    "createRecord": ({"data": {"title": "Milk"}}, _RECORD),
    "getRecord": (None, _RECORD),
    "putRecord": ({"data": {"title": "Milk"}}, _RECORD),
    "patchRecord": ({"data": {"title": "Oat milk", "old": None}}, _RECORD),
    "getChanges": (
        None,
        {"changes": [{"kind": "record", **_RECORD}, _DELETED], "cursor": "djF8MWYyZTNkNGN8NTh8MA", "has_more": False,
         "poll_after": 30},
    ),
    "postBatch": (
        {"atomic": False, "operations": _OPERATIONS},
        {"results": [{"status": 201, "etag": '"60"', "seq": 60}, {"status": 200, "etag": '"61"', "seq": 61}]},
    ),
    "livez": (None, {"status": "alive"}),
    "readyz": (None, {"status": "ready", "checks": {"database": {"ok": True}}}),
}  # fmt: skip
