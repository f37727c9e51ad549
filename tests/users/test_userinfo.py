"""The tenant's /userinfo: real HTTP on the loopback, real databases."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.users import userinfo
from app.users.facts import TenantFacts
from app.users.identity import Identity
from app.users.profiles import find, observe
from tests.support.provider import Answer, LocalServer

ADA = Identity("https://tenant.example/", "auth0|ada")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TOKEN = "eyJ.secret.token"


class Tenant(LocalServer):
    """A tenant that answers what a test wants, and remembers what it was asked."""

    given = Answer(404)

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.released = threading.Event()
        self.released.set()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:  # noqa: ARG002 - as LocalServer calls it
        self.asked.append((method, target, {name.lower(): value for name, value in headers.items()}))
        self.released.wait(10)
        return self.given

    def ask(self, document: object = None, **bounds: float) -> Any:
        if document is not None:
            self.given = Answer.json(200, document)
        return userinfo.fetch(f"{self.url}/userinfo", TOKEN, ADA.subject, **bounds)


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with Tenant() as running:
        yield running


def test_fetch_when_the_tenant_answers_then_its_document(tenant: Tenant):
    document = {"sub": ADA.subject, "name": "Ada"}
    assert tenant.ask(document) == document
    ((method, target, headers),) = tenant.asked
    assert (method, target, headers["authorization"]) == ("GET", "/userinfo", f"Bearer {TOKEN}")


@pytest.mark.parametrize("sub", ["auth0|bob", None, "", "AUTH0|ADA", ["auth0|ada"]])
def test_fetch_when_it_speaks_of_somebody_else_then_nothing(tenant: Tenant, sub):
    """OpenID Connect Core §5.3.2: "if they do not match, the UserInfo Response values MUST NOT be used"."""
    assert tenant.ask({"sub": sub, "name": "Mallory"}) is None


def test_fetch_when_it_has_no_subject_then_nothing(tenant: Tenant):
    assert tenant.ask({"name": "Mallory"}) is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(401, b"{}"),
        Answer(500, b"{}"),
        Answer(302, headers=(("Location", "https://elsewhere.example/"),)),
        Answer(200, b"{"),
        Answer(200, b"[]"),
        Answer(200, b'{"sub": "\xff"}'),
        Answer(200, b"[" * 50_000),
        Answer(200, json.dumps({"sub": ADA.subject, "a": "x" * 70_000}).encode()),
        Answer(200, b"eyJ.a.b", "application/jwt"),
    ],
)
def test_fetch_when_the_answer_is_of_no_use_then_nothing_and_the_log_says_so(tenant: Tenant, caplog, answer):
    """U10: "its failure is a 200 with nulls"."""
    tenant.given = answer
    with caplog.at_level(logging.WARNING):
        assert tenant.ask() is None
    assert len(caplog.records) == 1
    assert TOKEN not in caplog.text


def test_fetch_when_nobody_listens_then_nothing(caplog):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert userinfo.fetch(f"http://127.0.0.1:{reserved.getsockname()[1]}/", TOKEN, ADA.subject) is None
    assert TOKEN not in caplog.text


def test_fetch_when_the_tenant_is_slow_then_nothing_by_the_deadline(tenant: Tenant):
    """U10: "2 s": here less, so that nobody waits."""
    tenant.released.clear()
    assert tenant.ask({"sub": ADA.subject}, timeout_seconds=0.1) is None
    tenant.released.set()


def test_fetch_when_the_address_is_plain_http_elsewhere_then_the_token_does_not_leave():
    """U10: "only at the https (or loopback) endpoint"."""
    assert userinfo.fetch("http://192.0.2.1/userinfo", TOKEN, ADA.subject) is None


def test_due_when_never_asked_or_a_day_ago_then_yes_and_else_no(database):
    """U10: "at most once per account and day"."""
    assert userinfo.due(None, NOW)
    profile = database.transact(lambda session: observe(session, ADA, TenantFacts({}), NOW))
    assert userinfo.due(profile, NOW)
    assert database.transact(lambda session: userinfo.reserve(session, ADA, NOW))
    with database.read() as session:
        profile = find(session, ADA, NOW)
    assert not userinfo.due(profile, NOW + timedelta(hours=23, minutes=59))
    assert userinfo.due(profile, NOW + timedelta(days=1))


def test_reserve_when_taken_then_not_again_before_a_day_has_passed(database):
    database.transact(lambda session: observe(session, ADA, TenantFacts({}), NOW))
    taken = [
        database.transact(lambda session, at=NOW + passed: userinfo.reserve(session, ADA, at))
        for passed in (timedelta(), timedelta(hours=23), timedelta(hours=24), timedelta(hours=25))
    ]
    assert taken == [True, False, True, False]


def test_reserve_when_eight_requests_try_at_once_then_one_asks(database):
    database.transact(lambda session: observe(session, ADA, TenantFacts({}), NOW))
    meeting, taken = threading.Barrier(8), []

    def request() -> None:
        meeting.wait(30)
        taken.append(database.transact(lambda session: userinfo.reserve(session, ADA, NOW)))

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_reserve_when_there_is_no_account_then_nothing_to_take(database):
    assert not database.transact(lambda session: userinfo.reserve(session, ADA, NOW))


def test_reserve_when_taken_then_the_profile_has_not_changed(database):
    """U13: "so a record's write never breaks its `If-Match`": nor does our own book-keeping."""
    before = database.transact(lambda session: observe(session, ADA, TenantFacts({}), NOW))
    database.transact(lambda session: userinfo.reserve(session, ADA, NOW))
    with database.read() as session:
        after = find(session, ADA, NOW)
    assert after is not None
    assert (after.seq, after.updated_at) == (before.seq, before.updated_at)
