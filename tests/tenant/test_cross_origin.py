"""D17: which pages of other origins a browser lets ask the tenant."""

import pytest
import requests

from tests.support.tenant import RunningTenant

ALLOWED = "Access-Control-Allow-Origin"


@pytest.mark.parametrize("path", [".well-known/openid-configuration", ".well-known/jwks.json"])
def test_public_document_when_asked_by_any_page_then_it_may_read_it(tenant: RunningTenant, path: str):
    """D17: the public documents for every page."""
    answer = requests.get(tenant.issuer + path, headers={"Origin": "https://anywhere.example"}, timeout=5)
    assert answer.headers[ALLOWED] == "*"


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://127.0.0.1:54321"])
def test_token_endpoint_when_the_origin_is_registered_then_its_page_may_ask(tenant: RunningTenant, origin: str):
    """D17: `/oauth/token` for the registered `web_origins` of an application."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = requests.options(
        tenant.issuer + "oauth/token",
        headers={**asked, "Access-Control-Request-Headers": "x-requested-with"},
        timeout=5,
    )
    assert (preflight.status_code, preflight.headers[ALLOWED]) == (200, origin)
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    assert preflight.headers["Access-Control-Allow-Headers"] == "x-requested-with"
    answer = requests.post(tenant.issuer + "oauth/token", headers={"Origin": origin}, data={}, timeout=5)
    assert answer.headers[ALLOWED] == origin
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null", "http://localhost:8000"]
)
def test_token_endpoint_when_the_origin_is_not_registered_then_no_page_reads_it(tenant: RunningTenant, origin: str):
    """D17: of others the browser keeps the answer to itself."""
    for answer in (
        requests.options(tenant.issuer + "oauth/token", headers={"Origin": origin}, timeout=5),
        requests.post(tenant.issuer + "oauth/token", headers={"Origin": origin}, data={}, timeout=5),
    ):
        assert ALLOWED not in answer.headers


def test_login_page_when_asked_by_a_page_of_another_origin_then_it_is_not_readable(tenant: RunningTenant):
    """D17: nothing else is anybody's."""
    answer = requests.get(tenant.issuer + "userinfo", headers={"Origin": "http://127.0.0.1:8000"}, timeout=5)
    assert ALLOWED not in answer.headers
