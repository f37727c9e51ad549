"""The whole way of an account's deletion: the native client, the development tenant, and the API itself over HTTP."""

import json
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import BaseWSGIServer, make_server

from app.commands.db import upgrade
from app.factory import create_app
from config.settings import Settings as ApiSettings
from native.__main__ import main
from native.settings import IDENTITY_SCOPES
from tests.support import tenant as tenants

HOUR = 3600
AUTH_TIME_CLAIM = "https://postern.example/auth_time"
SCOPE = " ".join((*IDENTITY_SCOPES, "read:profile", "delete:account"))
CONFIRMED = '{"confirm": "delete my account"}'
Run = Callable[..., Result]


@pytest.fixture
def door() -> Iterator[BaseWSGIServer]:
    """A server whose application comes later: the tenant must know the API's address, and the API the tenant's."""
    server = make_server("127.0.0.1", 0, lambda _environ, _start: [], threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tenant(tmp_path: Path, door: BaseWSGIServer) -> Iterator[tenants.RunningTenant]:
    with tenants.running_tenant(tmp_path / "tenant", api_identifier=f"http://127.0.0.1:{door.port}") as running:
        yield running


@contextmanager
def serving(door: BaseWSGIServer, tenant: tenants.RunningTenant, folder: Path, **changes: Any) -> Iterator[None]:
    """The API behind the door, with the tenant's own keys."""
    database_url = f"sqlite:///{folder / 'postern.db'}"
    upgrade(database_url)
    url = f"http://127.0.0.1:{door.port}"
    given: dict[str, Any] = {
        "tenant_issuers": (tenant.issuer,),
        "api_audiences": (url,),
        "public_url": url,
        "database_url": database_url,
        "auth_time_claim": AUTH_TIME_CLAIM,
        "jwks_snapshot_dir": None,
    }
    app = create_app(ApiSettings(**(given | changes)))
    app.extensions["postern"].start()
    door.app = app
    try:
        yield
    finally:
        app.extensions["postern"].stop()


@pytest.fixture
def asked(
    door: BaseWSGIServer,
    tenant: tenants.RunningTenant,
    browser: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[str]]:
    """Ada at ONE browser, where she logged in at the tenant an hour ago; the addresses that it is then sent to."""
    addresses: list[str] = []
    with tenants.Browser(tenant) as forms:
        earlier = tenants.NativeApp(tenant).authorize_url(audience=f"http://127.0.0.1:{door.port}", scope=SCOPE)
        tenant.dev("clock", {"offset_seconds": -HOUR})
        forms.go_through(earlier)
        tenant.dev("clock", {"offset_seconds": 0})

        def go(url: str) -> None:
            addresses.append(url)
            browser(forms.go_through(url)["_callback"])

        monkeypatch.setattr(webbrowser, "open", go)
        monkeypatch.setattr("native.__main__._someone_is_there", lambda: True)
        yield addresses


@pytest.fixture
def run(door: BaseWSGIServer, tenant: tenants.RunningTenant, tmp_path: Path) -> Run:
    environment = {
        "NATIVE_ISSUER": tenant.issuer,
        "NATIVE_API": f"http://127.0.0.1:{door.port}",
        "NATIVE_STATE_DIR": str(tmp_path / "state"),
        "NATIVE_STORE": "file",
        "NATIVE_TIMEOUT": "20",
    }

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, words, env=environment)

    return invoke


def test_deletion_when_the_login_is_old_then_a_login_with_max_age_and_it_is_scheduled(
    run: Run, asked: list[str], door: BaseWSGIServer, tenant: tenants.RunningTenant, tmp_path: Path
) -> None:
    """N5: `step_up` → log in again with `max_age`/`acr_values`; tokens.md T23."""
    with serving(door, tenant, tmp_path, deletion_max_age_seconds=300):
        assert run("login", "--scope", SCOPE).exit_code == 0
        assert run("me").exit_code == 0
        assert len(asked) == 1

        done = run("call", "POST", "/v1/me/deletion", "--data", CONFIRMED, "--json")

        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["state"] == "scheduled"
        assert [parse_qs(urlsplit(address).query).get("max_age") for address in asked] == [None, ["300"]]
        assert "delete:account" in parse_qs(urlsplit(asked[1]).query)["scope"][0]
        refused = run("me")
        assert (refused.exit_code, "account_deletion_scheduled" in refused.stderr) == (1, True)
        assert run("call", "DELETE", "/v1/me/deletion").exit_code == 0
        assert run("me").exit_code == 0
        assert len(asked) == 2


def test_deletion_when_nobody_is_there_to_log_in_then_the_command_that_helps(  # noqa: PLR0917 - fixtures
    run: Run,
    asked: list[str],
    door: BaseWSGIServer,
    tenant: tenants.RunningTenant,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a login without `max_age` does not help: the tenant's session answers it, and is as old as it was."""
    with serving(door, tenant, tmp_path, deletion_max_age_seconds=300):
        for _ in range(2):
            assert run("login", "--scope", SCOPE).exit_code == 0
            with monkeypatch.context() as alone:
                alone.setattr("native.__main__._someone_is_there", lambda: False)
                done = run("call", "POST", "/v1/me/deletion", "--data", CONFIRMED)
            assert (done.exit_code, "--max-age 300" in done.stderr) == (7, True)
            assert "delete:account'" in done.stderr  # a login that loses the scope would be of no use
        assert len(asked) == 2


def test_deletion_when_it_is_done_then_the_client_says_so_and_a_new_account_is_the_users_own_wish(
    run: Run, asked: list[str], door: BaseWSGIServer, tenant: tenants.RunningTenant, tmp_path: Path
) -> None:
    """user-data.md U16: "an old device that merely refreshes cannot bring the account back"."""
    with serving(door, tenant, tmp_path, account_deletion_grace_days=0):
        assert run("login", "--scope", f"{SCOPE} write:profile").exit_code == 0
        assert run("call", "POST", "/v1/me/deletion", "--data", CONFIRMED).exit_code == 0
        assert run("refresh").exit_code == 0
        refused = run("me")
        assert (refused.exit_code, "410 account_deleted" in refused.stderr) == (1, True)
        assert run("call", "POST", "/v1/me").exit_code == 0
        assert run("me").exit_code == 0
        assert len(asked) == 1
