"""The preferences: empty at first, replaced, merged, with a version of their own."""

import orjson
import pytest

from app.records import operations
from app.records.documents import preferences_document
from app.records.errors import PayloadTooLarge, PreconditionFailed, ValidationFailed
from app.records.terms import Limits, Terms
from tests.support.records import ABSENT, EXISTS, Store, if_match


def put(store, value, **more):
    return store.write(operations.put_preferences(value, **more))


def patch(store, value, **more):
    return store.write(operations.patch_preferences(value, **more))


def shown(store):
    return orjson.loads(orjson.dumps(preferences_document(store.preferences())))


def test_preferences_when_never_written_then_empty(store):
    assert shown(store) == {"preferences": {}, "etag": '"0"', "seq": 0, "updated_at": None}
    store.put("a", {})
    assert shown(store)["seq"] == 0


def test_preferences_when_put_and_patched_then_a_version_of_their_own(store):
    """§3: "GET /v1/me/preferences → {…}; PUT and PATCH take {…}"; a record's write leaves their version."""
    assert put(store, {"theme": "dark", "size": {"a": 1, "b": 2}}, origin="ios-1").seq == 1
    assert patch(store, {"theme": None, "size": {"a": 3}}).seq == 2
    store.put("a", {})
    assert shown(store) == {
        "preferences": {"size": {"a": 3, "b": 2}}, "etag": '"2"', "seq": 2, "updated_at": "2026-11-21T12:00:00.123Z",
    }  # fmt: skip
    assert put(store, {}).seq == 4
    assert patch(store, {"new": 1}).seq == 5
    assert shown(store)["preferences"] == {"new": 1}


def test_preferences_when_a_patch_changes_nothing_then_the_version_stays(store):
    put(store, {"x": 1})
    assert patch(store, {"x": 1, "y": None}).seq == 1
    assert store.account().seq == 1
    assert put(store, {"x": 1}).seq == 2


def test_preferences_when_a_version_is_expected_then_only_that_is_written(store):
    """§2: 412; before the first write, they are empty with version 0, and nothing is stored."""
    for precondition in (if_match(0), EXISTS, ABSENT):
        with pytest.raises(ValidationFailed):
            put(store, [], precondition=precondition)
    assert put(store, {"x": 1}, precondition=ABSENT).seq == 1
    for precondition in (ABSENT, if_match(0), if_match(2)):
        for write in (put, patch):
            with pytest.raises(PreconditionFailed) as refused:
                write(store, {"y": 1}, precondition=precondition)
            assert (refused.value.current.seq, refused.value.current.data) == (1, '{"x":1}')
    assert patch(store, {"y": 1}, precondition=if_match(1)).seq == 2
    assert put(store, {"y": 1}, precondition=EXISTS).seq == 3


def test_preferences_when_not_written_yet_then_each_way_of_saying_so_holds(store):
    for precondition in (if_match(0), EXISTS, ABSENT):
        assert patch(store, {}, precondition=precondition).seq == 0
    assert store.account().seq == 0
    with pytest.raises(PreconditionFailed):
        put(store, {}, precondition=if_match(1))


def test_preferences_when_they_are_too_large_or_no_object_then_refused(database):
    """§5: "preferences and attributes 16 KiB each"; §2: "412, 413, 422"."""
    store = Store(database, Terms(Limits(preferences_bytes=100, json_depth=3)))
    put(store, {"x": "y" * 92})
    with pytest.raises(PayloadTooLarge):
        put(store, {"x": "y" * 93})
    with pytest.raises(PayloadTooLarge):
        patch(store, {"z": 1})
    for value in ([], None, "x", {"x": {"y": {"z": {}}}}, {"x": float("nan")}):
        for write in (put, patch):
            with pytest.raises(ValidationFailed) as refused:
                write(store, value)
            assert [fault["pointer"] for fault in refused.value.errors] == ["/preferences"]
    bottomless: dict[str, object] = {}
    for _ in range(300):
        bottomless = {"a": bottomless}
    for write in (put, patch):
        with pytest.raises(ValidationFailed):
            write(store, bottomless)
    assert store.preferences().seq == 1
