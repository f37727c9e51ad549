"""The promise under concurrency: six writers, readers that poll, nothing lost. And a way of writing that does lose.

POSTERN_RACE_WRITES makes the runs longer: `make prove` sets it.
"""

import os
from collections.abc import Iterator

import pytest

from app.commands.db import upgrade
from app.db import Database
from tests.support.race import LOCKED, Toll, naive, race
from tests.support.records import Store

WRITES = int(os.environ.get("POSTERN_RACE_WRITES", "600"))
pytestmark = pytest.mark.timeout(120 + WRITES)


@pytest.fixture(params=["sqlite", "postgresql", "partitioned_postgresql"])
def contended(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of each kind whose writers wait for each other as long as it takes."""
    url = request.getfixturevalue(f"{request.param}_url")
    upgrade(url)
    database = Database(url, pool_timeout_seconds=60, lock_timeout_seconds=60, statement_timeout_seconds=60)
    yield database
    database.dispose()


def test_race_when_six_write_and_two_poll_then_nothing_is_lost_and_nothing_told_twice(contended):
    """§8: "6 writers (single, batch) and polling readers …: 0 lost, 0 duplicated"."""
    assert race(contended, WRITES, LOCKED) == Toll(WRITES, lost=0, twice=0)
    store = Store(contended)
    store.refuse_wrong_numbers()
    # Every number was used: none was given back that somebody had seen.
    assert store.account().seq == WRITES


def test_race_when_the_numbers_come_from_a_global_sequence_then_changes_are_lost(contended):
    """§8: "with the naive variant (a global sequence, no lock) as its negative control, which must lose"."""
    toll = race(contended, WRITES, naive(contended))
    assert toll.acknowledged == WRITES
    assert toll.lost > 0
