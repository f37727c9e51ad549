"""`flask purge`: counts, pages, a busy user, another purge, an unusable database. On both databases."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, inspect, select

from app.commands.purge import Purged, purge_accounts, purge_command
from app.db import Base, Database
from app.users import account as accounts
from app.users import deletion
from app.users.errors import AccountDeleted
from app.users.facts import TenantFacts
from app.users.identity import Identity
from app.users.models import Account, Erasure
from app.users.profiles import observe
from tests.support.api import running, settings_for

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


def run(url: str) -> Result:
    return CliRunner().invoke(purge_command(url))


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


def test_command_when_run_then_it_prints_the_counts(database, database_url):
    schedule(database, people(3), now=LONG_AGO)
    assert run(database_url).output == "accounts erased: 3; left for the next purge: 0\n"
    again = run(database_url)
    assert (again.exit_code, again.output) == (0, "accounts erased: 0; left for the next purge: 0\n")


def test_command_when_the_schema_is_missing_then_one_sentence(database_url):
    found = run(database_url)
    assert found.exit_code == 1
    assert "run `flask --app wsgi db upgrade`" in found.output


@pytest.mark.parametrize("url", ["postgresql://nobody:s3cret@127.0.0.1:1/none", "sqlite:////no/such/folder/s3cret.db"])
def test_command_when_the_database_is_down_then_one_sentence_without_the_address(url):
    found = run(url)
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
    assert (found.exit_code, found.output) == (0, "accounts erased: 1; left for the next purge: 0\n")
    inspector = inspect(database.engine)
    migrated = {
        name
        for name in inspector.get_table_names()
        if "user_key" in {column["name"] for column in inspector.get_columns(name)}
    }
    assert migrated == {name for name, table in Base.metadata.tables.items() if "user_key" in table.columns}
    assert "accounts" in migrated
