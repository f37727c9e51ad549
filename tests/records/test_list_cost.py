"""What a list costs where much was deleted: no quota bounds tombstones, so a page walks a bounded number of rows."""

from itertools import chain
from typing import Any

import pytest

from app.db import Database
from app.records import operations, reading
from tests.support.records import Store
from tests.support.statements import statements_in

WALK = 20


@pytest.fixture
def short_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WALK", WALK)


def filled(store: Store, deleted: int, living: int) -> list[str]:
    """So many tombstones, and living records behind them; gives the ids of these, in order."""
    for start in range(0, deleted + living, 50):
        numbers = range(start, min(start + 50, deleted + living))
        store.batch(*(operations.put("notes", f"r{number:04d}", {"n": number}) for number in reversed(numbers)))
        store.batch(*(operations.delete("notes", f"r{number:04d}") for number in numbers if number < deleted))
    return [f"r{number:04d}" for number in range(deleted, deleted + living)]


def pages(store: Store, **more: Any) -> list[list[str]]:
    found, page = [], store.page(**more)
    while True:
        found.append([record["id"] for record in page["records"]])
        if page["next"] is None:
            return found
        page = store.page(token=page["next"], **more)


@pytest.mark.usefixtures("short_walk")
@pytest.mark.parametrize(("deleted", "empty"), [(WALK - 1, 0), (WALK, 1), (WALK + 1, 1), (3 * WALK, 3)])
def test_page_when_more_is_deleted_than_a_page_walks_then_short_and_leads_on_to_all(store, deleted, empty):
    """500 000 tombstones before two records made each list take half a second."""
    expected = filled(store, deleted, 3)
    found = pages(store)
    assert found[:empty] == [[]] * empty
    assert list(chain.from_iterable(found)) == expected


@pytest.mark.usefixtures("short_walk")
@pytest.mark.parametrize("size", [1, 2, 7, 19, 20, 21, 500])
def test_page_when_living_and_deleted_take_turns_then_each_living_once_in_order(store, size):
    everything = filled(store, 0, 75)
    store.batch(*(operations.delete("notes", name) for name in everything[1::2]), operations.put("tasks", "r0001", {}))
    assert list(chain.from_iterable(pages(store, size=size))) == everything[::2]


@pytest.mark.usefixtures("short_walk")
def test_page_when_the_collection_ends_where_the_walk_does_then_the_list_ends_too(store):
    """Both sides: as many rows as are walked, one less, one more."""
    for living in (WALK - 1, WALK, WALK + 1):
        store.clear()
        store.purge()
        expected = filled(store, 0, living)
        assert list(chain.from_iterable(pages(store))) == expected


def test_page_when_explained_then_it_walks_the_key_and_sorts_nothing(store, database: Database):
    filled(store, 5, 5)
    with statements_in(database) as captured:
        assert len(store.page(size=2)["records"]) == 2
    asked = [found for found in captured if "FROM records" in found[0]]
    assert len(asked) == 2, "by page() and by glance()"
    is_sqlite = database.engine.dialect.name == "sqlite"
    with database.engine.connect() as connection:
        if not is_sqlite:
            for way in ("seqscan", "bitmapscan"):
                connection.exec_driver_sql(f"SET enable_{way} = off")
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        for statement, parameters in asked:
            plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
            assert "TEMP B-TREE" not in plan, plan
            assert "Sort" not in plan, plan
