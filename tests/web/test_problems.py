"""Every fault becomes problem+json, and every code has a page (tokens.md T25–T29)."""

import re
from pathlib import Path

import pytest
from werkzeug.exceptions import BadRequest, ImATeapot

from app.db import DatabaseBusy, DatabaseUnavailable
from app.oauth.errors import KeysUnavailable
from app.oauth.reasons import Reason
from app.web.catalogue import PROBLEMS
from app.web.problem_help import ACTIONS, HELP
from app.web.problems import resource_metadata_url
from tests.support.api import Api, running, settings_for

MEMBERS = {"type", "title", "status", "detail", "code", "action", "retryable", "request_id"}


def test_problem_when_answered_then_all_members_and_the_type_is_a_page(api: Api):
    """T25: `type, title, status, detail, code, action, retryable, request_id`. `type` is a public page."""
    answer = api.anonymous("/v1/me")
    assert answer.content_type == "application/problem+json"
    assert set(answer.json) == MEMBERS
    assert answer.json["type"] == "https://api.example/problems/no_credentials"
    assert answer.json["status"] == answer.status_code == 401
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    page = api.anonymous("/problems/no_credentials", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "An access token is needed" in page.text


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_page_when_a_browser_or_a_program_asks_then_html_or_json(api: Api, code):
    """T25: each `type` a page."""
    html = api.anonymous(f"/problems/{code}", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert html.status_code == 200
    assert html.content_type == "text/html; charset=utf-8"
    assert code in html.text
    assert "style-src 'sha256-" in html.headers["Content-Security-Policy"]
    document = api.anonymous(f"/problems/{code}", headers={"Accept": "application/json"})
    assert document.json["code"] == code
    assert document.json["action_text"] == ACTIONS[PROBLEMS[code].action]


def test_pages_when_unknown_code_then_404_and_the_list_has_all(api: Api):
    assert api.anonymous("/problems/nonsense").json["code"] == "not_found"
    listed = api.anonymous("/problems", headers={"Accept": "application/json"}).json["problems"]
    assert {problem["code"] for problem in listed} == set(PROBLEMS)
    assert "token_expired" in api.anonymous("/problems").text


def test_table_when_compared_with_the_contract_then_the_same():
    """tokens.md §6: code, status, `error` and action as the table says, for every one of them."""
    contract = (Path(__file__).parents[2] / "docs" / "contracts" / "tokens.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \| (\d{3}) \| ([^|]+) \| (\w+)", contract, re.MULTILINE)
    seen = set()
    for codes, status, _, action in rows:
        for code in set(re.findall(r"`(\w+)`", codes)):
            assert (PROBLEMS[code].status, PROBLEMS[code].action) == (int(status), action), code
            seen.add(code)
    assert seen == {reason.code for reason in Reason}


def test_retryable_when_asked_then_401_408_429_503_busy_and_insufficient_scope():
    """T25: `retryable`: the same body can succeed once `action` is done; 408 is ours, for slow networks."""
    for code, problem in PROBLEMS.items():
        expected = problem.status in {401, 408, 429, 503} or code in {"busy", "insufficient_scope"}
        assert problem.retryable is expected, code


def test_help_when_listed_then_only_for_codes_that_exist():
    assert set(HELP) <= set(PROBLEMS)
    assert {problem.action for problem in PROBLEMS.values()} <= set(ACTIONS)


def test_errors_document_when_compared_then_one_anchor_for_each_code():
    """docs/errors.md: one anchor per problem code."""
    document = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    assert set(re.findall(r"^### (\w+)$", document, re.MULTILINE)) == set(PROBLEMS)


def raising(api: Api, fault: Exception):
    def broken() -> None:
        raise fault

    api.app.view_functions["broken"] = broken
    return api.anonymous("/broken")


def test_unexpected_fault_when_raised_then_500_without_a_word_of_it_and_logged(api: Api, capsys):
    """T25: Never a stack trace, a token, a library's text."""
    answer = raising(api, RuntimeError("a secret that must not leave"))
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "a secret that must not leave" in capsys.readouterr().err


def test_keys_unavailable_when_raised_then_503_retry_after_and_no_challenge(api: Api):
    """T27: No usable keys: 503, `Retry-After`, code `keys_unavailable`, no challenge."""
    answer = raising(api, KeysUnavailable(7))
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "keys_unavailable", "7")
    assert "WWW-Authenticate" not in answer.headers


def test_database_when_unavailable_then_503_and_when_busy_then_409(api: Api):
    """Two kinds of failure: ours (keys, database) → 503 and `Retry-After`, no challenge."""
    down = raising(api, DatabaseUnavailable("no"))
    assert (down.status_code, down.json["code"]) == (503, "unavailable")
    assert down.headers["Retry-After"]
    assert "WWW-Authenticate" not in down.headers
    busy = raising(api, DatabaseBusy("no"))
    assert (busy.status_code, busy.json["code"], busy.json["retryable"]) == (409, "busy", True)


def test_other_http_faults_when_raised_then_problem_json_with_their_status(api: Api):
    assert raising(api, BadRequest("text of a library")).json["code"] == "bad_request"
    assert "text of a library" not in raising(api, BadRequest("text of a library")).text
    assert raising(api, ImATeapot()).status_code == 418


def test_database_when_it_cannot_be_opened_then_503_and_readyz_says_so(tmp_path):
    """An outage is a 503: the database's too."""
    url = f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}"
    with running(settings_for(tmp_path, url)) as api:
        assert (api.get("/v1/me").status_code, api.get("/v1/me").json["code"]) == (503, "unavailable")
        ready = api.anonymous("/readyz")
        assert (ready.status_code, ready.json["checks"]["database"]["ok"]) == (503, False)
        assert api.get("/v1/whoami").status_code == 200
        assert api.anonymous("/livez").status_code == 200


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("https://api.example", "https://api.example/.well-known/oauth-protected-resource"),
        ("https://api.example/", "https://api.example/.well-known/oauth-protected-resource"),
        ("https://example.org/api/v2", "https://example.org/.well-known/oauth-protected-resource/api/v2"),
    ],
)
def test_resource_metadata_url_when_the_public_url_has_a_path_then_between_host_and_path(public_url, expected):
    """RFC 9728 §3.1: inserting a well-known URI string between the host component and the path."""
    assert resource_metadata_url(public_url) == expected
