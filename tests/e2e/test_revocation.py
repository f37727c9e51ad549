"""A revocation on one host is obeyed on every worker of every host, while everybody else's requests go on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest
import requests

from app.commands.db import upgrade
from dev.processes import api_command, free_port
from tests.support import tokens
from tests.support.gateway import Gateway
from tests.support.issuer import Issuer

ROOT = Path(__file__).parents[2]
AUDIENCE = "https://api.example"
VICTIM = "auth0|victim"
OBEYED_WITHIN_SECONDS = 5
OLD, NEW = tokens.rsa_key("old"), tokens.rsa_key("new")


class Host:
    """gunicorn with two workers, and the operator's shell beside it."""

    def __init__(self, directory: Path, issuer: str, database_url: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / f"host-{port}.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "TENANT_ISSUER": issuer,
            "API_AUDIENCE": AUDIENCE,
            "PORT": str(port),
            "DATABASE_URL": database_url,
            "WEB_CONCURRENCY": "2",
            "WEB_THREADS": "4",
            "LOG_FORMAT": "json",
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
            "JWKS_SNAPSHOT_DIR": "",
        }
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                api_command(), cwd=ROOT, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    def wait(self) -> None:
        wait_until(self.is_ready, self.log)

    def is_ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            return requests.get(self.url + "/readyz", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def get(self, token: str) -> tuple[int, str | None]:
        """Ask on a connection of its own: either worker may answer."""
        answer = requests.get(self.url + "/v1/whoami", headers={"Authorization": f"Bearer {token}"}, timeout=20)
        return answer.status_code, answer.json().get("code")

    def revoke(self, *words: str, stdin: str | None = None) -> str:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "revoke", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


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


def wait_until(condition, log: Path | None = None, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text() if log else "it never came true"
        time.sleep(0.05)


def token_for(issuer: Issuer, key: tokens.SigningKey = OLD, **claims: object) -> str:
    now = int(time.time())
    return tokens.mint(key, None, {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 900, **claims})


def outcomes(hosts: list[Host], token: str) -> set[tuple[int, str | None]]:
    """What both workers of both hosts say: 40 requests to each host, several at once."""
    with ThreadPoolExecutor(8) as pool:
        return {asked.result() for asked in [pool.submit(host.get, token) for host in hosts for _ in range(40)]}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(OLD, NEW) as running:
        yield running


@pytest.fixture
def hosts(tmp_path: Path, issuer: Issuer, postgresql_url: str) -> Iterator[list[Host]]:
    """Two hosts on one database."""
    upgrade(postgresql_url)
    started = [Host(tmp_path, issuer.url, postgresql_url) for _ in range(2)]
    try:
        for host in started:
            host.wait()
        yield started
    finally:
        for host in started:
            host.stop()


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
    upgrade(postgresql_url)
    with Gateway(postgresql_url) as gateway:
        host = Host(tmp_path, issuer.url, gateway.url)
        try:
            host.wait()
            victims, later = token_for(issuer, sub=VICTIM), token_for(issuer, sub="auth0|later")
            host.revoke("user", VICTIM)
            time.sleep(OBEYED_WITHIN_SECONDS)
            with Load([host], others(issuer)) as load:
                gateway.close()
                wait_until(lambda: "revocations cannot be read" in host.log.read_text(), host.log)
                time.sleep(OBEYED_WITHIN_SECONDS)
                assert outcomes([host], victims) == {(401, "token_revoked")}
                assert outcomes([host], later) == {(200, None)}
                ready = requests.get(host.url + "/readyz", timeout=20).json()["checks"]["revocations"]
                assert ready["ok"] is True
                assert ready["age_seconds"] >= OBEYED_WITHIN_SECONDS - 1
                assert ready["error"]
                gateway.open()
                wait_until(host.is_ready, host.log)
                host.revoke("user", "auth0|later")
                time.sleep(OBEYED_WITHIN_SECONDS)
                assert outcomes([host], later) == {(401, "token_revoked")}
            assert set(load.answers) == {200}
            lines = [json.loads(line) for line in host.log.read_text().splitlines() if line.startswith("{")]
        finally:
            host.stop()
    told = Counter(str(line["event"]).split(" be read")[0] for line in lines if " be read" in str(line.get("event")))
    # Once for each of the two workers.
    assert told == {"the revocations cannot": 2, "the revocations can": 2}
