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
TOMBSTONES = 20_000
FILL = """
INSERT INTO records (user_key, collection, id, seq, created_seq, deleted, data, bytes, updated_at)
SELECT %s, 'notes', 'r' || n, n, n, false, '{"n":' || n || '}', 8, now() FROM generate_series(2, %s) AS n
"""


def cost_of(store: Store, cursor: str | None, size: int, expected: int | None = None) -> list[tuple[str, int]]:
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
    if expected is None and cursor is not None:
        expected = min(size, store.account().seq - decoded(cursor).since)
    assert len(page["changes"]) == expected
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


def test_first_sync_when_there_are_many_tombstones_then_none_of_them_is_walked(postgresql_server):
    """No quota bounds tombstones: 500 000 of them before two records made a first sync take half a second."""
    with postgresql_server.database() as url:
        upgrade(url)
        database = Database(url)
        store = Store(database)
        store.put("r1", {})
        with database.engine.connect() as connection:
            # As the planner knows the table, hardly anything in it is deleted: it must not need to know of this user.
            connection.exec_driver_sql(FILL, (BOB.user_key, OTHERS))
            connection.exec_driver_sql("ANALYZE")
            connection.exec_driver_sql(FILL, (store.identity.user_key, TOMBSTONES))
            bury = "UPDATE records SET deleted = true, data = NULL, bytes = 0 WHERE user_key = %s AND seq < %s"
            connection.exec_driver_sql(bury, (store.identity.user_key, TOMBSTONES))
            connection.commit()
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")
        store.do(lambda session: session.execute(update(Account).values(seq=TOMBSTONES)))
        costs = cost_of(store, None, 100, expected=1)
        database.dispose()
    assert all(buffers < 20 for _, buffers in costs), costs


def test_first_sync_when_explained_then_by_the_index_of_living_records(database):
    store = Store(database)
    for number in range(20):
        store.put(f"r{number}", {})
    with statements_in(database) as captured:
        page = store.changes(size=5)
        assert len(store.changes(page["cursor"], size=5)["changes"]) == 5
    is_sqlite = database.engine.dialect.name == "sqlite"
    found = [(statement, parameters) for statement, parameters in captured if "FROM records" in statement]
    assert len(found) == 2
    for statement, parameters in found:
        with database.engine.connect() as connection:
            if not is_sqlite:
                connection.exec_driver_sql("SET enable_seqscan = off")
            explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
            plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
        # In a partition the index has another name: there the condition is no filter any more, so it is the index's.
        assert "seq_living" in plan if is_sqlite else "Filter" not in plan, plan
        assert "Index Scan" in plan or is_sqlite, plan


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
