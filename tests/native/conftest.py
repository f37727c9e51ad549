"""A provider, an API and a browser for the native client's tests; no browser of this machine is ever opened."""

import os
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from native.session import Session
from native.settings import Settings
from native.store import Tokens
from tests.support.problem_api import ProblemApi
from tests.support.provider import Provider


class Browser:
    """Follows an address and its redirects, as a browser would, and keeps what it was shown last."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._page: Future[str] = Future()

    @property
    def page(self) -> str:
        """The first page it was shown, waited for: the app goes on while the browser still reads."""
        return self._page.result(10)

    def __call__(self, url: str) -> None:
        self.addresses.append(url)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(url, timeout=10) as response:
                page = response.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                page = refused.read().decode()
        if not self._page.done():
            self._page.set_result(page)


@pytest.fixture(autouse=True)
def _no_real_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise AssertionError("A test tried to open a browser.")

    for name in [name for name in os.environ if name.startswith("NATIVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(webbrowser, "open", refuse)
    monkeypatch.setenv("BROWSER", "false")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def api() -> Iterator[ProblemApi]:
    with ProblemApi() as running:
        yield running


@pytest.fixture
def settings(provider: Provider, api: ProblemApi, tmp_path: Path) -> Settings:
    return Settings(
        issuer=provider.issuer,
        api=api.url,
        state_dir=tmp_path / "state",
        store="file",
        http_timeout_seconds=20,
        login_timeout_seconds=20,
    )


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def logged_in(settings: Settings, provider: Provider) -> Callable[..., Session]:
    """Makes a stored session without a login; `expires_at` and the like may be given."""

    def make(*, clock: Callable[[], float] = lambda: 1000.0, **changes: object) -> Session:
        session = Session(settings, clock=clock)
        members = {
            "access_token": "at-first",
            "expires_at": 5000.0,
            "refresh_token": provider.first_refresh_token(),
            "id_token": None,
            "scope": ("openid", "offline_access", "read:profile"),
            "subject": "auth0|ada",
            "name": "Ada Lovelace",
            "audience": None,
            "resource": None,
            "saved_at": 900.0,
        }
        session.save(Tokens(**{**members, **changes}))  # type: ignore[arg-type] # one change per test
        return session

    return make
