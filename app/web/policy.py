"""What a route asks of its caller, declared above it; a route that declares nothing stops the start.

Takes   view functions
Gives   decorators that note a RoutePolicy on the function; policies_of(app), one for each endpoint
Raises  PolicyError at start: no declaration, two of them, an unknown scope, no scope named, permissions or a recent
        login without a token, a demand that is named by no setting
Not     the check itself (auth.py)
Source  docs/contracts/tokens.md T20–T23
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from flask import Flask

from config.settings import Settings

View = TypeVar("View", bound=Callable[..., Any])


class PolicyError(Exception):
    """A route does not say, or says wrongly, who may call it."""


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """One route's demands. `scopes` are all needed, or any one of them where `any_scope` is set."""

    credentials: Literal["none", "optional", "required"] | None = None
    scopes: tuple[str, ...] = ()
    any_scope: bool = False
    permissions: tuple[str, ...] = ()
    allow_clients: bool = False
    max_age_seconds: int | None = None
    """How old the user's login may be."""
    acr: str | None = None
    skew_seconds: int = 0
    """By how much the tenant's clock may differ from ours, where the age of a login is asked for."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of this field of Settings, whatever it is when the application starts; None turns the demand off."""

    name: str


@dataclass(frozen=True, slots=True)
class _Declared:
    """What the decorators have noted so far; the settings are not known while a module is imported."""

    policy: RoutePolicy = RoutePolicy()
    max_age_seconds: int | Setting | None = None
    acr: str | Setting | None = None


def public(view: View) -> View:
    """Let anyone call; a token, even a broken one, is not looked at."""
    return _declare(view, RoutePolicy(credentials="none", allow_clients=True))


def optional_token(view: View) -> View:
    """Let anyone call; a missing token is anonymous and a bad one is still refused (T5)."""
    return _declare(view, RoutePolicy(credentials="optional", allow_clients=True))


def require_token(*, allow_clients: bool = False) -> Callable[[View], View]:
    """Ask for any valid token of a user, or of an application too where clients are allowed."""
    return lambda view: _declare(view, RoutePolicy(credentials="required", allow_clients=allow_clients))


def require_scopes(*scopes: str, allow_clients: bool = False) -> Callable[[View], View]:
    """Ask for all of these scopes."""
    _demand_names(scopes, "scope")
    return lambda view: _declare(view, RoutePolicy(credentials="required", scopes=scopes, allow_clients=allow_clients))


def require_any_scope(*scopes: str, allow_clients: bool = False) -> Callable[[View], View]:
    """Ask for one of these scopes."""
    _demand_names(scopes, "scope")
    policy = RoutePolicy(credentials="required", scopes=scopes, any_scope=True, allow_clients=allow_clients)
    return lambda view: _declare(view, policy)


def require_permissions(*permissions: str) -> Callable[[View], View]:
    """Ask, beside what stands below it, for all of these RBAC permissions; never instead of a scope (T21)."""
    _demand_names(permissions, "permission")

    def decorate(view: View) -> View:
        before = _declared(view)
        wanted = (*before.policy.permissions, *permissions)
        return _note(view, replace(before, policy=replace(before.policy, permissions=wanted)))

    return decorate


def require_recent_login(
    *, max_age_seconds: int | Setting | None = None, acr: str | Setting | None = None
) -> Callable[[View], View]:
    """Ask, beside what stands below it, for a recent login or for a class of authentication (RFC 9470)."""
    if max_age_seconds is None and acr is None:
        raise PolicyError("say how recent the login must be, or of which class")
    return lambda view: _note(view, replace(_declared(view), max_age_seconds=max_age_seconds, acr=acr))


def policies_of(app: Flask, known_scopes: Collection[str], settings: Settings) -> dict[str, RoutePolicy]:
    """Collect every endpoint's policy; raise PolicyError for the first that has none or names an unknown scope."""
    policies = {}
    for endpoint, view in app.view_functions.items():
        declared = _declared(view)
        policy = declared.policy
        if policy.credentials is None:
            raise PolicyError(f"{endpoint} does not say who may call it: declare @require_scopes(...) or @public")
        asks_login = declared.max_age_seconds is not None or declared.acr is not None
        if (policy.permissions or asks_login) and policy.credentials != "required":
            asked = "permissions" if policy.permissions else "a recent login"
            raise PolicyError(f"{endpoint} asks for {asked} and lets callers in without a token")
        for scope in policy.scopes:
            if scope not in known_scopes:
                raise PolicyError(f"{endpoint} asks for the scope {scope!r}, which app/web/scopes.py does not list")
        policies[endpoint] = replace(
            policy,
            max_age_seconds=_value(declared.max_age_seconds, settings, endpoint),
            acr=_value(declared.acr, settings, endpoint),
            skew_seconds=settings.clock_skew_seconds,
        )
    return policies


def _declare(view: View, policy: RoutePolicy) -> View:
    before = _declared(view)
    if before.policy.credentials is not None:
        raise PolicyError(f"{view.__name__} says twice who may call it")
    return _note(view, replace(before, policy=replace(policy, permissions=before.policy.permissions)))


def _note(view: View, declared: _Declared) -> View:
    view.__declared__ = declared  # type: ignore[attr-defined]
    return view


def _declared(view: Callable[..., Any]) -> _Declared:
    declared: _Declared = getattr(view, "__declared__", _Declared())
    return declared


def _value(asked: Any, settings: Settings, endpoint: str) -> Any:
    """Look up what a setting says; anything else stands for itself."""
    if not isinstance(asked, Setting):
        return asked
    try:
        return getattr(settings, asked.name)
    except AttributeError:
        raise PolicyError(f"{endpoint} asks for what the setting {asked.name} says, and there is none") from None


def _demand_names(names: tuple[str, ...], what: str) -> None:
    if not names:
        raise PolicyError(f"name at least one {what}")
