"""`flask purge`: counts, portions, a busy user, traffic, another purge, an unusable database. On both databases."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, insert, inspect, select
from sqlalchemy.orm import Session

from app.commands.db import upgrade
from app.commands.purge import (
    Purged,
    purge_accounts,
    purge_answers,
    purge_command,
    purge_everything,
    purge_exports,
    purge_tombstones,
)
from app.db import Base, Database
from app.records import operations
from app.records.models import RecordRow
from app.stores.idempotency_models import IdempotencyRow
from app.users import account as accounts
from app.users import deletion
from app.users.errors import AccountDeleted
from app.users.facts import TenantFacts
from app.users.identity import Identity
from app.users.models import Account, Erasure, Export
from app.users.profiles import observe
from tests.support.api import running, settings_for
from tests.support.records import Device, Store
from tests.support.statements import statements_in

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
GRACE = timedelta(days=14)
DUE = NOW + GRACE


def people(number: int) -> list[Identity]:
    return [Identity("https://tenant.example/", f"auth0|{each}") for each in range(number)]


def schedule(database: Database, users: list[Identity], now: datetime = NOW) -> None:
    for user in users:
        database.transact(lambda session, user=user: deletion.schedule(session, user, GRACE, now))


def counted(database: Database) -> tuple[int, int]:
    with database.read() as session:
        found = [session.scalar(select(func.count()).select_from(model)) for model in (Account, Erasure)]
    return found[0] or 0, found[1] or 0


def run(directory: Path, url: str) -> Result:
    return CliRunner().invoke(purge_command(settings_for(directory, url)))


def told(accounts: int = 0, tombstones: int = 0, answers: int = 0, exports: int = 0, left: int = 0) -> str:
    return (
        f"accounts erased: {accounts}\ntombstones deleted: {tombstones}\n"
        f"answers kept for an Idempotency-Key deleted: {answers}\nexports no longer counted: {exports}\n"
        f"busy, left for the next purge: {left}\n"
    )


def bury(database: Database, users: list[Identity], number: int, at: datetime = NOW) -> None:
    """Let each user make and delete so many records."""
    for user in users:
        store = Store(database, identity=user)
        store.now = at
        store.batch(*(operations.put("notes", f"r{each}", {}) for each in range(number)))
        store.clear()


def keep_answers(database: Database, user: Identity, number: int, at: datetime = NOW) -> None:
    rows = [
        {"user_key": user.user_key, "key": f"{at:%H%M}-{each:06}", "fingerprint": "f" * 64, "status": 204,
         "fields": "{}", "body": b"", "created_at": at}
        for each in range(number)
    ]  # fmt: skip
    database.transact(lambda session: session.execute(insert(IdempotencyRow), rows))


def count_exports(database: Database, users: list[Identity], at: datetime = NOW) -> None:
    rows = [{"user_key": user.user_key, "started_at": at} for user in users]
    database.transact(lambda session: session.execute(insert(Export), rows))


def number_of(database: Database, model: type[Base]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def test_purge_when_more_are_due_than_a_batch_holds_then_all_of_them_and_no_other(database):
    *users, other, last = people(7)
    schedule(database, users)
    schedule(database, [other], now=NOW + timedelta(seconds=1))
    database.transact(lambda session: observe(session, last, TenantFacts({}), NOW))
    assert purge_accounts(database, DUE, batch=2) == Purged(accounts=5)
    assert counted(database) == (2, 5)


def test_purge_when_run_again_then_nothing_is_left_to_do(database):
    schedule(database, people(2))
    assert purge_accounts(database, DUE) == Purged(accounts=2)
    assert purge_accounts(database, DUE) == Purged()
    assert counted(database) == (0, 2)


def test_purge_when_a_user_is_busy_then_left_for_the_next_time(database, database_url):
    (user,) = people(1)
    schedule(database, [user])
    impatient = Database(database_url, lock_timeout_seconds=0.05)

    def work(session: object) -> None:
        accounts.hold(session, user.user_key)
        assert purge_accounts(impatient, DUE) == Purged(left=1)

    database.transact(work)
    assert purge_accounts(impatient, DUE) == Purged(accounts=1)
    impatient.dispose()


def test_purge_when_two_run_beside_traffic_then_each_account_is_counted_once_and_none_comes_back(database):
    """Safe beside traffic and beside another purge."""
    users = people(20)
    schedule(database, users)
    done: list[Purged] = []
    refused: list[str] = []
    meeting = threading.Barrier(3, timeout=30)

    def purge() -> None:
        meeting.wait()
        done.append(purge_accounts(database, DUE, batch=7))

    def traffic() -> None:
        meeting.wait()
        for user in users:
            try:
                database.transact(lambda session, user=user: observe(session, user, TenantFacts({}), DUE))
            except AccountDeleted:
                refused.append(user.subject)

    threads = [threading.Thread(target=work) for work in (purge, purge, traffic)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.accounts for each in done) == len(users)
    assert len(refused) == len(users)
    assert counted(database) == (0, len(users))


def test_command_when_run_then_it_prints_the_counts(tmp_path: Path, database, database_url):
    schedule(database, people(3), now=LONG_AGO)
    assert run(tmp_path, database_url).output == told(accounts=3)
    again = run(tmp_path, database_url)
    assert (again.exit_code, again.output) == (0, told())


def test_command_when_the_schema_is_missing_then_one_sentence(tmp_path: Path, database_url):
    found = run(tmp_path, database_url)
    assert found.exit_code == 1
    assert "run `flask --app wsgi db upgrade`" in found.output


@pytest.mark.parametrize("url", ["postgresql://nobody:s3cret@127.0.0.1:1/none", "sqlite:////no/such/folder/s3cret.db"])
def test_command_when_the_database_is_down_then_one_sentence_without_the_address(tmp_path: Path, url):
    found = run(tmp_path, url)
    assert found.exit_code == 1
    assert found.output.startswith("Error: the database in DATABASE_URL cannot be used")
    assert "s3cret" not in found.output


def test_command_when_the_application_is_made_then_it_is_there_and_knows_every_table_of_a_user(
    tmp_path: Path, database, database_url
):
    """U16: "every row keyed by the user goes": a table that no model speaks of would keep its rows."""
    schedule(database, people(1), now=LONG_AGO)
    with running(settings_for(tmp_path, database_url)) as api:
        found = api.app.test_cli_runner().invoke(args=["purge"])
    assert (found.exit_code, found.output) == (0, told(accounts=1))
    inspector = inspect(database.engine)
    migrated = {
        name
        for name in inspector.get_table_names()
        if "user_key" in {column["name"] for column in inspector.get_columns(name)}
    }
    assert migrated == {name for name, table in Base.metadata.tables.items() if "user_key" in table.columns}
    assert "accounts" in migrated


# Tombstones


def test_tombstones_when_old_then_they_go_user_by_user_and_young_ones_stay(database):
    """§7: "a purge per user … deletes those over 90 days and sets `purged_seq`"."""
    *old, young = people(5)
    bury(database, old, 3)
    bury(database, [young], 2, at=NOW + timedelta(milliseconds=1))
    assert purge_tombstones(database, NOW, batch=2, portion=2) == Purged(tombstones=12)
    assert purge_tombstones(database, NOW, batch=2) == Purged()
    assert number_of(database, RecordRow) == 2
    for user, purged_seq in ((old[0], 6), (young, 0)):
        store = Store(database, identity=user)
        assert store.account().purged_seq == purged_seq
        store.refuse_wrong_numbers()


def test_tombstones_when_a_user_is_busy_then_the_others_go_and_he_is_left(database, database_url):
    users = people(3)
    bury(database, users, 1)
    # SQLite has one writer at a time, whoever it is.
    is_sqlite = database.engine.dialect.name == "sqlite"
    expected = Purged(left=3) if is_sqlite else Purged(tombstones=2, left=1)
    impatient = Database(database_url, lock_timeout_seconds=0.05)

    def work(session: object) -> None:
        accounts.hold(session, users[1].user_key)
        assert purge_tombstones(impatient, NOW) == expected

    database.transact(work)
    assert purge_tombstones(impatient, NOW) == Purged(tombstones=3 - expected.tombstones)
    impatient.dispose()


def test_tombstones_when_two_purges_run_beside_writers_and_devices_then_nothing_is_lost_or_counted_twice(
    patient,
):
    """The promise: "nothing acknowledged is ever lost from sync": whoever missed a deletion is told to sync anew."""
    users = people(4)
    stores = [Store(patient, identity=user) for user in users]
    for store in stores:
        store.now = NOW
        store.put("first", {})
    devices = [Device(store) for store in stores]
    done: list[Purged] = []
    ended = threading.Event()

    def write(store: Store) -> None:
        for turn in range(12):
            store.put(f"r{turn}", {"turn": turn})
            if turn % 3:
                store.delete(f"r{turn}")

    def purge() -> None:
        while not ended.is_set():
            done.append(purge_tombstones(patient, NOW, batch=3, portion=2))

    writers = [threading.Thread(target=write, args=(store,)) for store in stores]
    readers = [threading.Thread(target=follow, args=(device, ended)) for device in devices]
    purges = [threading.Thread(target=purge) for _ in range(2)]
    run_beside(writers, [*readers, *purges], ended)
    done.append(purge_tombstones(patient, NOW))
    assert sum(each.tombstones for each in done) == 8 * len(users)
    living = {("notes", f"r{turn}"): {"turn": turn} for turn in range(0, 12, 3)}
    for store, device in zip(stores, devices, strict=True):
        records = {key: value for key, value in device.sync().items() if isinstance(key, tuple)}
        assert records == living | {("notes", "first"): {}}
        store.refuse_wrong_numbers()


@pytest.fixture
def patient(database, database_url):
    """SQLite lets writers in by chance: on a busy machine one may wait for longer than a request would."""
    opened = Database(database_url, lock_timeout_seconds=60)
    yield opened
    opened.dispose()


def run_beside(first: list[threading.Thread], others: list[threading.Thread], ended: threading.Event) -> None:
    """Run all; when the first are through, tell the others."""
    for thread in (*first, *others):
        thread.start()
    for thread in first:
        thread.join()
    ended.set()
    for thread in others:
        thread.join()


def follow(device: Device, ended: threading.Event) -> None:
    while not ended.is_set():
        device.turn()


# Answers and exports


def test_answers_when_old_then_they_go_in_portions_and_young_ones_stay(database):
    """U5: "kept 24 h"."""
    ada, bob = people(2)
    keep_answers(database, ada, 25)
    keep_answers(database, bob, 4, at=NOW - timedelta(hours=1))
    keep_answers(database, bob, 3, at=NOW + timedelta(minutes=1))
    with statements_in(database) as captured:
        assert purge_answers(database, NOW, rows=10) == Purged(answers=29)
    assert len([statement for statement, _ in captured if "DELETE" in statement]) == 4
    assert number_of(database, IdempotencyRow) == 3


def test_exports_when_old_then_they_go_in_portions_and_young_ones_stay(database):
    users = people(7)
    count_exports(database, users)
    count_exports(database, users[:3], at=NOW - timedelta(days=1))
    count_exports(database, users[:2], at=NOW + timedelta(milliseconds=1))
    assert purge_exports(database, NOW, rows=4) == Purged(exports=10)
    assert purge_exports(database, NOW) == Purged()
    assert number_of(database, Export) == 2


@pytest.mark.parametrize("purge", [purge_answers, purge_exports])
def test_rows_when_two_purges_run_at_once_then_each_row_is_counted_once(database, purge):
    users = people(60)
    keep_answers(database, users[0], 60)
    count_exports(database, users)
    done: list[Purged] = []
    meeting = threading.Barrier(3, timeout=30)

    def run_one() -> None:
        meeting.wait()
        done.append(purge(database, NOW, rows=3))

    threads = [threading.Thread(target=run_one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # What one of them passed over while another held it is for the next purge.
    done.append(purge(database, NOW))
    assert sum(each.answers + each.exports for each in done) == 60
    assert number_of(database, IdempotencyRow) + number_of(database, Export) == 60


@pytest.mark.parametrize("purge", [purge_answers, purge_exports])
def test_rows_when_sqlite_is_busy_then_left_for_the_next_time(sqlite_url, purge):
    upgrade(sqlite_url)
    database, impatient = Database(sqlite_url), Database(sqlite_url, lock_timeout_seconds=0.05)

    def work(session: Session) -> None:
        accounts.hold(session, "takes the lock")
        assert purge(impatient, NOW) == Purged(left=1)

    database.transact(work)
    assert purge(impatient, NOW) == Purged()
    for each in (database, impatient):
        each.dispose()


# All of it


def test_everything_when_purged_then_each_by_its_own_setting_and_again_nothing(tmp_path: Path, database, database_url):
    """design.md: "0 days or hours mean at once"; what is not due yet stays."""
    gone, ada = people(2)
    schedule(database, [gone], now=NOW - GRACE)
    bury(database, [ada], 2, at=NOW - timedelta(days=90))
    keep_answers(database, ada, 3, at=NOW - timedelta(hours=24))
    keep_answers(database, gone, 3, at=NOW - timedelta(hours=24))
    count_exports(database, [ada], at=NOW - timedelta(days=2))
    settings = settings_for(tmp_path, database_url)
    early = NOW - timedelta(milliseconds=1)
    assert purge_everything(database, settings, early) == Purged()
    found = purge_everything(database, settings, NOW)
    # The answers of the erased user went with the account.
    assert found == Purged(accounts=1, tombstones=2, answers=3, exports=1)
    assert purge_everything(database, settings, NOW) == Purged()
    bury(database, [ada], 1)
    keep_answers(database, ada, 1)
    at_once = settings_for(tmp_path, database_url, tombstone_days=0, idempotency_hours=0)
    assert purge_everything(database, settings, NOW) == Purged()
    assert purge_everything(database, at_once, NOW) == Purged(tombstones=1, answers=1)
