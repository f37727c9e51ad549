"""U1: times are RFC 3339 in UTC, cut to milliseconds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.users.timestamps import rfc3339

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])

# Far enough from the ends that another zone has them, too; hypothesis wants them without one.
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("microsecond", "written"), [(0, "000"), (1, "000"), (999, "000"), (1000, "001"), (999_999, "999")]
)
def test_time_when_written_then_cut_and_not_rounded(microsecond: int, written: str):
    assert rfc3339(datetime(2026, 11, 21, 23, 59, 59, microsecond, UTC)) == f"2026-11-21T23:59:59.{written}Z"


@given(st.datetimes(FIRST, LAST, timezones=ZONES))
def test_time_when_of_any_zone_then_as_the_standard_library_writes_it_in_utc(moment: datetime):
    assert rfc3339(moment) == moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
