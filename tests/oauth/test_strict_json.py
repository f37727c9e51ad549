"""JSON as a token may hold it."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.strict_json import _DECODER, MAX_BYTES, MAX_DEPTH, NotStrictJson, _read_if_plain, parse_object

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def nested(depth: int) -> bytes:
    """An object in which depth brackets are open at once."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}x",
        b"{} {}",
        b"[]",
        b"null",
        b'"a"',
        b"1",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":"\x01"}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
    ],
)
def test_parse_when_not_an_object_in_utf8_refuses(content: bytes):
    """T14: The payload is a JSON object: strict UTF-8."""
    with pytest.raises(NotStrictJson):
        parse_object(content)


@pytest.mark.parametrize("content", [b'{"a":1,"a":1}', b'{"x":{"a":1,"a":2}}', b'{"a":1,"\\u0061":2}'])
def test_parse_when_a_name_stands_twice_refuses(content: bytes):
    """RFC 7515 §4: The Header Parameter names within the JOSE Header MUST be unique; T14 says it of claims, too."""
    with pytest.raises(NotStrictJson):
        parse_object(content)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "18446744073709551616", "-9223372036854775809"]
)
def test_parse_when_a_number_is_out_of_bounds_refuses(number: str):
    """T14: no NaN/Infinity; what overflows to infinity is one."""
    with pytest.raises(NotStrictJson):
        parse_object(f'{{"exp":{number}}}'.encode())


def test_parse_when_an_integer_is_longer_than_python_reads_refuses():
    """Python's int() refuses more than 4300 digits with a ValueError of its own: T14, nothing gives a 500."""
    with pytest.raises(NotStrictJson):
        parse_object(b'{"exp":' + b"9" * 5_000 + b"}")


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00x", "a\\uDBFFb"])
def test_parse_when_a_string_is_half_a_surrogate_refuses(text: str):
    """T14: strict UTF-8; a half surrogate cannot be written as UTF-8 again."""
    with pytest.raises(NotStrictJson):
        parse_object(f'{{"sub":"{text}"}}'.encode())


def test_parse_when_surrogates_are_a_pair_reads_the_character():
    assert parse_object(rb'{"name":"\ud83d\ude00\u00e9"}') == {"name": "\U0001f600é"}


def test_parse_when_deep_refuses_before_recursing():
    """T14: depth and size bounded."""
    assert parse_object(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 30_000):
        with pytest.raises(NotStrictJson, match="too deep"):
            parse_object(nested(depth))


def test_parse_when_wide_is_not_deep():
    """Brackets that are closed again, or that stand in strings, are no depth."""
    wide = {"a": [[] for _ in range(100)], "b": [{"c": '["{\\'} for _ in range(100)]}
    assert parse_object(json.dumps(wide).encode()) == wide


@pytest.mark.parametrize("content", [b'{"a":"' + b'\\"[' * 10_000, b'["\\' * 10_000, b"]" * 100 + b"[" * 40])
def test_parse_when_strings_do_not_end_refuses_in_one_pass(content: bytes):
    with pytest.raises(NotStrictJson):
        parse_object(content)


def test_parse_when_large_refuses():
    """T14: depth and size bounded."""
    assert parse_object(b"{}" + b" " * (MAX_BYTES - 2)) == {}
    with pytest.raises(NotStrictJson, match="too large"):
        parse_object(b"{}" + b" " * (MAX_BYTES - 1))


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_parse_gives_what_was_written(members: dict[str, object]):
    for ensure_ascii in (True, False):
        assert parse_object(json.dumps(members, ensure_ascii=ensure_ascii).encode()) == members


@given(st.binary() | st.text(alphabet='[]{}",:\\u0123dDeE-.ntfa ').map(str.encode))
def test_parse_whatever_comes_gives_an_object_or_refuses(content: bytes):
    """T14: Nothing that a token can hold gives a 500."""
    with contextlib.suppress(NotStrictJson):
        assert type(parse_object(content)) is dict


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
))  # fmt: skip
def test_quick_reading_when_it_gives_a_value_then_the_strict_one_gives_the_same(value):
    """RFC 7515 §4: one reading only. The quick way may decline, and may never read what the strict way would not."""
    for separators in ((",", ":"), (", ", ": ")):
        content = json.dumps({"claim": value}, separators=separators, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        quick = _read_if_plain(content)
        if quick is not None:
            assert json.dumps(quick) == json.dumps(_DECODER.decode(content.decode()))


@pytest.mark.parametrize(
    "content",
    [b'{"a":1,"a":1}', b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e400}', b'{"a":18446744073709551616}',
     b'{"a":"\\ud8"}',
     b'{"a":1}x', b'\xef\xbb\xbf{"a":1}', b"[1]", b'{"a": 1}', b'{"a":"\\u0061"}'],
)  # fmt: skip
def test_quick_reading_when_bytes_would_not_come_back_then_it_declines(content):
    """A name twice, a number that does not fit, an escape: none of them is written again as it was."""
    assert _read_if_plain(content) is None


# what a changed line of the room would let through


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}" + b" " * MAX_BYTES, "too large"),
        (nested(MAX_DEPTH + 1), "too deep"),
        (b"[]", "not an object"),
        (b"{", "not JSON in UTF-8"),
        (b'{"a":1,"a":1}', "a name twice"),
        (b'{"a":' + b"9" * 30 + b"}", "an integer beyond 64 bits"),
        (b'{"a":-9223372036854775809}', "an integer beyond 64 bits"),
        (b'{"a":1e400}', "a number beyond a double"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
    ],
)
def test_refusal_says_which_rule_it_was(content: bytes, why: str):
    """The text goes to the log: one text for two faults would send the reader to the wrong one."""
    with pytest.raises(NotStrictJson) as refused:
        parse_object(content)
    assert str(refused.value) == why


def test_depth_when_brackets_are_many_is_what_is_open_at_once():
    """T14: depth bounded: the count goes up and down by one, and begins at none."""
    at_the_limit = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    shut = b",".join([b"[]"] * 5)
    assert parse_object(b'{"a":' + at_the_limit + b',"b":[]}')
    assert parse_object(b'{"a":[' + shut + b'],"b":' + at_the_limit + b"}")
    half = MAX_DEPTH // 2
    # Closed once, deep in it, and opened on: what is open stays open.
    reopened = b"[" * half + b"[]," + b"[" * half + b"]" * half + b"]" * half
    for too_deep in (b"[" + at_the_limit + b"]", reopened):
        for before in (b"", b'"a":[' + shut + b"],"):
            with pytest.raises(NotStrictJson, match="too deep"):
                parse_object(b"{" + before + b'"b":' + too_deep + b',"c":[[]]}')


def test_plain_json_is_read_by_the_quick_way_alone(monkeypatch: pytest.MonkeyPatch):
    """The usual token costs a third; without this the quick way could be lost and nobody would see."""
    assert _read_if_plain(b'{"a":1}') == {"a": 1}
    monkeypatch.setattr("app.oauth.strict_json._DECODER", None)
    assert parse_object(b'{"a":[1,"b"]}') == {"a": [1, "b"]}
