"""The load generator looks at every answer: a server that refuses must not pass for a fast one."""

import pytest
from pytest_httpserver import HTTPServer

from benchmarks.load import Load, WrongAnswer, get, send


def test_send_when_all_answers_are_right_gives_the_first_body(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/x", headers={"Authorization": "Bearer t"}).respond_with_data(b"content")

    outcome = send(Load(httpserver.port, (get("/x", "t"),) * 3, 200))

    assert outcome.body == b"content"
    assert outcome.seconds > 0


def test_send_when_one_answer_has_another_status_stops(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/x").respond_with_data(b"no", status=401)

    with pytest.raises(WrongAnswer, match="401"):
        send(Load(httpserver.port, (get("/x", None),), 200))
