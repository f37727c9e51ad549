"""Which members may be set, to what, and where each fault points."""

import pytest

from app.users.errors import FieldReadOnly, ValidationFailed
from app.users.validation import (
    EDITABLE,
    MAX_ATTRIBUTES_DEPTH,
    MAX_MEMBERS,
    READ_ONLY,
    TOO_MANY_MEMBERS,
    attributes_fault,
    checked,
    faults_of,
    pointer_to,
    refuse_read_only,
)

GOOD = {
    "name": "Ada", "given_name": None, "family_name": "Lovelace", "nickname": "ada",
    "picture": "https://cdn.example/a.png",
    "locale": "en-GB", "zoneinfo": "Europe/London", "attributes": {"a": [1, 1.5, True, None, "é", {"b": {}}]},
}  # fmt: skip


def faults(document: dict[str, object]) -> dict[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        checked(document, 16_384)
    return {fault["pointer"]: fault["detail"] for fault in caught.value.errors}


def test_checked_when_all_is_well_then_the_document_as_it_is():
    """U12: "PATCH takes `name, given_name, family_name, nickname, picture, locale, zoneinfo, attributes`"."""
    assert checked(GOOD, 16_384) == GOOD
    assert set(GOOD) == set(EDITABLE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""), ("name", "x" * 256), ("name", 1), ("name", ["a"]), ("name", "a\x00"), ("name", "a\x1b[2J"),
        ("name", "\udfff"), ("picture", "javascript:alert(1)"), ("picture", "ftp://h/a"), ("picture", "h/a.png"),
        ("picture", "data:image/png;base64,AA"), ("picture", "https://h/" + "a" * 2048), ("locale", "en GB"),
        ("locale", "e"), ("zoneinfo", "../../etc/passwd"), ("zoneinfo", "Europe/"), ("attributes", None),
        ("attributes", []), ("attributes", "a"), ("attributes", {"a": "\x00"}), ("attributes", {"\x00": 1}),
        ("attributes", {"a": [{"b": "\ud800"}]}), ("attributes", {"a": float("inf")}),
        ("attributes", {"a": -(2**63) - 1}), ("attributes", {"a": "x" * 16_384}),
    ],
)  # fmt: skip
def test_checked_when_a_value_will_not_do_then_its_pointer(name, value):
    assert set(faults({**GOOD, name: value})) == {f"/{name}"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("locale", "de"), ("locale", "zh_Hant_TW"), ("zoneinfo", "UTC"), ("zoneinfo", "America/Argentina/Buenos_Aires"),
     ("zoneinfo", "Etc/GMT+5"), ("picture", "http://localhost:8000/a?b=c"), ("name", "名前"), ("name", "O'Neil 👩‍🚀")],
)  # fmt: skip
def test_checked_when_a_value_is_unusual_and_right_then_taken(name, value):
    assert checked({**GOOD, name: value}, 16_384)[name] == value


def test_checked_when_several_members_are_wrong_then_all_faults_at_once():
    """U7: "plus `errors: [{pointer, detail}]`"."""
    found = faults({**GOOD, "name": 1, "locale": "?", "attributes": [], "favourite/colour": 1, "a~b": None})
    assert set(found) == {"/name", "/locale", "/attributes", "/favourite~1colour", "/a~0b"}


def test_checked_when_a_fault_is_told_then_without_the_value():
    assert "s3cret" not in str(faults({**GOOD, "picture": "s3cret", "zoneinfo": "s3cret!", "attributes": "s3cret"}))


def test_checked_when_a_thousand_members_are_unknown_then_the_list_is_bounded():
    assert len(faults({**GOOD, **{f"m{number}": 1 for number in range(1000)}})) == 50


def test_attributes_when_nested_to_the_limit_then_taken_and_beyond_it_refused():
    """§5: "JSON depth 32"."""
    nested: object = 1
    for _ in range(MAX_ATTRIBUTES_DEPTH - 2):
        nested = [nested]
    assert attributes_fault({"a": nested}, 16_384) is None
    assert attributes_fault({"a": [nested]}, 16_384) is not None


def test_attributes_when_nested_a_million_times_then_refused_and_nothing_breaks():
    nested: list[object] = []
    for _ in range(1_000_000):
        nested = [nested]
    assert attributes_fault({"a": nested}, 16_384) is not None
    while nested:
        nested = nested.pop()  # type: ignore[assignment]  # taken apart here: freeing it whole would recurse


def test_attributes_when_exactly_as_large_as_may_be_then_taken():
    """§5: "preferences and attributes 16 KiB each"."""
    assert attributes_fault({"a": "x" * (16_384 - len('{"a":""}'))}, 16_384) is None
    assert attributes_fault({"a": "x" * (16_385 - len('{"a":""}'))}, 16_384) is not None


@pytest.mark.parametrize("name", sorted(READ_ONLY))
def test_patch_when_it_names_a_server_owned_member_then_read_only_with_its_pointer(name):
    """U12: "A known server-owned member is 403 `field_read_only` with its pointer"."""
    with pytest.raises(FieldReadOnly) as caught:
        refuse_read_only({"name": "Ada", name: None})
    assert caught.value.pointer == f"/{name}"


def test_patch_when_it_names_several_server_owned_members_then_all_of_them():
    with pytest.raises(FieldReadOnly) as caught:
        refuse_read_only({"sub": "x", "name": "Ada", "roles": []})
    assert caught.value.pointers == ("/sub", "/roles")


@pytest.mark.parametrize("document", [None, 1, "a", [], [{"name": "Ada"}]])
def test_patch_when_it_is_no_object_then_the_whole_document_is_pointed_at(document):
    """RFC 7396 §2: a patch that is no object replaces the whole target: a profile cannot be anything else."""
    with pytest.raises(ValidationFailed) as caught:
        refuse_read_only(document)
    assert caught.value.errors == ({"pointer": "", "detail": "Must be an object."},)


def test_patch_when_it_has_too_many_members_then_one_fault_for_the_whole():
    """An error for each of 80 000 unknown names took a third of a second, under the user's lock."""
    crowd = {f"m{number}": 1 for number in range(MAX_MEMBERS)}
    refuse_read_only(crowd)
    with pytest.raises(ValidationFailed) as caught:
        refuse_read_only({**crowd, "one more": 1})
    assert caught.value.errors == ({"pointer": "", "detail": TOO_MANY_MEMBERS},)


def test_pointer_when_a_name_has_both_signs_then_escaped_as_rfc_6901_says():
    """RFC 6901 §3: "~" (%x7E) needs to be encoded as "~0" and "/" (%x2F) needs to be encoded as "~1"."""
    assert pointer_to(["a/b", "m~n", 0, ""]) == "/a~1b/m~0n/0/"
    assert pointer_to([]) == ""


def test_faults_when_marshmallow_nests_them_then_each_has_its_pointer():
    nested = {"a": {"_schema": ["whole"], 0: {"b": "one"}}, "_schema": ["top"]}
    assert [(fault["pointer"], fault["detail"]) for fault in faults_of(nested)] == [
        ("/a", "whole"), ("/a/0/b", "one"), ("", "top"),
    ]  # fmt: skip


def test_pointer_when_a_name_is_too_long_for_it_then_it_ends_above():
    """An answer must not repeat a long name once for each fault below it; both sides of the limit."""
    assert pointer_to(["a", "n" * 1021, "b"]) == "/a/" + "n" * 1021
    assert pointer_to(["a", "n" * 1022, "b"]) == "/a"
