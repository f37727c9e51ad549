"""Clause N1: the commands, as a person and as a shell use them."""

import json
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from native.__main__ import main
from native.session import Session
from native.settings import Settings
from tests.support.problem_api import ProblemApi, challenge, problem
from tests.support.provider import Provider

MakeSession = Callable[..., Session]
Run = Callable[..., Result]
ROOT = Path(__file__).parents[2]
FAR = 9e9


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        "NATIVE_ISSUER": settings.issuer,
        "NATIVE_API": settings.api,
        "NATIVE_STATE_DIR": str(settings.state_dir),
        "NATIVE_STORE": "file",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def invoke(*words: str, **more: Any) -> Result:
        return CliRunner().invoke(main, words, env=environment, **more)

    return invoke


def test_login_when_browser_is_set_then_that_browser_is_used(
    environment: dict[str, str], provider: Provider, settings: Settings, tmp_path: Path
) -> None:
    """N2: system browser (`webbrowser`, so `$BROWSER` is honoured); what it writes stays out of stdout."""
    script = tmp_path / "browser.py"
    script.write_text("import sys, urllib.request as u\nprint('noise')\nu.urlopen(sys.argv[1]).read()\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "native", "login"],
        cwd=ROOT,
        env={**environment, "BROWSER": f"{sys.executable} {script} %s", "HOME": str(tmp_path), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")
    assert "Logged in as Ada Lovelace" in done.stderr
    assert "noise" in done.stderr
    assert len(provider.authorizations) == 1
    assert Session(settings).tokens().refresh_token not in done.stderr


def test_login_when_no_refresh_token_comes_then_the_remedy_is_named(
    run: Run, provider: Provider, monkeypatch: pytest.MonkeyPatch, browser: Callable[[str], None]
) -> None:
    """N2: `--prompt consent` (certified providers drop `offline_access` without it)."""
    provider.token_answer = {"refresh_token": None}
    monkeypatch.setattr(webbrowser, "open", browser)
    done = run("login")

    assert done.exit_code == 0
    assert "--prompt consent" in done.stderr


def test_login_when_no_browser_then_address_out_and_redirect_in(run: Run, provider: Provider) -> None:
    """N2: `--no-browser` prints the URL and takes the pasted redirect."""
    done = run("login", "--no-browser", input="http://127.0.0.1:1/callback?code=x&state=y\n")

    assert done.exit_code == 4
    assert f"{provider.url}/authorize?" in done.stderr
    assert "(state)" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", [["token"], ["me"], ["whoami"], ["call", "GET", "/"], ["refresh"], ["logout"]])
def test_command_when_nobody_is_logged_in_then_it_says_how(run: Run, command: list[str]) -> None:
    done = run(*command)

    assert done.exit_code == 3
    assert done.stdout == ""
    assert "python -m native login --issuer" in done.stderr


def test_token_when_there_is_one_then_it_is_all_of_stdout(run: Run, logged_in: MakeSession) -> None:
    """N1: `make -s token` prints just a token, so that `curl -H "Authorization: Bearer $(make -s token)"` works."""
    logged_in(expires_at=FAR)
    done = run("token")

    assert (done.exit_code, done.stdout, done.stderr) == (0, "at-first\n", "")


def test_token_when_somebody_is_there_then_logged_in_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings, browser: Callable[[str], None]
) -> None:
    monkeypatch.setattr(webbrowser, "open", browser)
    monkeypatch.setattr("native.__main__._someone_is_there", lambda: True)
    done = run("token")

    assert done.stdout == f"{Session(settings).tokens().access_token}\n"


def test_refresh_when_asked_then_renewed_and_no_token_is_printed(run: Run, logged_in: MakeSession) -> None:
    """N3: the refresh token is never printed."""
    session = logged_in(expires_at=FAR)
    before = session.tokens()
    done = run("refresh")
    after = session.tokens()

    assert done.exit_code == 0
    assert "Renewed" in done.stderr
    assert after.access_token != before.access_token
    for secret in (before.refresh_token, after.refresh_token, after.access_token):
        assert secret
        assert secret not in done.output


def test_me_when_shown_then_a_table_without_colour_in_a_pipe(run: Run, logged_in: MakeSession, api: ProblemApi) -> None:
    api.me |= {"app_attributes": {"plan": "pro"}, "email_verified": True, "nickname": "A\x1b[2Jda", "bio": "x" * 300}
    logged_in(expires_at=FAR)
    done = run("me")

    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())
    assert rows["name"].strip() == "Ada Lovelace"
    assert rows["roles"].strip() == "editor"
    assert rows["picture"].strip() == "-"
    assert rows["email_verified"].strip() == "yes"
    assert rows["app_attributes"].strip() == '{"plan": "pro"}'
    assert rows["bio"].strip() == "x" * 300
    assert "\x1b" not in done.output
    assert api.calls[0].path == "/v1/me"


