"""Deny by default: a route that does not say who may call it stops the start."""

import re
from pathlib import Path

import pytest
from flask import Flask

from app.web import policy
from app.web.policy import PolicyError, policies_of
from app.web.scopes import SCOPES
from config.settings import Settings
from tests.support import tokens
from tests.support.api import Api

SETTINGS = Settings(tenant_issuers=(tokens.ISSUER,), api_audiences=(tokens.AUDIENCE,))


def app_with(function: object) -> Flask:
    app = Flask("example", static_folder=None)
    app.add_url_rule("/x", view_func=function)
    return app


def fresh() -> object:
    def example() -> str:
        return ""

    return example


def test_start_when_a_route_declares_nothing_then_refused():
    """T20: A route without one: the START fails."""
    with pytest.raises(PolicyError, match="example does not say who may call it"):
        policies_of(app_with(fresh()), SCOPES, SETTINGS)


def test_start_when_only_permissions_are_declared_then_refused():
    """T21: a permission is never a substitute for a scope."""
    with pytest.raises(PolicyError):
        policies_of(app_with(policy.require_permissions("x")(fresh())), SCOPES, SETTINGS)


def test_start_when_a_scope_is_unknown_then_refused():
    """T20: an unknown scope name: the START fails."""
    with pytest.raises(PolicyError, match="read:everything"):
        policies_of(app_with(policy.require_scopes("read:everything")(fresh())), SCOPES, SETTINGS)


@pytest.mark.parametrize("declare", [policy.require_scopes, policy.require_any_scope, policy.require_permissions])
def test_declaration_when_it_names_nothing_then_refused(declare):
    """T20: a call with no scope: the START fails."""
    with pytest.raises(PolicyError):
        declare()


def test_declaration_when_given_twice_then_refused():
    """T20: each route declares exactly one."""
    with pytest.raises(PolicyError, match="twice"):
        policy.public(policy.require_scopes("read:profile")(fresh()))


def test_every_route_of_the_api_has_a_policy_and_only_these_are_public(api: Api):
    """T20: Deny by default; the list of public routes is short and known."""
    policies = policies_of(api.app, SCOPES, SETTINGS)
    assert set(policies) == set(api.app.view_functions)
    public = {endpoint for endpoint, found in policies.items() if found.credentials == "none"}
    assert public == {
        "index.index",
        "index.openapi",
        "health.livez",
        "health.readyz",
        "metadata.protected_resource",
        "problem_pages.list_problems",
        "problem_pages.get_problem",
        "docs.docs",
        "docs.oauth2_redirect",
        "docs.asset",
        "broken",
    }


def test_readme_when_it_lists_scopes_for_the_dashboard_then_the_same_as_the_code():
    """T20: the README's list for the tenant's dashboard is tested against it."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    block = readme.partition("<!-- scopes -->")[2].partition("<!-- /scopes -->")[0]
    assert dict(re.findall(r"\| `([a-z:]+)` \| (.+?) \|", block)) == SCOPES


def test_development_tenant_when_it_registers_scopes_then_the_same_as_the_code():
    """T20: the development tenant's registry is tested against it."""
    import tomllib

    registry = tomllib.loads((Path(__file__).parents[2] / "tenant" / "registry.toml").read_text())
    (registered,) = [entry["scopes"] for entry in registry["apis"]]
    names = set(registered) if isinstance(registered, dict) else {scope["value"] for scope in registered}
    assert names == set(SCOPES)
