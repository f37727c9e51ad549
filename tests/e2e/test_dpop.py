"""Bound tokens at several hosts, each with several workers, that share one store: each proof is good once, anywhere."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg.sql
import pytest
import requests

from app.oauth.dpop.faults import Fault
from tests.support import tokens
from tests.support.databases import PostgresqlServer
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Issuer
from tests.support.proofs import APP_KEY, Request
from tests.support.valkey import running_valkey

PUBLIC_URL = "https://api.example"
NONCE_KEY = "0123456789abcdef0123456789abcdef"
CALLERS, ROUNDS = 12, 5


@dataclass(frozen=True)
class Hosts:
    """Two hosts of one API, what stops their store, and a bound token."""

    servers: tuple[GunicornServer, GunicornServer]
    stop_store: Callable[[], None]
    token: str

    def proof(self, **claims: Any) -> str:
        return Request(self.token, "GET", PUBLIC_URL + "/v1/whoami", time.time()).proof(claims=claims)

    def get(self, host: int, proof: str, scheme: str = "DPoP") -> requests.Response:
        fields = {"Authorization": f"{scheme} {self.token}", "DPoP": proof}
        return requests.get(self.servers[host].url + "/v1/whoami", headers=fields, timeout=20)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(tokens.rsa_key()) as running:
        yield running


@pytest.fixture(params=["postgresql", "valkey"])
def hosts(
    request: pytest.FixtureRequest, tmp_path: Path, issuer: Issuer, postgresql_server: PostgresqlServer
) -> Iterator[Callable[..., Hosts]]:
    """Starts two hosts with these settings, the first with two workers."""
    with ExitStack() as stack:

        def host(workers: int, settings: dict[str, str]) -> GunicornServer:
            own = {"WEB_CONCURRENCY": f"{workers}", "RATE_LIMIT_FAILURES_PER_MINUTE": "60", "PUBLIC_URL": PUBLIC_URL}
            return stack.enter_context(GunicornServer(tmp_path, issuer.url, **own | settings).running())

        def start(settings: dict[str, str], stop_store: Callable[[], None]) -> Hosts:
            now = int(time.time())
            claims = {
                "iss": issuer.url,
                "aud": AUDIENCE,
                "iat": now,
                "exp": now + 600,
                "cnf": {"jkt": APP_KEY.thumbprint()},
            }
            token = tokens.mint(tokens.rsa_key(), None, claims)
            return Hosts((host(2, settings), host(1, settings)), stop_store, token)

        if request.param == "valkey":
            # Entered first, so that it goes last.
            valkey = stack.enter_context(running_valkey())
            yield lambda **settings: start({"SHARED_STORE_URL": valkey.url, **settings}, valkey.stop)
        else:
            url = stack.enter_context(postgresql_server.database())
            yield lambda **settings: start({"DATABASE_URL": url, **settings}, lambda: _shut(postgresql_server, url))


def _shut(server: PostgresqlServer, url: str) -> None:
    """Break every connection to this database off, and let none in: what a database that is stopped looks like."""
    name = url.rpartition("@/")[2].partition("?")[0]
    with server._administrator() as connection:
        connection.execute(
            psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(psycopg.sql.Identifier(name))
        )
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def test_proof_when_all_workers_of_all_hosts_get_it_at_once_then_exactly_one_takes_it(hosts: Callable[..., Hosts]):
    """P2: shared by workers and hosts: of all that bring one proof, one gets in."""
    api = hosts()
    barrier = threading.Barrier(CALLERS)

    def call(caller: int, proof: str) -> tuple[int, str | None]:
        barrier.wait()
        answer = api.get(caller % 2, proof)
        return answer.status_code, answer.json().get("detail")

    for _ in range(ROUNDS):
        proof = api.proof()
        with ThreadPoolExecutor(CALLERS) as pool:
            answers = list(pool.map(call, range(CALLERS), [proof] * CALLERS))
        assert [status for status, _ in answers].count(200) == 1, answers
        assert {answer for answer in answers if answer[0] != 200} == {(401, Fault.USED.value)}
        later = [api.get(host, proof) for host in (0, 1, 0, 1)]
        assert {answer.status_code for answer in later} == {401}
    assert {api.get(host, api.proof()).status_code for host in (0, 1)} == {200}
    # P4: a bound token sent as Bearer is refused.
    stolen = api.get(0, api.proof(), "Bearer")
    assert (stolen.status_code, stolen.json()["code"]) == (401, "proof_required")


def test_store_when_it_stops_then_503_and_no_user_is_logged_out(hosts: Callable[..., Hosts]):
    """P2: Store down: 503; T27: no challenge, and Retry-After."""
    api = hosts()
    assert api.get(0, api.proof()).status_code == 200
    api.stop_store()
    for host in (0, 1):
        answer = api.get(host, api.proof())
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert "WWW-Authenticate" not in answer.headers


def test_nonce_when_one_host_gives_it_then_the_other_takes_it(hosts: Callable[..., Hosts]):
    """P3: stateless: the hosts share a key and nothing else; one demand, then 200."""
    api = hosts(DPOP_NONCE="required", DPOP_NONCE_KEY=NONCE_KEY)
    first = api.get(0, api.proof())
    assert (first.status_code, first.json()["code"]) == (401, "use_dpop_nonce")
    nonce = first.headers["DPoP-Nonce"]
    for host in (1, 0):
        answer = api.get(host, proof := api.proof(nonce=nonce))
        assert answer.status_code == 200, answer.text
        nonce = answer.headers["DPoP-Nonce"]
        assert api.get(1 - host, proof).json()["detail"] == Fault.USED.value


def test_fields_when_there_are_two_proofs_then_gunicorn_joins_them_and_the_app_refuses(hosts: Callable[..., Hosts]):
    """P1: one DPoP field (a comma means two: refused), as a real WSGI server gives them."""
    api = hosts()
    connection = http.client.HTTPConnection("127.0.0.1", api.servers[0].port, timeout=20)
    connection.putrequest("GET", "/v1/whoami")
    for field in (("Authorization", f"DPoP {api.token}"), ("DPoP", api.proof()), ("DPoP", api.proof())):
        connection.putheader(*field)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["detail"]) == (401, Fault.REPEATED.value)
    connection.close()
