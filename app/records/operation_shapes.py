"""Read what a body wishes: {"data": …}, {"preferences": …}, and the operations of a batch.

Takes   JSON values as they were parsed;  a reader of entity-tags, which the web has: ValueError where there are none
Gives   the value in the body; Batch, frozen
Raises  ValidationFailed: the shape alone, every fault by its pointer;  PayloadTooLarge: too many operations
Not     the bytes (app/web/json_body.py), whether the values may be stored (terms.py)
Source  docs/contracts/user-data.md §3, U7, U15; RFC 6901
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from app.records.errors import Fault, PayloadTooLarge, ValidationFailed
from app.records.names import COLLECTION_PATTERN, ID_PATTERN
from app.records.operations import Kind, Operation, Verb
from app.records.preconditions import Precondition, Versions
from app.users.validation import TOO_MANY_MEMBERS, faults_of, has_too_many_members

_MAX_FAULTS = 50
_MAX_TAGS_LENGTH = 1024
_VERBS: Mapping[Kind, tuple[Verb, ...]] = {
    Kind.RECORD: (Verb.PUT, Verb.PATCH, Verb.DELETE),
    Kind.PREFERENCES: (Verb.PUT, Verb.PATCH),
    Kind.PROFILE: (Verb.PATCH,),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """The operations in their order; `atomic`: all of them or none."""

    operations: tuple[Operation, ...]
    atomic: bool = False


class _Flag(fields.Boolean):
    """True or false, and no word for it."""

    def _deserialize(self, value: Any, *_context: Any, **_more: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class OperationSchema(Schema):
    """One operation of a batch. `kind` is record where it is not said."""

    op = fields.String(required=True, validate=validate.OneOf([Verb.PUT, Verb.PATCH, Verb.DELETE]))
    kind = fields.String(load_default=Kind.RECORD, validate=validate.OneOf(list(Kind)))
    collection = fields.String(validate=validate.Regexp(rf"\A{COLLECTION_PATTERN}\Z", error="Must be a name."))
    id = fields.String(validate=validate.Regexp(rf"\A{ID_PATTERN}\Z", error="Must be an id."))
    data = fields.Raw(allow_none=True)
    if_match = fields.String(validate=validate.Length(max=_MAX_TAGS_LENGTH))
    if_none_match = fields.String(validate=validate.Length(max=_MAX_TAGS_LENGTH))

    @validates_schema
    def _agree(self, data: Mapping[str, Any], **_more: Any) -> None:
        """Refuse members that the operation has no use for, and miss those that it needs."""
        kind = Kind(data["kind"])
        if data["op"] not in _VERBS[kind]:
            raise ValidationError(f"Must be one of: {', '.join(_VERBS[kind])}.", "op")
        needed = {"collection", "id"} if kind is Kind.RECORD else set()
        unwanted = {"collection", "id"} - needed
        (unwanted if data["op"] == Verb.DELETE else needed).add("data")
        faults = {name: ["Missing data for required field."] for name in needed.difference(data)}
        faults |= {name: ["Has no place in this operation."] for name in unwanted.intersection(data)}
        if faults:
            raise ValidationError(faults)


class BatchSchema(Schema):
    """A batch. Its operations are read one by one, so that a long list costs no more than its limit."""

    atomic = _Flag(load_default=False)
    operations = fields.List(fields.Raw(allow_none=True), required=True)


class RecordBodySchema(Schema):
    """The body of POST, PUT and PATCH of a record."""

    data = fields.Raw(required=True, allow_none=True)


class PreferencesBodySchema(Schema):
    """The body of PUT and PATCH of the preferences."""

    preferences = fields.Raw(required=True, allow_none=True)


_BATCH, _OPERATION = BatchSchema(unknown=RAISE), OperationSchema(unknown=RAISE)
_RECORD_BODY, _PREFERENCES_BODY = RecordBodySchema(unknown=RAISE), PreferencesBodySchema(unknown=RAISE)


def data_in(document: Any) -> Any:
    """Return a record's data, or what is to be merged into them."""
    return _loaded(_RECORD_BODY, document)["data"]


def preferences_in(document: Any) -> Any:
    """The same for the preferences."""
    return _loaded(_PREFERENCES_BODY, document)["preferences"]


def batch_in(
    document: Any, max_operations: int, read_tags: Callable[[str], Versions], origin: str | None = None
) -> Batch:
    """Read a batch; one fault of shape, and none of its operations is carried out."""
    outer = _loaded(_BATCH, document)
    if len(outer["operations"]) > max_operations:
        raise PayloadTooLarge(max_operations, "operations")
    loaded: list[Operation] = []
    faults: list[Fault] = []
    for number, item in enumerate(outer["operations"]):
        try:
            loaded.append(_operation(_load(_OPERATION, item), read_tags, origin))
        except ValidationError as error:
            faults.extend(faults_of(error.messages, ("operations", number)))
        if len(faults) >= _MAX_FAULTS:
            break
    if faults:
        raise ValidationFailed(faults[:_MAX_FAULTS])
    return Batch(tuple(loaded), outer["atomic"])


def _loaded(schema: Schema, document: Any) -> dict[str, Any]:
    try:
        return _load(schema, document)
    except ValidationError as error:
        raise ValidationFailed(list(faults_of(error.messages))[:_MAX_FAULTS]) from None


def _load(schema: Schema, document: Any) -> dict[str, Any]:
    if has_too_many_members(document):
        raise ValidationError(TOO_MANY_MEMBERS)
    loaded: dict[str, Any] = schema.load(document)
    return loaded


def _operation(item: Mapping[str, Any], read_tags: Callable[[str], Versions], origin: str | None) -> Operation:
    found: dict[str, Versions] = {}
    faults: dict[str, list[str]] = {}
    for name in ("if_match", "if_none_match"):
        try:
            found |= {name: read_tags(item[name])} if name in item else {}
        except ValueError as fault:
            faults[name] = [str(fault)]
    if faults:
        raise ValidationError(faults)
    precondition = Precondition(**found)
    names = item.get("collection", ""), item.get("id", "")
    return Operation(Verb(item["op"]), Kind(item["kind"]), *names, item.get("data"), precondition, origin)
