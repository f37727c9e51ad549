"""D1, D7: both logouts."""

import pytest

from tests.support.tenant import CLIENT_ID, NativeApp, Page


def _is_logged_in(browser, app) -> bool:
    return "code" in browser.open(app.authorize_url(prompt="none"))


def test_auth0_logout_ends_the_session(tenant, app, browser):
    browser.go_through(app.authorize_url())
    back = browser.open(tenant.url(f"v2/logout?client_id={CLIENT_ID}&returnTo=http://127.0.0.1:5/logged-out"))
    assert back == {"_callback": "http://127.0.0.1:5/logged-out"}
    assert not _is_logged_in(browser, app)


def test_logout_without_a_target_is_a_page(tenant, app, browser):
    browser.go_through(app.authorize_url())
    page = browser.open(tenant.url("v2/logout"))
    assert isinstance(page, Page)
    assert "logged out" in page.text
    assert not _is_logged_in(browser, app)


@pytest.mark.parametrize(
    "query", ["v2/logout?returnTo=https://evil.example/", f"v2/logout?client_id={CLIENT_ID}&returnTo=//evil.example"]
)
def test_logout_never_leads_elsewhere(tenant, browser, query):
    page = browser.open(tenant.url(query))
    assert isinstance(page, Page)
    assert page.status == 400


def test_oidc_logout_with_a_hint_goes_back_with_state(tenant, app, browser):
    """OpenID Connect RP-Initiated Logout §2: 'state ... passed back to the RP.'"""
    answer = app.exchange(browser.go_through(app.authorize_url())["code"]).json()
    query = f"id_token_hint={answer['id_token']}&post_logout_redirect_uri=http://127.0.0.1:5/logged-out&state=s1"
    back = browser.open(tenant.url("oidc/logout?" + query))
    assert back == {"state": "s1", "_callback": "http://127.0.0.1:5/logged-out?state=s1"}
    assert not _is_logged_in(browser, app)


def test_oidc_logout_without_a_hint_asks_first(tenant, app, browser):
    """OpenID Connect RP-Initiated Logout §6: 'logout requests without a valid id_token_hint value are a potential
    means of denial of service; therefore, OPs should obtain explicit confirmation.'
    """
    browser.go_through(app.authorize_url())
    page = browser.open(tenant.url(f"oidc/logout?client_id={CLIENT_ID}"))
    assert isinstance(page, Page)
    assert _is_logged_in(browser, app)
    browser.open(page.url, {})
    assert _is_logged_in(browser, app)
    browser.open(tenant.url("oidc/logout"), page.fields)
    assert not _is_logged_in(browser, app)


def test_oidc_logout_with_a_foreign_hint_is_refused(tenant, app, browser):
    browser.go_through(app.authorize_url())
    forged = tenant.mint(key="foreign", audience=CLIENT_ID)
    assert browser.open(tenant.url(f"oidc/logout?id_token_hint={forged}")).status == 400
    hint = NativeApp(tenant).log_in()["id_token"]
    assert browser.open(tenant.url(f"oidc/logout?client_id=postern-m2m&id_token_hint={hint}")).status == 400
    assert _is_logged_in(browser, app)
