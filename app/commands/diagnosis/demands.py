"""What a route asks beyond a good token: a user, scopes, permissions, a recent login.

Takes   the application's routes and their policies;  request: "GET /v1/me", a path alone, or a URL
Gives   Route: what it demands, or that there is none;  ask(): a Finding for each demand
Raises  NoSuchRequest for text that is no request
Not     whether the token is good (checks.py)
Source  docs/contracts/tokens.md T20 to T23, T30
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from app.commands.diagnosis.asking import Asking
from app.commands.screen import Finding, duration
from app.oauth import scopes
from app.oauth.access_token import AccessToken
from app.oauth.errors import Refused

_WORDS = 2


class NoSuchRequest(Exception):  # noqa: N818 - named by what was asked
    """The text names no request."""


class Demands(Protocol):
    """What a route declares: a RoutePolicy of the web rooms, which commands do not know."""

    @property
    def credentials(self) -> Literal["none", "optional", "required"] | None:
        """Whether a token is needed."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """All of them, or one of them where any_scope is set."""

    @property
    def any_scope(self) -> bool:
        """Whether one scope suffices."""

    @property
    def permissions(self) -> tuple[str, ...]:
        """All of them."""

    @property
    def allow_clients(self) -> bool:
        """Whether a token need not speak for a user."""

    @property
    def max_age_seconds(self) -> int | None:
        """How old the login may be."""

    @property
    def acr(self) -> str | None:
        """The class of authentication that is needed."""

    @property
    def skew_seconds(self) -> int:
        """By how much the tenant's clock may differ, where the age of a login is asked for."""


@dataclass(frozen=True, slots=True)
class Route:
    """One request and what stands behind it. `missing` is the code of an answer that comes before any token."""

    request: str
    demands: Demands | None = None
    missing: Literal["not_found", "method_not_allowed"] | None = None

    @property
    def looks_at_tokens(self) -> bool:
        """Whether a token matters at all."""
        return self.demands is not None and self.demands.credentials != "none"


def find(app: Flask, policies: Mapping[str, Demands], request: str) -> Route:
    """Find the route as a request would."""
    words = request.split()
    if not 0 < len(words) <= _WORDS:
        raise NoSuchRequest('say it as "GET /v1/me"')
    method, target = ("GET", words[0]) if len(words) == 1 else (words[0].upper(), words[1])
    try:
        path = urlsplit(target).path or "/"
    except ValueError:
        raise NoSuchRequest('say it as "GET /v1/me"') from None
    if not path.startswith("/") or not method.isalpha():
        raise NoSuchRequest('say it as "GET /v1/me"')
    shown = f"{method} {path}"
    try:
        rule, _values = app.url_map.bind("").match(path, method, return_rule=True)
    except MethodNotAllowed:
        return Route(shown, missing="method_not_allowed")
    except (NotFound, HTTPException):
        return Route(shown, missing="not_found")
    if method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
        # A preflight needs no token (T29).
        return Route(shown)
    return Route(shown, policies[rule.endpoint])


def ask(route: Route, principal: AccessToken | None, now: float) -> tuple[Finding, ...]:
    """Ask each demand of the token's principal, in the order in which the API does."""
    asking = Asking()
    demands = route.demands
    if demands is None or not route.looks_at_tokens:
        asking.good("token", "none is needed, and none is looked at")
    elif principal is None:
        asking.skip("demands", "nothing could be read of the token")
    else:
        _ask(asking, demands, principal, now)
    return tuple(asking.findings)


def check(route: Route, principal: AccessToken, now: float) -> None:
    """Raise what the API would for this principal, whose token is good."""
    demands = route.demands
    if demands is not None:
        for question in _questions(demands, principal, now).values():
            question()


def _questions(demands: Demands, principal: AccessToken, now: float) -> dict[str, Callable[[], None]]:
    """List what the route asks, in the order of the API's own answer."""
    questions: dict[str, Callable[[], None]] = {}
    if not demands.allow_clients:
        questions["user"] = lambda: scopes.require_user(principal)
    if demands.scopes:
        require = scopes.require_any if demands.any_scope else scopes.require_all
        questions["scope"] = lambda: require(principal, demands.scopes)
    if demands.permissions:
        questions["permissions"] = lambda: scopes.require_permissions(principal, demands.permissions)
    if demands.max_age_seconds is not None or demands.acr is not None:
        questions["login"] = lambda: scopes.require_recent_login(
            principal,
            max_age_seconds=demands.max_age_seconds,
            acr=demands.acr,
            now=now,
            skew_seconds=demands.skew_seconds,
        )
    return questions


def _ask(asking: Asking, demands: Demands, principal: AccessToken, now: float) -> None:
    questions = _questions(demands, principal, now)
    for name, question in questions.items():
        try:
            question()
        except Refused as refused:
            asking.fail(name, refused.reason, _words(name, demands, principal, now))
        else:
            asking.good(name, _wanted(name, demands))
    if not questions:
        asking.good("token", "any good token will do")


def _wanted(name: str, demands: Demands) -> str:
    wanted: dict[str, Any] = {
        "user": "the token speaks for a user",
        "scope": f"{' or '.join(demands.scopes) if demands.any_scope else ' '.join(demands.scopes)}",
        "permissions": " ".join(demands.permissions),
        "login": f"at most {duration(demands.max_age_seconds)} old" if demands.max_age_seconds is not None else "",
    }
    if name == "login" and demands.acr is not None:
        return f"{wanted[name]}{' and ' if wanted[name] else ''}of the class {demands.acr}"
    return str(wanted[name])


def _words(name: str, demands: Demands, principal: AccessToken, now: float) -> tuple[str, str]:
    if name == "user":
        what = "an application (client credentials)" if principal.kind == "client" else "nobody who has logged in"
        return f"the token speaks for {what}, and this is a user's data", "log a user in: authorization code with PKCE"
    if name == "scope":
        missing = [scope for scope in demands.scopes if scope not in principal.scopes]
        has = " ".join(sorted(principal.scopes)) or "none"
        word = " or ".join(missing) if demands.any_scope else " ".join(missing)
        return (
            f"scope {word} is missing; the token has {has}",
            f"register it for this API at the tenant, request scope={' '.join(missing)}, and let the user agree",
        )
    if name == "permissions":
        missing = [permission for permission in demands.permissions if permission not in principal.permissions]
        return (
            f"permission {' '.join(missing)} is missing",
            "assign it to the user at the tenant, and let the API add permissions to its tokens (Auth0: RBAC)",
        )
    return _login_words(demands, principal, now)


def _login_words(demands: Demands, principal: AccessToken, now: float) -> tuple[str, str]:
    said = []
    if demands.max_age_seconds is not None:
        age = "not told (no auth_time)" if principal.auth_time is None else duration(max(0, now - principal.auth_time))
        said.append(f"the age of the login is {age}, at most {duration(demands.max_age_seconds)} is taken")
    if demands.acr is not None:
        said.append(f"acr is {principal.acr or 'not told'}, {demands.acr} is wanted")
    advice = "log in again with max_age or acr_values; AUTH_TIME_CLAIM and ACR_CLAIM name the claims that tell it"
    return "; ".join(said), advice
