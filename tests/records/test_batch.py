"""The batch: each operation for itself, or all or nothing; order, two on one id, profile and preferences."""

import orjson
import pytest

from app.records import operations
from app.records.errors import (
    Conflict,
    Gone,
    NotApplied,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    ValidationFailed,
)
from app.records.operations import Kind, Operation, Verb
from app.records.terms import Limits, Terms
from app.records.writing import Outcome, Written
from app.users.errors import FieldReadOnly
from tests.support.records import ABSENT, Store, if_match
from tests.support.statements import statements_in


def patch_profile(data, precondition=operations.UNCONDITIONAL):
    return Operation(Verb.PATCH, Kind.PROFILE, data=data, precondition=precondition)


def shown(results):
    return [
        (result.outcome.value, result.seq) if isinstance(result, Written) else type(result).__name__
        for result in results
    ]


def test_batch_when_independent_then_each_has_the_result_it_would_have_alone_in_order(store):
    """U15: "independent operations in one transaction, each checked before it writes; nothing acknowledged is rolled
    back … Order is kept".
    """
    store.put("old", {"x": 1})
    store.put("dead", {})
    store.delete("dead")
    results = store.batch(
        operations.put("notes", "new", {"x": 1}, ABSENT, "ios-1"),
        operations.patch("notes", "old", {"y": 2}, if_match(9)),
        operations.patch("notes", "old", {"y": 2}, if_match(1)),
        operations.delete("notes", "none"),
        operations.patch("notes", "dead", {}),
        operations.put("notes", "bad", {"x": float("nan")}),
        operations.put("Notes", "\x00", {}),
        operations.delete("notes", "old"),
        operations.delete("notes", "dead"),
        operations.put("tasks", "t", {}),
    )
    assert shown(results) == [
        ("created", 4), "PreconditionFailed", ("changed", 5), "NotFound", "Gone", "ValidationFailed",
        "ValidationFailed", ("deleted", 6), ("deleted", 3), ("created", 7),
    ]  # fmt: skip
    assert results[1].current.data == '{"x":1}'
    assert store.account().seq == 7
    assert [(change["id"], change["seq"]) for change in store.changes()["changes"]] == [("new", 4), ("t", 7)]
    assert store.find("new")["origin"] == "ios-1"
    store.refuse_wrong_numbers()


def test_batch_when_two_operations_are_on_one_id_then_the_second_sees_the_first(store):
    """U15: "two operations on one id are allowed"."""
    results = store.batch(
        operations.put("notes", "a", {"x": 1}),
        operations.patch("notes", "a", {"y": 2}, if_match(1)),
        operations.put("notes", "a", {}, ABSENT),
        operations.delete("notes", "a", if_match(2)),
        operations.patch("notes", "a", {}),
        operations.put("notes", "a", {"z": 3}, ABSENT),
        operations.put("notes", "b", {}),
        operations.delete("notes", "b"),
    )
    assert shown(results) == [
        ("created", 1), ("changed", 2), "PreconditionFailed", ("deleted", 3), "Gone", ("created", 4), ("created", 5),
        ("deleted", 6),
    ]  # fmt: skip
    assert (store.find("a")["data"], store.find("a")["created_seq"]) == ({"z": 3}, 4)
    with pytest.raises(Gone):
        store.find("b")
    store.refuse_wrong_numbers()


def test_batch_when_atomic_and_all_hold_then_written(store):
    results = store.batch(operations.put("notes", "a", {}), operations.delete("notes", "a"), atomic=True)
    assert shown(results) == [("created", 1), ("deleted", 2)]
    store.refuse_wrong_numbers()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_batch_when_atomic_and_one_is_refused_then_nothing_is_written_and_nothing_acknowledged(store, place):
    """U15: ""atomic": true: all or nothing; refused, it is 409 with per-operation results and no 2xx inside"."""
    store.put("a", {"x": 1})
    wishes = [operations.put("notes", "a", {"x": 2}), operations.put_preferences({"x": 2})]
    wishes.insert(place, operations.delete("notes", "none"))
    with pytest.raises(Conflict) as refused:
        store.batch(*wishes, atomic=True)
    assert [type(result) for result in refused.value.results] == [
        NotFound if number == place else NotApplied for number in range(3)
    ]
    assert (store.find("a")["data"], store.preferences().seq, store.account().seq) == ({"x": 1}, 0, 1)


