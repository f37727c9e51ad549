"""Clause N4: renewed in time, once, by one process, and saved before it is used."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from native.errors import LoginFailed, LoginNeeded, NativeError, Unavailable
from native.lock import exclusive
from native.session import Session
from native.settings import Settings
from native.store import FileStore, Store, Tokens
from tests.support.problem_api import ProblemApi
from tests.support.provider import Answer, Provider

MakeSession = Callable[..., Session]
ROOT = Path(__file__).parents[2]


def test_token_when_it_has_more_than_a_minute_then_no_renewal(logged_in: MakeSession, provider: Provider) -> None:
    assert logged_in(clock=lambda: 4939.0).access_token() == "at-first"
    assert provider.refreshes == []


def test_token_when_a_minute_is_left_then_renewed(logged_in: MakeSession, provider: Provider) -> None:
    """N4: Renews at 60 s before expiry."""
    session = logged_in(clock=lambda: 4940.0)
    spent = session.tokens().refresh_token
    fresh = session.access_token()

    kept = session.tokens()
    assert fresh == kept.access_token != "at-first"
    assert kept.refresh_token not in {None, spent}
    assert kept.expires_at == 4940.0 + 3600
    assert (kept.scope, kept.subject, kept.name) == (
        ("openid", "offline_access", "read:profile"),
        "auth0|ada",
        "Ada Lovelace",
    )
    assert provider.refreshes == [
        {"grant_type": "refresh_token", "refresh_token": spent, "client_id": "postern-native"},
    ]


def test_token_when_the_issuer_does_not_say_how_long_then_until_a_401(
    logged_in: MakeSession, provider: Provider
) -> None:
    assert logged_in(expires_at=None, clock=lambda: 9e9).access_token() == "at-first"
    assert provider.refreshes == []


@pytest.mark.parametrize("lifetime", [None, 1e300, -1])
def test_renewal_when_the_lifetime_is_nonsense_then_unknown(
    logged_in: MakeSession, provider: Provider, lifetime: object
) -> None:
    provider.token_answer = {"expires_in": lifetime}
    session = logged_in()
    session.renew("at-first")

    assert session.tokens().expires_at is None


def test_renewal_when_the_issuer_does_not_rotate_then_the_refresh_token_stays(
    logged_in: MakeSession, provider: Provider
) -> None:
    """RFC 6749 §6: the authorization server MAY issue a new refresh token."""
    provider.token_answer = {"refresh_token": None}
    session = logged_in()
    before = session.tokens().refresh_token
    session.renew("at-first")

    assert session.tokens().refresh_token == before


def test_renewal_when_a_resource_was_asked_then_it_is_repeated(logged_in: MakeSession, provider: Provider) -> None:
    """RFC 8707 §2.2: the resource parameter on a refresh keeps the token's audience."""
    session = logged_in(resource="https://api.example/", audience="aud")
    session.renew("at-first")

    assert provider.refreshes[0]["resource"] == "https://api.example/"
    assert session.tokens().resource == "https://api.example/"
    assert session.login_settings().audience == "aud"


def test_renewal_when_somebody_else_was_faster_then_theirs_is_taken(logged_in: MakeSession, provider: Provider) -> None:
    """N4: once; a process that waited for the lock finds the work done."""
    session = logged_in()
    first = session.renew("at-first")

    assert session.renew("at-first") == first
    assert len(provider.refreshes) == 1


