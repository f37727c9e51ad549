"""ETag, If-Match, If-None-Match as proxies and clients really send them (user-data.md U2–U4, U13)."""

import pytest
from flask import Flask, Response
from hypothesis import given
from hypothesis import strategies as st

from app.records.errors import PreconditionFailed
from app.web.conditional import (
    TAGS_PATTERN,
    NoEntityTags,
    entity_tag,
    is_unmodified,
    precondition,
    representation,
    tags,
    versions,
)
from app.web.problems import WebProblem

OPAQUE = st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E), max_size=12)
ANY = st.text(st.characters(min_codepoint=0x09, max_codepoint=0xFF), max_size=60)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"17"', {"17"}),
        ('W/"17"', {"17"}),
        ('"17-gzip"', {"17"}),
        ('"17--gzip"', {"17"}),
        ('"17-br"', {"17"}),
        ('"42-p"', {"42-p"}),
        ('"42-p-gzip"', {"42-p"}),
        ('"1", W/"2" ,"3"', {"1", "2", "3"}),
        ('"1",,"2", ,', {"1", "2"}),
        (', "1"', {"1"}),
        ('"a,b"', {"a,b"}),
        ('""', {""}),
        ("*", {"*"}),
        ("*,*", {"*"}),
        ("*, *", {"*"}),
        ("*,", {"*"}),
        ("**", set()),
        ("'*'", set()),
        ('"x', set()),
        (" * ", {"*"}),
        ('"*"', {"*"}),
        ("17", set()),
        ('"17', set()),
        ('"1" "2"', set()),
        ('w/"1"', set()),
        ('*, "1"', set()),
        ('"1", x', set()),
        ("", set()),
        (",", set()),
    ],
)
def test_tags_when_read_then_lists_star_and_what_proxies_do(value, expected):
    """U2: takes lists and `*`, tolerates what proxies do (`W/"17"`, `"17-gzip"`, `"17--gzip"`); RFC 9110 §5.6.1.2: a
    recipient skips empty elements of a list.
    """
    assert tags(value) == expected


@given(found=st.lists(OPAQUE.filter(lambda tag: not tag.endswith(("-gzip", "-br", "-zstd", "-deflate"))), min_size=1))
def test_tags_when_any_list_then_all_of_it(found):
    """RFC 9110 §8.8.3: `opaque-tag = DQUOTE *etagc DQUOTE`."""
    assert tags(", ".join(f'"{tag}"' for tag in found)) == set(found)


@given(value=ANY)
def test_fields_when_any_text_then_an_answer(value):
    found = tags(value)
    assert isinstance(found, frozenset)
    if found:
        assert all(0 <= seq < 10**19 for seq in versions(value).seqs)
    else:
        with pytest.raises(NoEntityTags):
            versions(value)


@pytest.mark.parametrize("value", ['"' * 8000, ", " * 4000, '"a", ' * 1600 + "x", 'W/"' * 2600, " " * 8000 + "x"])
def test_tags_when_a_field_is_long_and_broken_then_it_matches_nothing(value):
    """No pattern here is tried in more ways than one: a long field costs its length."""
    assert tags(value) == set()


