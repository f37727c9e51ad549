"""The revocations in a real database: kept, joined, read as one snapshot, dropped when they have ended."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select, text

from app.commands.db import upgrade
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.oauth.revocation.entry import Revocation, of_client, of_key, of_token, of_user
from app.oauth.revocation.rules import NOTHING_REVOKED, Denylist
from app.oauth.revocation.watch import RevocationsUnavailable, Snapshot
from app.stores.revocation_models import RevocationRow, RevocationVersion
from app.stores.revocations import Revocations
from tests.support.gateway import Gateway

NOW = 1_800_000_000
AT = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
PATIENCE_SECONDS = 30


@pytest.fixture
def revocations(database: Database) -> Revocations:
    return Revocations(database)


def add(revocations: Revocations, *entries: Revocation) -> None:
    for entry in entries:
        assert revocations.add(entry, at=AT) == entry


def test_newer_than_when_nothing_was_ever_revoked_gives_the_empty_list(revocations: Revocations):
    assert revocations.newer_than(None, now=NOW) == Snapshot(0, NOTHING_REVOKED)
    assert revocations.newer_than(0, now=NOW) is None


def test_add_when_one_of_each_kind_then_all_are_read_and_the_version_is_raised_by_each(revocations: Revocations):
    """T24: "a denylist of a token […], of a user […], of a client, of a key"."""
    add(
        revocations,
        of_token("id", expires_at=NOW + 5, skew_seconds=0),
        of_user("sub", last_second=NOW, now=NOW, longest_seconds=9),
        of_client("app"),
        of_key("kid", note="stolen"),
    )
    assert revocations.newer_than(0, now=NOW) == Snapshot(
        4,
        Denylist(tokens=frozenset({"id"}), users={"sub": NOW}, clients=frozenset({"app"}), keys=frozenset({"kid"})),
    )
    assert revocations.newer_than(4, now=NOW) is None
    listed = [
        (entry.revocation.kind, entry.revocation.note, entry.created_at) for entry in revocations.entries(now=NOW)
    ]
    assert listed == [("client", "", AT), ("key", "stolen", AT), ("token", "", AT), ("user", "", AT)]


def test_add_when_repeated_then_the_stricter_entry_stays(revocations: Revocations):
    def until(second: int) -> Revocation:
        return of_user("sub", last_second=second, now=second, longest_seconds=100, note=f"at {second}")

    add(revocations, until(NOW))
    assert revocations.add(until(NOW - 50), at=AT).last_second == NOW
    assert revocations.add(until(NOW + 50), at=AT).expires_at == NOW + 150
    (entry,) = revocations.entries(now=NOW)
    assert entry.revocation == until(NOW + 50)


def test_lift_when_it_is_there_then_gone_and_when_not_then_false(revocations: Revocations):
    add(revocations, of_key("kid"), of_client("kid"))
    assert revocations.lift("key", "kid")
    assert not revocations.lift("key", "kid")
    newer = revocations.newer_than(2, now=NOW)
    assert newer is not None
    assert newer.denylist == Denylist(clients=frozenset({"kid"}))


@pytest.mark.parametrize("name", ["auth0|5f'; DROP TABLE revocations", "ü" * 255, "%_", "A", "\U0001f511"])
def test_add_when_the_name_is_unusual_then_it_is_kept_exactly(revocations: Revocations, name: str):
    add(revocations, of_client(name))
    newer = revocations.newer_than(None, now=NOW)
    assert newer is not None
    assert newer.denylist.clients == {name}
    assert not revocations.lift("client", name + " ")
    assert revocations.lift("client", name)


def test_entries_when_ended_then_neither_read_nor_listed_and_an_hour_later_dropped(revocations: Revocations):
    """T24: "each entry living as long as a token could"; the table keeps it an hour longer, for slow clocks."""
    add(revocations, of_token("id", expires_at=NOW, skew_seconds=0), of_key("kid"))
    before, after = revocations.newer_than(None, now=NOW - 1), revocations.newer_than(None, now=NOW)
    assert before is not None
    assert after is not None
    assert (before.denylist.tokens, after.denylist.tokens) == ({"id"}, set())
    assert [entry.revocation.kind for entry in revocations.entries(now=NOW)] == ["key"]
    assert revocations.drop_ended(now=NOW + 3600) == 0
    assert revocations.newer_than(2, now=NOW) is None
    assert revocations.drop_ended(now=NOW + 3601) == 1
    assert revocations.newer_than(2, now=NOW) is not None
    assert revocations.drop_ended(now=NOW * 2) == 0


def test_add_when_somebody_emptied_the_version_table_then_it_is_written_anew(
    revocations: Revocations, database: Database
):
    database.transact(lambda session: session.execute(delete(RevocationVersion)))
    assert revocations.newer_than(None, now=NOW) == Snapshot(0, NOTHING_REVOKED)
    add(revocations, of_key("kid"))
    assert revocations.newer_than(0, now=NOW) == Snapshot(1, Denylist(keys=frozenset({"kid"})))


# Many at once


def follow(read, writes: int, write) -> set[str]:
    """What a reader that looks again and again knows when everybody has written, as the watch would know it."""
    known: list[Snapshot] = [Snapshot(None, NOTHING_REVOKED)]
    done = threading.Event()

    def look() -> None:
        newer = read(known[0].version)
        if newer is not None:
            known[0] = newer

    def reader() -> None:
        while not done.is_set():
            look()

    def write_patiently(number: int) -> None:
        """A machine that is busy with other things may make one of many writers wait for longer than a lock may."""
        while True:
            try:
                write(number)
            except DatabaseBusy:
                continue
            return

    with ThreadPoolExecutor(6) as threads:
        reading = threads.submit(reader)
        try:
            for written in [threads.submit(write_patiently, number) for number in range(writes)]:
                written.result(PATIENCE_SECONDS)
        finally:
            done.set()
        reading.result(PATIENCE_SECONDS)
    look()
    return set(known[0].denylist.clients)


def test_changes_when_written_at_once_by_many_then_a_reader_misses_none(revocations: Revocations):
    """T24: "seen by every worker within 5 s": whoever has seen a version has seen every change up to it."""
    names = follow(
        lambda version: revocations.newer_than(version, now=NOW),
        100,
        lambda number: revocations.add(of_client(f"app-{number}"), at=AT),
    )
    assert names == {f"app-{number}" for number in range(100)}


def test_a_reader_that_takes_version_and_entries_from_two_snapshots_misses_a_change(
    revocations: Revocations, database: Database
):
    """The control of the test above: entries first, version afterwards, and a change between the two."""
    version = None

    def naive(known: int | None, between) -> Snapshot | None:
        with database.read() as session:
            names = frozenset(session.scalars(select(RevocationRow.value)))
        between()
        with database.read() as session:
            newest = session.scalar(select(RevocationVersion.version))
        return None if newest == known else Snapshot(newest, Denylist(clients=names))

    held = naive(version, lambda: revocations.add(of_client("app"), at=AT))
    assert held is not None
    assert naive(held.version, lambda: None) is None
    assert held.denylist.clients == frozenset()


def test_a_change_whose_version_was_raised_before_it_is_missed(revocations: Revocations, database: Database):
    """Another control: the version in a transaction of its own, which a reader sees before the change."""
    database.transact(lambda session: session.execute(text("UPDATE revocation_version SET version = version + 1")))
    seen = revocations.newer_than(None, now=NOW)
    database.transact(lambda session: session.add(RevocationRow(kind="key", value="kid", note="", created_at=AT)))
    assert seen is not None
    assert revocations.newer_than(seen.version, now=NOW) is None


def test_changes_of_the_same_entry_when_written_at_once_then_the_strictest_stays(revocations: Revocations):
    def write(number: int) -> None:
        revocations.add(of_user("sub", last_second=NOW + number, now=NOW, longest_seconds=0), at=AT)

    with ThreadPoolExecutor(8) as threads:
        for written in [threads.submit(write, number) for number in range(40)]:
            written.result(PATIENCE_SECONDS)
    (entry,) = revocations.entries(now=NOW)
    assert entry.revocation.last_second == NOW + 39
    newer = revocations.newer_than(None, now=NOW)
    assert newer is not None
    assert newer.version == 40


# The database lets us down


def test_watch_when_the_schema_is_missing_then_unavailable_says_the_command(database_url: str):
    store = Revocations.for_watch(database_url)
    with pytest.raises(RevocationsUnavailable, match="db upgrade"):
        store.newer_than(None, now=NOW)
    with pytest.raises(RevocationsUnavailable, match="db upgrade"):
        store.drop_ended(now=NOW)
    with pytest.raises(DatabaseUnavailable):
        store.entries(now=NOW)
    store.close()


def test_watch_when_the_tables_are_locked_then_unavailable_in_a_second(postgresql_url: str):
    """T24: "within 5 s": a look never waits longer than its bounds, whoever holds the table."""
    upgrade(postgresql_url)
    store, other = Revocations.for_watch(postgresql_url), Database(postgresql_url)
    with other.engine.begin() as connection:
        connection.execute(text("LOCK TABLE revocations, revocation_version IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(RevocationsUnavailable, match="locked"):
            store.newer_than(None, now=NOW)
        with store._database.read() as session:
            bounds = [session.scalar(text(f"SHOW {name}")) for name in ("lock_timeout", "statement_timeout")]
    assert bounds == ["1s", "2s"]
    assert store.newer_than(None, now=NOW) is not None
    store.close()
    other.dispose()


def test_watch_when_connected_then_its_waits_are_short_and_the_urls_own_words_win(postgresql_url: str):
    for url, expected in ((postgresql_url, ("2", "3000")), (postgresql_url + "&connect_timeout=4", ("4", "3000"))):
        store = Revocations.for_watch(url)
        query = store._database.engine.url.query
        assert (query["connect_timeout"], query["tcp_user_timeout"]) == expected
        store.close()


def test_watch_when_the_database_goes_and_comes_then_unavailable_and_good_again(postgresql_url: str):
    upgrade(postgresql_url)
    with Gateway(postgresql_url) as gateway:
        store = Revocations.for_watch(gateway.url)
        assert store.newer_than(None, now=NOW) is not None
        gateway.close()
        with pytest.raises(RevocationsUnavailable, match="not reachable"):
            store.newer_than(None, now=NOW)
        gateway.open()
        assert store.newer_than(None, now=NOW) == Snapshot(0, NOTHING_REVOKED)
        store.close()


def test_forget_connections_when_a_child_calls_it_then_the_parents_connection_stays_open(database_url: str):
    """K9: what the parent opened is left to the parent, and the store opens its own."""
    upgrade(database_url)
    store = Revocations.for_watch(database_url)
    assert store.newer_than(None, now=NOW) is not None
    parents = store._database.engine.raw_connection()
    store.forget_connections()
    assert store.newer_than(None, now=NOW) is not None
    parents.cursor().execute("SELECT 1")
    parents.invalidate()
    parents.close()
    store.close()