class BrokenStore:
    """Reads from a file; writing fails, as on a full disk."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, key: str) -> Tokens | None:
        return self._store.load(key)

    def save(self, key: str, tokens: Tokens) -> None:  # noqa: ARG002 - the protocol's arguments
        raise OSError(28, "No space left on device")

    def forget(self, key: str) -> None:  # noqa: ARG002 - the same
        raise AssertionError("Nothing may be forgotten here.")


def test_renewal_when_it_cannot_be_saved_then_the_new_token_is_not_used(
    logged_in: MakeSession, settings: Settings
) -> None:
    """N4: saving the rotated refresh token before using the access token."""
    before = logged_in().tokens()
    broken = Session(settings, BrokenStore(FileStore(settings.state_dir)), clock=lambda: 1000.0)

    with pytest.raises(OSError, match="No space"):
        broken.renew("at-first")

    assert Session(settings).tokens() == before


def test_renewal_when_the_issuer_has_ended_the_session_then_forgotten(
    logged_in: MakeSession, settings: Settings
) -> None:
    """N4: on `invalid_grant` it forgets it and asks to log in; nothing half-written stays."""
    session = logged_in(refresh_token="rt-unknown", expires_at=999.0)

    with pytest.raises(LoginNeeded, match="ended") as needed:
        session.access_token()

    assert needed.value.hint.startswith("python -m native login")
    assert [file.suffix for file in settings.state_dir.iterdir()] == [".lock"]
    with pytest.raises(LoginNeeded, match="not logged in"):
        session.tokens()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Answer(500), Unavailable),
        (Answer(503, b"<html>", "text/html"), Unavailable),
        (Answer(429, b"slow", "text/plain"), Unavailable),
        (Answer.json(429, {"error": "too_many_requests"}), Unavailable),
        (Answer.json(400, {"error": "temporarily_unavailable"}), Unavailable),
        (Answer(200, b"<html>", "text/html"), Unavailable),
        (Answer.json(200, {"access_token": "x", "token_type": "Bearer", "expires_in": "soon"}), Unavailable),
        (Answer.json(200, {"access_token": "x", "token_type": "Bearer", "expires_in": [1]}), Unavailable),
        (Answer.json(200, {"access_token": "x", "token_type": "Bearer", "expires_in": float("inf")}), Unavailable),
        (Answer.json(401, {"error": "invalid_client"}), LoginFailed),
        (Answer.json(200, {"access_token": ""}), LoginFailed),
    ],
)
def test_renewal_when_the_issuer_fails_then_the_session_is_kept(
    logged_in: MakeSession, provider: Provider, fault: Answer, kind: type[NativeError]
) -> None:
    """N5: never logs the user out because somebody is down; only `invalid_grant` ends a session."""
    session = logged_in(expires_at=999.0)
    before = session.tokens()
    provider.faults = [fault]

    with pytest.raises(kind):
        session.access_token()

    assert session.tokens() == before
    assert session.access_token() != "at-first"


def test_renewal_when_the_token_endpoint_redirects_then_the_refresh_token_does_not_follow(
    logged_in: MakeSession, provider: Provider
) -> None:
    """RFC 9700 §4.12: a redirect would carry the refresh token to somebody else."""
    session = logged_in()
    with ProblemApi() as elsewhere:
        provider.faults = [Answer(307, headers=(("Location", elsewhere.url),))]
        with pytest.raises(Unavailable):
            session.renew("at-first")

        assert elsewhere.calls == []
    assert session.tokens().access_token == "at-first"


def test_renewal_when_the_issuer_fails_in_the_last_minute_then_the_token_still_serves(
    logged_in: MakeSession, provider: Provider
) -> None:
    session = logged_in(clock=lambda: 4970.0)
    provider.faults = [Answer(503)]

    assert session.access_token() == "at-first"


def test_renewal_when_there_is_no_refresh_token_then_the_last_minute_is_used_up(logged_in: MakeSession) -> None:
    session = logged_in(refresh_token=None, clock=lambda: 4970.0)

    assert session.access_token() == "at-first"


def test_renewal_when_there_is_no_refresh_token_and_it_has_ended_then_log_in(logged_in: MakeSession) -> None:
    """N2: certified providers drop `offline_access` without `--prompt consent`."""
    with pytest.raises(LoginNeeded) as needed:
        logged_in(refresh_token=None, clock=lambda: 5000.0).access_token()

    assert "--prompt consent" in needed.value.hint


_RACE = """
import contextlib, pathlib, sys
from native.session import Session
from native.settings import Settings
issuer, api, state_dir, lock = sys.argv[1:]
settings = Settings(issuer=issuer, api=api, state_dir=pathlib.Path(state_dir), store="file", http_timeout_seconds=30)
locks = {} if lock == "locked" else {"lock": lambda path, seconds: contextlib.nullcontext()}
session = Session(settings, clock=lambda: 6000.0, **locks)
used = session.tokens().access_token
print("ready", flush=True)
sys.stdin.readline()
print(session.renew(used))
"""


def race(settings: Settings, lock: str) -> list[tuple[int, str]]:
    """Eight processes that have all seen the expired token, let loose together."""
    command = [sys.executable, "-c", _RACE, settings.issuer, settings.api, str(settings.state_dir), lock]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    runners = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(8)]  # type: ignore[call-overload]
    for runner in runners:
        assert runner.stdout.readline() == "ready\n"
    for runner in runners:
        runner.stdin.write("go\n")
        runner.stdin.flush()
    results = []
    for runner in runners:
        with runner:
            out, _ = runner.communicate(timeout=90)
            results.append((runner.returncode, out.strip()))
    return results


def test_renewal_when_eight_processes_want_it_then_one_does_it(
    logged_in: MakeSession, settings: Settings, provider: Provider
) -> None:
    """N4: once, single-flight across processes (lock file)."""
    session = logged_in()
    # The provider keeps the first refresh waiting for a second one, which must not come.
    provider.wait_for_refreshes, provider.patience_seconds = 2, 0.5
    provider.lifetime_seconds = 10_000  # fresh by the racers' clock
    results = race(settings, "locked")

    assert len(provider.refreshes) == 1
    assert results == [(0, session.tokens().access_token)] * 8


def test_renewal_when_there_is_no_lock_then_more_than_one_does_it(
    logged_in: MakeSession, settings: Settings, provider: Provider
) -> None:
    """The negative control of the test above: without the lock the issuer sees the refresh token reused."""
    logged_in()
    provider.wait_for_refreshes, provider.patience_seconds = 2, 60
    results = race(settings, "unlocked")

    assert len(provider.refreshes) >= 2
    assert any(code != 0 for code, _ in results)


def test_lock_when_it_does_not_come_free_then_unavailable(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "x.lock", 1),
        pytest.raises(Unavailable, match="locked"),
        exclusive(tmp_path / "x.lock", 0),
    ):
        raise AssertionError("unreachable")


def test_lock_when_its_block_breaks_then_it_is_free_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "x.lock", 0):
        raise ZeroDivisionError
    with exclusive(tmp_path / "x.lock", 0):
        pass


def test_end_when_the_issuer_revokes_then_it_hears_of_the_refresh_token(
    logged_in: MakeSession, provider: Provider
) -> None:
    """RFC 7009 §2.1: `token` and `token_type_hint` go to the revocation endpoint."""
    session = logged_in()
    token = session.tokens().refresh_token

    assert session.end()
    assert provider.revocations == [
        {"token": token, "token_type_hint": "refresh_token", "client_id": "postern-native"},
    ]
    with pytest.raises(LoginNeeded):
        session.tokens()


def test_end_when_the_issuer_is_down_then_forgotten_all_the_same(
    logged_in: MakeSession, settings: Settings, provider: Provider
) -> None:
    session = logged_in()
    provider.metadata = {"revocation_endpoint": f"{provider.url}/nothing-there"}
    assert not session.end()

    with Provider() as gone:
        down = replace(settings, issuer=gone.issuer)
    offline = Session(down, clock=lambda: 1000.0)
    offline.save(replace(logged_in().tokens(), access_token="at-offline"))
    with pytest.raises(Unavailable):
        offline.end()
    with pytest.raises(LoginNeeded):
        offline.tokens()


def test_end_when_the_issuer_revokes_nothing_then_it_says_so(logged_in: MakeSession, provider: Provider) -> None:
    provider.metadata = {"revocation_endpoint": None}

    assert not logged_in().end()


def test_session_when_the_api_differs_then_it_is_another_one(logged_in: MakeSession, settings: Settings) -> None:
    logged_in()

    with pytest.raises(LoginNeeded):
        Session(replace(settings, api="https://other.example")).tokens()
    assert Session(replace(settings, api=f"{settings.api}/")).tokens()


def test_proxy_when_the_environment_names_one_then_loopback_goes_direct(
    logged_in: MakeSession, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With HTTP_PROXY set, a request to 127.0.0.1 would otherwise leave the machine, with its refresh token."""
    with ProblemApi() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("REQUEST_METHOD", raising=False)
        assert "127.0.0.1" not in requests.utils.getproxies()["http"].replace(proxy.url, "")
        logged_in().renew("at-first")

        assert proxy.calls == []
    assert len(provider.refreshes) == 1


def test_errors_when_raised_then_their_exit_codes_differ() -> None:
    codes = [kind.exit_code for kind in NativeError.__subclasses__()]

    assert len(set(codes)) == len(codes)
    assert 0 not in codes


def test_lock_when_replaced_by_nothing_then_it_is_the_callers_choice(settings: Settings) -> None:
    session = Session(settings, lock=lambda _path, _seconds: nullcontext())

    with session.hold():
        assert not settings.state_dir.exists()
