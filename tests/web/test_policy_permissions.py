"""Permissions stack on what stands below them, and never open a route."""

import pytest

from app.web import policy
from app.web.policy import PolicyError, policies_of
from app.web.scopes import SCOPES
from tests.support.api import Api
from tests.support.published import published
from tests.web.test_policy import SETTINGS, app_with, fresh


def test_permissions_when_declared_twice_then_all_are_asked_for():
    """T20: require_permissions stacks on top. The second declaration used to take the first one's place."""
    view = policy.require_scopes("read:profile")(fresh())
    view = policy.require_permissions("b")(policy.require_permissions("a")(view))
    assert policies_of(app_with(view), SCOPES, SETTINGS)["example"].permissions == ("a", "b")


@pytest.mark.parametrize("declare", [policy.public, policy.optional_token])
def test_permissions_when_a_token_is_not_needed_then_the_start_is_refused(declare):
    """T20: deny by default. On a public route a permission would be asked of nobody."""
    for view in (policy.require_permissions("a")(declare(fresh())), declare(policy.require_permissions("a")(fresh()))):
        with pytest.raises(PolicyError, match="permissions"):
            policies_of(app_with(view), SCOPES, SETTINGS)


def test_get_me_when_another_write_holds_the_lock_then_its_409_is_documented(api: Api):
    """user-data.md §6: the document says what the route answers; a first GET writes, so it can be `busy`."""
    responses = published(api).operation("get", "/v1/me")["responses"]
    assert responses["409"]["description"] == "busy"
