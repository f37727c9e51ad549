"""Two APIs behind nginx with deploy/nginx/nginx.conf: nobody can take both of them out of it."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from dev.processes import free_port
from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Issuer

ROOT = Path(__file__).parents[1]
CONFIGURATION = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
NEXT_FOR = "proxy_next_upstream error timeout"
SCOPES = "read:profile read:records write:records"
RECORD = "/v1/collections/notes/records/one"
HOSTS = ("api-1:8000", "api-2:8000")


class Edge:
    """nginx, the two APIs behind it and the tenant of both."""

    def __init__(self, port: int, issuer: Issuer, apis: list[GunicornServer], log: Path) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.issuer, self.apis, self.log = issuer, apis, log

    def token(self, kid: str | None = None, **claims: object) -> str:
        now = int(time.time())
        said = {"iss": self.issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": SCOPES, **claims}
        return tokens.mint(tokens.rsa_key(), {"kid": kid} if kid else None, said)

    def get(self, token: str, path: str = "/v1/whoami") -> requests.Response:
        return requests.get(self.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=40)

    def raw(self, data: bytes) -> tuple[int, dict[str, object]]:
        """Send bytes that no library would send; give status and the problem document."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=40) as connection:
            connection.sendall(data)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        return int(answer[9:12]), json.loads(body)


@contextmanager
def edge(directory: Path, configuration: str = CONFIGURATION) -> Iterator[Edge]:
    """Start all of it; the configuration is that of deploy/ but for addresses and paths."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    common = {"WEB_CONCURRENCY": "1", "DRAIN_SECONDS": "3", "TRUSTED_PROXIES": "127.0.0.1"}
    with ExitStack() as stack:
        issuer = stack.enter_context(Issuer(tokens.rsa_key()))
        apis = [stack.enter_context(GunicornServer(directory, issuer.url, **common).running()) for _ in HOSTS]
        text = configuration
        for name, api in zip(HOSTS, apis, strict=True):
            text = replaced(text, name, f"127.0.0.1:{api.port}")
        text = replaced(text, "        listen [::]:8080;\n", "")
        text = replaced(text, "listen 8080", f"listen 127.0.0.1:{port}")
        text = replaced(text, "pid /tmp/nginx.pid", f"pid {directory}/nginx.pid")
        text = replaced(text, "error_log stderr warn", f"error_log {directory}/nginx.log warn")
        text = text.replace("worker_processes auto", "worker_processes 1")
        (directory / "nginx.conf").write_text(text)
        process = stack.enter_context(
            subprocess.Popen([nginx, "-p", directory, "-c", directory / "nginx.conf", "-g", "daemon off;"])
        )
        stack.callback(process.terminate)
        found = Edge(port, issuer, apis, directory / "nginx.log")
        deadline = time.monotonic() + 30
        while not listens(port):
            assert process.poll() is None
            assert time.monotonic() < deadline, found.log.read_text()
            time.sleep(0.05)
        yield found


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Edge]:
    with edge(tmp_path) as found:
        yield found


def answers_beside(edge: Edge, attack: Callable[[int], object], count: int = 60) -> Counter[int]:
    """Ask with a good token while others do what they like; one question after each of theirs."""
    good, statuses = edge.token(), Counter[int]()
    with ThreadPoolExecutor(4) as pool:
        for number in range(count):
            attacked = pool.submit(attack, number)
            statuses[edge.get(good).status_code] += 1
            attacked.result()
    return statuses


def unknown_key(edge: Edge) -> Callable[[int], object]:
    """Send tokens of keys that nobody has published: each may be a 503, for the key may be that new."""
    return lambda number: edge.get(edge.token(kid=f"made-up-{number}")).status_code


def test_unknown_keys_when_anybody_sends_them_then_good_tokens_pass(running: Edge):
    """A 503 is about one token, the tenant or the database: it says nothing of the API that answers it."""
    assert answers_beside(running, unknown_key(running)) == {200: 60}


def test_unknown_keys_when_nginx_takes_a_503_for_a_broken_api_then_good_tokens_fail(tmp_path: Path):
    """The control: `http_503` in proxy_next_upstream lets one client without a token take everybody down."""
    with edge(tmp_path, replaced(CONFIGURATION, NEXT_FOR, f"{NEXT_FOR} http_503")) as naive:
        statuses = answers_beside(naive, unknown_key(naive))
    assert statuses[503] > 0


@pytest.mark.parametrize("authorised", [True, False])
def test_large_bodies_when_refused_before_they_are_read_then_no_api_is_taken_for_broken(
    running: Edge, authorised: bool
):
    """The API answers and closes while nginx is still sending: no reset may reach nginx before the answer."""
    fields = {"Content-Type": "application/json"}
    if authorised:
        fields["Authorization"] = f"Bearer {running.token()}"
    body = b'{"data": {"text": "' + b"a" * 2_900_000 + b'"}}'

    def attack(_number: int) -> object:
        return requests.put(running.url + RECORD, data=body, headers=fields, timeout=40).status_code

    assert attack(0) == (413 if authorised else 401)
    assert answers_beside(running, attack) == {200: 60}
    assert "no live upstreams" not in running.log.read_text()


def test_api_when_it_is_drained_and_stopped_then_no_request_fails(running: Edge):
    """Deployment: one after the other leaves, and comes back."""
    good = running.token()
    with ThreadPoolExecutor(1) as pool:
        for api in running.apis:
            stopping, statuses = pool.submit(api.stop), set()
            while not stopping.done():
                statuses.add(running.get(good).status_code)
            assert stopping.result() == 0
            assert statuses | {running.get(good).status_code for _ in range(10)} == {200}
            api.start()


def test_token_when_as_large_as_allowed_then_it_reaches_the_api(running: Edge):
    """T4: nginx's own bound would be 8 KiB, and its 400 HTML."""
    small = len(running.token(padding=""))
    token = running.token(padding="x" * ((16_384 - small) * 3 // 4 - 3))
    assert 16_000 < len(token) <= 16_384
    assert running.get(token).status_code == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 40_000 + b"\r\n\r\n", 400),
        (b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"PUT " + RECORD.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n", 413),
    ],
)
def test_request_when_nginx_refuses_it_then_a_problem_document(running: Edge, request_bytes: bytes, status: int):
    """What nginx says by itself is no HTML: apps read problem+json."""
    told, document = running.raw(request_bytes)
    assert (told, document["status"]) == (status, status)
    assert document["retryable"] is False


def test_apis_when_both_are_gone_then_503_as_a_problem_and_back_without_delay(running: Edge):
    """An outage is a 503 that apps retry, never a logout."""
    good = running.token()
    for api in running.apis:
        api.stop()
    answer = running.get(good)
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "unavailable", True)
    assert re.fullmatch(r"\d+", answer.headers["Retry-After"])
    for api in running.apis:
        api.start()
    deadline = time.monotonic() + 30
    while running.get(good).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
