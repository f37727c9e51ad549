"""The cursor as a text: whatever is not exactly what is given out is refused."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.records.cursor import HIDEABLE, Cursor, decoded, encoded
from app.records.errors import BadCursor, BadFilter
from app.records.names import MAX_FILTERED, collections_in

NUMBERS = st.integers(0, 2**63 - 1)
NAMES = st.frozensets(st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True), min_size=1, max_size=64)


def written(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_cursor_when_written_then_as_the_contract_says():
    """§7: "**Cursor** = base64url `v1|epoch|since|purged_at_start`"; three more words where they are needed."""
    assert encoded(Cursor("0a1b2c3d", 17, 4)) == written("v1|0a1b2c3d|17|4")
    assert encoded(Cursor("-", 0, 0)) == written("v1|-|0|0")
    assert encoded(Cursor("0a1b2c3d", 17, 4, 20)) == written("v1|0a1b2c3d|17|4|20")
    assert encoded(Cursor("0a1b2c3d", 17, 4, None, frozenset({"b", "a"}))) == written("v1|0a1b2c3d|17|4|a,b")
    assert encoded(Cursor("0a1b2c3d", 17, 4, 20, frozenset({"a"}))) == written("v1|0a1b2c3d|17|4|20|a")
    assert encoded(Cursor("0a1b2c3d", 17, 4, hidden=HIDEABLE)) == written("v1|0a1b2c3d|17|4|!email,preferences,profile")


CURSORS = st.builds(
    Cursor, st.from_regex(r"[0-9a-f]{8}|-", fullmatch=True), NUMBERS, NUMBERS, st.none() | NUMBERS, st.none() | NAMES,
    st.frozensets(st.sampled_from(sorted(HIDEABLE))),
)  # fmt: skip


def test_cursor_when_it_carries_the_longest_filter_then_read_again_and_a_longer_filter_is_refused():
    """A cursor of more collections than fit was given out, and refused when it came back."""
    names = [f"{number:03d}".replace("0", "z").rjust(32, "c") for number in range(MAX_FILTERED + 1)]
    asked = collections_in(",".join(names[1:]), 1000)
    assert len(asked) == MAX_FILTERED
    cursor = Cursor("0a1b2c3d", 2**63 - 1, 2**63 - 1, 2**63 - 1, asked)
    assert decoded(encoded(cursor)) == cursor
    with pytest.raises(BadFilter):
        collections_in(",".join(names), 1000)
    with pytest.raises(BadCursor):
        decoded(encoded(Cursor("0a1b2c3d", 2**63 - 1, 2**63 - 1, 2**63 - 1, frozenset(names))))


@given(CURSORS)
def test_cursor_when_read_again_then_the_same(cursor):
    assert decoded(encoded(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "", "v1", "v1|0a1b2c3d|1", "v2|0a1b2c3d|1|0", "v1|0A1B2C3D|1|0", "v1|0a1b2c3|1|0", "v1||1|0",
        "v1|0a1b2c3d|-1|0", "v1|0a1b2c3d|01|0", "v1|0a1b2c3d|+1|0", "v1|0a1b2c3d| 1|0", "v1|0a1b2c3d|1_0|0",
        "v1|0a1b2c3d|1|", "v1|0a1b2c3d|1|0|", "v1|0a1b2c3d|1|0\n", "v1|0a1b2c3d|9223372036854775808|0",
        "v1|0a1b2c3d|1|9223372036854775808", "v1|0a1b2c3d|1|0|9223372036854775808", "v1|0a1b2c3d|1|0|b,a",
        "v1|0a1b2c3d|1|0|a,a", "v1|0a1b2c3d|1|0|A", "v1|0a1b2c3d|1|0|a|b", "v1|0a1b2c3d|1|0|1|2",
        "v1|0a1b2c3d|\u0661|0", "v1|0a1b2c3d|1|0|!", "v1|0a1b2c3d|1|0|!roles", "v1|0a1b2c3d|1|0|!profile,email",
        "v1|0a1b2c3d|1|0|!email,email", "v1|0a1b2c3d|1|0|!email|a", "v1|0a1b2c3d|1|0|!email|!profile",
    ],
)  # fmt: skip
def test_cursor_when_its_words_are_not_ours_then_refused(text):
    with pytest.raises(BadCursor):
        decoded(written(text))


def test_cursor_when_its_letters_are_not_ours_then_refused():
    """RFC 4648 §3.5: pad bits that a decoder ignores would give one cursor two texts."""
    good = encoded(Cursor("0a1b2c3d", 17, 4))
    assert len(good) % 4 == 2
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = [good[:-1] + letter for letter in last if urlsafe_b64decode(good[:-1] + letter + "==")[-1:] == b"4"]
    others = [text for text in same if text != good]
    assert len(others) == 15
    for text in (*others, good + "=", good + "==", f" {good}", good + "\n", good + "é", good + "!", "A" * 5000, "é"):
        with pytest.raises(BadCursor):
            decoded(text)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_cursor_when_made_up_then_refused_or_written_the_same(text):
    try:
        cursor = decoded(text)
    except BadCursor:
        return
    assert encoded(cursor) == text
