"""The keys through the worst: a tenant that is down while every worker restarts, keys replaced at once, a flood."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests

from app import factory
from app.commands.db import upgrade
from app.oauth.keys.cache import CachedKeySource
from app.oauth.keys.lifetimes import HeldKeys
from app.oauth.keys.unknown import UnknownKeys
from config.settings import Settings
from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import JWKS, Issuer
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 100.0
_kids = (f"made-up-{number}" for number in itertools.count())


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(tokens.rsa_key("old")) as running:
        yield running


@pytest.fixture
def server(issuer: Issuer, tmp_path: Path) -> Iterator[GunicornServer]:
    """Not yet started."""
    made = GunicornServer(tmp_path, issuer.url)
    yield made
    made.stop()


def token_for(issuer: Issuer, **claims: object) -> str:
    now = int(time.time())
    changes = {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": "read:profile", **claims}
    return tokens.mint(issuer.keys[0], None, changes)


def made_up(token: str) -> str:
    """The same token with a kid that nobody has ever used."""
    header = json.dumps({"alg": "RS256", "typ": "JWT", "kid": next(_kids)}).encode()
    return ".".join([tokens.segment(header), *token.split(".")[1:]])


# Restarts while the tenant is down


def statuses_of_every_worker(server: GunicornServer, issuer: Issuer) -> set[int]:
    """Sixteen tokens that no worker has verified before, each on a connection of its own."""
    return {server.get(token_for(issuer, sub=f"auth0|{number}")).status_code for number in range(16)}


def is_our_fault(answer: requests.Response) -> bool:
    assert answer.json()["code"] == "keys_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in answer.headers
    return answer.status_code == 503


def test_tenant_when_down_while_every_worker_restarts_then_good_tokens_are_good_until_the_bound(
    issuer: Issuer, server: GunicornServer
):
    """K8: "a worker that starts while the tenant is down still answers, inside the same staleness bound"; then T27."""
    server.start()
    fetched_before = time.monotonic()
    assert statuses_of_every_worker(server, issuer) == {200}
    # Both workers have fetched, and one of them has written the copy.
    wait_until(lambda: issuer.requests[JWKS] >= 2 and len(list(server.snapshots.glob("*.json"))) == 1, PATIENCE_SECONDS)
    issuer.down()
    server.reload()
    assert statuses_of_every_worker(server, issuer) == {200}
    server.stop()
    server.start()
    assert statuses_of_every_worker(server, issuer) == {200}
    ready = server.readiness()
    assert (ready.status_code, ready.json()["checks"]["keys"]["ok"]) == (200, True)
    assert str(server.snapshots) not in ready.text
    # The same once more with a bound that is near: it counts from the fetch, not from a start.
    server.stop()
    bound_seconds = time.monotonic() - fetched_before + 20.0
    short = {"JWKS_MIN_TTL_SECONDS": "1", "JWKS_MAX_TTL_SECONDS": "1", "JWKS_MAX_STALE_SECONDS": str(bound_seconds)}
    server.start(**short)
    token = token_for(issuer)
    seen: list[int] = []
    while not seen or seen[-1] == 200:
        answer = server.get(token)
        seen.append(answer.status_code)
        assert time.monotonic() - fetched_before < bound_seconds + PATIENCE_SECONDS
    assert seen[0] == 200
    assert is_our_fault(answer)
    # Each worker has held keys, so none is taken out of the balancer, which would answer in its place (K10).
    assert server.readiness().status_code == 200
    server.stop()
    server.start()
    assert is_our_fault(server.get(token))
    assert server.readiness().status_code == 503
    issuer.up()
    after: list[int] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while after[-10:] != [200] * 10:
        after.append(server.get(token).status_code)
        assert time.monotonic() < deadline
    assert set(after) <= {200, 503}


def test_tenant_when_down_and_no_copy_is_kept_then_a_restart_holds_nothing(issuer: Issuer, server: GunicornServer):
    """The control of the test above: what carries the keys over is the copy, and nothing else."""
    server.start(JWKS_SNAPSHOT_DIR="")
    assert server.get(token_for(issuer)).status_code == 200
    issuer.down()
    server.stop()
    server.start()
    assert is_our_fault(server.get(token_for(issuer)))


# An emergency key change


Call = Callable[[str], tuple[int, str, int]]
"""Send a token; the status, the action and Retry-After come back."""


class Tenant:
    """Signs with what its issuer publishes, and replaces all of it at once."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._number = itertools.count()

    def token(self) -> str:
        """A new token, as a refresh gives it."""
        return token_for(self.issuer, sub=f"auth0|{next(self._number)}")

    def replace_all_keys(self) -> None:
        """Publish one key, never seen before, and sign with it from this moment on."""
        self.issuer.rotate(tokens.rsa_key("emergency"))


class Phone:
    """An app that does what our answers say: refreshes once, waits as told, and else logs its user out."""

    def __init__(self, tenant: Tenant, call: Call, ends: threading.Event) -> None:
        self._tenant = tenant
        self._call = call
        self._ends = ends
        self._token = tenant.token()
        self._has_new_token = False
        self.must_renew = threading.Event()
        """Its token's time has come: it gets a new one without being told to."""
        self.answers: list[int] = []
        self.is_logged_out = False
        self.goes_on = threading.Event()
        """It has got its data with a token of the new key."""

    def run(self) -> None:
        refused = False
        while not self._ends.is_set() and not self.is_logged_out:
            if self.must_renew.is_set() and not self._has_new_token:
                self._renew()
            status, action, wait_seconds = self._call(self._token)
            self.answers.append(status)
            if status == 200:
                refused = False
                if self._has_new_token:
                    self.goes_on.set()
                self._ends.wait(0.05)
            elif status == 503:
                self._ends.wait(wait_seconds)
            elif status == 401 and action == "refresh" and not refused:
                refused = True
                self._renew()
            else:
                self.is_logged_out = True

    def _renew(self) -> None:
        self._token = self._tenant.token()
        self._has_new_token = True


