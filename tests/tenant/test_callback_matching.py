"""D7: which redirect addresses belong to an application, and what a wrong one gets."""

import pytest

from tenant.callbacks import form_action_source, is_allowed
from tests.support.tenant import Page

PORTLESS, EXACT = "http://127.0.0.1/callback", "http://127.0.0.1:8484/callback"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:65535/callback",
        "http://[::1]:8/callback",
    ],
)
def test_portless_loopback_callback_takes_any_port(address):
    """RFC 8252 §7.3: 'The authorization server MUST allow any port to be specified at the time of the request for
    loopback IP redirect URIs.'
    """
    assert is_allowed(address, [PORTLESS])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:80/callback/",
        "http://127.0.0.1:80/callback?x=1",
        "http://127.0.0.1:80/callback#x",
        "http://127.0.0.1:80/other",
        "https://127.0.0.1:80/callback",
        "http://localhost:80/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "http://user@127.0.0.1:80/callback",
        "http://127.0.0.1:80\\@evil.example/callback",
        "http://127.0.0.2:80/callback",
        "http://127.0.0.1:80/callback\n",
        "http://127.0.0.1:٨٠/callback",
        "HTTP://127.0.0.1:80/callback",
    ],
)
def test_anything_else_is_not_the_registered_callback(address):
    """RFC 9700 §2.1: 'authorization servers MUST utilize exact string matching except for port numbers in localhost
    redirection URIs of native apps.'
    """
    assert not is_allowed(address, [PORTLESS])


def test_callback_with_a_port_is_exact_and_other_schemes_too():
    assert is_allowed(EXACT, [EXACT])
    assert not is_allowed("http://127.0.0.1:8485/callback", [EXACT])
    assert is_allowed("org.example.app:/cb", ["org.example.app:/cb"])
    assert not is_allowed("org.example.app:/cb/", ["org.example.app:/cb"])


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("http://127.0.0.1:8484/callback", "http://127.0.0.1:8484"),
        ("http://[::1]:8484/callback", "http:"),
        ("org.example.app:/cb", "org.example.app:"),
        ("https://app.example?x", "https://app.example"),
    ],
)
def test_form_action_source_is_what_csp_can_say(address, source):
    assert form_action_source(address) == source


@pytest.mark.parametrize("wrong", ["https://evil.example/cb", "http://localhost:8484/callback", "", None])
def test_wrong_callback_is_a_page_never_a_redirect(app, browser, wrong):
    """RFC 6749 §4.1.2.1: 'the authorization server SHOULD inform the resource owner of the error and MUST NOT
    automatically redirect the user-agent to the invalid redirection URI.'
    """
    page = browser.open(app.authorize_url(redirect_uri=wrong))
    assert isinstance(page, Page)
    assert page.status == 403
    assert "Callback URL mismatch" in page.text


@pytest.mark.parametrize("client_id", ["nobody", None, '"><script>'])
def test_unknown_application_is_a_page(app, browser, client_id):
    page = browser.open(app.authorize_url(client_id=client_id))
    assert isinstance(page, Page)
    assert page.status == 400
    assert "Unknown application" in page.text
    assert "<script" not in page.text


def test_repeated_parameter_is_a_page(app, browser):
    """RFC 6749 §3.1: 'Request and response parameters MUST NOT be included more than once.'"""
    page = browser.open(app.authorize_url() + "&client_id=postern-native")
    assert isinstance(page, Page)
    assert page.status == 400
