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


NEVER_A_LOGIN = {
    "auth_time": [True, None, "", "now", str(int(2e9)), [1], {}, 1e300, 10**18, -1, -(10**18), 2_000_000_000_000],
    "acr": [True, None, "", 1, ["mfa"], {"mfa": 1}, "m" * 256, "mfa\n", "MFA"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NEVER_A_LOGIN for value in NEVER_A_LOGIN[name]])
def test_login_when_what_tells_of_it_is_malformed_then_step_up_and_the_rest_serves(guarded: Api, name, value):
    """T23: it counts as absent: the route that asks for it refuses, and a slip at the tenant shuts nobody out."""
    claims = {"auth_time": int(time.time()), "acr": "mfa"} | {name: value}
    refused = call(guarded, **claims)
    assert (refused.status_code, refused.json["code"]) == (401, "step_up_required")

    token = guarded.token("read:profile", **claims)
    assert guarded.anonymous("/v1/whoami", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("ahead_seconds", [3_600, 10**9])
def test_login_when_it_is_in_the_future_then_step_up(guarded: Api, ahead_seconds: int):
    """T23: a login of tomorrow would be recent for as long."""
    refused = call(guarded, auth_time=int(time.time()) + ahead_seconds, acr="mfa")
    assert (refused.status_code, refused.json["code"]) == (401, "step_up_required")


@pytest.mark.parametrize("amr", [None, True, "mfa", 1, {}, ["mfa", 1]])
def test_amr_when_it_is_malformed_then_as_if_absent(guarded: Api, amr):
    """T23: it counts as absent; no route asks for it."""
    now = int(time.time())
    assert call(guarded, auth_time=now, acr="mfa", amr=amr).text == "done"
    token = guarded.token("read:profile", amr=amr)
    answer = guarded.anonymous("/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["amr"]) == (200, [])


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
