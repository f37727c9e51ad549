"""Bodies and batches as JSON: the shape alone is judged, every fault by its pointer."""

import pytest

from app.records.errors import BadFilter, PayloadTooLarge, ValidationFailed
from app.records.names import collections_in
from app.records.operation_shapes import Batch, batch_in, data_in, preferences_in
from app.records.operations import Kind, Operation, Verb
from app.records.preconditions import Precondition, Versions
from app.users.validation import MAX_MEMBERS, TOO_MANY_MEMBERS
from tests.support.records import ABSENT


def read_tags(text: str) -> Versions:
    return Versions(is_any=True) if text == "*" else Versions(frozenset({int(text.strip('"'))}))


def refused_tags(text: str) -> Versions:
    raise ValueError(f"{text}: no tags")


def batch(document, limit=100):
    return batch_in(document, limit, read_tags, "ios-1")


def pointers(document) -> set[str]:
    with pytest.raises(ValidationFailed) as refused:
        batch(document)
    return {fault["pointer"] for fault in refused.value.errors}


def test_batch_when_it_is_the_contracts_then_read():
    """§3: "POST /v1/batch {"atomic":false,"operations":[…]}"."""
    document = {
        "atomic": False,
        "operations": [
            {"op": "put", "collection": "notes", "id": "a", "if_none_match": "*", "data": {"x": 1}},
            {"op": "patch", "collection": "notes", "id": "a", "if_match": '"57"', "data": {"title": "x"}},
            {"op": "delete", "collection": "notes", "id": "a"},
            {"op": "patch", "kind": "preferences", "data": None},
            {"op": "patch", "kind": "profile", "data": {}, "if_match": "*"},
        ],
    }
    exists = Precondition(if_match=Versions(is_any=True))
    assert batch(document) == Batch(
        (
            Operation(Verb.PUT, Kind.RECORD, "notes", "a", {"x": 1}, ABSENT, "ios-1"),
            Operation(
                Verb.PATCH, Kind.RECORD, "notes", "a", {"title": "x"}, Precondition(Versions(frozenset({57}))), "ios-1"
            ),
            Operation(Verb.DELETE, Kind.RECORD, "notes", "a", None, Precondition(), "ios-1"),
            Operation(Verb.PATCH, Kind.PREFERENCES, data=None, origin="ios-1"),
            Operation(Verb.PATCH, Kind.PROFILE, data={}, precondition=exists, origin="ios-1"),
        )
    )
    assert batch({"operations": [], "atomic": True}) == Batch((), atomic=True)


PUT = {"op": "put", "collection": "notes", "id": "a", "data": {}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, {""}),
        ([], {""}),
        ({}, {"/operations"}),
        ({"operations": None}, {"/operations"}),
        ({"operations": {}}, {"/operations"}),
        ({"operations": [], "atomic": 1}, {"/atomic"}),
        ({"operations": [], "atomic": "true"}, {"/atomic"}),
        ({"operations": [], "more": 1}, {"/more"}),
        ({"operations": [PUT, 1, None]}, {"/operations/1", "/operations/2"}),
        ({"operations": [{}]}, {"/operations/0/op"}),
        ({"operations": [{**PUT, "op": "create"}]}, {"/operations/0/op"}),
        ({"operations": [{**PUT, "kind": "account"}]}, {"/operations/0/kind"}),
        ({"operations": [{**PUT, "more": 1}]}, {"/operations/0/more"}),
        ({"operations": [{"op": "put"}]}, {f"/operations/0/{name}" for name in ("collection", "id", "data")}),
        ({"operations": [{**PUT, "op": "delete"}]}, {"/operations/0/data"}),
        ({"operations": [{**PUT, "collection": "No", "id": "a b"}]}, {"/operations/0/collection", "/operations/0/id"}),
        ({"operations": [{**PUT, "collection": "notes\n", "id": 7}]}, {"/operations/0/collection", "/operations/0/id"}),
        ({"operations": [{**PUT, "if_match": 57, "if_none_match": None}]},
         {"/operations/0/if_match", "/operations/0/if_none_match"}),
        ({"operations": [{**PUT, "if_match": '"1",' * 300}]}, {"/operations/0/if_match"}),
        ({"operations": [PUT, {"op": "delete", "kind": "preferences"}]}, {"/operations/1/op"}),
        ({"operations": [{"op": "put", "kind": "profile", "data": {}}]}, {"/operations/0/op"}),
        ({"operations": [{**PUT, "kind": "preferences"}]}, {"/operations/0/collection", "/operations/0/id"}),
        ({"operations": [{"op": "patch", "kind": "profile"}]}, {"/operations/0/data"}),
    ],
)  # fmt: skip
def test_batch_when_its_shape_is_wrong_then_every_fault_by_its_pointer(document, expected):
    """§2: "422 (shape only)"."""
    assert pointers(document) == expected


