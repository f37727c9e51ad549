"""The page at /docs: what is served, and what its browser may do. interop/test_docs_page.py opens it."""

from pathlib import Path

import pytest

from tests.support.api import Api, running, settings_for


def test_docs_when_asked_then_a_page_that_may_ask_this_api_and_the_tenant_alone(api: Api):
    """U §2: `/docs` is public; nothing inline, nothing from elsewhere."""
    page = api.anonymous("/docs")
    assert page.status_code == 200
    rules = dict(rule.strip().split(" ", 1) for rule in page.headers["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["form-action"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["connect-src"].split() == ["'self'", "https://api.example", "https://tenant.example"]
    assert "<script>" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize(
    "name",
    ["docs.js", "docs.css", "swagger-ui-bundle.js", "swagger-ui.css", "oauth2-redirect.js", "favicon-32x32.png"],
)
def test_asset_when_it_is_one_then_served_and_not_sent_twice(api: Api, name: str):
    with api.anonymous(f"/docs/assets/{name}") as first:
        assert first.status_code == 200
    with api.anonymous(f"/docs/assets/{name}", headers={"If-None-Match": first.headers["ETag"]}) as second:
        assert second.status_code == 304


@pytest.mark.parametrize("name", ["index.css", "..%2fdocs.py", "%2e%2e/docs.py", "docs.py", ""])
def test_asset_when_it_is_none_then_404(api: Api, name: str):
    assert api.anonymous(f"/docs/assets/{name}").status_code == 404


def test_redirect_page_when_asked_then_it_runs_the_packaged_script_alone(api: Api):
    assert 'src="assets/oauth2-redirect.js"' in api.anonymous("/docs/oauth2-redirect").text


@pytest.mark.parametrize("path", ["/docs", "/docs/oauth2-redirect", "/docs/assets/docs.js"])
def test_docs_when_turned_off_then_404(tmp_path: Path, migrated: str, path: str):
    """DESIGN: DOCS=off takes the page away."""
    with running(settings_for(tmp_path, migrated, docs=False)) as api:
        assert api.anonymous(path).status_code == 404
        assert "docs" not in api.anonymous("/v1").json["links"]


def test_docs_when_a_client_id_is_set_then_the_page_has_it(tmp_path: Path, migrated: str):
    """DESIGN: DOCS_CLIENT_ID."""
    with running(settings_for(tmp_path, migrated, docs_client_id='a"b')) as api:
        assert 'data-client-id="a&#34;b"' in api.anonymous("/docs").text
