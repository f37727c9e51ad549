"""A proxy's kept connections end during the drain, not with the worker; what is in flight at the end is answered."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.support import tokens
from tests.support.gunicorn_server import GunicornServer
from tests.support.issuer import Issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        issuer.keys = [tokens.rsa_key()]
        yield issuer


@pytest.fixture
def server(tmp_path: Path, issuer: Issuer) -> Iterator[GunicornServer]:
    server = GunicornServer(tmp_path, issuer.url)
    yield server
    server.stop()


def test_answer_when_the_worker_drains_then_the_connection_closes_and_before_it_does_not(server: GunicornServer):
    """Behind nginx, 4 of 1 249 writes met a worker's end on a kept connection, and nginx sends no write again."""
    server.start(DRAIN_SECONDS="5", WEB_CONCURRENCY="1")
    with requests.Session() as proxy:
        assert proxy.get(f"{server.url}/livez", timeout=10).headers.get("Connection") == "keep-alive"
        process = server.process
        process.send_signal(signal.SIGTERM)
        while server.readiness().status_code == 200:
            time.sleep(0.05)
        answer = proxy.get(f"{server.url}/livez", timeout=10)
        assert answer.status_code == 200
        assert answer.headers.get("Connection") == "close"
    assert process.wait(30) == 0


def test_answer_when_the_worker_ends_at_once_then_also_one_without_a_body(server: GunicornServer, issuer: Issuer):
    """SIGINT: gunicorn's main loop is gone at once, and the threads end what they have begun."""
    server.start(WEB_CONCURRENCY="1")
    now = int(time.time())
    claims = {"iss": issuer.url, "aud": "https://api.example", "iat": now, "exp": now + 600, "scope": "write:records"}
    token = tokens.mint(tokens.rsa_key(), None, claims)
    path, body = "/v1/collections/notes/records/", {"json": {"data": {}}}
    assert server.request("PUT", path + "old", token, **body).status_code == 201
    database = sqlite3.connect(server.settings["DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
    with closing(database), ThreadPoolExecutor(2) as pool:
        database.execute("BEGIN IMMEDIATE")
        deleted = pool.submit(server.request, "DELETE", path + "old", token)
        written = pool.submit(server.request, "PUT", path + "new", token, **body)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        database.execute("COMMIT")
        assert (deleted.result().status_code, written.result().status_code) == (204, 201)