def test_batch_when_it_is_as_long_as_allowed_then_read_and_one_more_is_too_many():
    """§5: "batch 2 MiB or 100 operations"."""
    assert len(batch({"operations": [PUT] * 100}).operations) == 100
    with pytest.raises(PayloadTooLarge) as refused:
        batch({"operations": [PUT] * 101})
    assert (refused.value.limit, refused.value.unit) == (100, "operations")
    assert len(pointers({"operations": [{}] * 100})) == 50


@pytest.mark.parametrize(("read", "name"), [(data_in, "data"), (preferences_in, "preferences")])
def test_body_when_read_then_the_member_and_nothing_beside_it(read, name):
    """§3: "POST, PUT, PATCH …/records[/{id}] take {"data":{…}}"."""
    assert read({name: {"x": None}}) == {"x": None}
    assert read({name: None}) is None
    for document, pointer in [({}, f"/{name}"), ({name: {}, "id": "a"}, "/id"), ([], ""), (None, ""), ("x", "")]:
        with pytest.raises(ValidationFailed) as refused:
            read(document)
        assert [fault["pointer"] for fault in refused.value.errors] == [pointer]


@pytest.mark.parametrize("read", [data_in, preferences_in, batch])
def test_body_when_it_has_too_many_members_then_one_fault_and_not_one_for_each(read):
    """An error for each of 80 000 unknown names took a third of a second. Both sides of the limit."""
    for members, faults in ((MAX_MEMBERS, 50), (MAX_MEMBERS + 1, 1)):
        with pytest.raises(ValidationFailed) as refused:
            read({f"m{number}": 1 for number in range(members)})
        assert len(refused.value.errors) == faults
    assert refused.value.errors == ({"pointer": "", "detail": TOO_MANY_MEMBERS},)


def test_batch_when_an_operation_has_too_many_members_then_one_fault_at_its_place():
    crowd = {f"m{number}": 1 for number in range(MAX_MEMBERS + 1)}
    assert pointers({"operations": [PUT, crowd]}) == {"/operations/1"}
    assert len(pointers({"operations": [PUT, dict(list(crowd.items())[1:])]})) == 50


def test_batch_when_there_are_as_many_faults_as_are_told_then_no_further_operation_is_looked_at():
    """A hundred operations with a hundred unknown names each would else be ten thousand errors."""

    class Untouchable(dict[str, int]):
        def __len__(self) -> int:
            raise AssertionError

    crowd = {f"m{number}": 1 for number in range(MAX_MEMBERS)}
    assert len(pointers({"operations": [crowd, Untouchable(a=1)]})) == 50


def test_filter_when_read_then_names_and_nothing_else():
    assert collections_in("notes", 64) == {"notes"}
    assert collections_in("b, a,b", 64) == {"a", "b"}
    assert len(collections_in(",".join(f"c{number}" for number in range(64)), 64)) == 64
    for text in ("", ",", "a,", "A", "a\x00", "a b", ",".join(f"c{number}" for number in range(65)), "a" * 33):
        with pytest.raises(BadFilter):
            collections_in(text, 64)


def test_operation_when_its_tags_are_none_then_each_is_pointed_at_and_nothing_is_read():
    """U4: a condition that cannot be read is no condition that holds."""
    wish = {"op": "put", "collection": "notes", "id": "a", "data": {}}
    document = {"operations": [wish, {**wish, "if_match": "x", "if_none_match": "y"}, {**wish, "if_none_match": "z"}]}
    with pytest.raises(ValidationFailed) as refused:
        batch_in(document, 100, refused_tags)
    assert [(fault["pointer"], fault["detail"]) for fault in refused.value.errors] == [
        ("/operations/1/if_match", "x: no tags"),
        ("/operations/1/if_none_match", "y: no tags"),
        ("/operations/2/if_none_match", "z: no tags"),
    ]
