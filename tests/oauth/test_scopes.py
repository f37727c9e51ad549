"""What a route demands of a good token: T21, T22."""

from collections.abc import Callable
from typing import Any

import pytest

from app.oauth import scopes
from app.oauth.access_token import AccessToken, Kind
from app.oauth.errors import Forbidden, InsufficientScope
from app.oauth.reasons import Reason
from tests.support.tokens import AUDIENCE, CLIENT_ID, ISSUER, NOW, SUBJECT


def token_with(*, scope: str = "", permissions: str = "", kind: Kind = "user") -> AccessToken:
    return AccessToken(
        issuer=ISSUER,
        subject=SUBJECT,
        client_id=CLIENT_ID,
        kind=kind,
        scopes=frozenset(scope.split()),
        permissions=frozenset(permissions.split()),
        audience=(AUDIENCE,),
        expires_at=NOW,
    )


def test_require_all_needs_every_scope():
    """T21: `require_scopes("a", "b")` needs all."""
    scopes.require_all(token_with(scope="a b c"), ("a", "b"))
    with pytest.raises(InsufficientScope) as refused:
        scopes.require_all(token_with(scope="a c"), ("a", "b"))
    assert refused.value.required == ("a", "b")
    assert refused.value.reason is Reason.INSUFFICIENT_SCOPE


def test_require_any_needs_one_scope():
    """T21: `require_any_scope("a", "b")` one."""
    scopes.require_any(token_with(scope="b"), ("a", "b"))
    with pytest.raises(InsufficientScope) as refused:
        scopes.require_any(token_with(scope="c"), ("a", "b"))
    assert refused.value.required == ("a", "b")


@pytest.mark.parametrize(
    "scope", ["", "read", "read:profiles", "Read:Profile", "xread:profile", "read:*", "*", "openid"]
)
def test_scopes_when_not_the_whole_word_are_lacking(scope: str):
    """T21: whole words, case-sensitive."""
    for check in (scopes.require_all, scopes.require_any):
        with pytest.raises(InsufficientScope):
            check(token_with(scope=scope), ("read:profile",))


def test_require_permissions_reads_rbac_alone():
    """T21: `require_permissions` is never a substitute for a scope; nor is a scope a substitute for it."""
    scopes.require_permissions(token_with(permissions="a b"), ("a", "b"))
    with pytest.raises(Forbidden) as refused:
        scopes.require_permissions(token_with(scope="a b", permissions="a"), ("a", "b"))
    assert refused.value.reason is Reason.PERMISSION_REQUIRED
    with pytest.raises(InsufficientScope):
        scopes.require_all(token_with(permissions="a"), ("a",))


def test_require_user_refuses_clients_and_the_anonymous():
    """T22: User endpoints refuse `client` and `anonymous` tokens with 403 `user_required`."""
    scopes.require_user(token_with(kind="user"))
    for kind in ("client", "anonymous"):
        with pytest.raises(Forbidden) as refused:
            scopes.require_user(token_with(kind=kind))
        assert refused.value.reason is Reason.USER_REQUIRED


@pytest.mark.parametrize("check", [scopes.require_all, scopes.require_any, scopes.require_permissions])
@pytest.mark.parametrize("names", [(), [], "", "ab"])
def test_demands_when_nothing_is_named_let_nobody_in(check: Callable[[AccessToken, Any], None], names: Any):
    """T20: Deny by default; the letters of a word are no scopes."""
    with pytest.raises(ValueError):
        check(token_with(scope="a b", permissions="a b"), names)


def test_demands_when_nothing_is_named_say_so():
    """T20: the start fails, and whoever wrote the route reads this text."""
    with pytest.raises(ValueError, match=r"^name what is demanded, in a collection$"):
        scopes.require_all(token_with(), ())
