"""traceparent in the log: what W3C calls valid, and nothing else."""

import json

import pytest

from tests.support.api import Api

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ZEROS = "0" * 32


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-ff", True),
        (f"00-{ZEROS[1:]}1-{ZEROS[:15]}1-00", True),
        (f"00-{ZEROS}-{PARENT}-01", False),
        (f"00-{TRACE}-{ZEROS[:16]}-01", False),
        (f"00-{TRACE}-{PARENT}-01-", False),
        (f"00-{TRACE}-{PARENT}-01-more", False),
        (f"00-{TRACE}-{PARENT}-011", False),
        (f"01-{TRACE}-{PARENT}-01", True),
        (f"01-{TRACE}-{PARENT}-01-", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", True),
        (f"01-{TRACE}-{PARENT}-01.more", False),
        (f"01-{ZEROS}-{PARENT}-01", False),
        (f"fe-{TRACE}-{PARENT}-01", True),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"ff-{TRACE}-{PARENT}-01-more", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT.upper()}-01", False),
        (f"00-{TRACE[1:]}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}", False),
        (f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01", False),
        ("", False),
    ],
)
def test_trace_when_the_field_is_valid_then_logged_with_the_parent_and_else_neither(
    api: Api, capsys: pytest.CaptureFixture[str], given: str, is_taken: bool
):
    """W3C Trace Context §3.2.2: "All bytes as zero […] is considered an invalid value"; "Version ff is invalid"."""
    capsys.readouterr()
    api.anonymous("/livez", headers={"traceparent": given})
    line = json.loads(capsys.readouterr().err)
    found = (line.get("trace_id"), line.get("parent_id"))
    expected = (given[3:35], given[36:52]) if is_taken else (None, None)
    assert found == expected
