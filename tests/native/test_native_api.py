"""Clause N5: the client obeys the API's answers, each a bounded number of times."""

from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from native.api import Api
from native.errors import ApiRefused, LoginNeeded, NativeError, ScopeNeeded, StepUpNeeded, Unavailable
from native.session import Session
from native.settings import Settings
from tests.support.problem_api import EXPIRED, Call, ProblemApi, challenge, problem
from tests.support.provider import Answer, Provider

MakeSession = Callable[..., Session]
DOWN = problem(503, "keys_unavailable", "retry_later", ("Retry-After", "7"))


class Waits(list[float]):
    """A sleep that only remembers."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def test_call_when_all_is_well_then_the_token_and_the_body_arrive(logged_in: MakeSession, api: ProblemApi) -> None:
    answer = Api(logged_in()).call("patch", "/v1/me?x=1", body=b'{"name":"A"}')

    assert answer.json()["name"] == "Ada Lovelace"
    assert api.calls == [Call("PATCH", "/v1/me?x=1", "at-first", b'{"name":"A"}')]


def test_refresh_when_the_token_has_expired_then_renewed_and_tried_once_more(
    logged_in: MakeSession, api: ProblemApi, provider: Provider
) -> None:
    """N4: or on a 401 whose `action` is `refresh`, once; saved before the access token is used."""
    api.script = [EXPIRED]
    session = logged_in()
    kept: list[str] = []
    api.on_call = lambda _call: kept.append(session.tokens().access_token)
    Api(session).call("GET", "/v1/me")

    tried = [call.token for call in api.calls]
    assert tried == ["at-first", session.tokens().access_token]
    assert kept == tried
    assert len(provider.refreshes) == 1


def test_refresh_when_refused_alike_again_then_it_stops(
    logged_in: MakeSession, api: ProblemApi, provider: Provider
) -> None:
    """tokens.md §6: refresh (once; refused alike again: reauthenticate)."""
    api.script = [EXPIRED] * 5
    session = logged_in()

    with pytest.raises(LoginNeeded, match="token_expired") as needed:
        Api(session).call("GET", "/v1/me")

    assert len(api.calls) == 2
    assert len(provider.refreshes) == 1
    assert session.tokens()
    assert "2026-11-21" in needed.value.message  # server_time: a wrong clock can be seen


def test_refresh_when_the_session_has_ended_then_log_in(logged_in: MakeSession, api: ProblemApi) -> None:
    api.script = [EXPIRED]

    with pytest.raises(LoginNeeded, match="ended"):
        Api(logged_in(refresh_token="rt-unknown")).call("GET", "/v1/me")
    assert len(api.calls) == 1


def test_retry_later_when_the_api_is_back_then_answered_and_nobody_is_logged_out(
    logged_in: MakeSession, api: ProblemApi, provider: Provider
) -> None:
    """N5: `retry_later` → waits `Retry-After`, then tries again, and never logs the user out."""
    api.script = [DOWN, DOWN]
    waits, said = Waits(), list[str]()
    session = logged_in()
    before = session.tokens()
    Api(session, sleep=waits, say=said.append).call("POST", "/v1/x", body=b"{}")

    assert waits == [7.0, 7.0]
    assert "keys_unavailable" in said[0]
    assert session.tokens() == before
    assert provider.refreshes == []


def test_retry_later_when_it_goes_on_then_given_up_but_still_logged_in(logged_in: MakeSession, api: ProblemApi) -> None:
    api.script = [DOWN] * 10
    waits = Waits()
    session = logged_in()

    with pytest.raises(Unavailable, match="keys_unavailable") as down:
        Api(session, sleep=waits).call("GET", "/v1/me")

    assert len(waits) == 3
    assert len(api.calls) == 4
    assert "still logged in" in down.value.hint
    assert session.tokens()


def test_retry_later_when_the_wait_is_long_then_it_is_told_not_slept(logged_in: MakeSession, api: ProblemApi) -> None:
    api.script = [problem(429, "rate_limited", "retry_later", ("Retry-After", "3600"))]
    waits = Waits()

    with pytest.raises(Unavailable) as limited:
        Api(logged_in(), sleep=waits).call("GET", "/v1/me")

    assert waits == []
    assert "3600 seconds" in limited.value.hint


@pytest.mark.parametrize(
    ("field", "waited"),
    [
        ((("Retry-After", formatdate(1009, usegmt=True)),), 9.0),
        ((("Retry-After", formatdate(5, usegmt=True)),), 0.0),
        ((("Retry-After", "soon"),), 1.0),
        ((("Retry-After", "-5"),), 1.0),
        ((), 1.0),
    ],
)
def test_retry_after_when_a_date_or_nonsense_then_still_bounded(
    logged_in: MakeSession, api: ProblemApi, field: tuple[tuple[str, str], ...], waited: float
) -> None:
    """RFC 9110 §10.2.3: Retry-After = HTTP-date / delay-seconds."""
    api.script = [problem(503, "unavailable", "retry_later", *field)]
    waits = Waits()
    Api(logged_in(), sleep=waits, clock=lambda: 1000.0).call("GET", "/v1/me")

    assert waits == [waited]


def test_request_scope_when_one_is_missing_then_it_and_the_command_are_named(
    logged_in: MakeSession, api: ProblemApi
) -> None:
    """N5: `request_scope` → says which, `native login --scope …`."""
    field = challenge("insufficient_scope", scope="read:profile export:account")
    api.script = [problem(403, "insufficient_scope", "request_scope", field)]

    with pytest.raises(ScopeNeeded, match=r"not been granted: export:account$") as needed:
        Api(logged_in(audience="aud")).call("GET", "/v1/me/export")

    command = needed.value.hint
    assert "--scope 'openid profile email offline_access read:profile export:account'" in command
    assert "--audience aud" in command
    assert f"--api {api.url}" in command


def test_step_up_when_a_person_is_there_then_logged_in_again_and_retried(
    logged_in: MakeSession, api: ProblemApi
) -> None:
    """N5: `step_up` → log in again with `max_age`/`acr_values`."""
    field = challenge("insufficient_user_authentication", max_age="300", acr_values="mfa")
    api.script = [problem(401, "step_up_required", "step_up", field)]
    session = logged_in(resource="https://api.example/")
    asked: list[Settings] = []

    def step_up(settings: Settings) -> None:
        asked.append(settings)
        session.save(replace(session.tokens(), access_token="at-stronger"))

    Api(session, step_up=step_up).call("GET", "/v1/me")

    assert (asked[0].max_age_seconds, asked[0].acr) == (300, "mfa")
    assert asked[0].scope == "openid profile email offline_access read:profile"
    assert asked[0].resource == "https://api.example/"
    assert [call.token for call in api.calls] == ["at-first", "at-stronger"]


@pytest.mark.parametrize("alone", [True, False])
def test_step_up_when_nobody_is_there_or_it_did_not_help_then_the_command(
    logged_in: MakeSession, api: ProblemApi, *, alone: bool
) -> None:
    field = challenge("insufficient_user_authentication", max_age="0")
    api.script = [problem(401, "step_up_required", "step_up", field)] * 3

    with pytest.raises(StepUpNeeded) as needed:
        Api(logged_in(), step_up=None if alone else (lambda _settings: None)).call("GET", "/v1/me")

    assert "--max-age 0" in needed.value.hint
    assert len(api.calls) == (1 if alone else 2)


def test_retry_now_when_asked_then_once(logged_in: MakeSession, api: ProblemApi) -> None:
    api.script = [problem(401, "use_dpop_nonce", "retry_now")] * 3

    with pytest.raises(Unavailable):
        Api(logged_in()).call("GET", "/v1/me")
    assert len(api.calls) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (problem(401, "wrong_audience", "fix_client"), ApiRefused, "401 wrong_audience: This is wrong_audience."),
        (problem(403, "permission_required", "ask_operator"), ApiRefused, "403 permission_required"),
        (problem(401, "token_revoked", "reauthenticate"), LoginNeeded, "token_revoked"),
        (problem(403, "client_revoked", "ask_operator"), ApiRefused, "403 client_revoked"),
        (problem(401, "no_credentials", "send_token"), LoginNeeded, "no_credentials"),
        (problem(410, "cursor_expired", "resync"), ApiRefused, "cursor_expired"),
        (problem(400, "odd", "dance"), ApiRefused, "odd"),
        (Answer(404, b"<html>", "text/html"), ApiRefused, "404 no_code: Not Found"),
        (Answer(500, b"[1]"), ApiRefused, "500"),
        (Answer(500, b"{", "application/problem+json"), ApiRefused, "500"),
        (Answer.json(400, {"detail": "\x1b]0;pwned\x07"}), ApiRefused, "\ufffd]0;pwned\ufffd"),
    ],
)
def test_refusal_when_nothing_can_be_done_then_the_detail_and_one_call(
    logged_in: MakeSession, api: ProblemApi, answer: Answer, kind: type[NativeError], said: str
) -> None:
    """N5: `fix_client` prints the detail; an unknown action is not obeyed."""
    api.script = [answer]
    session = logged_in()

    with pytest.raises(kind) as refused:
        Api(session).call("GET", "/v1/me")

    assert said in refused.value.message
    assert len(api.calls) == 1
    assert session.tokens()


def test_gateway_when_it_answers_without_a_body_then_its_header_counts(
    logged_in: MakeSession, api: ProblemApi, provider: Provider
) -> None:
    """RFC 6750 §3.1: invalid_token: the client MAY request a new access token and retry."""
    api.script = [Answer(401, headers=(challenge("invalid_token"),))]
    Api(logged_in()).call("GET", "/v1/me")

    assert len(provider.refreshes) == 1


@pytest.mark.parametrize(("method", "calls"), [("GET", 2), ("PUT", 2), ("POST", 1), ("PATCH", 1)])
def test_gateway_when_it_cannot_reach_the_api_then_only_repeatable_methods_are_repeated(
    logged_in: MakeSession, api: ProblemApi, method: str, calls: int
) -> None:
    """RFC 9110 §9.2.2: A client SHOULD NOT automatically retry a request with a non-idempotent method."""
    api.script = [Answer(502, b"<html>", "text/html")]
    try:
        Api(logged_in(), sleep=Waits()).call(method, "/v1/x")
    except ApiRefused:
        assert calls == 1

    assert len(api.calls) == calls


@pytest.mark.parametrize("path", ["//evil.example/x", "https://evil.example/x", "@evil.example/", "v1/me", "/v1/me"])
def test_path_when_it_points_elsewhere_then_the_token_still_goes_to_the_api(
    logged_in: MakeSession, api: ProblemApi, path: str
) -> None:
    """RFC 6750 §5.3: a token MUST NOT be sent to anyone but the resource server."""
    Api(logged_in()).call("GET", path)

    assert api.calls[0].token == "at-first"


def test_redirect_when_the_api_answers_one_then_the_token_does_not_follow(
    logged_in: MakeSession, api: ProblemApi, provider: Provider
) -> None:
    api.script = [Answer(307, headers=(("Location", f"{provider.url}/authorize?state=x&redirect_uri=y"),))]
    answer = Api(logged_in()).call("GET", "/v1/me")

    assert answer.status_code == 307
    assert provider.authorizations == []


def test_netrc_when_it_names_the_host_then_the_token_is_what_is_sent(
    logged_in: MakeSession, api: ProblemApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests replaces an Authorization header by what ~/.netrc holds for the host."""
    (tmp_path / ".netrc").write_text("default login eve password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    Api(logged_in()).call("GET", "/v1/me")

    assert api.calls[0].token == "at-first"


def test_api_when_it_is_down_then_unavailable(logged_in: MakeSession, settings: Settings) -> None:
    with ProblemApi() as gone:
        down = Session(replace(settings, api=gone.url), clock=lambda: 1000.0)
    down.save(logged_in().tokens())

    with pytest.raises(Unavailable, match="cannot be reached"):
        Api(down).call("GET", "/v1/me")
