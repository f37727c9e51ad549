"""The page at /docs in a real browser: Debian's Chromium, against the processes that `make run` starts."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dev.processes import Stack, api_command, api_environment, free_port, migrate, tenant_command

WIDTHS = {"narrow": 390, "wide": 1280}
# Where the screenshots go; without it, into the test's own directory.
SHOTS = os.environ.get("DOCS_SCREENSHOTS")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("docs")
    api_url, issuer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}/"
    outside = {"PATH": os.environ["PATH"], "JWKS_SNAPSHOT_DIR": "", "WEB_CONCURRENCY": "1"}
    environment = api_environment(api_url, issuer, directory / "postern.db", outside)
    tenant = {
        "PATH": os.environ["PATH"],
        "TENANT_PORT": issuer.rstrip("/").rpartition(":")[2],
        "TENANT_API_IDENTIFIER": api_url,
        "TENANT_STATE_DIR": str(directory / "tenant"),
    }
    with Stack() as stack:
        stack.start("tenant", tenant_command(), tenant, directory / "tenant.log")
        stack.wait_for("tenant", f"{issuer}.well-known/openid-configuration")
        migrate(environment)
        stack.start("api", api_command(), environment, directory / "api.log")
        stack.wait_for("api", f"{api_url}/livez")
        yield api_url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.fail("make interop needs Chromium for the page at /docs: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    directory = tmp_path if SHOTS is None else Path(SHOTS)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def listen(page: Page) -> list[str]:
    """Collect what a developer would see in red in the console: faults of a script, what the CSP has kept out."""
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda fault: complaints.append(str(fault)))
    return complaints


@pytest.mark.parametrize(
    ("scheme", "user"),
    [
        ("light", ("ada@example.org", "correct-horse", "Ada Lovelace")),
        ("dark", ("grace@example.org", "battery-staple", "Grace Hopper")),
    ],
    ids=["light", "dark"],
)
def test_docs_page_when_a_user_logs_in_then_it_calls_the_api_with_her_token(
    api: str, browser: Browser, shots: Path, scheme: str, user: tuple[str, str, str]
):
    """U §2, RFC 7636: Authorize → the tenant's form → consent → back → GET /v1/me is 200 with the user's name."""
    email, password, name = user
    with browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 1000}) as context:
        page = context.new_page()
        complaints = listen(page)
        page.goto(f"{api}/docs")
        page.get_by_role("button", name="Authorize").click()
        form = page.locator(".auth-container").filter(has_text="OAuth2")
        form.locator("a", has_text="select all").click()
        page.screenshot(path=shots / f"authorize-{scheme}.png")
        with page.expect_popup() as opened:
            form.locator("button.authorize").click()
        login = opened.value
        login.locator("input[name=username]").fill(email)
        login.locator("input[name=password]").fill(password)
        login.screenshot(path=shots / f"login-{scheme}.png")
        login.get_by_role("button", name="Continue").click()
        with login.expect_event("close"):
            login.get_by_role("button", name="Allow", exact=True).dispatch_event("click")
        expect(form.locator("button", has_text="Logout")).to_be_visible()
        page.screenshot(path=shots / f"logged-in-{scheme}.png")
        page.locator(".btn-done").first.click()
        operation = page.locator("#operations-me-getMe")
        operation.locator(".opblock-summary").first.click()
        operation.get_by_role("button", name="Execute").click()
        live = operation.locator(".live-responses-table")
        expect(live.locator("tbody .response-col_status").first).to_contain_text("200", timeout=30_000)
        expect(live).to_contain_text(name)
        operation.screenshot(path=shots / f"me-{scheme}.png")
        assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_docs_page_when_opened_then_it_fits_and_nothing_is_kept_out(
    api: str, browser: Browser, shots: Path, scheme: str, width: str
):
    """The page keeps within a phone's width, and its Content-Security-Policy keeps nothing of it out."""
    size = {"width": WIDTHS[width], "height": 900}
    with browser.new_context(color_scheme=scheme, viewport=size) as context:
        page = context.new_page()
        complaints = listen(page)
        page.goto(f"{api}/docs")
        expect(page.locator("#operations-me-getMe")).to_be_visible()
        page.screenshot(path=shots / f"docs-{width}-{scheme}.png")
        page.locator("#operations-records-putRecord .opblock-summary").first.click()
        expect(page.locator("#operations-records-putRecord .responses-wrapper").first).to_be_visible()
        page.locator("#operations-records-putRecord").screenshot(path=shots / f"put-{width}-{scheme}.png")
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0
        assert complaints == []


def test_docs_page_when_the_tenant_is_away_then_it_says_so_and_shows_the_document(api: str, browser: Browser):
    """An outage of the tenant takes the login, not the documentation."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/.well-known/openid-configuration", lambda route: route.abort())
        page.goto(f"{api}/docs")
        expect(page.locator("#notice")).to_contain_text("Paste an access token instead")
        expect(page.locator("#operations-me-getMe")).to_be_visible()
