"""nginx as it is deployed, in front of an API of a few lines: what nginx answers by itself, and what it passes on."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dev.processes import free_port

CONFIGURATION = Path(__file__).resolve().parents[1] / "deploy" / "nginx" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or "nginx"
_START_SECONDS = 10


class Api(BaseHTTPRequestHandler):
    """Answers with the name that the request has arrived under, and below /fault with problems of its own."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = int(self.path.rpartition("/")[2]) if self.path.startswith("/fault/") else 200
        content = json.dumps({"of": "api", "names": self.headers.get_all("X-Request-Id")}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def api() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Door:
    """nginx on a port of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def says(self, sent: bytes) -> tuple[int, dict[str, str], str]:
        """Send exactly these bytes; return status, fields and body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(sent)
            with connection.makefile("rb") as answer:
                status = int(answer.readline().split()[1])
                fields = {}
                while line := answer.readline().decode().rstrip("\r\n"):
                    name, _, value = line.partition(": ")
                    fields[name.lower()] = value
                return status, fields, answer.read(int(fields["content-length"])).decode()

    def asks(self, method: str, path: str, *fields: str) -> tuple[int, dict[str, str], str]:
        """Send a request with these header lines."""
        return self.says("\r\n".join([f"{method} {path} HTTP/1.1", "Host: api", *fields, "", ""]).encode("latin-1"))


def door_to(api_port: int, directory: Path) -> Iterator[Door]:
    """Nginx with the deployed file; only where it listens, leads to and writes is this machine's."""
    port = free_port()
    text = CONFIGURATION.read_text()
    for pattern, replacement in [
        (r"^pid .*;$", f"pid {directory}/nginx.pid;"),
        (r"^worker_processes auto;$", "worker_processes 1;"),
        (r"^        listen 8080;\n        listen \[::\]:8080;$", f"        listen 127.0.0.1:{port};"),
        (r"^        server api-1:8000 .*\n        server api-2:8000 .*$", f"        server 127.0.0.1:{api_port};"),
        (
            r"^http \{$",
            "http {\n"
            + "".join(
                f"    {kind}_temp_path {directory}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            ),
        ),
    ]:
        text, replaced = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert replaced == 1, pattern
    file = directory / "nginx.conf"
    file.write_text(text)
    # -e: before it has read its configuration, nginx would write where its package says.
    command = [
        str(NGINX),
        "-c",
        str(file),
        "-p",
        str(directory),
        "-e",
        str(directory / "error.log"),
        "-g",
        "daemon off;",
    ]
    with (directory / "output").open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as nginx:
        try:
            wait_for(port, nginx, directory / "output")
            yield Door(port)
        finally:
            nginx.terminate()
            nginx.wait(10)


def wait_for(port: int, nginx: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert nginx.poll() is None, output.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(output.read_text())


@pytest.fixture(scope="module")
def door(api: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from door_to(api, tmp_path_factory.mktemp("nginx"))


@pytest.fixture(scope="module")
def door_to_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from door_to(free_port(), tmp_path_factory.mktemp("nginx-alone"))


def expect_problem(answer: tuple[int, dict[str, str], str], status: int, code: str) -> dict[str, str]:
    """Demand a problem document with every member of T25, under the name that its field says, too."""
    found, fields, body = answer
    assert (found, fields["content-type"]) == (status, "application/problem+json"), body
    document = json.loads(body)
    assert set(document) == {
        "type", "title", "status", "detail", "code", "action", "retryable", "request_id",
    }  # fmt: skip
    assert (document["status"], document["code"]) == (status, code)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", document["request_id"])
    assert document["request_id"] == fields["x-request-id"]
    assert fields["cache-control"] == "no-store"
    return document


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"TRACE / HTTP/1.1\r\nHost: api\r\n\r\n", 405, "method_not_allowed"),
        (b"CONNECT / HTTP/1.1\r\nHost: api\r\n\r\n", 405, "method_not_allowed"),
        (b"POST /v1 HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "bad_request"),
        (b"POST /v1 HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: xchunked\r\n\r\n", 501, "bad_request"),
        (b"POST /v1 HTTP/1.1\r\nHost: api\r\nContent-Length: 9999999\r\n\r\n", 413, "payload_too_large"),
        (b"POST /v1 HTTP/1.1\r\nHost: api\r\nContent-Length: x\r\n\r\n", 400, "bad_request"),
        (b"GET /v1 HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /v1 HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_request"),
        (b"GET /v1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
        (b"GET /v1 HTTP/3.0\r\nHost: api\r\n\r\n", 400, "bad_request"),
        (b"GET /_nginx/refused HTTP/1.1\r\nHost: api\r\n\r\n", 404, "not_found"),
        (b"GET /%zz HTTP/1.1\r\nHost: api\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: api\r\n\r\n", 400, "bad_request"),
        (b"GET /v1 HTTP/1.1\r\nHost: api\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
    ],
    ids=["trace", "connect", "coding", "unknown-coding", "length", "no-length", "no-host", "bad-host", "hosts",
         "version", "own-path", "escape", "line", "field", "tls", "nonsense"],
)  # fmt: skip
def test_nginx_when_it_refuses_by_itself_then_a_problem_document_with_a_name(door: Door, sent, status, code):
    """T25: every error is `application/problem+json`, with a `request_id`."""
    document = expect_problem(door.says(sent), status, code)
    assert re.fullmatch(r"[0-9a-f]{32}", document["request_id"])


def test_nginx_when_a_method_is_no_paths_then_the_methods_there_are(door: Door):
    """RFC 9110 §15.5.6: The origin server MUST generate an Allow header field in a 405 response."""
    _status, fields, _body = door.asks("TRACE", "/")
    assert "GET" in fields["allow"]
    assert "TRACE" not in fields["allow"]


def test_nginx_when_no_api_answers_then_503_and_when_to_come_again(door_to_nobody: Door):
    """T27: our fault is a 503 that apps retry; its name is the caller's, so that an operator can ask for it."""
    answer = door_to_nobody.asks("GET", "/v1/me", "X-Request-Id: from-the-app")
    document = expect_problem(answer, 503, "unavailable")
    assert (document["retryable"], document["action"], answer[1]["retry-after"]) == (True, "retry_later", "5")
    assert document["request_id"] == "from-the-app"


@pytest.mark.parametrize("status", [400, 403, 405, 413, 500, 501, 502, 503])
def test_nginx_when_the_api_answers_an_error_then_it_passes_as_it_is(door: Door, status: int):
    """What the API says, it says better."""
    found, _fields, body = door.asks("GET", f"/fault/{status}")
    assert (found, json.loads(body)["of"]) == (status, "api")


@pytest.mark.parametrize("path", ["/v1/me", "/v1/me/export"])
@pytest.mark.parametrize("name", ["a", "A.b_c-9", "f" * 64])
def test_name_when_the_caller_gives_a_sane_one_then_the_api_gets_it(door: Door, path: str, name: str):
    assert json.loads(door.asks("GET", path, f"X-Request-Id: {name}")[2])["names"] == [name]


@pytest.mark.parametrize("path", ["/v1/me", "/v1/me/export"])
@pytest.mark.parametrize("name", [None, "", "f" * 65, "a b", "a,b", 'a"b', "a\\b", "é", "a\tb", "{}", "${request_id}"])
def test_name_when_it_is_absent_or_odd_then_one_of_nginx(door: Door, path: str, name: str | None):
    """It stands in a JSON document and in logs: what the API would not take, nginx does not pass on."""
    fields = [] if name is None else [f"X-Request-Id: {name}"]
    (given,) = json.loads(door.asks("GET", path, *fields)[2])["names"]
    assert re.fullmatch(r"[0-9a-f]{32}", given)
    document = expect_problem(door.asks("TRACE", path, *fields), 405, "method_not_allowed")
    assert re.fullmatch(r"[0-9a-f]{32}", document["request_id"])


def test_name_when_there_are_two_then_the_api_gets_one(door: Door):
    (given,) = json.loads(door.asks("GET", "/v1/me", "X-Request-Id: a", "X-Request-Id: b")[2])["names"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given)
