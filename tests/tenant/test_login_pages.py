"""D11: login, consent, prompts, max_age; the pages' own safety."""

import jwt
import pytest
import requests

from tests.support.tenant import ADA, Browser, NativeApp, Page


def _auth_time(answer: dict) -> int:
    return jwt.decode(answer["id_token"], options={"verify_signature": False})["auth_time"]


def test_wrong_password_shows_the_form_again_and_says_no_more(app, browser):
    page = browser.open(app.authorize_url(prompt="consent"))
    for who in [("ada@example.org", "wrong"), ("nobody@example.org", "correct-horse")]:
        page = browser.log_in(page, who)
        assert isinstance(page, Page)
        assert page.status == 400
        assert "Wrong email or password." in page.text
        assert page.fields["username"] == who[0]
        assert page.fields["password"] == ""
    page = browser.log_in(page, ("ADA@Example.org", ADA[1]))
    assert isinstance(page, Page)
    assert page.path == "/u/consent"


def test_login_hint_fills_in_the_address(app, browser):
    """D11: `login_hint` is honoured; the picker is the same thing as a link."""
    page = browser.open(app.authorize_url(login_hint="grace@example.org"))
    assert page.fields["username"] == "grace@example.org"
    page = browser.open(page.url + "&login_hint=ada@example.org")
    assert page.fields["username"] == "ada@example.org"
    assert "correct-horse" in page.text


def test_pages_let_no_script_run_and_no_other_site_frame_them(app, browser):
    page = browser.open(app.authorize_url(login_hint='"><script>alert(1)</script>'))
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:51789;" in policy
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert " style=" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_form_without_its_csrf_token_is_refused(app, browser):
    """D11: CSRF: another site must not log this browser in as somebody else."""
    page = browser.open(app.authorize_url())
    forged = browser.open(page.url, page.fields | {"username": ADA[0], "password": ADA[1], "csrf_token": "x"})
    assert isinstance(forged, Page)
    assert forged.status == 400
    assert isinstance(browser.open(app.authorize_url(prompt="none")), dict)
    assert browser.open(app.authorize_url(prompt="none"))["error"] == "login_required"


def test_request_begun_in_another_browser_cannot_be_finished(tenant, app, browser):
    page = browser.open(app.authorize_url())
    with Browser(tenant) as other:
        mine = other.open(app.authorize_url())
        stolen = other.open(
            page.url, mine.fields | {"state": page.fields["state"], "username": ADA[0], "password": ADA[1]}
        )
    assert isinstance(stolen, Page)
    assert stolen.status == 400
    assert "start over" in stolen.text


@pytest.mark.parametrize("path", ["u/login?state=x", "u/consent?state=x", "authorize/resume?state=x", "u/login"])
def test_page_without_a_waiting_request_says_start_over(tenant, browser, path):
    page = browser.open(tenant.url(path))
    assert page.status == 400
    assert "start over" in page.text


def test_login_gives_the_session_a_new_name(tenant, app):
    """A session planted before the login is worth nothing after it."""
    with requests.Session() as http:
        http.get(app.authorize_url(), timeout=10)
        before = http.cookies["tenant_session"]
    with Browser(tenant) as browser:
        browser._http.cookies.set("tenant_session", before, domain="127.0.0.1", path="/")
        browser.go_through(app.authorize_url())
        with requests.Session() as thief:
            thief.cookies.set("tenant_session", before)
            response = thief.get(app.authorize_url(prompt="none"), allow_redirects=False, timeout=10)
    assert "error=login_required" in response.headers["Location"]


def test_denied_consent_reaches_the_app(tenant, app, browser):
    """RFC 6749 §4.1.2.1: 'access_denied: The resource owner or authorization server denied the request.'"""
    page = browser.log_in(browser.open(app.authorize_url(prompt="consent")))
    reached = browser.consent(page, "deny")
    assert isinstance(reached, dict)
    assert reached["error"] == "access_denied"
    assert reached["state"] == app.state
    assert reached["iss"] == tenant.issuer


def test_consent_is_asked_again_only_for_what_is_new(fresh_tenant):
    app = NativeApp(fresh_tenant)
    with Browser(fresh_tenant) as browser:
        browser.go_through(app.authorize_url(scope="openid read:profile"))
        assert "code" in browser.open(app.authorize_url(scope="read:profile"))
        page = browser.open(app.authorize_url(scope="openid write:profile"))
        assert isinstance(page, Page)
        assert page.path == "/u/consent"
        assert (
            browser.open(app.authorize_url(scope="openid write:profile", prompt="none"))["error"] == "consent_required"
        )


def test_prompt_none_without_a_login_is_login_required(app, browser):
    """OpenID Connect Core §3.1.2.1: 'An error is returned if an End-User is not already authenticated.'"""
    assert browser.open(app.authorize_url(prompt="none"))["error"] == "login_required"


def test_prompt_none_with_another_value_is_an_error(app, browser):
    """OpenID Connect Core §3.1.2.1: 'If this parameter contains none with any other value, an error is returned.'"""
    assert browser.open(app.authorize_url(prompt="none login"))["error"] == "invalid_request"


def test_prompt_none_with_a_login_gives_a_code_without_a_page(app, browser):
    browser.go_through(app.authorize_url())
    assert "code" in browser.open(app.authorize_url(prompt="none"))


def test_prompt_login_and_consent_show_their_pages(fresh_tenant):
    """OpenID Connect Core §3.1.2.1: 'The Authorization Server SHOULD prompt the End-User for reauthentication.'"""
    app = NativeApp(fresh_tenant)
    with Browser(fresh_tenant) as browser:
        first = app.exchange(browser.go_through(app.authorize_url())["code"]).json()
        fresh_tenant.dev("clock", {"offset_seconds": 100})
        page = browser.open(app.authorize_url(prompt="login consent"))
        page = browser.log_in(page)
        reached = browser.consent(page)
        second = app.exchange(reached["code"]).json()
        assert _auth_time(second) >= _auth_time(first) + 100


def test_max_age_asks_for_a_login_that_is_young_enough(fresh_tenant):
    """OpenID Connect Core §3.1.2.1: 'If the elapsed time is greater than this value, the OP MUST attempt to actively
    re-authenticate the End-User.'
    """
    app = NativeApp(fresh_tenant)
    with Browser(fresh_tenant) as browser:
        first = app.exchange(browser.go_through(app.authorize_url())["code"]).json()
        fresh_tenant.dev("clock", {"offset_seconds": 100})
        assert "code" in browser.open(app.authorize_url(max_age="1000"))
        assert browser.open(app.authorize_url(max_age="50", prompt="none"))["error"] == "login_required"
        assert browser.open(app.authorize_url(max_age="soon"))["error"] == "invalid_request"
        for max_age in ("50", "0"):
            reached = browser.log_in(browser.open(app.authorize_url(max_age=max_age)))
            second = app.exchange(reached["code"]).json()
            assert _auth_time(second) >= _auth_time(first) + 100


def test_stylesheet_and_mark_are_served(tenant):
    for name in ("tenant.css", "mark.svg"):
        assert requests.get(tenant.url(f"u/static/{name}"), timeout=10).status_code == 200
