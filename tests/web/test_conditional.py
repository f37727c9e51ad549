"""ETag, If-Match, If-None-Match as proxies and clients really send them (user-data.md U2–U4, U13)."""

import pytest
from flask import Flask

from app.web.conditional import entity_tag, is_unmodified, tags, write_precondition


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
        ("*", {"*"}),
        ("17", set()),
        ('"17', set()),
        ('"1" "2"', set()),
        ("", set()),
    ],
)
def test_tags_when_read_then_lists_star_and_what_proxies_do(value, expected):
    """U2: takes lists and `*`, tolerates what proxies do (`W/"17"`, `"17-gzip"`, `"17--gzip"`)."""
    assert tags(value) == expected


@pytest.mark.parametrize(
    ("fields", "seq", "holds"),
    [
        ({}, 17, True),
        ({"If-Match": '"17"'}, 17, True),
        ({"If-Match": '"17-p"'}, 17, True),
        ({"If-Match": 'W/"17-gzip"'}, 17, True),
        ({"If-Match": '"16", "17"'}, 17, True),
        ({"If-Match": "*"}, 17, True),
        ({"If-Match": '"16"'}, 17, False),
        ({"If-Match": "17"}, 17, False),
        ({"If-Match": '"x"'}, 17, False),
        ({"If-None-Match": "*"}, 17, False),
        ({"If-None-Match": '"17"'}, 17, False),
        ({"If-None-Match": '"16"'}, 17, True),
        ({"If-Match": '"16"', "If-None-Match": '"1"'}, 17, False),
        ({"If-Match": '"17"', "If-None-Match": '"17"'}, 17, False),
    ],
)
def test_write_precondition_when_asked_then_if_match_first_and_then_if_none_match(fields, seq, holds):
    """RFC 9110 §13.2.2: If-Match is evaluated first, then If-None-Match; U13: `If-Match` reads the number."""
    with Flask("x").test_request_context(headers=fields):
        assert write_precondition()(seq) is holds


def test_is_unmodified_when_the_form_differs_then_no_304():
    """U13: A form without the e-mail has the ETag `"42-p"`: it never stands for the whole one."""
    with Flask("x").test_request_context(headers={"If-None-Match": '"42-p"'}):
        assert not is_unmodified(entity_tag(42))
        assert is_unmodified(entity_tag(42, partial=True))
    with Flask("x").test_request_context(headers={"If-None-Match": "*"}):
        assert is_unmodified(entity_tag(42))
    with Flask("x").test_request_context():
        assert not is_unmodified(entity_tag(42))
