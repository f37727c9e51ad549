"""How many exports a user may begin in 24 hours. On both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.db import Database
from app.users import deletion, exports
from app.users.errors import AccountDeletionScheduled
from app.users.exports import ExportsUsedUp
from app.users.facts import TenantFacts
from app.users.models import Export
from app.users.profiles import observe
from tests.support.records import ADA, BOB, NOW

DAY = timedelta(days=1)
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def users(database: Database) -> Database:
    for identity in (ADA, BOB):
        database.transact(lambda session, who=identity: observe(session, who, TenantFacts({}), NOW))
    return database


def begin(database: Database, now=NOW, identity=ADA, per_day=2):
    return database.transact(lambda session: exports.begin(session, identity, per_day, now))


def refused(database: Database, now=NOW, **more) -> int:
    with pytest.raises(ExportsUsedUp) as fault:
        begin(database, now, **more)
    return fault.value.retry_after_seconds


def counted(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Export)) or 0


def test_begin_when_the_limit_is_reached_then_refused_until_the_oldest_is_a_day_old(users: Database):
    """§2: GET `/v1/me/export` | 429 (2 a day)."""
    begin(users)
    begin(users, NOW + timedelta(hours=6))
    assert refused(users, NOW + timedelta(hours=6)) == 18 * 3600
    assert refused(users, NOW + DAY - MOMENT) == 1
    assert counted(users) == 2
    begin(users, NOW + DAY)
    assert refused(users, NOW + DAY) == 6 * 3600
    # What is over is not kept.
    assert counted(users) == 2


def test_begin_when_another_user_has_used_his_up_then_mine_are_left(users: Database):
    begin(users, identity=BOB, per_day=1)
    refused(users, identity=BOB, per_day=1)
    begin(users, per_day=1)


def test_begin_when_two_are_of_one_millisecond_then_both_count(users: Database):
    first, second = begin(users), begin(users, NOW + timedelta(microseconds=300))
    assert second - first == MOMENT
    assert counted(users) == 2


def test_begin_when_the_limit_was_lowered_then_as_many_must_grow_old(users: Database):
    for hour in range(3):
        begin(users, NOW + timedelta(hours=hour), per_day=3)
    assert refused(users, NOW + timedelta(hours=2), per_day=1) == 24 * 3600


def test_give_back_when_an_export_failed_then_it_may_be_made_again(users: Database):
    started_at = begin(users, per_day=1)
    users.transact(lambda session: exports.give_back(session, ADA, started_at))
    begin(users, per_day=1)


def test_begin_when_there_is_no_account_then_nothing_is_counted(database: Database):
    """A row of a user who has no account would never be erased."""
    assert [begin(database, per_day=1) for _ in range(3)] == [None, None, None]
    assert counted(database) == 0


def test_begin_when_the_deletion_is_scheduled_then_refused(users: Database):
    """U16: "data endpoints answer 403 `account_deletion_scheduled`"."""
    users.transact(lambda session: deletion.schedule(session, ADA, DAY, NOW))
    with pytest.raises(AccountDeletionScheduled):
        begin(users)


def naive(database: Database, now, per_day, seen: threading.Barrier) -> bool:
    """Count first, then write: without the lock, as one would."""
    with database.read() as session:
        found = session.scalar(select(func.count()).select_from(Export).where(Export.user_key == ADA.user_key)) or 0
    seen.wait(20)
    if found >= per_day:
        return False
    database.transact(lambda session: session.add(Export(user_key=ADA.user_key, started_at=now)))
    return True


def test_begin_when_many_come_at_once_then_the_limit_holds_and_without_the_lock_it_does_not(users: Database):
    at_once = threading.Barrier(6)

    def locked(number: int) -> bool:
        at_once.wait(20)
        try:
            begin(users, NOW + number * MOMENT)
        except ExportsUsedUp:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(locked, range(6))) == 2
        users.transact(lambda session: session.query(Export).delete())
        seen = threading.Barrier(6)
        assert sum(pool.map(lambda number: naive(users, NOW + number * MOMENT, 2, seen), range(6))) == 6
