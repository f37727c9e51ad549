"""Every statement of a request names the user, is answered from an index, and touches one partition."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.db import Base, Database
from app.records import operations, tombstones
from app.users.identity import Identity
from app.web.scopes import SCOPES
from tests.support.api import Api, running, settings_for
from tests.support.databases import PARTITIONS
from tests.support.every_route import Loot, requests_of
from tests.support.records import EXISTS, NOW, Store
from tests.support.statements import Captured, statements_in

# Of every room: a table of users' data cannot be forgotten.
TABLES = sorted(table.name for table in Base.metadata.tables.values() if "user_key" in table.columns)


@pytest.fixture
def filled(any_database: Database) -> Store:
    """Some users with some records each, and statistics about them."""
    database = any_database
    stores = [Store(database, identity=Identity("https://tenant.example/", f"user-{number}")) for number in range(12)]
    for store in stores:
        wishes = [operations.put(f"c{number % 3}", f"r{number}", {"n": number}) for number in range(60)]
        store.batch(*wishes, operations.delete("c0", "r0"), operations.put_preferences({"x": 1}))
    with database.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
    return stores[0]


@pytest.fixture
def api(filled: Store, any_database_url: str, tmp_path: Path) -> Iterator[Api]:
    """The whole API on the same data."""
    unlimited = {f"rate_limit_{name}_per_minute": 0 for name in ("requests", "writes", "failures")}
    with running(settings_for(tmp_path, any_database_url, **unlimited)) as running_api:
        yield running_api.as_user(filled.identity.subject)


def every_use(store: Store) -> list[Callable[[], Any]]:
    """All that a request can do, and the purge of one user."""
    cursor = store.changes(size=5)["cursor"]
    token = store.page("c1", size=5)["next"]
    return [
        lambda: store.put("new", {}, "c0"),
        lambda: store.put("new", {}, "c9"),
        lambda: store.put("r3", {"n": 1}, "c0", precondition=EXISTS),
        lambda: store.create({}, "c0"),
        lambda: store.patch("r3", {"n": 2}, "c0"),
        lambda: store.delete("r3", "c0"),
        lambda: store.delete("new", "c9"),
        lambda: store.batch(
            *(operations.put(f"c{number % 3}", f"r{number}", {"n": 0}) for number in range(100)),
            operations.patch_preferences({"y": 1}),
        ),
        lambda: store.write(operations.put_preferences({"x": 2})),
        lambda: store.find("r1", "c1"),
        lambda: store.page("c1"),
        lambda: store.page("c1", token=token),
        store.changes,
        lambda: store.changes(with_profile=True, with_email=True, with_preferences=True),
        lambda: store.changes(cursor, size=5),
        lambda: store.changes(store.changes()["cursor"]),
        lambda: store.changes(cursor, collections=frozenset({"c1", "c2"})),
        store.collections,
        store.usage,
        store.preferences,
        lambda: store.clear("c2"),
        lambda: store.purge(NOW + timedelta(days=1)),
    ]


def statements_of(store: Store) -> Captured:
    uses = every_use(store)
    with statements_in(store.database) as captured:
        for use in uses:
            use()
    return list({statement: (statement, parameters) for statement, parameters in captured}.values())


def test_statements_when_made_for_a_request_then_each_names_the_user_uses_an_index_and_touches_one_partition(filled):
    """§7: "every statement of a request has `user_key =`"; "`EXPLAIN` shows exactly one for every … statement"."""
    captured = statements_of(filled)
    assert len(captured) > 20
    for statement, parameters in captured:
        refuse_wanderers(filled.database, statement, parameters)


def test_statements_when_made_by_any_route_then_each_names_the_user_uses_an_index_and_touches_one_partition(
    filled: Store, api: Api
):
    """The same for what the web adds: profile, deletion, keys; every route with everything that is the user's own."""
    database: Database = api.app.extensions["postern"].database
    loot = Loot(
        subject=filled.identity.subject,
        user_key=filled.identity.user_key,
        collections=("c0",),
        ids=("r3",),
        cursors=(filled.changes(size=5)["cursor"],),
        page_tokens=(filled.page("c0", size=5)["next"],),
        etags=(str(filled.find("r3", "c0")["seq"]),),
        keys=("one-key-of-hers",),
    )
    headers = {"Authorization": f"Bearer {api.token(' '.join(SCOPES), name='Ada')}"}
    answered: set[tuple[str, int]] = set()
    with statements_in(database) as captured:
        for method, path, options in requests_of(api.app, loot):
            if not path.startswith("/v1"):
                continue  # /readyz looks at the migrations, and is asked by no user
            fields = {**headers, **options.get("headers", {})}
            answer = api.anonymous(path, method, **{**options, "headers": fields})
            answered.add((f"{method} {path}", answer.status_code))
        # Somebody who has no account is looked for among those who were erased.
        stranger = api.as_user("nobody").token(" ".join(SCOPES))
        api.anonymous("/v1/changes", headers={"Authorization": f"Bearer {stranger}"})
    for expected in (("GET /v1/changes", 200), ("POST /v1/batch", 200), ("PATCH /v1/me", 200), ("GET /v1/me", 200),
                     ("PUT /v1/me/preferences", 200), ("DELETE /v1/collections/c0", 200), ("GET /v1/me/usage", 200),
                     ("PATCH /v1/collections/c0/records/r3", 200), ("DELETE /v1/collections/c0/records/r3", 204),
                     ("POST /v1/me/deletion", 202), ("DELETE /v1/me/deletion", 204)):  # fmt: skip
        assert expected in answered
    found = list(dict(captured).items())
    touched = {table for statement, _ in found for table in TABLES if re.search(rf"\b{table}\b", statement)}
    assert touched == set(TABLES)
    for statement, parameters in found:
        if not refuse_lists(statement):
            refuse_wanderers(database, statement, parameters)


