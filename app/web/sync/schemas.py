"""The shapes of what is synced, for the OpenAPI document; one marshmallow Schema each.

Takes   nothing
Gives   Schema classes
Raises  nothing
Not     the check of what comes in: the domain owns that (app/records/operation_shapes.py, terms.py)
Source  docs/contracts/user-data.md §3
"""

from typing import Any

from marshmallow import Schema, fields, validate

from app.records.names import COLLECTION_PATTERN, ID_PATTERN
from app.web.conditional import TAGS_PATTERN
from app.web.schemas import PROFILE, free, moment, number, tag, text, version

_COLLECTION: dict[str, Any] = {"pattern": f"^{COLLECTION_PATTERN}$", "example": "notes"}
_ID: dict[str, Any] = {"pattern": f"^{ID_PATTERN}$", "example": "0192f0c1-7c3e-7a51-9d6f-3f2a1b0c9d8e"}
_CURSOR_LENGTH, _PAGE_LENGTH, _TAGS_LENGTH = 4096, 256, 1024
_EXAMPLE = {"title": "Milk"}


def _collection(*, required: bool = True) -> Any:
    return text(32, required=required, **_COLLECTION)


def _id(*, required: bool = True) -> Any:
    return text(64, required=required, **_ID)


def _origin() -> Any:
    return text(64, required=False, null=True, description="Device-Id of the last write", example="ios-1")


class RecordBodySchema(Schema):
    """The body of POST, PUT and PATCH of a record."""

    data = free(example=_EXAMPLE)


class RecordSchema(Schema):
    """One version of a record."""

    id = _id()
    collection = _collection()
    data = free(example=_EXAMPLE)
    etag = tag()
    seq = version()
    created_seq = version()
    origin = text(64, null=True, description="Device-Id of the last write", example="ios-1")
    updated_at = moment()


class WrittenRecordSchema(Schema):
    """The record as it is now; whoever may write and not read learns its version, and no more."""

    id = _id(required=False)
    collection = _collection(required=False)
    data = free(required=False, example=_EXAMPLE)
    etag = tag()
    seq = version()
    created_seq = version(required=False)
    origin = _origin()
    updated_at = moment()


class RecordPageSchema(Schema):
    """Some records of a collection."""

    records = fields.List(fields.Nested(RecordSchema), required=True)
    next = text(_PAGE_LENGTH, null=True, description="Token of the next page; null at the end")


class CollectionSchema(Schema):
    """What a collection holds."""

    name = _collection()
    count = number(wide=True)
    bytes = number(wide=True)
    etag = tag()
    seq = version()
    schema_url = text(2048, null=True, description="The schema of its data, where the operator has given it one")


class CollectionsSchema(Schema):
    """The collections that hold records, by name."""

    collections = fields.List(fields.Nested(CollectionSchema), required=True)


class ClearedSchema(Schema):
    """How many records a deletion took, and its last number."""

    deleted = number(wide=True)
    seq = version()


class UsageLimitsSchema(Schema):
    """The quotas."""

    collections = number(wide=True)
    records_per_collection = number(wide=True)
    bytes = number(wide=True)
    record_bytes = number(wide=True)


class UsageSchema(Schema):
    """What is used of the quotas."""

    collections = number(wide=True)
    records = number(wide=True)
    bytes = number(wide=True)
    limits = fields.Nested(UsageLimitsSchema, required=True)


class PreferencesBodySchema(Schema):
    """The body of PUT and PATCH of the preferences."""

    preferences = free(example={"theme": "dark"})


class PreferencesSchema(Schema):
    """The preferences; before the first write empty, with seq 0 and no time."""

    preferences = free(example={"theme": "dark"})
    etag = tag()
    seq = version()
    updated_at = moment(null=True)


class WrittenPreferencesSchema(Schema):
    """The preferences as they are now; whoever may write and not read learns their version, and no more."""

    preferences = free(required=False, example={"theme": "dark"})
    etag = tag()
    seq = version()
    updated_at = moment(null=True)


