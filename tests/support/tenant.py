"""Run a development tenant for a test, and be the native app and the browser in front of it, by plain HTTP.

Takes   a directory for its state;  options of TenantSettings, such as api_identifier
Gives   running_tenant(): a RunningTenant;  NativeApp: code + PKCE by filling in the HTML forms
Raises  AssertionError where a page is not what a user could go on with
Not     the native client of this project: this one shares no code with it
"""

import base64
import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import requests

from tenant.serve import TenantServer, listen
from tenant.settings import TenantSettings

API = "http://127.0.0.1:8000"
CLIENT_ID = "postern-native"
CALLBACK = "http://127.0.0.1:51789/callback"
EVERYTHING = "openid profile email offline_access read:profile read:email write:profile"
ADA = ("ada@example.org", "correct-horse")
GRACE = ("grace@example.org", "battery-staple")
TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class RunningTenant:
    """A tenant that answers on a port of its own."""

    issuer: str
    state_dir: Path
    server: TenantServer

    def url(self, path: str) -> str:
        """Return the address of a path of the tenant."""
        return self.issuer + path.lstrip("/")

    def dev(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> dict[str, Any]:
        """Use one of the /_dev controls; a refusal fails the test."""
        response = requests.request(method, self.url("_dev/" + path), json=body, timeout=TIMEOUT_SECONDS)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def mint(self, **wanted: Any) -> str:
        """Return an access token made without a login."""
        return str(self.dev("mint", wanted)["access_token"])

    def token(self, **parameters: str) -> requests.Response:
        """Post a form to the token endpoint."""
        return requests.post(self.url("oauth/token"), data=parameters, timeout=TIMEOUT_SECONDS)

    def userinfo(self, token: str) -> requests.Response:
        """Ask /userinfo."""
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(self.url("userinfo"), headers=headers, timeout=TIMEOUT_SECONDS)

    def event_types(self) -> list[str]:
        """Return the codes in the tenant's log, newest first."""
        return [event["type"] for event in self.dev("log", method="GET")["events"]]


@contextmanager
def running_tenant(state_dir: Path, **options: Any) -> Iterator[RunningTenant]:
    """Run a tenant on a port that the system chooses, in a thread, until the block ends."""
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    settings = TenantSettings(
        **({"issuer": f"http://127.0.0.1:{port}/", "port": port, "state_dir": state_dir, "quiet": True} | options)
    )
    server = TenantServer(settings, listening)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield RunningTenant(f"http://127.0.0.1:{port}/", state_dir, server)
    finally:
        server.stop()
        thread.join(TIMEOUT_SECONDS)


@dataclass
class Page:
    """What a browser shows: an address, a status, and the fields of its form."""

    url: str
    status: int
    text: str
    fields: dict[str, str] = field(default_factory=dict)
    headers: Any = None

    @property
    def path(self) -> str:
        """The path of its address."""
        return urlsplit(self.url).path


class Browser:
    """A browser without JavaScript: keeps cookies, follows the tenant's redirects, stops at the app's callback."""

    def __init__(self, tenant: RunningTenant) -> None:
        self.tenant = tenant
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the connections."""
        self._http.close()

    def open(self, url: str, form: dict[str, str] | None = None) -> Page | dict[str, str]:
        """Open a page, or send a form; return the page, or the parameters that reached the app's callback."""
        method = "POST" if form is not None else "GET"
        response = self._http.request(method, url, data=form, allow_redirects=False, timeout=TIMEOUT_SECONDS)
        for _ in range(10):
            if not response.is_redirect:
                parser = _Form()
                parser.feed(response.text)
                return Page(url, response.status_code, response.text, parser.fields, response.headers)
            url = urljoin(url, response.headers["Location"])
            if not url.startswith(self.tenant.issuer):
                return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) | {"_callback": url}
            response = self._http.get(url, allow_redirects=False, timeout=TIMEOUT_SECONDS)
        raise AssertionError("too many redirects")

    def log_in(self, page: Page | dict[str, str], who: tuple[str, str] = ADA) -> Page | dict[str, str]:
        """Fill in the login form."""
        assert isinstance(page, Page), page
        assert page.path == "/u/login", page.text
        return self.open(page.url, page.fields | {"username": who[0], "password": who[1]})

    def consent(self, page: Page | dict[str, str], action: str = "accept") -> Page | dict[str, str]:
        """Press a button of the consent page."""
        assert isinstance(page, Page), page
        assert page.path == "/u/consent", page.text
        return self.open(page.url, page.fields | {"action": action})

    def go_through(self, url: str, who: tuple[str, str] = ADA) -> dict[str, str]:
        """Do whatever a willing user does, until the app's callback is reached."""
        reached = self.open(url)
        if isinstance(reached, Page) and reached.path == "/u/login":
            reached = self.log_in(reached, who)
        if isinstance(reached, Page) and reached.path == "/u/consent":
            reached = self.consent(reached)
        assert isinstance(reached, dict), f"{reached.status} at {reached.url}: {reached.text}"
        return reached


class NativeApp:
    """A native app that logs its user in with code + PKCE."""

    def __init__(self, tenant: RunningTenant, client_id: str = CLIENT_ID) -> None:
        self.tenant = tenant
        self.client_id = client_id
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(12)
        self.nonce = secrets.token_urlsafe(12)

    def authorize_url(self, **changes: str | None) -> str:
        """Return the address to open; a change to None leaves a parameter out."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": EVERYTHING,
            "audience": API,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        chosen = {name: value for name, value in (parameters | changes).items() if value is not None}
        return self.tenant.url("authorize?" + urlencode(chosen))

    def exchange(self, code: str, **changes: str) -> requests.Response:
        """Exchange the code."""
        parameters = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
        }
        return self.tenant.token(**(parameters | changes))

    def refresh(self, refresh_token: str, **more: str) -> requests.Response:
        """Exchange a refresh token."""
        grant = {"grant_type": "refresh_token", "client_id": self.client_id, "refresh_token": refresh_token}
        return self.tenant.token(**(grant | more))

    def log_in(self, who: tuple[str, str] = ADA, **changes: str | None) -> dict[str, Any]:
        """Do the whole flow in a fresh browser, and return the token response."""
        with Browser(self.tenant) as browser:
            reached = browser.go_through(self.authorize_url(**changes), who)
        response = self.exchange(reached["code"])
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


class _Form(HTMLParser):
    """Collects the input fields of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            self.fields[str(given["name"])] = given.get("value") or ""
