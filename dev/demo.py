"""`make demo`: the whole story by itself, each step with its HTTP status; ends with status 1 if a step is not as told.

Takes   nothing: free ports, a folder of its own that is removed, no settings from the environment
Gives   one line for each step
Raises  nothing
Not     a test suite: tests/ proves the clauses, this shows them
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from dev.form_login import open_as_a_person
from dev.processes import Stack, StackError, api_command, api_environment, free_port, migrate, tenant_command
from native.login import login
from native.session import Session
from native.settings import Settings

_TIMEOUT_SECONDS = 15
_SHORT_SECONDS = 2
_PATIENCE_SECONDS = 60
_COPIES = "keys"


class StepError(Exception):
    """A step did not answer as the story says."""


@dataclass
class Story:
    """The running stack and what has been told so far."""

    console: Console
    stack: Stack
    directory: Path
    api: str
    issuer: str
    steps: int = 0

    def chapter(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def expect(self, text: str, answer: requests.Response, status: int, **members: Any) -> dict[str, Any]:
        """Tell one step; raise StepError unless the status and the members are as expected."""
        document: dict[str, Any] = answer.json() if answer.content else {}
        wrong = answer.status_code != status or any(document.get(name) != value for name, value in members.items())
        self.steps += 1
        code = f"  {document['code']} → {document['action']}" if "action" in document else ""
        colour = "red" if wrong else "green"
        self.console.print(f"  [{colour}]{answer.status_code}[/{colour}]  {text}[dim]{code}[/dim]", highlight=False)
        if wrong:
            raise StepError(f"expected {status} {members or ''}, got {answer.status_code}: {answer.text[:500]}")
        return document

    def call(self, token: str, method: str = "GET", path: str = "/v1/me", **options: Any) -> requests.Response:
        """Call the API."""
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, self.api + path, headers=headers, timeout=_TIMEOUT_SECONDS, **options)

    def call_patiently(self, token: str) -> requests.Response:
        """Call the API as an app does: after a 503, wait for as long as it says, and try again."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        answer = self.call(token)
        while answer.status_code == requests.codes.service_unavailable and time.monotonic() < deadline:
            time.sleep(float(answer.headers["Retry-After"]))
            answer = self.call(token)
        return answer

    def control(self, path: str, body: Mapping[str, Any] | None = None, method: str = "POST") -> dict[str, Any]:
        """Use the development tenant's own controls."""
        answer = requests.request(method, f"{self.issuer}_dev/{path}", json=body or {}, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    def start_api(self) -> None:
        """Start the API; it tolerates no clock difference here, so that a token's end can be seen."""
        environment = _environment(self.api, self.issuer, self.directory)
        self.stack.start("the API", api_command(), environment, self.directory / "api.log")
        self.stack.wait_for("the API", self.api + "/livez")


def main() -> int:
    """Tell the story."""
    console = Console(soft_wrap=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, Stack() as stack:
        api, issuer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}/"
        story = Story(console, stack, Path(directory), api, issuer)
        try:
            _set_up(story)
            session = _log_in(story)
            _use(story, session)
            _expire(story, session)
            _rotate(story, session)
            _outage(story, session)
        except (StepError, StackError) as fault:
            console.print(f"\n[red]The story broke off:[/red] {fault}", highlight=False)
            return 1
        except KeyboardInterrupt:
            return 130
    console.print(f"\n{story.steps} steps, all as told, in {time.monotonic() - started:.0f} s.", highlight=False)
    return 0


def _set_up(story: Story) -> None:
    port = story.issuer.rstrip("/").rpartition(":")[2]
    tenant = {**os.environ, "TENANT_PORT": port, "TENANT_API_IDENTIFIER": story.api}
    tenant |= {"TENANT_STATE_DIR": str(story.directory / "tenant"), "TENANT_ISSUER_URL": story.issuer}
    story.stack.start("the tenant", tenant_command(), tenant, story.directory / "tenant.log")
    story.stack.wait_for("the tenant", story.issuer + ".well-known/openid-configuration")
    migrate(_environment(story.api, story.issuer, story.directory))
    story.start_api()


def _log_in(story: Story) -> Session:
    story.chapter("A native app logs its user in: system browser, authorization code + PKCE")
    settings = Settings(issuer=story.issuer, api=story.api, state_dir=story.directory / "native", store="file")
    refused = requests.get(story.api + "/v1/me", timeout=_TIMEOUT_SECONDS)
    story.expect("GET /v1/me without a token", refused, 401, code="no_credentials")
    session = Session(settings)
    tokens = login(settings, open_url=open_as_a_person, session=session)
    story.steps += 1
    story.console.print(
        "  [green]200[/green]  login through the tenant's form; access, ID and refresh token", highlight=False
    )
    if not tokens.refresh_token:
        raise StepError("the tenant gave no refresh token")
    return session


def _use(story: Story, session: Session) -> None:
    story.chapter("It calls the API with the access token and gets its user's data")
    token = session.access_token()
    me = story.expect("GET /v1/me", story.call(token), 200, name="Ada Lovelace", email="ada@example.org")
    story.console.print(
        f"       [dim]{me['name']} · {me['email']} · {me['roles']} · {me['app_attributes']}[/dim]", highlight=False
    )
    change = {"attributes": {"favourite_colour": "green"}}
    story.expect("PATCH /v1/me", story.call(token, "PATCH", json=change), 200, attributes=change["attributes"])
    poor = story.control("mint", {"user": "auth0|ada", "scope": "read:email"})["access_token"]
    answer = story.call(poor)
    story.expect("GET /v1/me with a token that lacks the scope", answer, 403, code="insufficient_scope")
    challenge = answer.headers["WWW-Authenticate"]
    if 'scope="read:profile"' not in challenge:
        raise StepError(f"the challenge does not name the scope: {challenge}")
    story.console.print(
        '       [dim]WWW-Authenticate: … error="insufficient_scope", scope="read:profile"[/dim]', highlight=False
    )


def _expire(story: Story, session: Session) -> None:
    story.chapter("The access token expires; the app refreshes and carries on")
    story.control("lifetimes", {"access_token_seconds": _SHORT_SECONDS})
    short = session.renew(session.tokens().access_token)
    story.expect("GET /v1/me with a token that lives two seconds", story.call(short), 200)
    time.sleep(_SHORT_SECONDS + 0.1)
    story.expect("the same token two seconds later", story.call(short), 401, code="token_expired", action="refresh")
    story.control("reset")
    story.expect("refresh, then GET /v1/me", story.call(session.renew(short)), 200)


def _rotate(story: Story, session: Session) -> None:
    story.chapter("The tenant rotates its keys under traffic")
    statuses: list[int] = []
    done = threading.Event()
    token = session.access_token()

    def traffic() -> None:
        while not done.is_set():
            statuses.append(story.call(token, path="/v1/whoami").status_code)

    worker = threading.Thread(target=traffic)
    worker.start()
    try:
        for _ in range(2):
            story.control("keys/rotate")
            renewed = session.renew(session.access_token())
            story.expect("new key; refresh, then GET /v1/me", story.call_patiently(renewed), 200)
    finally:
        done.set()
        worker.join()
    failed = [status for status in statuses if status != requests.codes.ok]
    if failed or not statuses:
        raise StepError(f"{len(failed)} of {len(statuses)} requests failed during the rotation")
    story.console.print(f"       [dim]{len(statuses)} requests meanwhile, 0 failed[/dim]", highlight=False)


def _outage(story: Story, session: Session) -> None:
    story.chapter("The tenant goes down")
    token = session.access_token()
    story.control("faults", {"outage": True})
    story.expect("GET /v1/me: the keys are held", story.call(token), 200)
    story.stack.stop("the API")
    story.start_api()
    story.expect("the API starts anew: the keys come from its copy on disk", story.call(token), 200)
    story.stack.stop("the API")
    shutil.rmtree(story.directory / _COPIES)
    story.start_api()
    answer = story.call(token)
    story.expect("it starts without the copy: no keys", answer, 503, code="keys_unavailable", action="retry_later")
    if not answer.headers.get("Retry-After") or "WWW-Authenticate" in answer.headers:
        raise StepError("a 503 must say Retry-After and must not challenge")
    story.console.print(
        f"       [dim]Retry-After: {answer.headers['Retry-After']}; nobody is logged out[/dim]", highlight=False
    )
    story.chapter("The tenant is back")
    story.control("faults", method="DELETE")
    story.expect("GET /v1/me, after the time that the 503 told", story.call_patiently(token), 200)


def _environment(api: str, issuer: str, directory: Path) -> dict[str, str]:
    """What the API is told here; nothing of the developer's own settings gets in."""
    outside = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    told = api_environment(api, issuer, directory / "postern.db", outside)
    return (
        told
        | {"CLOCK_SKEW_SECONDS": "0", "LOG_FORMAT": "json", "WEB_CONCURRENCY": "1"}
        | {"JWKS_SNAPSHOT_DIR": str(directory / _COPIES)}
        # One user asks without a pause, to show that no request fails: more than a user's quota.
        | {"RATE_LIMIT_REQUESTS_PER_MINUTE": "0", "DRAIN_SECONDS": "0"}
    )


if __name__ == "__main__":
    sys.exit(main())