class ChangeSchema(Schema):
    """One change: `kind` says of what, and which members there are.

    A record has its own members, and no `data` where it is deleted; preferences and profile have theirs.
    """

    class Meta:
        """All members of a profile beside those below."""

        include = PROFILE

    kind = fields.String(required=True, validate=validate.OneOf(["record", "profile", "preferences"]))
    seq = version()
    etag = tag()
    collection = _collection(required=False)
    id = _id(required=False)
    data = free(required=False)
    deleted = fields.Boolean()
    created_seq = version(required=False)
    origin = _origin()
    updated_at = moment(required=False, null=True)
    preferences = free(required=False)


class ChangesSchema(Schema):
    """Some changes, in the order of their seq."""

    changes = fields.List(fields.Nested(ChangeSchema), required=True)
    cursor = text(_CURSOR_LENGTH, pattern="^[A-Za-z0-9_-]+$", description="Where to go on from: opaque")
    has_more = fields.Boolean(required=True, metadata={"description": "Ask again at once"})
    poll_after = number(description="Seconds to wait before asking again")


def _tags(description: str) -> Any:
    return text(_TAGS_LENGTH, required=False, pattern=TAGS_PATTERN, description=description)


class _OperationSchema(Schema):
    """What every operation of a batch may say."""

    if_match = _tags("As the field If-Match")
    if_none_match = _tags("As the field If-None-Match")


class WriteRecordSchema(_OperationSchema):
    """Put a record, or merge into one."""

    op = fields.String(required=True, validate=validate.OneOf(["put", "patch"]))
    kind = fields.String(validate=validate.OneOf(["record"]))
    collection = _collection()
    id = _id()
    data = free(example=_EXAMPLE)


class DeleteRecordSchema(_OperationSchema):
    """Delete a record."""

    op = fields.String(required=True, validate=validate.OneOf(["delete"]))
    kind = fields.String(validate=validate.OneOf(["record"]))
    collection = _collection()
    id = _id()


class WritePreferencesSchema(_OperationSchema):
    """Put the preferences, or merge into them."""

    op = fields.String(required=True, validate=validate.OneOf(["put", "patch"]))
    kind = fields.String(required=True, validate=validate.OneOf(["preferences"]))
    data = free(example={"theme": "dark"})


class PatchProfileSchema(_OperationSchema):
    """Change the profile."""

    op = fields.String(required=True, validate=validate.OneOf(["patch"]))
    kind = fields.String(required=True, validate=validate.OneOf(["profile"]))
    data = free(example={"nickname": "countess"})


OPERATIONS = (WriteRecordSchema, DeleteRecordSchema, WritePreferencesSchema, PatchProfileSchema)


class BatchBodySchema(Schema):
    """Operations, carried out in their order. What an operation is: see document.py, which puts `oneOf` here."""

    atomic = fields.Boolean(metadata={"description": "All of them or none", "default": False})
    operations = fields.List(fields.Dict(), required=True)


class ResultProblemSchema(Schema):
    """Why an operation was refused."""

    code = text(64)
    retryable = fields.Boolean(required=True)
    action = text(64)
    title = text(255)
    detail = text(4096, required=False)
    errors = fields.List(fields.Nested("ErrorItemSchema"), metadata={"maxItems": 50})
    scope = text(1024, required=False)
    seq = version(required=False)
    quota = fields.String(validate=validate.OneOf(["records", "collections", "bytes"]))
    limit = number(required=False, wide=True)


class ResultSchema(Schema):
    """What became of one operation."""

    status = number(minimum=200)
    etag = text(24, required=False)
    seq = version(required=False)
    problem = fields.Nested(ResultProblemSchema)
    current = free(required=False, description="What is stored now, where a precondition failed")


class BatchAnswerSchema(Schema):
    """One result for each operation, in their order."""

    results = fields.List(fields.Nested(ResultSchema), required=True)
