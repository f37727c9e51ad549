"""Clauses N1 to N4 against the development tenant: log in, call, renew, outlive an outage, log out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from native.api import Api
from native.errors import LoginNeeded, Unavailable
from native.login import login
from native.session import Session
from native.settings import Settings
from tests.support import tenant as tenants
from tests.support.problem_api import EXPIRED, ProblemApi

RunningTenant = tenants.RunningTenant


@pytest.fixture
def tenant(tmp_path: Path, api: ProblemApi) -> Iterator[RunningTenant]:
    with tenants.running_tenant(tmp_path / "tenant", api_identifier=api.url) as running:
        yield running


@pytest.fixture
def told(tenant: RunningTenant, settings: Settings) -> Settings:
    return replace(settings, issuer=tenant.issuer)


@pytest.fixture
def ada(tenant: RunningTenant, browser: Callable[[str], None]) -> Callable[[str], None]:
    """Ada at her browser: fills in the form, agrees, and follows the redirect to the app."""

    def go(url: str) -> None:
        with tenants.Browser(tenant) as forms:
            reached = forms.go_through(url)
        browser(reached["_callback"])

    return go


def test_story_when_told_by_the_development_tenant_then_it_ends_well(
    told: Settings, tenant: RunningTenant, api: ProblemApi, ada: Callable[[str], None]
) -> None:
    """The whole story of the mission: log in, call, refresh when the token expires, call again, log out."""
    first = login(told, open_url=ada)
    assert (first.subject, first.name) == ("auth0|ada", "Ada Lovelace")
    assert {"openid", "offline_access", "read:profile", "write:profile"} <= set(first.scope)
    assert first.access_token.count(".") == 2  # a JWT: the audience was understood
    session = Session(told)

    api.script = [EXPIRED]
    Api(session).call("GET", "/v1/me")
    second = session.tokens()
    assert [call.token for call in api.calls] == [first.access_token, second.access_token]
    assert second.refresh_token not in {None, first.refresh_token}

    for fault in ("500", "429"):
        tenant.dev("faults", {"token": fault, "requests": 1})
        with pytest.raises(Unavailable):
            session.renew(second.access_token)
        assert session.tokens() == second
    session.renew(second.access_token)  # within one second, Auth0's dialect signs the same access token again
    assert session.tokens().refresh_token not in {None, first.refresh_token, second.refresh_token}

    before = session.tokens()
    assert session.end()
    session.save(before)  # as a thief's copy
    with pytest.raises(LoginNeeded, match="ended"):
        session.renew(before.access_token)
    with pytest.raises(LoginNeeded, match="not logged in"):
        session.tokens()


def test_login_when_caught_on_ipv6_then_the_tenant_agrees(told: Settings, ada: Callable[[str], None]) -> None:
    """RFC 8252 §7.3: any port on the loopback address; the IPv6 one too (D7)."""
    assert login(replace(told, callback="http://[::1]/callback"), open_url=ada).subject == "auth0|ada"


def test_max_age_when_asked_then_the_tenant_tells_when_the_user_logged_in(
    told: Settings, ada: Callable[[str], None]
) -> None:
    """OpenID Connect Core §3.1.2.1: When max_age is used, the ID Token returned MUST include auth_time."""
    assert login(replace(told, max_age_seconds=60), open_url=ada).subject == "auth0|ada"
