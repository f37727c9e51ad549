"""What a route asks of its caller, declared above it; a route that declares nothing stops the start.

Takes   view functions
Gives   decorators that note a RoutePolicy on the function; policies_of(app), one for each endpoint
Raises  PolicyError at start: no declaration, two of them, an unknown scope, no scope named, permissions without a token
Not     the check itself (auth.py)
Source  docs/contracts/tokens.md T20–T22
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from flask import Flask

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
        before = _policy(view)
        view.__route_policy__ = replace(before, permissions=(*before.permissions, *permissions))  # type: ignore[attr-defined]
        return view

    return decorate


def policies_of(app: Flask, known_scopes: Collection[str]) -> dict[str, RoutePolicy]:
    """Collect every endpoint's policy; raise PolicyError for the first that has none or names an unknown scope."""
    policies = {}
    for endpoint, view in app.view_functions.items():
        policy = _policy(view)
        if policy.credentials is None:
            raise PolicyError(f"{endpoint} does not say who may call it: declare @require_scopes(...) or @public")
        if policy.permissions and policy.credentials != "required":
            raise PolicyError(f"{endpoint} asks for permissions and lets callers in without a token")
        for scope in policy.scopes:
            if scope not in known_scopes:
                raise PolicyError(f"{endpoint} asks for the scope {scope!r}, which app/web/scopes.py does not list")
        policies[endpoint] = policy
    return policies


def _declare(view: View, policy: RoutePolicy) -> View:
    before = _policy(view)
    if before.credentials is not None:
        raise PolicyError(f"{view.__name__} says twice who may call it")
    view.__route_policy__ = replace(policy, permissions=before.permissions)  # type: ignore[attr-defined]
    return view


def _policy(view: Callable[..., Any]) -> RoutePolicy:
    policy: RoutePolicy = getattr(view, "__route_policy__", RoutePolicy())
    return policy


def _demand_names(names: tuple[str, ...], what: str) -> None:
    if not names:
        raise PolicyError(f"name at least one {what}")
