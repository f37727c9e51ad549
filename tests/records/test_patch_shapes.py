"""What a patch costs and how deep it may be: the patch is judged, and not once more what was stored before."""

from typing import Any

import pytest

from app.records import draft, operations
from app.records import terms as terms_of_records
from app.records.errors import ValidationFailed
from app.records.terms import Limits, Terms
from tests.support.records import Store, if_match


def test_patch_when_what_is_stored_is_large_then_the_patch_alone_is_walked(store, monkeypatch):
    """Walked anew for each, a record of 61 KB made a batch of a hundred small patches take 1.7 s under the lock."""
    seen: list[Any] = []
    original = terms_of_records._fault
    monkeypatch.setattr(terms_of_records, "_fault", lambda value, depth: seen.append(value) or original(value, depth))
    store.put("a", {"branches": [[[]]] * 1000})
    store.write(operations.put_preferences({"branches": [[[]]] * 1000}))
    seen.clear()
    store.batch(*(operations.patch("notes", "a", {"x": number}) for number in range(100)))
    store.batch(*(operations.patch_preferences({"x": number}) for number in range(100)))
    assert seen == [{"x": number} for number in range(100)] * 2
    assert store.find("a")["data"] == {"branches": [[[]]] * 1000, "x": 99}


def test_patch_when_nul_is_in_it_or_seems_to_be_then_the_stored_record_is_not_walked(store, monkeypatch):
    """A record that holds the text of an escape would else be searched for U+0000 at each patch."""
    walked: list[Any] = []
    original = terms_of_records._refuse_nul
    monkeypatch.setattr(
        terms_of_records, "_refuse_nul", lambda value, name: walked.append(value) or original(value, name)
    )
    store.put("a", {"text": "\\u0000 \\\\u0000"})
    store.patch("a", {"x": 1})
    with pytest.raises(ValidationFailed) as refused:
        store.patch("a", {"x": "\\\0"})
    assert {fault["pointer"] for fault in refused.value.errors} == {"/data/x"}
    assert walked == [{"x": "\\\0"}]


def test_patch_when_many_follow_each_other_then_parsed_once_and_each_sees_the_one_before(store, monkeypatch):
    """Parsed anew for each of a hundred, a record of 56 KB took 1.3 s under the lock; a refusal leaves it as it was."""
    parsed: list[str] = []
    loads = draft.orjson.loads
    monkeypatch.setattr(draft.orjson, "loads", lambda text: parsed.append(text) or loads(text))
    store.put("a", {"list": [1], "gone": 1})
    parsed.clear()
    results = store.batch(
        operations.patch("notes", "a", {"x": {"n": 1}}),
        operations.patch("notes", "a", {"x": {"n": None, "m": 2}, "gone": None}),
        operations.patch("notes", "a", {"y": 1}, precondition=if_match(1)),
        operations.patch("notes", "a", {"z": "\0"}),
        operations.patch("notes", "a", {"list": [2]}),
    )
    assert parsed == ['{"list":[1],"gone":1}']
    assert [isinstance(result, Exception) for result in results] == [False, False, True, True, False]
    assert store.find("a")["data"] == {"list": [2], "x": {"m": 2}}
    parsed.clear()
    store.batch(
        operations.patch("notes", "a", {"x": 1}), operations.put("notes", "a", {"new": 1}),
        operations.patch("notes", "a", {"x": 2}), operations.delete("notes", "a"),
        operations.put("notes", "a", {"again": 1}), operations.patch("notes", "a", {"x": 3}),
    )  # fmt: skip
    assert parsed == ['{"list":[2],"x":{"m":2}}', '{"new":1}', '{"again":1}']
    assert store.find("a")["data"] == {"again": 1, "x": 3}


def test_patch_when_more_is_patched_than_is_kept_then_the_same(store, monkeypatch):
    monkeypatch.setattr(draft, "_PARSED_BYTES", 20)
    store.batch(*(operations.put("notes", f"r{number}", {"n": number}) for number in range(5)))
    store.batch(*(operations.patch("notes", f"r{number % 5}", {f"x{number}": 1}) for number in range(10)))
    assert store.find("r3")["data"] == {"n": 3, "x3": 1, "x8": 1}


def test_patch_when_the_merged_record_is_as_deep_as_allowed_then_taken_and_a_level_more_is_refused(database):
    """RFC 7396 §2: a patch replaces at its own depth, so what it leads to is no deeper than the deeper of both."""
    store = Store(database, Terms(Limits(json_depth=3)))
    store.put("a", {"x": {"y": {}}})
    assert store.patch("a", {"x": {"y": {"z": 1}}}).current.data == '{"x":{"y":{"z":1}}}'
    assert store.patch("a", {"x": {"y": [1]}}).current.data == '{"x":{"y":[1]}}'
    for patch in ({"x": {"y": [[]]}}, {"x": {"y": {"z": {}}}}, {"x": {"y": {"z": {"w": None}}}}, {"x": float("inf")}):
        with pytest.raises(ValidationFailed) as refused:
            store.patch("a", patch)
        assert {fault["pointer"] for fault in refused.value.errors} == {"/data"}
    assert store.find("a")["data"] == {"x": {"y": [1]}}


def test_patch_when_the_depth_was_lowered_since_then_what_is_stored_stays_and_can_be_patched(database):
    """The limit is on what comes in: a record that was taken must not become unchangeable."""
    Store(database).put("a", {"x": [[[[1]]]]})
    store = Store(database, Terms(Limits(json_depth=2)))
    assert store.patch("a", {"y": [1]}).current.data == '{"x":[[[[1]]]],"y":[1]}'
    with pytest.raises(ValidationFailed):
        store.patch("a", {"z": [[1]]})
    with pytest.raises(ValidationFailed):
        store.put("a", {"x": [[[[1]]]]})
