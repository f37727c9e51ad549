"""A flood of tokens whose keys nobody has: what it costs, and what it does to those who have good ones.

Takes   how many made-up tokens, the folder var/bench
Gives   Flood
Raises  WrongAnswer as soon as one good request is answered otherwise than 200
Not     other forgeries: the rounds measure bad signatures (rounds.py)
Source  docs/contracts/tokens.md K7

Each made-up token names another key, so that none is answered from memory. The tenant is a server of our own, asked
over HTTP as in service: a key that is not held may cause a fetch.
"""

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks import contenders, environments
from benchmarks.credentials import Credentials, sign
from benchmarks.figures import percentile
from benchmarks.load import Load, get, send
from benchmarks.rounds import load_process
from benchmarks.servers import Server, free_port, serving

_PATH = "/v1/whoami"
_OK, _UNAUTHORIZED, _UNAVAILABLE = 200, 401, 503
_SHARE_OF_GOOD = 4


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood did; milliseconds of the good requests, alone and under it."""

    made_up: int
    good: int
    fetches: int
    """By the flood alone."""
    alone_median: float
    alone_tail: float
    flooded_median: float
    flooded_tail: float


def measure(credentials: Credentials, directory: Path, made_up: int) -> Flood:
    """Send good requests alone, then the same beside the flood."""
    programs = environments.production(directory)
    with _tenant() as tenant:
        signed = sign(1, issuer=tenant.issuer)
        tenant.key_set = signed.key_set
        settings = contenders.settings(credentials, directory)
        del settings["JWKS_FILE"]
        more = {
            "TENANT_ISSUER": tenant.issuer, "METRICS_PORT": str(free_port()), "RATE_LIMIT_FAILURES_PER_MINUTE": "0",
        }  # fmt: skip
        log = directory / "logs" / "flood.log"
        log.parent.mkdir(exist_ok=True)
        with serving("wsgi:app", {**settings, **more}, programs, log) as server:
            return _measured(server, tenant, signed.tokens[0], made_up)


def _measured(server: Server, tenant: "_Tenant", token: str, made_up: int) -> Flood:
    good = Load(server.port, (get(_PATH, token),) * max(1, made_up // _SHARE_OF_GOOD), _OK)
    nonsense = Load(server.port, tuple(_made_up(token, made_up)), _UNAUTHORIZED, (_UNAVAILABLE,))
    with load_process() as process:
        send(good)
        alone = send(good).latencies
        fetches = tenant.fetches
        flood = process.submit(send, nonsense)
        flooded: list[float] = []
        # As long as the flood lasts, and once at least.
        while not flooded or not flood.done():
            flooded += send(good).latencies
        flood.result()
        fetches = tenant.fetches - fetches
    return Flood(
        made_up, len(flooded), fetches, *(percentile([1000 * one for one in times], share)
        for times in (alone, flooded) for share in (50, 99))
    )  # fmt: skip


def _made_up(token: str, count: int) -> Iterator[bytes]:
    """The token with the name of another key each time; its signature is never looked at."""
    rest = token.partition(".")[2]
    for _ in range(count):
        header = json.dumps({"alg": "RS256", "typ": "JWT", "kid": secrets.token_hex(8)}).encode()
        yield get(_PATH, f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.{rest}")


class _Tenant(ThreadingHTTPServer):
    """Serves discovery and keys, and counts how often it is asked for the keys."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}/"
        self.key_set: dict[str, Any] = {"keys": []}
        self.fetches = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Tenant

    def do_GET(self) -> None:
        issuer = self.server.issuer
        document: dict[str, Any] = {"issuer": issuer, "jwks_uri": f"{issuer}jwks.json"}
        if self.path == "/jwks.json":
            self.server.fetches += 1
            document = self.server.key_set
        body = json.dumps(document).encode()
        self.send_response(_OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Write nothing."""


@contextmanager
def _tenant() -> Iterator[_Tenant]:
    server = _Tenant()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
