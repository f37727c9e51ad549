"""What operators do to a running API: stop it, reload it, kill a worker, scrape it, read its log."""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from operator import itemgetter
from pathlib import Path

import pytest
import requests

from dev.processes import free_port
from tests.support import tokens
from tests.support.gunicorn_server import GunicornServer
from tests.support.issuer import Issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        running.keys = [tokens.rsa_key()]
        yield running


@pytest.fixture
def server(issuer: Issuer, tmp_path: Path) -> Iterator[GunicornServer]:
    server = GunicornServer(tmp_path, issuer.url, METRICS_PORT=str(free_port()), LOG_HASH_KEY="k" * 32)
    yield server
    server.stop()


def token_of(issuer: Issuer, **claims: object) -> str:
    now = int(time.time())
    given = {"iss": issuer.url, "aud": "https://api.example", "iat": now, "exp": now + 600, "scope": "read:profile"}
    return tokens.mint(tokens.rsa_key(), None, given | claims)


def scrape(server: GunicornServer) -> dict[str, float]:
    text = requests.get(f"http://127.0.0.1:{server.settings['METRICS_PORT']}/metrics", timeout=10).text
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_metrics_when_two_workers_count_then_either_tells_the_sum_and_a_dead_one_stays_counted(
    server: GunicornServer, issuer: Issuer
):
    server.start()
    token = token_of(issuer)
    name = 'postern_http_request_seconds_count{method="GET",route="/v1/whoami",status="200"}'
    for _ in range(40):
        assert server.get(token).status_code == 200
    assert {scrape(server)[name] for _ in range(8)} == {40}
    killed = next(iter(server.workers()))
    os.kill(killed, signal.SIGKILL)
    # While it still dies it is listed, and the port of the metrics may be answered by its reset.
    server.wait_until(lambda: killed not in (now := server.workers()) and len(now) == 2)
    server.wait_until(server.answers)
    assert server.get(token).status_code == 200
    assert scrape(server)[name] == 41
    assert scrape(server)[f'postern_keys_usable{{issuer="{issuer.url}"}}'] == 1


def test_stop_when_sigterm_then_readyz_says_no_first_while_requests_are_taken(server: GunicornServer, issuer: Issuer):
    """SIGTERM turns /readyz first, then finishes what is in flight."""
    server.start(DRAIN_SECONDS="3", WEB_CONCURRENCY="2")
    token = token_of(issuer)
    assert server.readiness().status_code == 200
    process = server.process
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    answers = [server.readiness() for _ in range(8)]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["checks"]["drain"] == {"ok": False}
    assert {server.get(token).status_code for _ in range(8)} == {200}
    assert process.wait(30) == 0


def test_time_when_all_threads_are_busy_then_log_and_metrics_count_the_wait(server: GunicornServer, issuer: Issuer):
    """What the client sees begins when its request is there, not when a thread has time for it."""
    server.start(WEB_CONCURRENCY="1", WEB_THREADS="1")
    token = token_of(issuer, scope="read:profile write:records")
    server.get(token, "/v1/me")
    database = sqlite3.connect(server.settings["DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
    with closing(database), ThreadPoolExecutor(2) as pool:
        database.execute("BEGIN IMMEDIATE")
        body = {"json": {"data": {}}}
        written = pool.submit(server.request, "PUT", "/v1/collections/notes/records/busy", token, **body)
        time.sleep(0.5)
        read = pool.submit(server.get, token)
        time.sleep(1)
        database.execute("ROLLBACK")
        assert (written.result().status_code, read.result().status_code) == (201, 200)
    (line,) = server.lines_of("/v1/whoami")
    assert line["ms"] > 500
    total = scrape(server)['postern_http_request_seconds_sum{method="GET",route="/v1/whoami",status="200"}']
    assert total > 0.5


def test_reload_when_sighup_under_load_then_no_request_fails_and_no_worker_drains(
    server: GunicornServer, issuer: Issuer
):
    """SIGHUP reloads; the old workers have successors on the same port, and warn nobody."""
    server.start(DRAIN_SECONDS="20")
    token, statuses, stop = token_of(issuer), set(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.add(server.get(token).status_code)
            statuses.add(server.readiness().status_code)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    begun = time.monotonic()
    server.reload()
    took = time.monotonic() - begun
    stop.set()
    for asker in askers:
        asker.join()
    assert statuses == {200}
    assert took < 20  # it did not drain
    server.process.send_signal(signal.SIGINT)
    server.process.wait(30)


def test_log_when_json_then_every_line_is_and_says_who_without_naming_anybody(server: GunicornServer, issuer: Issuer):
    """Gunicorn's own lines have the same shape; a user's lines share a keyed hash; a refused token is no error."""
    server.start()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for subject in ("auth0|one", "auth0|one", "auth0|two"):
        headers = {"Authorization": f"Bearer {token_of(issuer, sub=subject)}", "traceparent": trace}
        assert requests.get(server.url + "/v1/whoami?secret=1", headers=headers, timeout=10).status_code == 200
    assert server.get("not-a-token").status_code == 401
    server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {"event", "level", "timestamp"} <= set.intersection(*(set(line) for line in lines))
    assert any(line.get("logger") == "gunicorn.error" and "Booting worker" in line["event"] for line in lines)
    # Each worker writes its own a moment later.
    asked = sorted((line for line in lines if line.get("route") == "/v1/whoami"), key=itemgetter("timestamp"))
    users = [line.get("user") for line in asked]
    assert users[0] == users[1] != users[2]
    assert users[3] is None
    assert asked[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert asked[0]["parent_id"] == "b7ad6b7169203331"
    assert {line["level"] for line in asked} == {"info"}
    text = server.log.read_text()
    assert not [word for word in ("auth0|", "eyJ", "secret=1", "not-a-token") if word in text]
