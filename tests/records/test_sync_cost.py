"""What a sync costs: as much at 100 000 records of one user as at 1 000. Counted in buffers, not in seconds."""

from typing import Any

import pytest
from sqlalchemy import update

from app.commands.db import upgrade
from app.db import Database
from app.records.cursor import Cursor, decoded, encoded
from app.users.models import Account
from tests.support.records import BOB, Store
from tests.support.statements import statements_in

OTHERS = 50_000
FILL = """
INSERT INTO records (user_key, collection, id, seq, created_seq, deleted, data, bytes, updated_at)
SELECT %s, 'notes', 'r' || n, n, n, false, '{"n":' || n || '}', 8, now() FROM generate_series(2, %s) AS n
"""


def cost_of(store: Store, cursor: str, size: int) -> list[tuple[str, int]]:
    """The plan's nodes and the buffers of each statement of one poll."""
    with statements_in(store.database) as captured:
        page = store.changes(cursor, size=size)
    costs = []
    for statement, parameters in captured:
        with store.database.engine.connect() as connection:
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
            plan: dict[str, Any] = connection.exec_driver_sql(explain, parameters).scalar_one()[0]["Plan"]
        kinds = [plan["Node Type"], *(below["Node Type"] for below in plan.get("Plans", ()))]
        costs.append((" > ".join(kinds), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]))
    assert len(page["changes"]) == min(size, store.account().seq - decoded(cursor).since)
    return costs


def costs_at(url: str, records: int) -> dict[str, list[tuple[str, int]]]:
    database = Database(url)
    store = Store(database)
    store.put("r1", {})
    with database.engine.connect() as connection:
        connection.exec_driver_sql(FILL, (store.identity.user_key, records))
        # Somebody else's records too: alone in the table, the user would be all that the planner knows.
        connection.exec_driver_sql(FILL, (BOB.user_key, OTHERS))
        connection.commit()
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
    store.do(lambda session: session.execute(update(Account).values(seq=records)))
    epoch = store.account().epoch
    found = {
        "empty": cost_of(store, encoded(Cursor(epoch, records, 0)), 100),
        "ten": cost_of(store, encoded(Cursor(epoch, records - 10, 0)), 100),
        "page of 500": cost_of(store, encoded(Cursor(epoch, records // 4, 0)), 500),
    }
    database.dispose()
    return found


@pytest.mark.timeout(300)
def test_changes_when_a_hundred_times_as_much_is_stored_then_a_sync_costs_the_same(postgresql_server):
    """§8: "the query plans and buffer counts of an empty sync, a 10-change sync and a page of 500 are the same at 1 000
    and at 100 000 records of one user".
    """
    found = []
    for records in (1_000, 100_000):
        with postgresql_server.database() as url:
            upgrade(url)
            found.append(costs_at(url, records))
    small, large = found
    for sync, costs in small.items():
        assert [plan for plan, _ in costs] == [plan for plan, _ in large[sync]], sync
        for (plan, few), (_, many) in zip(costs, large[sync], strict=True):
            # The index of a hundred times as many is one or two levels deeper; rows lie a little otherwise in pages.
            assert many <= few + 4, (sync, plan, few, many)
    assert len(small["empty"]) == 1
