"""A valid access token, renewed in time and by one process alone.

Takes   settings, a store, the issuer by discovery
Gives   access_token(), renew(used), end();  tokens_from(answer) turns a token endpoint's answer into Tokens
Raises  LoginNeeded (no session, or the issuer ended it), LoginFailed (an answer that is none), Unavailable (kept)
Not     logging in (login.py), calling the API (api.py); the refresh token leaves only towards the issuer
Source  RFC 6749 §5.2, §6; RFC 9700 §4.14.2 (rotation); RFC 7009 (revocation)
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from native.discovery import discover
from native.errors import LoginFailed, LoginNeeded, Unavailable
from native.lock import exclusive
from native.settings import Settings
from native.store import Store, Tokens, open_store
from native.transport import UNREADABLE, open_session, reach

RENEW_BEFORE_SECONDS = 60
# Errors that say "not now" rather than "not you" (RFC 6749 §4.1.2.1, RFC 8628 §3.5, Auth0's 429).
_PASSING_ERRORS = {"temporarily_unavailable", "server_error", "slow_down", "too_many_requests"}
_LONGEST_SECONDS = 10 * 366 * 86400

Exclusive = Callable[[Path, float], AbstractContextManager[None]]


class Session:
    """The stored session of one issuer, client and API."""

    def __init__(
        self,
        settings: Settings,
        store: Store | None = None,
        *,
        clock: Callable[[], float] = time.time,
        lock: Exclusive = exclusive,
    ) -> None:
        self.settings = settings
        self.store = store or open_store(settings)
        self._clock = clock
        self._lock = lock

    def login_settings(self) -> Settings:
        """Settings for another login like the one before: for the same audience and resource."""
        tokens = self.tokens()
        return replace(
            self.settings,
            audience=self.settings.audience or tokens.audience,
            resource=self.settings.resource or tokens.resource,
        )

    def tokens(self) -> Tokens:
        """What is stored, as it is."""
        tokens = self.store.load(self.settings.session_key)
        if tokens is None:
            raise LoginNeeded("You are not logged in.", self.settings.command("login"))
        return tokens

    def access_token(self) -> str:
        """A token that is good for another minute, where the issuer can be reached."""
        tokens = self.tokens()
        if not self._ends_within(tokens, RENEW_BEFORE_SECONDS):
            return tokens.access_token
        try:
            return self.renew(tokens.access_token)
        except (Unavailable, LoginNeeded):
            if self._ends_within(tokens, 0) or self.store.load(self.settings.session_key) is None:
                raise
            return tokens.access_token  # its last minute is still the user's

    def renew(self, used: str) -> str:
        """A newer token than the one used: renewed here, or meanwhile by another process."""
        with self.hold():
            tokens = self.tokens()
            if tokens.access_token != used and not self._ends_within(tokens, RENEW_BEFORE_SECONDS):
                return tokens.access_token
            if tokens.refresh_token is None:
                raise LoginNeeded(
                    "The access token has ended, and the issuer gave no refresh token to renew it.",
                    self.settings.command("login", prompt="consent"),
                )
            renewed = self._refresh(tokens, tokens.refresh_token)
            # NOTE: saved before it is used. A crash in between would otherwise leave a refresh token that is spent.
            self.store.save(self.settings.session_key, renewed)
        return renewed.access_token

    def save(self, tokens: Tokens) -> None:
        """Start over with the tokens of a new login."""
        with self.hold():
            self.store.save(self.settings.session_key, tokens)

    def end(self) -> bool:
        """Forget the session, then revoke it at the issuer; whether the issuer took part."""
        with self.hold():
            tokens = self.tokens()
            self.store.forget(self.settings.session_key)
        issuer = discover(self.settings.issuer, self.settings.http_timeout_seconds)
        url = issuer.revocation_endpoint
        if url is None or tokens.refresh_token is None:
            return False
        with open_session(url, self.settings.http_timeout_seconds, client_id=self.settings.client_id) as http:
            hint = "refresh_token"  # RFC 7009 §2.1
            answer = reach(url, lambda: _revoke(http, url, tokens.refresh_token, hint))
        return answer.ok

    def hold(self) -> AbstractContextManager[None]:
        """The session's lock: whoever changes what is stored holds it."""
        path = self.settings.state_dir / f"{self.settings.session_key}.lock"
        # One renewal is two requests; the others wait for it, and a little longer.
        return self._lock(path, 3 * self.settings.http_timeout_seconds)

    def _ends_within(self, tokens: Tokens, seconds: float) -> bool:
        return tokens.expires_at is not None and tokens.expires_at - self._clock() <= seconds

    def _refresh(self, tokens: Tokens, refresh_token: str) -> Tokens:
        url = discover(self.settings.issuer, self.settings.http_timeout_seconds).token_endpoint
        extra = {"resource": tokens.resource} if tokens.resource else {}
        with open_session(url, self.settings.http_timeout_seconds, client_id=self.settings.client_id) as http:
            try:
                answer = reach(
                    url, lambda: http.refresh_token(url, refresh_token=refresh_token, allow_redirects=False, **extra)
                )
            except OAuthError as error:
                raise self._refusal(error) from error
            except UNREADABLE as error:
                raise Unavailable(f"{url} answered with nothing readable.", "Try again later.") from error
        renewed = tokens_from(answer, asked=tokens.scope, now=self._clock())
        return replace(
            renewed,
            refresh_token=renewed.refresh_token or refresh_token,  # RFC 6749 §6: without a new one, the old one stays
            id_token=renewed.id_token or tokens.id_token,
            subject=tokens.subject,
            name=tokens.name,
            audience=tokens.audience,
            resource=tokens.resource,
        )

    def _refusal(self, error: OAuthError) -> Exception:
        if error.error == "invalid_grant":
            self.store.forget(self.settings.session_key)
            return LoginNeeded("Your session has ended at the issuer.", self.settings.command("login"))
        if error.error in _PASSING_ERRORS:
            return Unavailable(f"The issuer cannot renew the session now ({error.error}).", "Try again later.")
        return LoginFailed(f"The issuer refuses to renew the session ({error.error}).", error.description or "")


def tokens_from(answer: Mapping[str, Any], *, asked: tuple[str, ...], now: float) -> Tokens:
    """A token endpoint's answer, checked for what RFC 6749 §5.1 requires."""
    access_token, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(access_token, str) or not access_token or str(kind).lower() != "bearer":
        raise LoginFailed("The issuer's answer holds no bearer token.")
    scope = answer.get("scope")
    return Tokens(
        access_token=access_token,
        expires_at=_end(answer.get("expires_in"), now),
        refresh_token=_text(answer.get("refresh_token")),
        id_token=_text(answer.get("id_token")),
        scope=tuple(scope.split()) if isinstance(scope, str) else asked,  # absent: what was asked for
        subject=None,
        name=None,
        audience=None,
        resource=None,
        saved_at=now,
    )


def _revoke(http: OAuth2Session, url: str, token: str | None, hint: str) -> requests.Response:
    answer: requests.Response = http.revoke_token(  # type: ignore[no-untyped-call] # the stubs leave it untyped
        url, token=token, token_type_hint=hint, allow_redirects=False
    )
    return answer


def _end(lifetime: object, now: float) -> float | None:
    """When a lifetime of so many seconds ends; None for nonsense, infinity among it."""
    try:
        seconds = float(lifetime)  # type: ignore[arg-type] # what cannot be a number is the TypeError below
    except (TypeError, ValueError):
        return None
    return now + seconds if 0 <= seconds <= _LONGEST_SECONDS else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
