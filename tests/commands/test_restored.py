"""`flask db restored`: after a backup was restored, no device goes on from a time that is lost. On both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, update

from app.commands.db import db_group
from app.commands.restored import renew_accounts
from app.records.errors import PreconditionFailed
from app.records.models import RecordRow
from app.users.models import Account
from tests.support.records import BOB, Device, Store, if_match

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def go_back(store: Store, seq: int) -> None:
    """What a backup does: the account's numbers are those of an earlier time."""
    store.do(lambda session: session.execute(update(Account).values(seq=seq)))


def test_restored_when_devices_have_seen_what_is_lost_then_they_sync_from_the_beginning(database):
    """§7: "410 when the epoch differs (restore, re-created account)"."""
    store = Store(database)
    store.put("a", {"n": 1})
    device = Device(store)
    store.put("lost", {"n": 1})
    assert set(device.sync()) == {("notes", "a"), ("notes", "lost")}
    store.do(lambda session: session.execute(delete(RecordRow).where(RecordRow.id == "lost")))
    go_back(store, 1)
    # As many writes as were lost: by its number alone, the cursor would still fit.
    store.put("b", {"n": 1})
    assert renew_accounts(database, NOW) == 1
    assert set(device.sync()) == {("notes", "a"), ("notes", "b")}
    assert device.resyncs == 1


def test_restored_when_it_was_not_run_then_a_device_keeps_what_is_lost(database):
    """The negative control: without a new epoch the same device sees neither the loss nor the new record."""
    store = Store(database)
    store.put("a", {"n": 1})
    device = Device(store)
    store.put("lost", {"n": 1})
    device.sync()
    go_back(store, 2)
    assert ("notes", "lost") in device.sync()
    assert device.resyncs == 0


def test_restored_when_a_number_was_given_in_the_lost_time_then_it_is_not_given_again(database):
    """U2: an entity-tag names one version: one of the lost time must not match another content."""
    store = Store(database)
    store.put("a", {"n": 1})
    lost = store.put("a", {"n": 2}).seq
    go_back(store, lost - 1)
    renew_accounts(database, NOW)
    again = store.put("a", {"n": 3}).seq
    assert again > lost
    assert again > int(NOW.timestamp() * 1000)
    with pytest.raises(PreconditionFailed):
        store.put("a", {"n": 4}, precondition=if_match(lost))


def test_restored_when_the_numbers_are_higher_already_then_they_are_not_lowered(database):
    store = Store(database)
    store.put("a", {"n": 1})
    later = int((NOW + timedelta(days=1)).timestamp() * 1000)
    go_back(store, later)
    renew_accounts(database, NOW)
    assert store.put("a", {"n": 2}).seq == later + 1


def test_restored_when_there_are_more_accounts_than_a_batch_then_each_is_renewed_once(database):
    stores = [Store(database), Store(database, identity=BOB)]
    for store in stores:
        store.put("a", {})
    before = [store.account().epoch for store in stores]
    assert renew_accounts(database, NOW, batch=1) == 2
    assert all(store.account().epoch != epoch for store, epoch in zip(stores, before, strict=True))


def test_command_when_it_is_not_confirmed_then_nothing_changes(database, database_url):
    store = Store(database)
    store.put("a", {})
    epoch = store.account().epoch
    refused = CliRunner().invoke(db_group(database_url), ["restored"], input="n\n")
    assert refused.exit_code == 1
    assert store.account().epoch == epoch
    done = CliRunner().invoke(db_group(database_url), ["restored", "--yes"])
    assert (done.exit_code, done.output) == (
        0, "accounts renewed: 1; their devices will sync from the beginning\n",
    )  # fmt: skip
    assert store.account().epoch != epoch


@pytest.mark.parametrize("url", ["postgresql://nobody:s3cret@127.0.0.1:1/none", "sqlite:////no/such/folder/s3cret.db"])
def test_command_when_the_database_is_down_then_one_sentence_without_the_address(url):
    found = CliRunner().invoke(db_group(url), ["restored", "--yes"])
    assert found.exit_code == 1
    assert found.output.startswith("Error: the database in DATABASE_URL cannot be used")
    assert "s3cret" not in found.output
