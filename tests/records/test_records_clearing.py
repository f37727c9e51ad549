"""A whole collection goes: a tombstone for each record, a number for each."""

import pytest
from sqlalchemy import insert

from app.records.clearing import Cleared
from app.records.errors import PreconditionFailed, PreconditionRequired, ValidationFailed
from app.records.models import CollectionRow, RecordRow
from app.records.terms import Rule, Terms
from app.users.models import Account
from tests.support.records import ABSENT, BOB, EXISTS, NOW, Device, Store, if_match


def test_clear_when_done_then_a_tombstone_for_each_in_the_order_of_their_last_changes(store):
    """§2: "DELETE `/v1/collections/{c}` … 200 `{deleted, seq}`: tombstones for all"."""
    for name in ("c", "a", "b"):
        store.put(name, {"x": 1})
    store.put("kept", {}, "tasks")
    store.put("c", {"x": 2})
    store.delete("b")
    Store(store.database, identity=BOB).put("a", {})
    cursor = store.changes()["cursor"]
    assert store.clear(origin="ios-1") == Cleared(2, 8)
    changes = store.changes(cursor)["changes"]
    assert [(change["id"], change["seq"], change["deleted"], change["origin"]) for change in changes] == [
        ("a", 7, True, "ios-1"),
        ("c", 8, True, "ios-1"),
    ]
    assert store.collections() == {"tasks": (1, 2, 4)}
    assert (store.page()["records"], store.account().seq) == ([], 8)
    assert Store(store.database, identity=BOB).collections() == {"notes": (1, 2, 1)}
    store.refuse_wrong_numbers()


def test_clear_when_there_is_nothing_then_nothing_changes(store):
    assert store.clear() == Cleared(0, 0)
    store.put("a", {})
    store.delete("a")
    assert store.clear() == Cleared(0, 2)
    assert store.account().seq == 2
    with pytest.raises(ValidationFailed):
        store.clear("No")


def test_clear_when_a_version_is_expected_then_only_that_one_goes(database):
    """U4, for the collection's `seq`: that of its last change."""
    store = Store(database, Terms(rules={"notes": Rule(require_preconditions=True)}))
    store.create({})
    store.create({})
    with pytest.raises(PreconditionRequired):
        store.clear()
    for precondition in (if_match(1), ABSENT):
        with pytest.raises(PreconditionFailed) as refused:
            store.clear(precondition=precondition)
        assert (refused.value.current.seq, refused.value.current.count) == (2, 2)
    assert store.clear(precondition=if_match(2)) == Cleared(2, 4)
    with pytest.raises(PreconditionFailed) as refused:
        store.clear(precondition=EXISTS)
    assert refused.value.current is None


def test_clear_when_there_are_many_then_every_device_learns_of_each(store):
    device = Device(store, size=7)
    for number in range(40):
        store.put(f"r{number}", {})
    assert len(device.sync()) == 40
    assert store.clear() == Cleared(40, 80)
    store.put("new", {})
    assert device.sync() == {("notes", "new"): {}}
    assert device.resyncs == 0


def test_clear_when_the_collection_was_filled_to_its_limit_just_now_then_in_the_time_that_a_statement_has(store):
    """A join to row numbers took more than 15 s on PostgreSQL: it plans by statistics, and has none yet."""
    full = store.terms.limits.records_per_collection
    store.put("r1", {})
    user_key = store.identity.user_key
    rows = [
        {"user_key": user_key, "collection": "notes", "id": f"r{number}", "seq": number, "created_seq": number,
         "deleted": False, "data": "{}", "stored_bytes": 2, "origin": None, "updated_at": NOW}
        for number in range(2, full + 1)
    ]  # fmt: skip

    def fill(session):
        session.execute(insert(RecordRow), rows)
        account = session.get_one(Account, user_key)
        account.seq, account.live, account.stored_bytes = full, full, 2 * full
        tally = session.get_one(CollectionRow, (user_key, "notes"))
        tally.count, tally.stored_bytes, tally.seq = full, 2 * full, full

    store.do(fill)
    assert store.clear() == Cleared(full, 2 * full)
    store.refuse_wrong_numbers()
