"""Clauses N1 to N3: a whole login over real HTTP, and every answer that must not be believed."""

import json
import re
import socket
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest

from native.errors import LoginFailed, NativeError, Unavailable
from native.login import login
from native.session import Session
from native.settings import Settings
from native.store import FileStore, Tokens
from tests.support.problem_api import ProblemApi
from tests.support.provider import SUBJECT, Answer, Provider, sign


class Browser(Protocol):
    """What the `browser` fixture is."""

    addresses: list[str]

    @property
    def page(self) -> str: ...

    def __call__(self, url: str) -> None: ...


def stored(settings: Settings) -> Tokens | None:
    return FileStore(settings.state_dir).load(settings.session_key)


def test_login_when_the_user_agrees_then_tokens_are_kept(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    """N2: RFC 8252: system browser, PKCE S256, `state`, `nonce`, 127.0.0.1 on a free port."""
    tokens = login(settings, open_url=browser)

    asked = provider.authorizations[0]
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback", asked["redirect_uri"])
    assert len(asked["state"]) >= 43
    assert len(asked["nonce"]) >= 43
    assert 43 <= len(provider.exchanges[0]["code_verifier"]) <= 128
    assert tokens.subject == SUBJECT
    assert tokens.refresh_token
    assert stored(settings) == tokens
    assert "You can close this window" in browser.page


def test_two_logins_never_share_a_secret(settings: Settings, provider: Provider, browser: Browser) -> None:
    """RFC 7636 §7.1: the code verifier SHOULD have enough entropy; nothing is used twice."""
    login(settings, open_url=browser)
    login(settings, open_url=browser)

    first, second = provider.authorizations
    assert not {first[name] for name in ("state", "nonce", "code_challenge")} & set(second.values())


def test_scope_when_nothing_was_said_then_identity_and_everyday_scopes_the_api_knows(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    """N2: It asks for `openid profile email offline_access` and the API's everyday scopes."""
    login(settings, open_url=browser)

    asked = provider.authorizations[0]["scope"].split()
    assert asked == ["openid", "profile", "email", "offline_access", "read:profile", "read:email", "write:profile"]


@pytest.mark.parametrize(
    ("redirect", "said"),
    [
        ({"state": "another"}, "another login (state)"),
        ({"state": None}, "another login (state)"),
        ({"state": "zustän"}, "another login (state)"),
        ({"iss": "https://evil.example/"}, "another issuer (iss)"),
        ({"iss": None}, "another issuer (iss)"),
        ({"iss": "https://evil.example/", "error": "access_denied"}, "another issuer (iss)"),
        ({"code": None}, "no code"),
        ({"error": "access_denied", "code": None, "error_description": "She \x1b[31msaid no"}, "She \ufffd[31msaid no"),
    ],
)
def test_login_when_the_redirect_is_wrong_then_it_fails_without_using_the_code(
    settings: Settings, provider: Provider, browser: Browser, redirect: dict[str, str | None], said: str
) -> None:
    """RFC 9207 §2.4: If the values do not match, clients MUST reject the authorization response."""
    provider.redirect = redirect

    with pytest.raises(LoginFailed, match=re.escape(said)):
        login(settings, open_url=browser)

    assert provider.exchanges == []
    assert stored(settings) is None
    assert "You are not logged in" in browser.page


def test_iss_when_the_issuer_does_not_announce_it_then_its_absence_is_fine(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    """RFC 9207 §2.4: the parameter's presence is required only where the metadata announces it."""
    provider.metadata = {"authorization_response_iss_parameter_supported": None}
    provider.redirect = {"iss": None}

    assert login(settings, open_url=browser).subject == SUBJECT


def test_iss_when_not_announced_but_wrong_then_refused(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    """RFC 9207 §2.4: clients that support it MUST compare it where it is present."""
    provider.metadata = {"authorization_response_iss_parameter_supported": None}
    provider.redirect = {"iss": "https://evil.example/"}

    with pytest.raises(LoginFailed, match="iss"):
        login(settings, open_url=browser)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash"),
        ({"aud": "another-client"}, "aud"),
        ({"iss": "https://evil.example/"}, "iss"),
    ],
)
def test_login_when_the_id_token_is_wrong_then_an_earlier_session_stays(
    settings: Settings, provider: Provider, browser: Browser, claims: dict[str, str | None], said: str
) -> None:
    """OpenID Connect Core §3.1.3.7: the Client MUST validate the ID Token in the Token Response."""
    before = login(settings, open_url=browser)
    provider.id_token = claims

    with pytest.raises(LoginFailed, match=said):
        login(settings, open_url=browser)

    assert stored(settings) == before


def test_login_when_there_is_no_id_token_then_refused(settings: Settings, provider: Provider, browser: Browser) -> None:
    """OpenID Connect Core §3.1.3.3: the response to `openid` contains an ID token."""
    provider.token_answer = {"id_token": None}

    with pytest.raises(LoginFailed, match="no ID token"):
        login(settings, open_url=browser)


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_login_when_the_issuer_signs_otherwise_then_the_allow_list_takes_it(
    settings: Settings, provider: Provider, browser: Browser, alg: str
) -> None:
    """N3: alg allow-list RS256, ES256, PS256, EdDSA; with `at_hash` by that algorithm's hash."""
    provider.alg = alg

    assert login(settings, open_url=browser).subject == SUBJECT


def test_login_when_another_key_signed_then_refused(settings: Settings, provider: Provider, browser: Browser) -> None:
    """OpenID Connect Core §3.1.3.7: the signature MUST be validated with the issuer's keys."""
    provider.sign = lambda claims: sign(claims, "ES256")

    with pytest.raises(LoginFailed, match="ID token"):
        login(settings, open_url=browser)


def test_login_when_nobody_comes_then_it_ends_in_time(settings: Settings) -> None:
    """N2: time-out."""
    with pytest.raises(LoginFailed, match="in time"):
        login(replace(settings, login_timeout_seconds=0.01), open_url=lambda _url: None)


def test_login_when_there_is_no_browser_then_it_says_so_at_once(settings: Settings) -> None:
    with pytest.raises(LoginFailed, match="No browser") as failed:
        login(settings, open_url=lambda _url: False)

    assert "--no-browser" in failed.value.hint


def test_login_when_open_url_breaks_then_its_own_error_comes_out(settings: Settings) -> None:
    """A program that walks the login form sees its own mistakes, not a time-out."""

    def broken(_url: str) -> None:
        raise RuntimeError("no such form")

    with pytest.raises(RuntimeError, match="no such form"):
        login(settings, open_url=broken)


def test_login_when_pasted_then_the_redirect_is_read_like_the_browsers(settings: Settings, provider: Provider) -> None:
    """N2: `--no-browser` prints the URL and takes the pasted redirect."""

    def paste(url: str) -> str:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        redirect = provider.answer("GET", url, {}, b"").headers[0][1]
        assert re.match(r"http://127\.0\.0\.1:\d+/callback\?", redirect)
        assert redirect.startswith(asked["redirect_uri"])
        return f"  {redirect}\n"

    assert login(settings, paste=paste).subject == SUBJECT
    assert stored(settings) is not None


def test_login_when_pasted_for_another_login_then_refused(settings: Settings) -> None:
    with pytest.raises(LoginFailed, match="state"):
        login(settings, paste=lambda _url: "http://127.0.0.1:1/callback?code=x&state=y")


@pytest.mark.parametrize("text", ["", "nonsense", "http://[", "?state=\udcff", "http://127.0.0.1/?state=a&state=b"])
def test_login_when_nonsense_is_pasted_then_it_says_so(settings: Settings, text: str) -> None:
    with pytest.raises(LoginFailed):
        login(replace(settings, callback="http://127.0.0.1:8484/callback"), paste=lambda _url: text)


def test_login_when_openid_is_not_asked_then_no_id_token_is_expected(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    tokens = login(replace(settings, scope="read:profile"), open_url=browser)

    assert (tokens.subject, tokens.id_token, tokens.refresh_token) == (None, None, None)
    assert stored(settings) == tokens


@pytest.mark.parametrize(
    "answer", [Answer(404), Answer(200, b"<html>", "text/html"), Answer.json(200, [1]), Answer(503)]
)
def test_discovery_when_there_is_no_document_then_it_names_the_address(
    settings: Settings, api: ProblemApi, browser: Browser, answer: Answer
) -> None:
    api.script = [answer]

    with pytest.raises(NativeError, match="openid-configuration answered"):
        login(replace(settings, issuer=api.url), open_url=browser)


def test_audience_when_none_is_named_then_the_api_says_it(
    settings: Settings, provider: Provider, api: ProblemApi, browser: Browser
) -> None:
    """N1: against any OIDC issuer by discovery; RFC 9728 §2: `resource` is the protected resource's identifier."""
    api.metadata = {"resource": f"{api.url}/"}
    login(settings, open_url=browser)

    assert provider.authorizations[0]["audience"] == f"{api.url}/"


def test_audience_when_the_api_has_no_metadata_then_its_address(
    settings: Settings, provider: Provider, api: ProblemApi, browser: Browser
) -> None:
    api.metadata = None
    login(settings, open_url=browser)

    assert provider.authorizations[0]["audience"] == api.url


def test_audience_when_the_api_is_down_then_its_address(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    with ProblemApi() as gone:
        down = replace(settings, api=gone.url)
    login(down, open_url=browser)

    assert provider.authorizations[0]["audience"] == down.api


def test_audience_when_the_api_names_somebody_else_then_refused(
    settings: Settings, provider: Provider, api: ProblemApi, browser: Browser
) -> None:
    """RFC 9728 §3.3: If these values are not identical, the data contained in the response MUST NOT be used."""
    api.metadata = {"resource": "https://bank.example/"}

    with pytest.raises(LoginFailed, match=r"bank\.example"):
        login(settings, open_url=browser)

    assert provider.authorizations == []


def test_resource_when_named_then_sent_at_both_ends_and_no_audience(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    """RFC 8707 §2.1, §2.2: the authorization request and the access token request carry `resource`."""
    login(replace(settings, resource="https://api.example/"), open_url=browser)

    assert provider.authorizations[0]["resource"] == "https://api.example/"
    assert "audience" not in provider.authorizations[0]
    assert Session(settings).login_settings().resource == "https://api.example/"
    assert provider.exchanges[0]["resource"] == "https://api.example/"


def test_login_parameters_when_named_then_sent(settings: Settings, provider: Provider, browser: Browser) -> None:
    """RFC 9470 §4: the client MAY use `max_age` and `acr_values` in a new authorization request."""
    wanted = replace(settings, scope="openid a:b", prompt="consent", max_age_seconds=0, acr="mfa", audience="aud")
    login(wanted, open_url=browser)

    asked = provider.authorizations[0]
    assert {name: asked[name] for name in ("scope", "prompt", "max_age", "acr_values", "audience")} == {
        "scope": "openid a:b",
        "prompt": "consent",
        "max_age": "0",
        "acr_values": "mfa",
        "audience": "aud",
    }
    assert Session(settings).login_settings().audience == "aud"


@pytest.mark.parametrize("auth_time", [None, 1, "now", True])
def test_max_age_when_the_login_is_older_or_untold_then_refused(
    settings: Settings, provider: Provider, browser: Browser, auth_time: object
) -> None:
    """OpenID Connect Core §3.1.2.1: When max_age is used, the ID Token returned MUST include auth_time."""
    provider.id_token = {"auth_time": auth_time}

    with pytest.raises(LoginFailed, match="auth_time"):
        login(replace(settings, max_age_seconds=60), open_url=browser)


def test_callback_when_it_has_a_port_then_exactly_that(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    """N2: `--callback http://127.0.0.1:8484/callback` for tenants that match ports exactly."""
    with ProblemApi() as gone:
        port = urlsplit(gone.url).port
    login(replace(settings, callback=f"http://127.0.0.1:{port}/cb"), open_url=browser)

    assert provider.authorizations[0]["redirect_uri"] == f"http://127.0.0.1:{port}/cb"


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"issuer": "https://evil.example/"}, "another issuer"),
        ({"token_endpoint": None}, "no token_endpoint"),
        ({"token_endpoint": "http://evil.example/token"}, "this machine only"),
        ({"code_challenge_methods_supported": ["plain"]}, "S256"),
    ],
)
def test_discovery_when_the_document_is_wrong_then_no_browser_opens(
    settings: Settings, provider: Provider, browser: Browser, metadata: dict[str, Any], said: str
) -> None:
    """OpenID Connect Discovery §4.3: the issuer value returned MUST be identical to the Issuer URL that was used."""
    provider.metadata = metadata

    with pytest.raises(LoginFailed, match=said):
        login(settings, open_url=browser)

    assert browser.addresses == []


def test_issuer_when_it_is_down_then_unavailable(settings: Settings, browser: Browser) -> None:
    with Provider() as gone:
        down = replace(settings, issuer=gone.issuer)

    with pytest.raises(Unavailable, match="cannot be reached"):
        login(down, open_url=browser)


def test_issuer_when_it_is_silent_then_the_time_out_ends_it(settings: Settings, browser: Browser) -> None:
    """N2: time-out; an issuer that takes the connection and says nothing does not hang the client."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Unavailable, match="in time"):
            login(replace(settings, issuer=url, http_timeout_seconds=0.05), open_url=browser)


def test_token_endpoint_when_it_is_down_then_unavailable(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    provider.faults = [Answer(500)]

    with pytest.raises(Unavailable, match="500"):
        login(settings, open_url=browser)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>", "text/html"),
        Answer.json(403, {"error": "invalid_grant", "error_description": "Invalid authorization code"}),
        Answer.json(200, {"access_token": "x", "token_type": "mac"}),
        Answer.json(200, {"token_type": "Bearer"}),
        Answer.json(200, ["x"]),
    ],
)
def test_token_endpoint_when_its_answer_is_none_then_the_login_fails(
    settings: Settings, provider: Provider, browser: Browser, answer: Answer
) -> None:
    """RFC 6749 §5.1: `access_token` and `token_type` are REQUIRED."""
    provider.faults = [answer]

    with pytest.raises(NativeError):
        login(settings, open_url=browser)

    assert stored(settings) is None


def test_token_endpoint_when_it_redirects_then_the_code_does_not_follow(
    settings: Settings, provider: Provider, browser: Browser
) -> None:
    """RFC 9700 §4.12: a redirect would carry the code and its verifier to somebody else."""
    with ProblemApi() as elsewhere:
        provider.faults = [Answer(307, headers=(("Location", elsewhere.url),))]
        with pytest.raises(LoginFailed, match="nothing readable"):
            login(settings, open_url=browser)

        assert elsewhere.calls == []


def test_tokens_when_shown_then_hold_no_token(settings: Settings, browser: Browser) -> None:
    """N3: the refresh token is never printed."""
    tokens = login(settings, open_url=browser)

    shown = repr(tokens) + repr(Session(settings).tokens())
    assert tokens.refresh_token not in shown
    assert tokens.access_token not in shown
    assert json.loads(tokens.to_json())["refresh_token"] == tokens.refresh_token
