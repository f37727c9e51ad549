"""A proxy's kept connections end during the drain, not with the worker."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support import tokens
from tests.support.gunicorn_server import GunicornServer
from tests.support.issuer import Issuer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GunicornServer]:
    with Issuer() as issuer:
        issuer.keys = [tokens.rsa_key()]
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