def test_me_when_json_is_asked_then_the_bytes_of_the_api(run: Run, logged_in: MakeSession, api: ProblemApi) -> None:
    logged_in(expires_at=FAR)

    assert json.loads(run("me", "--json").stdout) == api.me
    assert json.loads(run("whoami", "--json").stdout) == api.me
    assert [call.path for call in api.calls] == ["/v1/me", "/v1/whoami"]


def test_call_when_data_is_given_then_sent(run: Run, logged_in: MakeSession, api: ProblemApi) -> None:
    """N1: `call METHOD PATH`, `--data JSON`, or - for stdin."""
    logged_in(expires_at=FAR)
    run("call", "patch", "/v1/me", "--data", '{"name": "é"}')
    done = run("call", "PUT", "/v1/me/preferences", "--data", "-", input='{"a": 1}')

    assert json.loads(done.stdout) == api.me
    assert [(call.method, call.body.decode()) for call in api.calls] == [
        ("PATCH", '{"name": "é"}'),
        ("PUT", '{"a": 1}'),
    ]


def test_call_when_the_scope_is_missing_then_exit_6_and_the_command(
    run: Run, logged_in: MakeSession, api: ProblemApi
) -> None:
    """N5: says which, `native login --scope …`."""
    logged_in(expires_at=FAR)
    field = challenge("insufficient_scope", scope="export:account")
    api.script = [problem(403, "insufficient_scope", "request_scope", field)]
    done = run("call", "GET", "/v1/me/export")

    assert done.exit_code == 6
    assert "not been granted: export:account" in done.stderr
    assert "python -m native login --scope 'openid" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # a command that is folded does not work when pasted


def test_step_up_when_somebody_is_there_then_the_browser_opens_and_the_call_succeeds(  # noqa: PLR0917 - fixtures
    run: Run,
    logged_in: MakeSession,
    api: ProblemApi,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    browser: Callable[[str], None],
) -> None:
    """N5: `step_up` → log in again with `max_age`/`acr_values`."""
    logged_in(expires_at=FAR)
    monkeypatch.setattr(webbrowser, "open", browser)
    monkeypatch.setattr("native.__main__._someone_is_there", lambda: True)
    field = challenge("insufficient_user_authentication", max_age="300")
    api.script = [problem(401, "step_up_required", "step_up", field)]
    done = run("me", "--json")

    assert json.loads(done.stdout) == api.me
    assert provider.authorizations[0]["max_age"] == "300"


def test_logout_when_the_issuer_is_down_then_logged_out_here(
    run: Run, logged_in: MakeSession, provider: Provider
) -> None:
    logged_in(expires_at=FAR)
    provider.metadata = {"revocation_endpoint": "http://127.0.0.1:9/revoke"}
    done = run("logout", "--timeout", "5")

    assert done.exit_code == 0
    assert "the issuer has not heard of it" in done.stderr


def test_logout_when_done_then_revoked_and_forgotten(run: Run, logged_in: MakeSession, provider: Provider) -> None:
    logged_in(expires_at=FAR)
    done = run("logout")

    assert (done.exit_code, done.stderr) == (0, "Logged out.\n")
    assert len(provider.revocations) == 1
    assert run("token").exit_code == 3


@pytest.mark.parametrize(
    "words",
    [
        ["me", "--issuer", "http://tenant.example/"],
        ["me", "--api", "ftp://127.0.0.1"],
        ["login", "--callback", "https://evil.example/cb"],
        ["me", "--api", "http://[::1"],
    ],
)
def test_settings_when_they_cannot_be_used_then_exit_2(run: Run, words: list[str]) -> None:
    """RFC 6749 §3.1, §3.2: the endpoints are used with TLS; plain http is for this machine."""
    assert run(*words).exit_code == 2


def test_state_dir_when_it_cannot_be_written_then_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("logout", "--state-dir", str(tmp_path / "file" / "state"))

    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_help_when_asked_then_every_command_is_named(run: Run) -> None:
    out = run("--help").stdout

    assert all(name in out for name in ("login", "whoami", "me", "call", "token", "refresh", "logout"))
