"""Prometheus' own server against the API: what an operator is told while the API stands on what is broken.

The rules are those of deploy/prometheus, with their windows and waits made short, and one threshold that is longer
than a test. Two workers, the development tenant, PostgreSQL and Valkey are real; each fault must be told by the alerts
that the runbook names for it, and by no other.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
import requests
import yaml

from dev.processes import Stack, free_port, tenant_command
from tests.support.chaos_stack import StoppablePostgresql
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.valkey import ValkeyServer, running_valkey

PROMETHEUS = Path(__file__).parents[1] / "deploy" / "prometheus"
PATIENCE_SECONDS = 45
# A minute of the rules is two seconds here, and at least four scrapes; what must last does so for a second or two.
_WINDOW = re.compile(r"\[(\d+)m\]")
# How fast it is, with all of this running on it at once, is nothing that is provoked here.
_OF_THE_MACHINE = {"PosternSlow"}
_SETTINGS = {
    "JWKS_MIN_TTL_SECONDS": "10",
    "JWKS_MAX_TTL_SECONDS": "10",
    "JWKS_MAX_STALE_SECONDS": "12",
    "JWKS_COOLDOWN_SECONDS": "1",
    "JWKS_TIMEOUT_SECONDS": "2",
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "100000",
    "RATE_LIMIT_WRITES_PER_MINUTE": "20",
    "LOG_LEVEL": "warning",
}


def shortened(rules: str) -> str:
    """The rules as they are, in a hurry."""
    document = yaml.safe_load(_WINDOW.sub(lambda window: f"[{max(4, 2 * int(window[1]))}s]", rules))
    for rule in document["groups"][0]["rules"]:
        if rule["alert"] == "PosternRevocationsUnseen":
            # Read every 5 s, and looked at every 5 s.
            rule["expr"] = rule["expr"].replace("> 60", "> 11")
        if "for" in rule:
            rule["for"] = "1s" if int(rule["for"].removesuffix("m")) < 5 else "2s"
    return yaml.safe_dump(document)


@dataclass
class Watch:
    """What Prometheus says, and everything that it ever said since it was last asked to forget."""

    url: str
    ever: set[str] = field(default_factory=set)

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        told = requests.get(f"{self.url}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
        firing = {alert["labels"]["alertname"] for alert in told if alert["state"] == "firing"} - _OF_THE_MACHINE
        self.ever |= firing
        return firing

    def until(self, *expected: str) -> None:
        """Wait until just these fire."""
        begun = time.monotonic()
        while (firing := self.firing()) != set(expected):
            assert time.monotonic() < begun + PATIENCE_SECONDS, (sorted(firing), sorted(expected))
            time.sleep(0.2)

    def forget(self) -> None:
        """Begin anew."""
        self.ever.clear()


@pytest.fixture
def prometheus() -> str:
    found = shutil.which("prometheus")
    if found is None:
        pytest.fail("make interop needs Prometheus for the alerts: apt-get install prometheus")
    return found


@contextmanager
def watching(program: str, folder: Path, target: str) -> Iterator[Watch]:
    """Run Prometheus on a copy of what is in deploy/, every second."""
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    configuration["global"]["evaluation_interval"] = "1s"
    configuration["scrape_configs"][0] |= {
        "scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": [{"targets": [target]}],
    }  # fmt: skip
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    (folder / "rules.yaml").write_text(shortened((PROMETHEUS / "rules.yaml").read_text()))
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        program, "--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn",
        "--web.listen-address=" + url.removeprefix("http://"),
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_until(lambda: process.poll() is None and _answers(f"{url}/-/ready"), folder / "prometheus.log")
        yield Watch(url)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def repeated(per_second: float, ask: Callable[[], object]) -> Iterator[None]:
    """Do this again and again in a thread of its own, until the block ends."""
    ends = threading.Event()

    def go_on() -> None:
        due = time.monotonic()
        while not ends.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - 1) + 1 / per_second
            try:
                ask()
            except requests.RequestException:
                # The API is gone, which is one of the faults.
                ends.wait(0.2)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


@dataclass(frozen=True)
class Broken:
    """Everything that can be broken, and who is watching."""

    server: GunicornServer
    tenant: Stack
    issuer: str
    postgresql: StoppablePostgresql
    valkey: ValkeyServer
    watch: Watch

    def token(self, **wanted: object) -> str:
        wanted = {"user": "ada", "audience": AUDIENCE, "expires_in": 3600, **wanted}
        answer = requests.post(f"{self.issuer}_dev/mint", json=wanted, timeout=10)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def asking(self, token: str, path: str, method: str = "GET", **options: object) -> Callable[[], object]:
        http = requests.Session()
        fields = {"Authorization": f"Bearer {token}"}
        return lambda: http.request(method, self.server.url + path, headers=fields, timeout=20, **options)


@pytest.fixture
def broken(prometheus: str, tmp_path: Path) -> Iterator[Broken]:
    with ExitStack() as stack:
        port = free_port()
        issuer = f"http://127.0.0.1:{port}/"
        tenant = stack.enter_context(Stack())
        state = {"TENANT_PORT": str(port), "TENANT_API_IDENTIFIER": AUDIENCE, "TENANT_STATE_DIR": f"{tmp_path}/tenant"}
        tenant.start("tenant", tenant_command(), state, tmp_path / "tenant.log")
        tenant.wait_for("tenant", f"{issuer}.well-known/openid-configuration")
        postgresql = stack.enter_context(StoppablePostgresql(f"alerts-{uuid4().hex[:8]}"))
        url = stack.enter_context(postgresql.database())
        valkey = stack.enter_context(running_valkey())
        metrics = free_port()
        # Of its own: the one in memory that gunicorn makes is left behind by whoever is killed.
        counts = tmp_path / "metrics"
        counts.mkdir()
        own = {
            "DATABASE_URL": url, "SHARED_STORE_URL": valkey.url, "METRICS_PORT": str(metrics),
            "PROMETHEUS_MULTIPROC_DIR": str(counts),
        }  # fmt: skip
        server = stack.enter_context(GunicornServer(tmp_path, issuer, **_SETTINGS, **own).running())
        watch = stack.enter_context(watching(prometheus, tmp_path, f"127.0.0.1:{metrics}"))
        yield Broken(server, tenant, issuer, postgresql, valkey, watch)


@pytest.mark.timeout(300)
def test_alerts_when_what_the_api_stands_on_breaks_then_those_of_the_runbook_fire_and_no_others(broken: Broken):
    watch, good = broken.watch, broken.token(scope="read:profile read:records write:records")
    forged = good.rsplit(".", 1)[0] + "." + "A" * len(good.rsplit(".", 1)[1])
    with ExitStack() as traffic:
        traffic.enter_context(repeated(30, broken.asking(good, "/v1/whoami")))
        traffic.enter_context(repeated(10, broken.asking(good, "/v1/me")))
        # The balancer's.
        traffic.enter_context(repeated(2, broken.asking(good, "/readyz")))
        # Until it has been scraped for the first time, the API is away.
        watch.until()
        watch.forget()
        time.sleep(6)
        watch.until()
        assert watch.ever == set()

        put = broken.asking(good, "/v1/collections/notes/records/a", "PUT", json={"data": {}})
        # The forged ones are a small share of all tokens: more would be PosternLogouts, too.
        with repeated(1.4, broken.asking(forged, "/v1/whoami")), repeated(25, put):
            watch.until("PosternBadSignatures", "PosternRateLimited")
        by_clients = {"PosternBadSignatures", "PosternRateLimited"}
        assert watch.ever == by_clients

        watch.forget()
        broken.valkey.stop()
        broken.postgresql.stop_at_once()
        without = {"PosternUnavailable", "PosternNotReady", "PosternRevocationsUnseen", "PosternLimitsAlone"}
        watch.until(*without)
        broken.postgresql.start_again()
        broken.valkey.start()
        watch.until()
        assert watch.ever <= without | by_clients

        watch.forget()
        broken.tenant.stop("tenant")
        watch.until("PosternKeysStale", "PosternKeyFetchesFail")
        watch.until("PosternKeysUnavailable", "PosternKeyFetchesFail")
        assert watch.ever <= without | {"PosternKeysStale", "PosternKeyFetchesFail", "PosternKeysUnavailable"}

        watch.forget()
        os.killpg(broken.server.process.pid, signal.SIGKILL)
        watch.until("PosternDown", "PosternInstanceDown")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _wait_until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