@contextmanager
def running(*work: Callable[[], None], ends: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def change_keys_under_load(issuer: Issuer, call: Call, flooders: int) -> list[Phone]:
    """Eight phones with old tokens; all keys are replaced; three of them renew right then, the others when told."""
    tenant, ends = Tenant(issuer), threading.Event()
    phones = [Phone(tenant, call, ends) for _ in range(8)]
    good = tenant.token()

    def flood() -> None:
        while not ends.is_set():
            assert call(made_up(good))[0] in {401, 503}
            time.sleep(0.01)

    with running(*(phone.run for phone in phones), *[flood] * flooders, ends=ends):
        wait_until(lambda: all(phone.answers for phone in phones), PATIENCE_SECONDS)
        fetched = issuer.requests[JWKS]

        def has_made_us_fetch() -> bool:
            return call(made_up(good))[0] in {401, 503} and issuer.requests[JWKS] > fetched

        # Somebody makes us fetch by made-up kids, and the keys are replaced right after it.
        wait_until(has_made_us_fetch, PATIENCE_SECONDS)
        tenant.replace_all_keys()
        for phone in phones[:3]:
            phone.must_renew.set()
        wait_until(lambda: all(phone.goes_on.is_set() or phone.is_logged_out for phone in phones), PATIENCE_SECONDS)
    return phones


class NaiveSource(CachedKeySource):
    """The old rule: a fetch that is younger than the cool-down proves a key unknown, whenever it was first seen."""

    def _proves_unknown(self, held: HeldKeys, first_seen: float) -> bool:
        return held.begun_at >= first_seen or self._clock() - held.begun_at < self._lifetimes.cooldown_seconds


@contextmanager
def api_with(rule: type[CachedKeySource], issuer: Issuer, directory: Path) -> Iterator[Call]:
    """The API in this process, with a budget of one fetch a second, so that no test waits for long."""
    database = f"sqlite:///{directory / 'postern.db'}"
    upgrade(database)
    settings = Settings(
        tenant_issuers=(issuer.url,),
        api_audiences=(AUDIENCE,),
        database_url=database,
        jwks_snapshot_dir=str(directory / "keys"),
        jwks_cooldown_seconds=3,
        # It is the whole process's from now on: an "error" would hide warnings from the tests that come after it.
        log_level="warning",
        log_format="json",
    )
    with pytest.MonkeyPatch.context() as patched, ExitStack() as at_the_end:
        patched.setattr(factory, "CachedKeySource", rule)
        patched.setattr("app.oauth.keys.cache.UnknownKeys", partial(UnknownKeys, fetches_per_minute=60))
        app = factory.create_app(settings)
        parts = app.extensions["postern"]
        parts.start()
        at_the_end.callback(parts.stop)

        def call(token: str) -> tuple[int, str, int]:
            answer = app.test_client().get("/v1/whoami", headers={"Authorization": f"Bearer {token}"})
            return answer.status_code, answer.get_json().get("action", ""), int(answer.headers.get("Retry-After", 0))

        yield call


@pytest.mark.parametrize("flooders", [0, 2])
def test_keys_when_all_are_replaced_at_once_then_every_app_goes_on(issuer: Issuer, tmp_path: Path, flooders: int):
    """T27: "Our fault is never the user's": who acts on our answers is not logged out by an emergency key change."""
    with api_with(CachedKeySource, issuer, tmp_path) as call:
        phones = change_keys_under_load(issuer, call, flooders)
    assert [phone.is_logged_out for phone in phones] == [False] * 8
    # Who renewed by himself was never refused; who held an old token was refused once, which made him refresh.
    assert [phone.answers.count(401) for phone in phones] == [0, 0, 0, 1, 1, 1, 1, 1]


def test_keys_when_all_are_replaced_at_once_then_the_old_rule_logs_apps_out(issuer: Issuer, tmp_path: Path):
    """The control: "or less than the cool-down ago" lets a flood time a wrong 401 for a key that was just published."""
    with api_with(NaiveSource, issuer, tmp_path) as call:
        phones = change_keys_under_load(issuer, call, 2)
    assert any(phone.is_logged_out for phone in phones)


def test_keys_when_all_are_replaced_during_a_flood_of_two_workers_then_every_app_goes_on(
    issuer: Issuer, server: GunicornServer
):
    """T27, K7, as in production: two processes, the real budget, a flood over HTTP; and no storm at the tenant."""
    server.start()
    began = time.monotonic()

    def call(token: str) -> tuple[int, str, int]:
        # A connection for each: kept ones stay with one worker, and the other may never hear of an unknown kid.
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.get(server.url + "/v1/whoami", headers=headers, timeout=30)
        return answer.status_code, answer.json().get("action", ""), int(answer.headers.get("Retry-After", 0))

    phones = change_keys_under_load(issuer, call, 2)
    assert [phone.is_logged_out for phone in phones] == [False] * 8
    minutes = (time.monotonic() - began) / 60 + 1
    # Two workers, each with a first fetch of its own, and six a minute because of unknown kids.
    assert issuer.requests[JWKS] <= 2 * (1 + 6 * minutes)
