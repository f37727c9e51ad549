"""A revocation on one host is obeyed on every worker of every host, while everybody else's requests go on."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
import requests

from tests.support import tokens
from tests.support.command_line import flask
from tests.support.gateway import Gateway
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Issuer

VICTIM = "auth0|victim"
OBEYED_WITHIN_SECONDS = 5
OLD, NEW = tokens.rsa_key("old"), tokens.rsa_key("new")


class Host(GunicornServer):
    """gunicorn with two workers, as it is deployed but for the requests' limit, and the operator's shell beside it."""

    def __init__(self, directory: Path, issuer: str, database_url: str) -> None:
        settings = {
            "DATABASE_URL": database_url,
            "WEB_CONCURRENCY": "2",
            "WEB_THREADS": "4",
            "JWKS_SNAPSHOT_DIR": "",
            "DRAIN_SECONDS": "5",
            "RATE_LIMIT_WRITES_PER_MINUTE": "120",
            "RATE_LIMIT_FAILURES_PER_MINUTE": "60",
        }
        super().__init__(directory, issuer, **settings)

    def is_ready(self) -> bool:
        return self.answers("/readyz")

    def outcome(self, token: str) -> tuple[int, str | None]:
        answer = self.get(token)
        return answer.status_code, answer.json().get("code")

    def revoke(self, *words: str, stdin: str = "") -> str:
        done = flask("revoke", *words, text=stdin, **self.settings)
        assert done.status == 0, done.err
        return done.out


class Load:
    """Other users, who ask both hosts all the time, each with a known token and a fresh one in turn."""

    def __init__(self, hosts: list[Host], fresh: list[str]) -> None:
        self._hosts = hosts
        self._fresh = fresh
        self._ends = threading.Event()
        self._pool = ThreadPoolExecutor(len(hosts) * 2)
        self.answers: Counter[int | str] = Counter()

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._ask, host, half) for host in self._hosts for half in (0, 1)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for running in self._running:
            self.answers.update(running.result(60))
        self._pool.shutdown()

    def _ask(self, host: Host, half: int) -> Counter[int | str]:
        found: Counter[int | str] = Counter()
        mine = self._fresh[half::2]
        with requests.Session() as session:
            while not self._ends.wait(0.01):
                token = mine[found.total() % len(mine)]
                try:
                    header = {"Authorization": f"Bearer {token}"}
                    found[session.get(host.url + "/v1/whoami", headers=header, timeout=20).status_code] += 1
                except requests.RequestException as error:
                    found[type(error).__name__] += 1
        return found


def token_for(issuer: Issuer, key: tokens.SigningKey = OLD, **claims: object) -> str:
    now = int(time.time())
    return tokens.mint(key, None, {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 900, **claims})


def outcomes(hosts: list[Host], token: str) -> set[tuple[int, str | None]]:
    """What both workers of both hosts say: 40 requests to each host, several at once."""
    with ThreadPoolExecutor(8) as pool:
        return {asked.result() for asked in [pool.submit(host.outcome, token) for host in hosts for _ in range(40)]}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(OLD, NEW) as running:
        yield running


@pytest.fixture
def hosts(tmp_path: Path, issuer: Issuer, postgresql_url: str) -> Iterator[list[Host]]:
    """Two hosts on one database."""
    with ExitStack() as stack:
        started = [stack.enter_context(Host(tmp_path, issuer.url, postgresql_url).running()) for _ in range(2)]
        for host in started:
            host.wait_until(host.is_ready)
        yield started


def others(issuer: Issuer, key: tokens.SigningKey = OLD) -> list[str]:
    return [token_for(issuer, key, sub=f"auth0|other-{number}") for number in range(40)]


@pytest.mark.timeout(240)
def test_user_when_revoked_on_one_host_then_refused_everywhere_within_5_s_and_nobody_else_is(
    hosts: list[Host], issuer: Issuer
):
    """T24: "written by `flask revoke`, seen by every worker within 5 s"; lifted, the user is accepted again."""
    victims = token_for(issuer, sub=VICTIM)
    with Load(hosts, others(issuer)) as load:
        assert outcomes(hosts, victims) == {(200, None)}
        told = hosts[0].revoke("user", VICTIM, "--note", "stolen phone")
        time.sleep(OBEYED_WITHIN_SECONDS)
        assert outcomes(hosts, victims) == {(401, "token_revoked")}
        # The victim's own new login, later than the revocation.
        assert outcomes(hosts, token_for(issuer, sub=VICTIM)) == {(200, None)}
        assert f'revoked user "{VICTIM}"' in told
        assert "stolen phone" in hosts[1].revoke("list")
        assert "lifted" in hosts[1].revoke("lift", "user", VICTIM)
        time.sleep(OBEYED_WITHIN_SECONDS)
        assert outcomes(hosts, victims) == {(200, None)}
    assert set(load.answers) == {200}
    assert load.answers[200] > 400


@pytest.mark.timeout(240)
def test_key_when_distrusted_then_its_tokens_are_refused_everywhere_and_a_new_keys_are_good(
    hosts: list[Host], issuer: Issuer
):
    """K11: "within 5 s everywhere; it stays out even while the issuer still publishes it"."""
    old = token_for(issuer)
    with Load(hosts, others(issuer, NEW)) as load:
        assert outcomes(hosts, old) == {(200, None)}
        hosts[1].revoke("key", "old")
        time.sleep(OBEYED_WITHIN_SECONDS)
        assert outcomes(hosts, old) == {(401, "key_distrusted")}
        assert outcomes(hosts, token_for(issuer, sub="auth0|unseen")) == {(401, "key_distrusted")}
        assert outcomes(hosts, token_for(issuer, NEW)) == {(200, None)}
        # One token of the new key, by its text.
        stolen = token_for(issuer, NEW, jti="stolen-token")
        assert outcomes(hosts, stolen) == {(200, None)}
        told = hosts[0].revoke("token", stdin=stolen + "\n")
        time.sleep(OBEYED_WITHIN_SECONDS)
        assert outcomes(hosts, stolen) == {(401, "token_revoked")}
        assert "stolen-token" in told
        assert stolen.split(".")[1] not in told
    assert set(load.answers) == {200}
    assert load.answers[200] > 400
    for host in hosts:
        assert stolen.split(".")[2] not in host.log.read_text()


@pytest.mark.timeout(240)
def test_database_when_away_then_what_is_known_is_obeyed_and_readyz_tells(
    tmp_path: Path, issuer: Issuer, postgresql_url: str
):
    """T24: when the store cannot be reached the API goes on with what it knows, and says so."""
    with Gateway(postgresql_url) as gateway, Host(tmp_path, issuer.url, gateway.url).running() as host:
        host.wait_until(host.is_ready)
        victims, later = token_for(issuer, sub=VICTIM), token_for(issuer, sub="auth0|later")
        host.revoke("user", VICTIM)
        time.sleep(OBEYED_WITHIN_SECONDS)
        with Load([host], others(issuer)) as load:
            gateway.close()
            host.wait_until(lambda: "revocations cannot be read" in host.log.read_text())
            time.sleep(OBEYED_WITHIN_SECONDS)
            assert outcomes([host], victims) == {(401, "token_revoked")}
            assert outcomes([host], later) == {(200, None)}
            ready = host.readiness().json()["checks"]["revocations"]
            assert ready["ok"] is True
            assert ready["age_seconds"] >= OBEYED_WITHIN_SECONDS - 1
            assert ready["error"]
            gateway.open()
            host.wait_until(host.is_ready)
            host.revoke("user", "auth0|later")
            time.sleep(OBEYED_WITHIN_SECONDS)
            assert outcomes([host], later) == {(401, "token_revoked")}
        assert set(load.answers) == {200}
        lines = host.lines()
    told = Counter(str(line["event"]).split(" be read")[0] for line in lines if " be read" in str(line.get("event")))
    # Once for each of the two workers.
    assert told == {"the revocations cannot": 2, "the revocations can": 2}
