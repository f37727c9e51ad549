"""The promise of sync over HTTP, on two workers, whatever happens to them; and an API that does not keep it.

`make prove` runs the same for longer, with more controls: prove/race.py, prove/kills.py.
"""

from pathlib import Path

import pytest

from tests.support.http_race import race
from tests.support.kills import Plan, race_under_kills, worker_of

WRITES = 300
KILLS = Plan(worker_of, kills=3, pause_seconds=(0.1, 0.5))
pytestmark = pytest.mark.timeout(300)
on_both = pytest.mark.parametrize("any_database_url", ["sqlite", "postgresql"], indirect=True)


def test_api_when_devices_write_and_poll_then_nothing_is_lost_and_nothing_told_twice(
    any_database_url: str, tmp_path: Path
):
    """§8: "6 writers (single, batch) and polling readers …: 0 lost, 0 duplicated", beside another user's devices."""
    outcome = race(tmp_path, any_database_url, WRITES)
    assert [toll for toll in outcome.tolls if not toll.is_clean] == []
    assert outcome.acknowledged >= WRITES


def test_naive_api_when_devices_write_and_poll_then_changes_are_lost(any_database_url: str, tmp_path: Path):
    """§8: "with the naive variant (a global sequence, no lock) as its negative control, which must lose"."""
    assert race(tmp_path, any_database_url, WRITES, is_naive=True).tolls[0].lost > 0


@on_both
def test_api_when_workers_are_killed_then_what_was_acknowledged_is_there_once_and_no_batch_is_torn(
    any_database_url: str, tmp_path: Path
):
    """§8: "kill a worker mid-batch; nothing acknowledged is missing"; U5: what is sent again is done once."""
    kills, outcome = race_under_kills(tmp_path, any_database_url, KILLS)
    assert [toll for toll in outcome.tolls if not toll.is_clean] == []
    assert kills >= KILLS.kills
