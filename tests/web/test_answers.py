"""JSON answers: what is sent is what was said, and no field is lost where Flask's own way is not taken."""

import pytest
from flask import Flask, Response

from app.web.answers import NO_STORE, JsonAnswer, json_answer


def sent(answer: Response, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    app = Flask("answers", static_folder=None)
    app.add_url_rule("/x", view_func=lambda: answer, methods=["GET", "PUT"], endpoint="x")
    got = app.test_client().open("/x", method=method)
    return got.status, dict(got.headers), got.data


@pytest.mark.parametrize("status", [200, 201, 400, 401, 429, 503])
def test_json_when_sent_then_the_same_as_flask_would_send(status: int):
    fields = {**NO_STORE, "ETag": '"1"'}
    expected = Response(b'{"a":1}\n', status, fields, content_type="application/json")
    assert sent(json_answer({"a": 1}, fields, status)) == sent(expected)


def test_json_when_asked_by_head_then_the_length_and_no_body():
    status, fields, body = sent(json_answer({"a": 1}, {}), "HEAD")
    assert (status, fields["Content-Length"], body) == ("200 OK", "8", b"")


def test_json_when_the_status_has_no_body_then_flasks_own_way():
    """RFC 9110 §15.4.5: 304 carries no Content-Length of a body that it has not."""
    for status in (204, 304):
        assert "Content-Length" not in sent(JsonAnswer(b"{}", status))[1]


def test_json_when_it_says_where_it_is_then_the_address_is_made_a_uri():
    assert sent(json_answer({}, {"Location": "/v1/ä"}, 201))[1]["Location"] == "/v1/%C3%A4"
