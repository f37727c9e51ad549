"""Idempotency-Key over real HTTP, on two workers: retries at once, and a worker that dies before it has answered."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Issuer

RETRIES = 12
PATH = "/v1/collections/notes/records"
RECORD = {"data": {"title": "Milk"}}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(tokens.rsa_key()) as running:
        yield running


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as servers:
        yield servers


def serve(started: ExitStack, issuer: Issuer, directory: Path, database_url: str, **settings: str) -> GunicornServer:
    app = "tests.support.unusual_writes:app" if "WRONG" in settings else "wsgi:app"
    server = GunicornServer(directory, issuer.url, app=app, DATABASE_URL=database_url, **settings)
    return started.enter_context(server.running())


def token_of(issuer: Issuer, subject: str) -> str:
    now = int(time.time())
    claims = {"iss": issuer.url, "aud": AUDIENCE, "iat": now, "exp": now + 600, "sub": subject}
    return tokens.mint(issuer.keys[0], None, {**claims, "scope": "read:records write:records"})


def create(server: GunicornServer, token: str, key: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    return requests.post(server.url + PATH, json=RECORD, headers=headers, timeout=30)


def at_once(server: GunicornServer, token: str) -> list[requests.Response]:
    """Send the same request from so many threads, all at once."""
    answers: list[requests.Response] = []
    meeting, key = threading.Barrier(RETRIES, timeout=30), uuid4().hex

    def one() -> None:
        meeting.wait()
        answers.append(create(server, token, key))

    threads = [threading.Thread(target=one) for _ in range(RETRIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == RETRIES
    return answers


def stored(server: GunicornServer, token: str) -> int:
    found: list[object] = server.get(token, PATH).json()["records"]
    return len(found)


@pytest.mark.parametrize("is_known", [True, False], ids=["with an account", "without"])
def test_retries_when_they_come_at_once_then_one_effect_and_one_answer(
    issuer: Issuer, started: ExitStack, tmp_path: Path, database_url: str, is_known
):
    """U5: "Stored in the same transaction as the effect, after the user's lock, so a concurrent retry waits and
    replays."
    """
    server = serve(started, issuer, tmp_path, database_url)
    for number in range(3):
        token = token_of(issuer, f"auth0|{number}")
        if is_known:
            assert create(server, token, uuid4().hex).status_code == 201
        answers = at_once(server, token)
        assert [answer.status_code for answer in answers] == [201] * RETRIES
        assert len({answer.content for answer in answers}) == 1
        assert len({answer.headers["ETag"] for answer in answers}) == 1
        assert len({answer.headers["X-Request-Id"] for answer in answers}) == RETRIES
        assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
        assert stored(server, token) == 1 + is_known


@pytest.mark.parametrize("wrong", ["look_up_outside_the_lock", "keep_in_a_second_transaction"])
def test_retries_when_the_look_up_or_the_storing_is_naive_then_there_are_more_effects(
    issuer: Issuer, started: ExitStack, tmp_path: Path, postgresql_url: str, wrong
):
    """The negative control of the test above: the race is a race."""
    server = serve(started, issuer, tmp_path, postgresql_url, WRONG=wrong)
    token = token_of(issuer, "auth0|ada")
    answers = at_once(server, token)
    assert [answer.status_code for answer in answers] == [201] * RETRIES
    assert len({answer.content for answer in answers}) > 1
    assert stored(server, token) > 1


def test_retry_when_the_worker_died_before_it_answered_then_the_answer_and_one_effect(
    issuer: Issuer, started: ExitStack, tmp_path: Path, database_url: str
):
    """U5, "nothing acknowledged is ever lost", and what was done without being acknowledged is not done twice."""
    mark = tmp_path / "killed"
    server = serve(started, issuer, tmp_path, database_url, WRONG="die_after_the_commit", MARK=str(mark))
    token, key = token_of(issuer, "auth0|ada"), uuid4().hex
    with pytest.raises(requests.ConnectionError):
        create(server, token, key)
    assert mark.exists()
    retry = create(server, token, key)
    assert (retry.status_code, retry.headers.get("Idempotency-Replayed")) == (201, "true")
    again = create(server, token, key)
    assert (again.content, again.headers["Location"]) == (retry.content, retry.headers["Location"])
    assert stored(server, token) == 1
    assert server.get(token, f"{PATH}/{retry.json()['id']}").json()["data"] == RECORD["data"]