@pytest.mark.parametrize(
    ("fields", "seq", "holds"),
    [
        ({}, 17, True),
        ({}, None, True),
        ({"If-Match": '"17"'}, 17, True),
        ({"If-Match": '"17-p"'}, 17, True),
        ({"If-Match": 'W/"17-gzip"'}, 17, True),
        ({"If-Match": '"16", "17"'}, 17, True),
        ({"If-Match": "*"}, 17, True),
        ({"If-Match": "*"}, None, False),
        ({"If-Match": '"16"'}, 17, False),
        ({"If-Match": '"017"'}, 17, False),
        ({"If-Match": '"x"'}, 17, False),
        ({"If-Match": '"' + "9" * 400 + '"'}, 17, False),
        ({"If-None-Match": "*"}, 17, False),
        ({"If-None-Match": "*,*"}, 17, False),
        ({"If-None-Match": "*"}, None, True),
        ({"If-None-Match": '"17"'}, 17, False),
        ({"If-None-Match": '"16"'}, 17, True),
        ({"If-Match": '"16"', "If-None-Match": '"1"'}, 17, False),
        ({"If-Match": '"17"', "If-None-Match": '"17"'}, 17, False),
        ({"If-Match": '"17"', "If-None-Match": '"16"'}, 17, True),
    ],
)
def test_precondition_when_asked_then_if_match_first_and_then_if_none_match(fields, seq, holds):
    """RFC 9110 §13.2.2: If-Match is evaluated first, then If-None-Match; U13: `If-Match` reads the number."""
    with Flask("x").test_request_context(headers=fields):
        assert precondition().holds(seq) is holds
        assert precondition().is_absent is (not fields)


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["", ",", "17", '"17', "'*'", '*, "17"', '"17", *', "**", 'w/"17"', '"17" "18"'])
def test_precondition_when_it_names_no_version_then_400_says_which_field(name, value):
    """U4: neither `*` nor entity-tags: what matches nothing must not let If-None-Match through."""
    with Flask("x").test_request_context(headers={name: value}), pytest.raises(WebProblem) as refused:
        precondition()
    assert refused.value.code == "bad_request"
    assert refused.value.members["detail"].startswith(f"{name}: Must be * or entity-tags")


@given(value=st.from_regex(TAGS_PATTERN.replace("$", r"\Z")))
def test_pattern_when_a_value_is_of_it_then_it_is_read(value):
    """The document asks for no more than what is taken."""
    assert tags(value)


def test_is_unmodified_when_the_form_differs_then_no_304():
    """U13: A form without the e-mail has the ETag `"42-p"`: it never stands for the whole one."""
    with Flask("x").test_request_context(headers={"If-None-Match": '"42-p"'}):
        assert not is_unmodified(entity_tag(42))
        assert is_unmodified(entity_tag(42, partial=True))
    with Flask("x").test_request_context(headers={"If-None-Match": "*"}):
        assert is_unmodified(entity_tag(42))
    with Flask("x").test_request_context():
        assert not is_unmodified(entity_tag(42))


@pytest.mark.parametrize("etag", ['"42"', '"42-p"', '"djF8Nw"', '"djF8Nw-p"'])
def test_is_unmodified_when_if_match_is_sent_then_it_decides_first(etag):
    """RFC 9110 §13.1.1: a GET with an If-Match that is false must not be performed; U13: the number counts."""
    for value in (etag, f"W/{etag}", "*", f'"1", {etag}'):
        with Flask("x").test_request_context(headers={"If-Match": value, "If-None-Match": etag}):
            assert is_unmodified(etag)
        with Flask("x").test_request_context(headers={"If-Match": value}):
            assert not is_unmodified(etag)
    for value in ('"41"', "42", "", '"djF8"', '"42-x"'):
        with (
            Flask("x").test_request_context(headers={"If-Match": value, "If-None-Match": etag}),
            pytest.raises(PreconditionFailed) as refused,
        ):
            is_unmodified(etag, "what is stored")
        assert refused.value.current == "what is stored"


def test_is_unmodified_when_if_match_names_another_form_of_the_version_then_it_holds():
    """U13: "A form without the e-mail has the ETag `"42-p"`; `If-Match` reads the number"."""
    for sent, current in (('"42-p"', '"42"'), ('"42"', '"42-p"')):
        with Flask("x").test_request_context(headers={"If-Match": sent}):
            assert not is_unmodified(current)


def test_representation_when_the_asker_has_it_then_the_same_fields_and_nothing_is_written():
    """RFC 9110 §15.4.5: Cache-Control, Content-Location, Date, ETag, Expires, Vary."""
    written: list[bytes] = []

    def write() -> bytes:
        written.append(b"{}")
        return written[-1]

    def answer(**sent: str) -> Response:
        with Flask("x").test_request_context(headers=sent):
            return representation('"42"', write, more={"Link": "<x>"})

    known, sent = answer(**{"If-None-Match": '"42"'}), answer(**{"If-None-Match": '"41"'})
    assert (known.status_code, known.data, sent.status_code, sent.data) == (304, b"", 200, b"{}\n")
    assert len(written) == 1
    for field in ("Cache-Control", "ETag", "Vary", "Link"):
        assert known.headers[field] == sent.headers[field]
