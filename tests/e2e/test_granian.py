"""The API on Granian, a server that knows nothing of our hooks: `granian --interface wsgi wsgi:app`."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dev.processes import free_port
from tests.support import tokens
from tests.support.issuer import Issuer
from tests.support.server_process import AUDIENCE, ServerProcess

SCOPES = "read:profile read:records write:records"


class Granian(ServerProcess):
    """One worker with eight threads, as docs/performance.md has it."""

    def __init__(self, directory: Path, issuer: str) -> None:
        super().__init__(directory, issuer, {"METRICS_PORT": str(free_port()), "METRICS_HOST": "127.0.0.1"})

    def command(self) -> list[str]:
        options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", "8", "--port", str(self.port)]
        return [sys.executable, "-m", "granian", *options, "wsgi:app"]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(tokens.rsa_key()) as running:
        yield running


@pytest.fixture
def server(issuer: Issuer, tmp_path: Path) -> Iterator[Granian]:
    with Granian(tmp_path, issuer.url).running() as started:
        yield started


@pytest.fixture
def token(issuer: Issuer) -> str:
    now = int(time.time())
    claims = {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": SCOPES}
    return tokens.mint(issuer.keys[0], None, claims)


def test_granian_when_asked_then_the_same_answers_as_by_gunicorn(server: Granian, token: str):
    """whoami, a write and a read, a refusal with its challenge, and a readiness that knows the keys."""
    whoami = server.request("GET", "/v1/whoami", token)
    assert (whoami.status_code, whoami.json()["scopes"]) == (200, SCOPES.split())
    assert whoami.headers["X-Content-Type-Options"] == "nosniff"

    path, body = "/v1/collections/notes/records/milk", {"data": {"title": "Milk"}}
    written = server.request("PUT", path, token, json=body)
    read = server.request("GET", path, token)
    assert (written.status_code, read.status_code) == (201, 200)
    assert (read.json()["data"], read.headers["ETag"]) == (body["data"], written.headers["ETag"])
    unchanged = requests.get(
        server.url + path,
        headers={"Authorization": f"Bearer {token}", "If-None-Match": read.headers["ETag"]},
        timeout=30,
    )
    assert (unchanged.status_code, unchanged.content) == (304, b"")

    refused = requests.get(server.url + "/v1/whoami", timeout=30)
    assert (refused.status_code, refused.headers["Content-Type"]) == (401, "application/problem+json")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer ")
    forged = server.request("GET", "/v1/whoami", token[:-8] + "AAAAAAAA")
    assert (forged.status_code, forged.json()["code"]) == (401, "bad_signature")

    ready = server.readiness()
    assert (ready.status_code, ready.json()["checks"]["keys"]["ok"]) == (200, True)


def test_granian_when_fields_are_large_then_4xx_and_it_serves_on(server: Granian, token: str):
    """T4: past 16 KiB the app says so itself; what is past the server's own buffer, the server refuses."""
    answer = server.request("GET", "/v1/whoami", "a" * 20_000)
    assert (answer.status_code, answer.json()["code"]) == (400, "token_too_large")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.settimeout(30)
        try:
            connection.sendall(b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n")
            status = connection.recv(65_536)[:12]
        except ConnectionError:
            # It hangs up while the rest is still under way.
            status = b"HTTP/1.1 431"
    assert status[:10] == b"HTTP/1.1 4"
    assert server.request("GET", "/v1/whoami", token).status_code == 200


def test_granian_when_scraped_then_the_requests_are_counted_and_logged(server: Granian, token: str):
    for _ in range(3):
        assert server.request("GET", "/v1/whoami", token).status_code == 200
    scraped = requests.get(f"http://127.0.0.1:{server.settings['METRICS_PORT']}/metrics", timeout=30).text
    count = 'postern_http_request_seconds_count{method="GET",route="/v1/whoami",status="200"} 3.0'
    assert count in scraped
    assert [line["status"] for line in server.lines_of("/v1/whoami", 3)] == [200] * 3


def test_granian_when_sigterm_then_it_ends_in_order_and_leaves_nothing(server: Granian, token: str):
    assert server.request("GET", "/v1/whoami", token).status_code == 200
    assert server.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(server.process.pid, 0)
    assert "Traceback" not in server.log.read_text()
