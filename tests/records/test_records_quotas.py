"""Quotas: the last that fits is taken, the next is refused, and what makes room is always welcome."""

import pytest

from app.records import operations
from app.records.errors import QuotaExceeded
from app.records.terms import Limits, Terms
from tests.support.records import BOB, Store


def refusal(write) -> tuple[str, int]:
    with pytest.raises(QuotaExceeded) as refused:
        write()
    return refused.value.quota, refused.value.limit


def test_put_when_the_collection_is_full_then_refused_until_one_is_deleted(database):
    """§5: "10 000 live records each"; §2: "403 `quota_exceeded`"."""
    store = Store(database, Terms(Limits(records_per_collection=2)))
    store.put("a", {})
    store.put("b", {})
    for write in (lambda: store.put("c", {}), lambda: store.create({})):
        assert refusal(write) == ("records", 2)
    store.put("a", {"larger": True})
    store.put("c", {}, "tasks")
    store.delete("a")
    store.put("c", {})
    assert refusal(lambda: store.put("a", {})) == ("records", 2)
    store.refuse_wrong_numbers()


def test_put_when_there_are_as_many_collections_as_allowed_then_no_further_one(database):
    """§5: "64 collections"; a collection counts while it holds a living record."""
    store = Store(database, Terms(Limits(collections=2)))
    store.put("a", {}, "one")
    store.put("a", {}, "two")
    assert refusal(lambda: store.put("a", {}, "three")) == ("collections", 2)
    store.put("b", {}, "two")
    store.delete("a", "one")
    store.put("a", {}, "three")
    assert refusal(lambda: store.put("a", {}, "one")) == ("collections", 2)
    store.clear("two")
    store.put("a", {}, "one")
    Store(database, store.terms, BOB).put("a", {}, "four")
    store.refuse_wrong_numbers()


def test_put_when_the_bytes_are_used_up_then_only_what_makes_it_smaller(database):
    """§5: "50 MiB a user", over all collections, tombstones not counted."""
    store = Store(database, Terms(Limits(bytes_per_user=30)))
    store.put("a", {"x": "1234567"})
    store.put("b", {"x": "123"}, "tasks")
    assert store.usage().stored_bytes == 26
    assert refusal(lambda: store.put("c", {"x": 1})) == ("bytes", 30)
    assert refusal(lambda: store.patch("a", {"x": "123456789012"})) == ("bytes", 30)
    store.put("c", {})
    assert store.usage().stored_bytes == 28
    store.patch("b", {"x": "12345"}, "tasks")
    assert refusal(lambda: store.put("b", {"x": "123456"}, "tasks")) == ("bytes", 30)
    store.terms = Terms(Limits(bytes_per_user=10))
    store.put("a", {"x": "123456"})
    assert refusal(lambda: store.put("a", {"x": "1234567"})) == ("bytes", 10)
    store.put("a", {"x": "abcdef"})
    store.delete("b", "tasks")
    store.refuse_wrong_numbers()


def test_batch_when_the_quota_is_reached_within_it_then_the_next_is_refused_and_a_deletion_makes_room(database):
    store = Store(database, Terms(Limits(records_per_collection=2, collections=1)))
    results = store.batch(
        operations.put("notes", "a", {}),
        operations.put("notes", "b", {}),
        operations.put("notes", "c", {}),
        operations.put("tasks", "a", {}),
        operations.delete("notes", "a"),
        operations.put("notes", "c", {}),
        operations.delete("notes", "b"),
        operations.delete("notes", "c"),
        operations.put("tasks", "a", {}),
    )
    refused = [number for number, result in enumerate(results) if isinstance(result, QuotaExceeded)]
    assert refused == [2, 3]
    assert [results[number].quota for number in refused] == ["records", "collections"]
    assert store.collections() == {"tasks": (1, 2, 7)}
    store.refuse_wrong_numbers()