def test_batch_when_it_holds_profile_and_preferences_then_in_the_same_order_of_numbers(store):
    """§2: "POST /v1/batch | any valid token; each operation its own scope"."""
    results = store.batch(
        operations.put("notes", "a", {}),
        patch_profile({"nickname": "A"}),
        operations.put_preferences({"x": 1}),
        operations.put_preferences({"x": 2}, if_match(99)),
        patch_profile({"nickname": 7}),
        patch_profile({"roles": []}),
        patch_profile({"nickname": "B"}, if_match(1)),
        operations.patch_preferences({"y": 1}, if_match(3)),
        operations.put("notes", "b", {}),
    )
    assert shown(results) == [
        ("created", 1), ("changed", 2), ("changed", 3), "PreconditionFailed", "ValidationFailed", "FieldReadOnly",
        "PreconditionFailed", ("changed", 4), ("created", 5),
    ]  # fmt: skip
    assert isinstance(results[5], FieldReadOnly)
    assert results[6].current.seq == 2
    whole = store.changes(with_profile=True, with_preferences=True)["changes"]
    assert [(change["kind"], change["seq"]) for change in whole] == [
        ("record", 1), ("profile", 2), ("preferences", 4), ("record", 5),
    ]  # fmt: skip
    assert orjson.loads(store.preferences().data) == {"x": 1, "y": 1}
    assert store.account().seq == 5
    store.refuse_wrong_numbers()


def test_batch_when_the_token_may_not_all_then_only_the_rest_is_done(store):
    """§2: "each operation its own scope"; the web says which, by a refusal of its own."""
    refusal = PermissionError("read-only")

    def refusal_of(operation):
        return refusal if operation.kind is Kind.PREFERENCES or operation.collection == "secret" else None

    wishes = (
        operations.put_preferences({}),
        operations.put("notes", "a", {}),
        operations.put("secret", "a", {}),
    )
    results = store.batch(*wishes, refusal_of=refusal_of)
    assert results[0] is results[2] is refusal
    assert (shown(results)[1], store.account().seq, store.collections()) == (
        ("created", 1), 1, {"notes": (1, 2, 1)},
    )  # fmt: skip
    with pytest.raises(Conflict) as refused:
        store.batch(*wishes, refusal_of=refusal_of, atomic=True)
    assert [type(result) for result in refused.value.results] == [PermissionError, NotApplied, PermissionError]


def test_batch_when_nothing_in_it_holds_then_no_number_is_taken(store):
    store.put("a", {})
    assert store.batch() == ()
    assert shown(store.batch(operations.delete("notes", "b"), operations.patch("notes", "a", {}))) == [
        "NotFound", ("changed", 1),
    ]  # fmt: skip
    assert store.account().seq == 1


def test_batch_when_one_is_too_large_then_only_that_is_refused(database):
    store = Store(database, Terms(Limits(record_bytes=20)))
    results = store.batch(
        operations.put("notes", "a", {"x": "y" * 30}),
        operations.put("notes", "b", {"x": "y" * 5}),
        operations.patch("notes", "b", {"z": "y" * 5}),
    )
    assert [type(result) for result in results] == [PayloadTooLarge, Written, PayloadTooLarge]
    assert store.find("b")["data"] == {"x": "yyyyy"}


def test_batch_when_it_is_written_then_with_few_statements(store):
    """A hundred operations under one lock: it must not be held for hundreds of round trips."""
    store.put("warm", {})
    with statements_in(store.database) as captured:
        results = store.batch(*(operations.put("notes", f"r{number}", {"n": number}) for number in range(100)))
    assert all(result.outcome is Outcome.CREATED for result in results)
    assert len(captured) == 6


def test_refusals_when_compared_with_single_writes_then_the_same(store):
    store.put("a", {})
    for wish, expected in [
        (operations.put("notes", "a", {}, ABSENT), PreconditionFailed),
        (operations.put("notes", "a", []), ValidationFailed),
        (operations.delete("notes", "b"), NotFound),
    ]:
        with pytest.raises(expected):
            store.write(wish)
        assert isinstance(store.batch(wish)[0], expected)
