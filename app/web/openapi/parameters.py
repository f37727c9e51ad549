"""Every parameter of this API: what stands in paths, in queries and in request fields.

Takes   nothing
Gives   PARAMETERS, by name; reference(name); component(name)
Raises  nothing
Not     their check: the rooms that read them (sync/query.py, sync/device.py, conditional.py, me.py, writes.py)
Source  OpenAPI 3.0.3 §4.7.12; RFC 9110 §13.1; draft-ietf-httpapi-idempotency-key-header
"""

from collections.abc import Mapping
from typing import Any

from app.records.names import COLLECTION_PATTERN, ID_PATTERN
from app.web.openapi.names import component_name

_ID_EXAMPLE = "0192f0c1-7c3e-7a51-9d6f-3f2a1b0c9d8e"
_MEMBERS = ("sub", "name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo", "email",
            "email_verified", "roles", "app_attributes", "attributes", "etag", "seq", "created_at",
            "updated_at")  # fmt: skip
# A long field of a proxy or of a device that remembers many versions; more is refused.
TAGS_LENGTH = 8192


def _in(place: str, name: str, said: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "in": place, "name": name, "required": place == "path", "description": said, "schema": dict(schema), **more,
    }  # fmt: skip


def _list_of(items: Mapping[str, Any], longest: int) -> dict[str, Any]:
    return {"type": "array", "items": dict(items), "minItems": 1, "maxItems": longest}


_COMMAS = {"style": "form", "explode": False}

PARAMETERS: Mapping[str, dict[str, Any]] = {
    parameter["name"]: parameter
    for parameter in (
        _in(
            "path", "collection", "The name of a collection: the app's own choice.",
            {"type": "string", "pattern": f"^{COLLECTION_PATTERN}$", "minLength": 1, "maxLength": 32},
            example="notes",
        ),
        _in(
            "path", "record_id", "The id of a record: the app's own, or the server's (UUIDv7).",
            {"type": "string", "pattern": f"^{ID_PATTERN}$", "minLength": 1, "maxLength": 64}, example=_ID_EXAMPLE,
        ),
        _in(
            "path", "code", "A problem's code.",
            {"type": "string", "pattern": "^[a-z][a-z_]*$", "minLength": 1, "maxLength": 64}, example="token_expired",
        ),
        _in(
            "query", "fields", "The members to answer with; `email` and `email_verified` also need read:email.",
            _list_of({"type": "string", "enum": list(_MEMBERS)}, len(_MEMBERS)), example=["name", "roles"], **_COMMAS,
        ),
        _in(
            "query", "limit", "How many at most; more than a page holds is cut, not refused.",
            {"type": "integer", "minimum": 1}, example=100,
        ),
        _in(
            "query", "page", "`next` of the page before: opaque.",
            {"type": "string", "format": "page-token", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 256},
        ),
        _in(
            "query", "cursor", "`cursor` of the answer before: opaque. Without it, all that is stored.",
            {"type": "string", "format": "cursor", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 4096},
        ),
        _in(
            "query", "collections", "Changes of these collections alone; always the same ones with a cursor.",
            _list_of({"type": "string", "pattern": f"^{COLLECTION_PATTERN}$", "maxLength": 32}, 64),
            example=["notes", "lists"], **_COMMAS,
        ),
        _in(
            "header", "If-Match",
            "Entity-tags of the versions that are expected, or `*`: with another one, 412. A write with anything "
            "else is 400.",
            {"type": "string", "format": "entity-tags", "maxLength": TAGS_LENGTH}, example="*",
        ),
        _in(
            "header", "If-None-Match",
            "Entity-tags of the versions that the app has: a GET of one of them is 304, a write 412. `*` on a write: "
            "only where there is nothing yet. A write with anything else is 400.",
            {"type": "string", "format": "entity-tags", "maxLength": TAGS_LENGTH}, example='"57"',
        ),
        _in(
            "header", "Idempotency-Key",
            "A new name for each new request: sent again with the same body, the answer is the first one again.",
            {"type": "string", "format": "idempotency-key", "pattern": "^[\\x21-\\x7e]+$", "minLength": 8,
             "maxLength": 255},
            example="8e03978e-40d5-43e8-bc93-6894a57f9324",
        ),
        _in(
            "header", "Device-Id", "The device's own name, kept as `origin` on what it writes.",
            {"type": "string", "pattern": "^[\\x21-\\x7e]+$", "minLength": 1, "maxLength": 64}, example="ios-1",
        ),
    )
}  # fmt: skip


def reference(name: str) -> dict[str, str]:
    """Refer to a parameter from an operation."""
    return {"$ref": f"#/components/parameters/{component_name(name)}"}


def components() -> dict[str, Any]:
    """All of them, as the document's components."""
    return {component_name(name): parameter for name, parameter in PARAMETERS.items()}
