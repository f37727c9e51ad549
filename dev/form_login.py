"""Do at the development tenant's login page what a person would do in a browser: fill in the form, agree, go on.

Takes   the authorization URL that the native client opens; an e-mail address and a password
Gives   nothing: the last redirect is followed to the client's own loopback port
Raises  FormLoginError if the page is not what a person would expect
Not     a way around the login: the same HTML form, cookies and redirects, by plain HTTP
"""

from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

EMAIL, PASSWORD = "ada@example.org", "correct-horse"  # the tenant's seeded user (tenant/registry.toml)
_MAX_PAGES = 6
_TIMEOUT_SECONDS = 10


class FormLoginError(Exception):
    """The tenant showed a page on which the login cannot go on."""


def open_as_a_person(url: str, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Walk through login and consent until the client's own page answers."""
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(url, timeout=_TIMEOUT_SECONDS)
        for _ in range(_MAX_PAGES):
            form = _Form.of(page.text)
            if form is None:
                break
            values = form.values | {"username": email, "password": password} if form.asks_password else form.values
            page = browser.post(urljoin(page.url, form.action), data=values, timeout=_TIMEOUT_SECONDS)
        if not page.ok:
            raise FormLoginError(f"the tenant answered {page.status_code} at {page.url.partition('?')[0]}")


class _Form(HTMLParser):
    """The first POST form of a page: its action, hidden values and the button that agrees."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.values: dict[str, str] = {}
        self.asks_password = False
        self._state = "before"

    @classmethod
    def of(cls, html: str) -> "_Form | None":
        """Return the page's form, if it has one."""
        form = cls()
        form.feed(html)
        return None if form._state == "before" else form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the form, its hidden inputs and the button that goes on."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and values.get("method", "").lower() == "post" and self._state == "before":
            self._state, self.action = "inside", values.get("action", "")
        elif self._state == "inside" and tag in {"input", "button"}:
            self.asks_password = self.asks_password or values.get("type") == "password"
            name = values.get("name")
            # Of several buttons a person presses the marked one; here: whichever is not the one that denies.
            if name and (values.get("type") == "hidden" or (tag == "button" and values.get("value") != "deny")):
                self.values[name] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Stop at the form's end."""
        if tag == "form" and self._state == "inside":
            self._state = "after"
