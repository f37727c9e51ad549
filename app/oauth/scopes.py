"""Check what a route demands of a token that is good.

Takes   AccessToken;  names: what the route wants
Gives   nothing: it returns or raises
Raises  InsufficientScope(required), StepUpRequired(max_age_seconds, acr_values),
        Forbidden(USER_REQUIRED | PERMISSION_REQUIRED); ValueError for no names
Not     whether the token is good (verifier.py), which route wants what (the web layer)
Source  RFC 6749 §3.3; RFC 6750 §3.1; RFC 9470 §3, §5; docs/contracts/tokens.md T21 to T23
"""

from collections.abc import Collection

from app.oauth.access_token import AccessToken
from app.oauth.errors import Forbidden, InsufficientScope, StepUpRequired
from app.oauth.reasons import Reason


def require_all(token: AccessToken, names: Collection[str]) -> None:
    """Demand every one of these scopes, as whole words and case-sensitively."""
    _demand_names(names)
    if not token.scopes.issuperset(names):
        raise InsufficientScope(tuple(names))


def require_any(token: AccessToken, names: Collection[str]) -> None:
    """Demand one of these scopes."""
    _demand_names(names)
    if token.scopes.isdisjoint(names):
        raise InsufficientScope(tuple(names))


def require_permissions(token: AccessToken, names: Collection[str]) -> None:
    """Demand every one of these permissions of Auth0's RBAC; never a substitute for a scope (T21)."""
    _demand_names(names)
    if not token.permissions.issuperset(names):
        raise Forbidden(Reason.PERMISSION_REQUIRED)


def require_user(token: AccessToken) -> None:
    """Demand a token that speaks for a user who has logged in."""
    if token.kind != "user":
        raise Forbidden(Reason.USER_REQUIRED)


def require_recent_login(
    token: AccessToken, *, max_age_seconds: int | None, acr: str | None, now: float, skew_seconds: int
) -> None:
    """Demand that the user logged in at most so long ago, and by this class of authentication; None demands nothing.

    A token that does not say when or how the user logged in does not meet the demand. Classes are compared as whole
    words: RFC 9470 §3 knows no order among them. The clocks may differ by the skew; an `auth_time` further in the
    future is a slip at the tenant, and would be recent for as long.
    """
    logged_in_at = token.auth_time
    is_old = max_age_seconds is not None and (
        logged_in_at is None or not -skew_seconds <= now - logged_in_at <= max_age_seconds + skew_seconds
    )
    if is_old or (acr is not None and token.acr != acr):
        raise StepUpRequired(max_age_seconds, () if acr is None else (acr,))


def _demand_names(names: Collection[str]) -> None:
    # A str is a collection of letters, and every set contains the empty one: both would let callers in.
    if not names or isinstance(names, str):
        raise ValueError("name what is demanded, in a collection")
