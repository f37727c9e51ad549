"""A commit whose outcome nobody tells: the database has it, and the connection broke before it could say so."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from app.commands.db import upgrade
from tests.support.api import Api, running, settings_for
from tests.support.databases import PostgresqlServer
from tests.support.waiting import wait_until

SCOPE = "read:records write:records"
PATH = "/v1/collections/notes/records"
PATIENCE_SECONDS = 30
WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def own_postgresql_url() -> Iterator[str]:
    """A server of its own: what is set here holds for all of its databases."""
    with PostgresqlServer(f"doubt-{uuid4().hex[:8]}") as server, server.database() as url:
        upgrade(url)
        yield url


@pytest.fixture
def api(own_postgresql_url: str, tmp_path: Path) -> Iterator[Api]:
    with running(settings_for(tmp_path, own_postgresql_url)) as made:
        yield made


def set_standby(administrator: psycopg.Connection, name: str) -> None:
    """With a name that nobody has, each commit is stored and then waits for ever."""
    administrator.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    administrator.execute("SELECT pg_reload_conf()")
    wait_until(lambda: administrator.execute("SHOW synchronous_standby_names").fetchall() == [(name,)])


def is_through_or_waits(thread: threading.Thread, administrator: psycopg.Connection) -> bool:
    return not thread.is_alive() or bool(administrator.execute(f"SELECT pid {WAITING}").fetchall())


def test_write_when_its_commit_is_broken_off_then_it_is_503_and_the_same_key_finds_it_done_once(
    api: Api, own_postgresql_url: str
):
    """U5. The answer said "nothing was changed", which nobody knows: here everything was."""
    answers: list[tuple[int, dict[str, object]]] = []

    def post(key: str) -> None:
        headers = {"Authorization": f"Bearer {api.token(SCOPE)}", "Idempotency-Key": key}
        answer = api.request("POST", PATH, json={"data": {"key": key}}, headers=headers)
        answers.append((answer.status_code, {**answer.get_json(), "was": answer.headers.get("Idempotency-Replayed")}))

    with psycopg.connect(own_postgresql_url, autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {administrator.info.dbname} SET synchronous_commit = on")
        set_standby(administrator, "nobody")
        while not administrator.execute(f"SELECT pid {WAITING}").fetchall():
            # The first ones may be through before the server has heard of it.
            key = uuid4().hex
            thread = threading.Thread(target=post, args=[key])
            thread.start()
            wait_until(partial(is_through_or_waits, thread, administrator))
        administrator.execute(f"SELECT pg_terminate_backend(pid) {WAITING}")
        thread.join(PATIENCE_SECONDS)
        set_standby(administrator, "")
    status, problem = answers[-1]
    assert (status, problem["code"]) == (503, "unavailable")
    assert "nothing was changed" not in str(problem["detail"])
    post(key)
    status, record = answers[-1]
    assert (status, record["data"], record["was"]) == (201, {"key": key}, "true")
    told = api.get("/v1/changes", SCOPE).get_json()["changes"]
    assert [change["seq"] for change in told if change["data"] == {"key": key}] == [record["seq"]]