def test_purge_when_it_looks_for_tombstones_then_by_the_index_of_tombstones(filled):
    """§7: "INDEX(user_key, updated_at) WHERE deleted -- tombstone purge only"."""
    with statements_in(filled.database) as captured:
        assert filled.purge(NOW + timedelta(days=1)) == 1
        filled.read(lambda session: tombstones.owners(session, NOW, 10))
    for statement, parameters in captured:
        if "records" not in statement:
            continue
        is_sqlite = filled.database.engine.dialect.name == "sqlite"
        with filled.database.engine.connect() as connection:
            if not is_sqlite:
                connection.exec_driver_sql("SET enable_seqscan = off")
            explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
            plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
        assert "user_key_updated_at" in plan, (statement, plan)


def refuse_lists(statement: str) -> bool:
    """Of tables that are not the users' (who was erased, who is revoked), a request reads single rows, by their key.

    There the key is the hash or the subject (U16), for the rows outlive the account.
    """
    named = [table for name, table in Base.metadata.tables.items() if re.search(rf"\b{name}\b", statement)]
    others = [table for table in named if table.name not in TABLES]
    for table in others:
        for column in table.primary_key.columns:
            assert re.search(rf"\b{table.name}\.{column.name} = ", statement), statement
    return bool(others)


def refuse_wanderers(database: Database, statement: str, parameters: Any) -> None:
    """Refuse a statement that does not name its user, or that must look through more than his."""
    if statement.startswith("INSERT"):
        assert re.match(r"INSERT INTO \w+ \(user_key, ", statement), statement
        return
    assert re.search(r"\buser_key = ", statement), statement
    if database.engine.dialect.name == "sqlite":
        refuse_scans(database, statement, parameters)
    else:
        refuse_wide_plans(database, statement, parameters)


def refuse_scans(database: Database, statement: str, parameters: Any) -> None:
    with database.engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    searched = [line for line in plan if re.search(rf"\b({'|'.join(TABLES)})\b", line)]
    assert searched, plan
    for line in searched:
        assert re.match(r"SEARCH \w+ USING (COVERING )?INDEX \w+ \(user_key=\?", line), (statement, plan)
    assert "USE TEMP B-TREE" not in " ".join(plan), (statement, plan)


def refuse_wide_plans(database: Database, statement: str, parameters: Any) -> None:
    with database.engine.connect() as connection:
        # Tables so small would be read whole; where no index can serve, they still are, and the test sees it.
        connection.exec_driver_sql("SET enable_seqscan = off")
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    nodes = list(nodes_of(found[0]["Plan"]))
    kinds = {node["Node Type"] for node in nodes}
    assert "Seq Scan" not in kinds, (statement, found)
    relations = {node["Relation Name"] for node in nodes if "Relation Name" in node and "Scan" in node["Node Type"]}
    assert relations, (statement, found)
    by_index = [node["Index Cond"] for node in nodes if "Index Name" in node]
    assert by_index, (statement, found)
    assert all("user_key = " in condition for condition in by_index), (statement, by_index)
    # One partition, the same of every table; or no partitions at all.
    assert len({re.sub("[a-z]", "", relation) for relation in relations}) == 1, (statement, relations)


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


def test_partitions_when_made_then_there_are_eight_of_every_users_table(partitioned_postgresql_url):
    """§7: "`PARTITION BY HASH (user_key)` with 8 partitions"."""
    database = Database(partitioned_postgresql_url)
    with database.engine.connect() as connection:
        query = "SELECT inhparent::regclass::text, count(*) FROM pg_inherits JOIN pg_class ON inhrelid = oid"
        rows = connection.exec_driver_sql(f"{query} WHERE relkind = 'r' GROUP BY 1").all()
    database.dispose()
    assert {name: number for name, number in rows if name in TABLES} == dict.fromkeys(TABLES, PARTITIONS)
