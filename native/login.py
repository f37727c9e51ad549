"""Log in through the system browser: Authorization Code + PKCE, caught on a loopback port.

Takes   settings;  open_url: shows the user an address (the default asks the system's browser)
        or paste: shows the address and gives back the redirect that the user copied from the browser
Gives   Tokens, already saved
Raises  LoginFailed, Unavailable, OSError (the tokens could not be saved); whatever open_url raised
Not     a password: it is typed into the issuer's page and nowhere else (RFC 8252 §8.12)
Source  RFC 8252 §4, §6, §7.3; RFC 7636; RFC 9207 §2.4; RFC 8707 §2; OpenID Connect Core §3.1.2
"""

import hmac
import secrets
import socket
import time
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.base_client import OAuthError

from native import discovery, id_token
from native.errors import LoginFailed
from native.loopback import Loopback, read_parameters
from native.session import Session, tokens_from
from native.settings import EVERYDAY_SCOPES, IDENTITY_SCOPES, Settings
from native.show import printable
from native.store import Tokens
from native.transport import UNREADABLE, get_json, open_session, reach

OpenUrl = Callable[[str], object]
_VERIFIER_BYTES = 48  # 64 characters; RFC 7636 §4.1 wants 43 to 128


@dataclass(frozen=True)
class _Request:
    """What this one login asks for, and the secrets that tie its answer to it."""

    issuer: discovery.Issuer
    scope: tuple[str, ...]
    audience: str | None
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(_VERIFIER_BYTES), repr=False)

    def judge(self, answer: Mapping[str, str]) -> str:
        """The code in a redirect's parameters, if the redirect answers this request and comes from this issuer."""
        if not hmac.compare_digest(answer.get("state", "").encode("utf-8", "replace"), self.state.encode()):
            raise LoginFailed("The answer belongs to another login (state).", "Start again.")
        # RFC 9207 §2.4: compare by simple string comparison; absent although announced is a refusal.
        if answer.get("iss", None if self.issuer.sends_iss else self.issuer.issuer) != self.issuer.issuer:
            raise LoginFailed("The answer comes from another issuer (iss).", "Check --issuer, then start again.")
        if "error" in answer:
            said = printable(answer.get("error_description") or answer["error"])
            raise LoginFailed(f"The issuer did not log you in: {said}", "Start again when that is solved.")
        if not answer.get("code"):
            raise LoginFailed("The answer holds no code.", "Start again.")
        return answer["code"]


def login(
    settings: Settings,
    *,
    open_url: OpenUrl = webbrowser.open,
    paste: Callable[[str], str] | None = None,
    session: Session | None = None,
    clock: Callable[[], float] = time.time,
) -> Tokens:
    """Log in and keep the tokens; a login that fails leaves an earlier session as it was."""
    session = session or Session(settings, clock=clock)
    request = _prepare(settings)
    if paste is None:
        with Loopback(settings.callback, request.judge) as loopback:
            redirect_uri = loopback.redirect_uri
            _open(open_url, _authorization_url(settings, request, redirect_uri), loopback)
            code = loopback.wait(settings.login_timeout_seconds)
    else:
        redirect_uri = _unheard_redirect(settings.callback)
        code = request.judge(_pasted(paste(_authorization_url(settings, request, redirect_uri))))
    tokens = _exchange(settings, request, code, redirect_uri, clock)
    session.save(tokens)
    return tokens


def _prepare(settings: Settings) -> _Request:
    timeout = settings.http_timeout_seconds
    issuer = discovery.discover(settings.issuer, timeout)
    if settings.audience or settings.resource:
        audience, known = settings.audience, None
    else:
        api = discovery.describe_api(settings.api, timeout)
        audience, known = api.resource, api.scopes
    scope = settings.scope.split() if settings.scope is not None else _everyday(known)
    return _Request(issuer, tuple(scope), audience)


def _everyday(known: frozenset[str] | None) -> list[str]:
    """What the app needs every day, as far as the API knows it: strict issuers refuse a scope that is not there."""
    return [*IDENTITY_SCOPES, *(scope for scope in EVERYDAY_SCOPES if known is None or scope in known)]


def _authorization_url(settings: Settings, request: _Request, redirect_uri: str) -> str:
    endpoint = request.issuer.authorization_endpoint
    with open_session(endpoint, settings.http_timeout_seconds, client_id=settings.client_id) as http:
        url, _ = http.create_authorization_url(
            endpoint,
            state=request.state,
            code_verifier=request.verifier,
            redirect_uri=redirect_uri,
            scope=" ".join(request.scope),
            nonce=request.nonce,
            audience=request.audience,
            resource=settings.resource,
            prompt=settings.prompt,
            max_age=None if settings.max_age_seconds is None else str(settings.max_age_seconds),
            acr_values=settings.acr,
        )
    return str(url)


def _open(open_url: OpenUrl, url: str, loopback: Loopback) -> None:
    """Show the address in a thread: a browser in the foreground ends when its user closes it, not when it answers."""

    def run() -> None:
        try:
            shown = open_url(url)
        except Exception as error:  # noqa: BLE001 - handed over to the thread that waits, whatever it is
            loopback.give_up(error)
        else:
            if shown is False:  # webbrowser's word for "there is none"
                loopback.give_up(LoginFailed("No browser could be started.", "Set $BROWSER, or use --no-browser."))

    Thread(target=run, daemon=True).start()


def _unheard_redirect(callback: str) -> str:
    """A redirect that nobody listens on: the browser shows an error, and its address bar the answer."""
    parts = urlsplit(callback)
    if parts.port is not None:
        return callback
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return parts._replace(netloc=f"{parts.netloc}:{port}").geturl()


def _pasted(text: str) -> dict[str, str]:
    try:
        return read_parameters(urlsplit(text.strip()).query)
    except ValueError as error:
        raise LoginFailed("That is not an address.", "Paste all of the browser's address bar.") from error


def _exchange(
    settings: Settings, request: _Request, code: str, redirect_uri: str, clock: Callable[[], float]
) -> Tokens:
    url, timeout = request.issuer.token_endpoint, settings.http_timeout_seconds
    extra = {"resource": settings.resource} if settings.resource else {}
    with open_session(url, timeout, client_id=settings.client_id) as http:
        try:
            answer: Mapping[str, Any] = reach(
                url,
                lambda: http.fetch_token(
                    url,
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    code_verifier=request.verifier,
                    allow_redirects=False,  # a code must not be carried anywhere else
                    **extra,
                ),
            )
        except OAuthError as error:
            said = printable(error.description or error.error)
            raise LoginFailed(f"The issuer refuses the code: {said}", "Start again.") from error
        except UNREADABLE as error:
            raise LoginFailed(f"{url} answered with nothing readable.") from error
    tokens = tokens_from(answer, asked=request.scope, now=clock())
    tokens = replace(tokens, audience=settings.audience, resource=settings.resource)
    if "openid" not in request.scope:
        return tokens
    if tokens.id_token is None:
        raise LoginFailed("The issuer sent no ID token, although `openid` was asked for.")
    claims = id_token.verify(
        tokens.id_token,
        get_json(request.issuer.jwks_uri, timeout),
        expected=id_token.Expected(settings.issuer, settings.client_id, request.nonce, settings.max_age_seconds),
        access_token=tokens.access_token,
        now=clock(),
    )
    name = claims.get("name") or claims.get("email")
    return replace(tokens, subject=claims["sub"], name=name if isinstance(name, str) else None)
