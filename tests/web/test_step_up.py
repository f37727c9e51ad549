"""A route that asks for a recent login (tokens.md T23, RFC 9470)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.commands.db import upgrade
from app.factory import create_app
from app.web import policy
from app.web.policy import PolicyError, Setting, policies_of
from app.web.scopes import SCOPES
from tests.support.api import Api, settings_for
from tests.web.test_policy import SETTINGS, app_with, fresh


@pytest.fixture
def guarded(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API with one more route, which wants a login of the last five minutes by `mfa`."""
    upgrade(sqlite_url)

    @policy.require_recent_login(max_age_seconds=Setting("deletion_max_age_seconds"), acr="mfa")
    @policy.require_scopes("read:profile")
    def dangerous() -> str:
        return "done"

    real = policy.policies_of

    def with_one_more(app, *rest):
        app.add_url_rule("/v1/dangerous", view_func=dangerous)
        return real(app, *rest)

    monkeypatch.setattr(policy, "policies_of", with_one_more)
    app = create_app(settings_for(tmp_path, sqlite_url, deletion_max_age_seconds=300))
    yield Api(app)
    app.extensions["postern"].stop()


def call(api: Api, **claims):
    return api.anonymous("/v1/dangerous", headers={"Authorization": f"Bearer {api.token('read:profile', **claims)}"})


def test_login_when_recent_and_strong_then_the_route_runs(guarded: Api):
    assert call(guarded, auth_time=int(time.time()) - 200, acr="mfa").text == "done"


@pytest.mark.parametrize("claims", [{}, {"auth_time": 1, "acr": "mfa"}, {"auth_time": int(time.time()), "acr": "pwd"}])
def test_login_when_not_then_401_with_what_is_wanted(guarded: Api, claims):
    """RFC 9470 §3: insufficient_user_authentication, with max_age and acr_values; T25: action step_up."""
    answer = call(guarded, **claims)
    assert answer.status_code == 401
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.count("error=") == 1
    for part in ('error="insufficient_user_authentication"', 'max_age="300"', 'acr_values="mfa"'):
        assert part in challenge
    assert (answer.json["code"], answer.json["action"]) == ("step_up_required", "step_up")
    assert (answer.json["max_age"], answer.json["acr_values"]) == (300, "mfa")


def test_login_when_the_scope_is_missing_too_then_403_first(guarded: Api):
    """A new login gives no scope: asking for one first would ask the user for nothing."""
    answer = guarded.anonymous("/v1/dangerous", headers={"Authorization": f"Bearer {guarded.token('read:email')}"})
    assert answer.json["code"] == "insufficient_scope"


def test_start_when_a_recent_login_is_asked_of_nobody_then_refused():
    """T20: deny by default."""
    for view in (
        policy.require_recent_login(acr="mfa")(fresh()),
        policy.require_recent_login(acr="mfa")(policy.public(fresh())),
        policy.optional_token(policy.require_recent_login(max_age_seconds=9)(fresh())),
    ):
        with pytest.raises(PolicyError):
            policies_of(app_with(view), SCOPES, SETTINGS)


def test_start_when_nothing_is_asked_or_the_setting_is_unknown_then_refused():
    with pytest.raises(PolicyError):
        policy.require_recent_login()
    view = policy.require_recent_login(acr=Setting("nonsense"))(policy.require_scopes("read:profile")(fresh()))
    with pytest.raises(PolicyError, match="nonsense"):
        policies_of(app_with(view), SCOPES, SETTINGS)


def test_setting_when_it_is_not_set_then_nothing_is_asked():
    view = policy.require_scopes("read:profile")(fresh())
    view = policy.require_recent_login(max_age_seconds=Setting("deletion_max_age_seconds"))(view)
    found = policies_of(app_with(view), SCOPES, SETTINGS)["example"]
    assert (found.max_age_seconds, found.acr, found.scopes) == (None, None, ("read:profile",))
