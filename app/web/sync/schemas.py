"""The shapes of what is synced, for the OpenAPI document; one marshmallow Schema each.

Takes   nothing
Gives   Schema classes
Raises  nothing
Not     the check of what comes in: the domain owns that (app/records/operation_shapes.py, terms.py)
Source  docs/contracts/user-data.md §3
"""

from marshmallow import Schema, fields, validate

from app.records.names import COLLECTION_PATTERN, ID_PATTERN

_SEQ = {"format": "int64", "description": "Number of this version: unique and increasing for each user"}
_ETAG = {"description": "Strong entity-tag of this version", "example": '"57"'}
_TIME = {"description": "RFC 3339, UTC, milliseconds", "format": "date-time", "example": "2026-11-21T12:00:00.000Z"}


class RecordBodySchema(Schema):
    """The body of POST, PUT and PATCH of a record."""

    data = fields.Dict(required=True, metadata={"example": {"title": "Milk"}})


class RecordSchema(Schema):
    """One version of a record."""

    id = fields.String(required=True, validate=validate.Regexp(rf"^{ID_PATTERN}$"))
    collection = fields.String(required=True, validate=validate.Regexp(rf"^{COLLECTION_PATTERN}$"))
    data = fields.Dict(required=True)
    etag = fields.String(required=True, metadata=_ETAG)
    seq = fields.Integer(required=True, metadata=_SEQ)
    created_seq = fields.Integer(required=True, metadata=_SEQ)
    origin = fields.String(required=True, allow_none=True, metadata={"description": "Device-Id of the last write"})
    updated_at = fields.String(required=True, metadata=_TIME)


class RecordPageSchema(Schema):
    """Some records of a collection."""

    records = fields.List(fields.Nested(RecordSchema), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "Token of the next page"})


class CollectionSchema(Schema):
    """What a collection holds."""

    name = fields.String(required=True, validate=validate.Regexp(rf"^{COLLECTION_PATTERN}$"))
    count = fields.Integer(required=True)
    bytes = fields.Integer(required=True, metadata={"format": "int64"})
    etag = fields.String(required=True, metadata=_ETAG)
    seq = fields.Integer(required=True, metadata=_SEQ)
    schema_url = fields.String(required=True, allow_none=True)


class CollectionsSchema(Schema):
    """All collections that hold records, by name."""

    collections = fields.List(fields.Nested(CollectionSchema), required=True)


class ClearedSchema(Schema):
    """How many records a deletion took, and its last number."""

    deleted = fields.Integer(required=True)
    seq = fields.Integer(required=True, metadata=_SEQ)


class UsageLimitsSchema(Schema):
    """The quotas."""

    collections = fields.Integer(required=True)
    records_per_collection = fields.Integer(required=True)
    bytes = fields.Integer(required=True, metadata={"format": "int64"})
    record_bytes = fields.Integer(required=True)


class UsageSchema(Schema):
    """What is used of the quotas."""

    collections = fields.Integer(required=True)
    records = fields.Integer(required=True)
    bytes = fields.Integer(required=True, metadata={"format": "int64"})
    limits = fields.Nested(UsageLimitsSchema, required=True)


class PreferencesBodySchema(Schema):
    """The body of PUT and PATCH of the preferences."""

    preferences = fields.Dict(required=True, metadata={"example": {"theme": "dark"}})


class PreferencesSchema(Schema):
    """The preferences; before the first write empty, with seq 0 and no time."""

    preferences = fields.Dict(required=True)
    etag = fields.String(required=True, metadata=_ETAG)
    seq = fields.Integer(required=True, metadata=_SEQ)
    updated_at = fields.String(required=True, allow_none=True, metadata=_TIME)


class ChangeSchema(Schema):
    """One change. A record has collection and id; a deleted one has no data."""

    kind = fields.String(required=True, validate=validate.OneOf(["record", "profile", "preferences"]))
    seq = fields.Integer(required=True, metadata=_SEQ)
    etag = fields.String(required=True, metadata=_ETAG)
    collection = fields.String()
    id = fields.String()
    data = fields.Dict()
    deleted = fields.Boolean()
    origin = fields.String(allow_none=True)
    updated_at = fields.String(allow_none=True, metadata=_TIME)


class ChangesSchema(Schema):
    """Some changes, in the order of their seq."""

    changes = fields.List(fields.Nested(ChangeSchema), required=True)
    cursor = fields.String(required=True)
    has_more = fields.Boolean(required=True)
    poll_after = fields.Integer(required=True, metadata={"description": "Seconds"})


class OperationSchema(Schema):
    """One operation of a batch."""

    op = fields.String(required=True, validate=validate.OneOf(["put", "patch", "delete"]))
    kind = fields.String(validate=validate.OneOf(["record", "preferences", "profile"]))
    collection = fields.String(validate=validate.Regexp(rf"^{COLLECTION_PATTERN}$"))
    id = fields.String(validate=validate.Regexp(rf"^{ID_PATTERN}$"))
    data = fields.Dict()
    if_match = fields.String(metadata=_ETAG)
    if_none_match = fields.String()


class BatchBodySchema(Schema):
    """Operations, carried out in their order."""

    atomic = fields.Boolean()
    operations = fields.List(fields.Nested(OperationSchema), required=True)


class ResultProblemSchema(Schema):
    """Why an operation was refused."""

    code = fields.String(required=True)
    retryable = fields.Boolean(required=True)
    action = fields.String(required=True)
    title = fields.String(required=True)
    detail = fields.String(required=True)


class ResultSchema(Schema):
    """What became of one operation."""

    status = fields.Integer(required=True)
    etag = fields.String(metadata=_ETAG)
    seq = fields.Integer(metadata=_SEQ)
    problem = fields.Nested(ResultProblemSchema)
    current = fields.Dict()


class BatchAnswerSchema(Schema):
    """One result for each operation, in their order."""

    results = fields.List(fields.Nested(ResultSchema), required=True)
