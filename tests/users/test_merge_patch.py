"""RFC 7396, by its own examples."""

import pytest

from app.users.merge_patch import MAX_DEPTH, MergeTooDeep, merge

# RFC 7396, Appendix A: original, patch, result; in its order.
VECTORS = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), VECTORS)
def test_merge_when_given_a_vector_of_appendix_a_then_its_result(original, patch, result):
    """RFC 7396 Appendix A, "Example Test Cases"."""
    assert len(VECTORS) == 15
    assert merge(original, patch) == result


def test_merge_when_it_ends_then_neither_argument_is_changed():
    original, patch = {"a": {"b": 1, "c": [1]}}, {"a": {"b": None, "d": {"e": None, "f": 1}}}
    assert merge(original, patch) == {"a": {"c": [1], "d": {"f": 1}}}
    assert original == {"a": {"b": 1, "c": [1]}}
    assert patch == {"a": {"b": None, "d": {"e": None, "f": 1}}}


def test_merge_when_the_patch_is_nested_too_deep_then_refused():
    deepest: dict[str, object] = {}
    for _ in range(MAX_DEPTH - 1):
        deepest = {"a": deepest}
    assert merge({}, deepest) == deepest
    with pytest.raises(MergeTooDeep):
        merge({}, {"a": deepest})
