"""Answers kept for their Idempotency-Key: found while young, replaced, purged in portions. On each database."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.commands.db import upgrade
from app.db import Database
from app.stores import idempotency
from app.stores.idempotency import Answer, KeyReused
from app.stores.idempotency_models import IdempotencyRow
from app.users import account as accounts
from tests.support.records import ADA, BOB, NOW

HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)
FINGERPRINT = "f" * 64
ANSWER = Answer(201, (("ETag", '"7"'), ("Vary", "Authorization")), b'{"seq":7}\n', frozenset({"read:records"}))


@pytest.fixture
def kept(any_database: Database) -> Database:
    """A database with two users."""
    for user in (ADA, BOB):
        any_database.transact(lambda session, user=user: accounts.hold_or_make(session, user, NOW))
    return any_database


def keep(database: Database, key: str = "key", answer: Answer = ANSWER, user=ADA, now=NOW) -> None:
    given = {"fingerprint": FINGERPRINT, "answer": answer, "now": now}
    database.transact(lambda session: idempotency.keep(session, user.user_key, key, **given))


def find(database: Database, key: str = "key", fingerprint: str = FINGERPRINT, user=ADA, since=NOW - HOUR):
    return database.transact(lambda session: idempotency.find(session, user.user_key, key, fingerprint, since))


def purge(database: Database, before, limit: int = 1000) -> list[int]:
    """Purge portion by portion, as the command does, and tell how large each was."""
    sizes, last = [], None
    while portion := database.transact(
        lambda session, last=last: idempotency.purge(session, before=before, after=last, limit=limit)
    ):
        sizes.append(portion.count)
        last = portion.last
    return sizes


def number(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(IdempotencyRow)) or 0


def test_find_when_it_was_kept_then_all_of_the_answer_and_only_for_its_user(kept):
    """U5: "the stored answer"."""
    keep(kept)
    assert find(kept) == ANSWER
    assert find(kept, user=BOB) is None
    assert find(kept, key="KEY") is None


def test_find_when_the_request_is_another_then_refused(kept):
    """U5: "Same key, anything else: 422"."""
    keep(kept)
    with pytest.raises(KeyReused):
        find(kept, fingerprint="0" * 64)


def test_find_when_it_has_expired_then_none_for_any_request(kept):
    """U5: "kept 24 h": to the millisecond."""
    keep(kept)
    assert find(kept, since=NOW - MILLISECOND) == ANSWER
    assert find(kept, since=NOW) is None
    assert find(kept, fingerprint="0" * 64, since=NOW) is None


def test_keep_when_an_expired_one_is_there_then_it_is_replaced(kept):
    keep(kept)
    newer = Answer(204, (), b"")
    keep(kept, answer=newer, now=NOW + HOUR)
    assert find(kept, since=NOW) == newer
    assert number(kept) == 1


def test_keep_when_the_user_has_no_account_then_nothing_is_kept(any_database):
    """U16: "every row keyed by the user goes", and none comes back."""
    keep(any_database)
    assert number(any_database) == 0


def test_purge_when_there_are_more_than_a_portion_then_in_portions_and_only_what_is_old(kept):
    for count in range(7):
        keep(kept, key=f"key-{count}", user=(ADA, BOB)[count % 2], now=NOW - HOUR + count * MILLISECOND)
    keep(kept, key="just old", now=NOW)
    keep(kept, key="just young", now=NOW + MILLISECOND)
    assert purge(kept, NOW, limit=3) == [3, 3, 2]
    assert purge(kept, NOW) == []
    assert find(kept, key="just young") == ANSWER
    assert number(kept) == 1


def test_purge_when_all_are_of_one_moment_then_all_of_them(kept):
    for count in range(5):
        keep(kept, key=f"key-{count}")
    assert purge(kept, NOW, limit=2) == [2, 2, 1]


def test_purge_when_a_request_replaces_an_expired_answer_meanwhile_then_the_new_one_stays(postgresql_url):
    """The purge neither waits for the request nor takes what it has just kept. (SQLite has one writer at a time.)"""
    upgrade(postgresql_url)
    kept = Database(postgresql_url)
    kept.transact(lambda session: accounts.hold_or_make(session, ADA, NOW))
    keep(kept, key="old")
    keep(kept, key="replaced")
    is_kept, may_end = threading.Event(), threading.Event()

    def replace(session) -> None:
        given = {"fingerprint": FINGERPRINT, "answer": ANSWER, "now": NOW + HOUR}
        idempotency.keep(session, ADA.user_key, "replaced", **given)
        is_kept.set()
        assert may_end.wait(30)

    request = threading.Thread(target=kept.transact, args=(replace,))
    request.start()
    assert is_kept.wait(30)
    assert purge(kept, NOW) == [1]
    may_end.set()
    request.join()
    assert find(kept, key="replaced", since=NOW) == ANSWER
    assert purge(kept, NOW) == []
    kept.dispose()
