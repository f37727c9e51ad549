"""The API as it runs in production: gunicorn, real HTTP, a tenant that can fail."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Issuer

Start = Callable[..., GunicornServer]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(tokens.rsa_key()) as running:
        yield running


@pytest.fixture
def start(issuer: Issuer, tmp_path: Path) -> Iterator[Start]:
    """Start the API with one worker; failures count, as they do by default."""
    with ExitStack() as stack:

        def begin(**settings: str) -> GunicornServer:
            usual = {"WEB_CONCURRENCY": "1", "RATE_LIMIT_FAILURES_PER_MINUTE": "60"}
            return stack.enter_context(GunicornServer(tmp_path, issuer.url, **usual | settings).running())

        yield begin


@pytest.fixture
def server(start: Start) -> GunicornServer:
    return start()


def token_for(issuer: Issuer, kid: str | None = None, **claims: object) -> str:
    now = int(time.time())
    changes = {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": "read:profile", **claims}
    return tokens.mint(issuer.keys[0], {"kid": kid} if kid else None, changes)


def withhold_keys(issuer: Issuer, server: GunicornServer) -> threading.Event:
    """Let the server's next fetch of the keys hang; what lets it go on is given back."""
    release, asked = threading.Event(), threading.Event()

    def hang(_path: str) -> None:
        asked.set()
        release.wait(20)

    issuer.on_request = hang
    issuer.requests.clear()
    issuer.up()
    assert asked.wait(20), server.log.read_text()
    return release


def test_first_requests_when_64_come_at_once_then_one_fetch(issuer: Issuer, start: Start):
    """K3: One fetch at a time per issuer and process; 64 concurrent first requests cause one fetch of the keys."""
    issuer.down()
    server = start(WEB_THREADS="64", JWKS_TIMEOUT_SECONDS="20")
    release = withhold_keys(issuer, server)
    token = token_for(issuer)
    with ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(server.get, token) for _ in range(64)]
        time.sleep(0.7)
        release.set()
        statuses = {answer.result().status_code for answer in answers}
    assert statuses == {200}
    assert issuer.requests["/jwks.json"] == 1
    assert issuer.requests["/.well-known/openid-configuration"] == 1


def test_unknown_kids_when_2000_are_made_up_then_few_fetches_and_no_good_request_fails(issuer: Issuer, start: Start):
    """K7: At most 6 such fetches a minute per issuer: made-up kids neither storm the tenant nor block good requests."""
    server = start(JWKS_COOLDOWN_SECONDS="0")
    good = token_for(issuer)
    made_up = [token_for(issuer, kid=f"made-up-{number}") for number in range(200)]
    assert server.get(good).status_code == 200
    before = issuer.requests["/jwks.json"]

    def flood(worker: int) -> list[int]:
        statuses = []
        with requests.Session() as session:
            for number in range(500):
                # A new kid each time: the same 200 tokens with their kid renamed are refused before any signature.
                header = {"Authorization": f"Bearer {renamed(made_up[number % 200], f'{worker}-{number}')}"}
                statuses.append(session.get(server.url + "/v1/whoami", headers=header, timeout=20).status_code)
        return statuses

    with ThreadPoolExecutor(8) as pool:
        floods = [pool.submit(flood, worker) for worker in range(4)]
        fine = [server.get(good).status_code for _ in range(100)]
        refused = [status for done in floods for status in done.result()]
    assert set(fine) == {200}
    assert len(refused) == 2000
    assert set(refused) <= {401, 503}
    assert issuer.requests["/jwks.json"] - before <= 6


def renamed(token: str, kid: str) -> str:
    header = json.dumps({"alg": "RS256", "typ": "JWT", "kid": kid}).encode()
    return ".".join([tokens.segment(header), *token.split(".")[1:]])


def test_tenant_when_down_then_held_keys_serve_and_readyz_stays_ready(issuer: Issuer, start: Start):
    """K6, K10: the last good set serves; a tenant outage never makes it unready again."""
    server = start()
    token, fresh = token_for(issuer), token_for(issuer, sub="auth0|other")
    assert server.get(token).status_code == 200
    issuer.down()
    assert server.get(token).status_code == 200
    assert server.get(fresh).status_code == 200
    assert server.readiness().status_code == 200


def test_tenant_when_down_at_the_start_then_503_with_retry_after_and_back_then_200(issuer: Issuer, start: Start):
    """T27: No usable keys: 503, `Retry-After`, code `keys_unavailable`, no challenge; and never a 401."""
    issuer.down()
    server = start()
    token = token_for(issuer)
    answer = server.get(token)
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in answer.headers
    assert server.readiness().status_code == 503
    assert requests.get(server.url + "/livez", timeout=5).status_code == 200
    issuer.up()
    statuses = set()
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        statuses.add(server.get(token).status_code)
        if 200 in statuses:
            break
        time.sleep(0.2)
    assert 200 in statuses
    assert statuses <= {200, 503}


def test_keys_when_rotated_then_the_new_token_is_good_at_once(issuer: Issuer, start: Start):
    """K7: the first sight of a new `kid` may fetch: a rotation is invisible."""
    server = start(JWKS_COOLDOWN_SECONDS="0")
    old = token_for(issuer)
    assert server.get(old).status_code == 200
    issuer.rotate(tokens.rsa_key("rsa-2"), tokens.rsa_key())
    assert server.get(token_for(issuer)).status_code == 200
    assert server.get(old).status_code == 200


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET /v1 HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n", 400),
        (b"GET /v1 HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST /v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", 400),
        (b"POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", 400),
    ],
)
def test_http_when_malformed_then_problem_json_too(server: GunicornServer, request_text: bytes, status: int):
    """Whatever a request can hold ends in 4xx with problem+json, and nothing of it is reflected."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request_text)
        connection.settimeout(10)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "bad_request"
    assert b"Bad Name" not in answer


def test_token_when_16_kib_then_the_app_answers_and_when_larger_too(server: GunicornServer, issuer: Issuer):
    """T4: gunicorn cuts header fields at 8190 bytes by default; the app gives the answer here."""
    answer = server.get("a" * 20_000)
    assert (answer.status_code, answer.json()["code"]) == (400, "token_too_large")
    padded = tokens.mint(
        tokens.rsa_key(),
        None,
        {"iss": issuer.url, "aud": AUDIENCE, "exp": int(time.time()) + 60, "iat": int(time.time()), "x": "y" * 11_000},
    )
    assert len(padded) > 14_000
    assert server.get(padded).status_code == 200


def test_two_authorization_fields_when_sent_then_400(server: GunicornServer):
    """T2: a comma-joined second header is refused."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(
            b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"
        )
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"malformed_authorization" in answer


def test_stop_when_sigterm_then_in_flight_requests_end_and_no_process_is_left(issuer: Issuer, start: Start):
    """Graceful stop: what is in flight is answered."""
    issuer.down()
    server = start(JWKS_TIMEOUT_SECONDS="20")
    release = withhold_keys(issuer, server)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.get, token_for(issuer))
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        release.set()
        assert answer.result().status_code == 200
    assert server.process.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(server.process.pid, 0)


def test_log_when_gunicorn_runs_then_every_request_has_one_json_line_and_no_token(
    server: GunicornServer, issuer: Issuer
):
    """One structured line per request; never a token in a log."""
    token = token_for(issuer)
    assert server.get(token).status_code == 200
    (found,) = server.lines_of("/v1/whoami")
    assert found["status"] == 200
    assert token.split(".")[2] not in server.log.read_text()
