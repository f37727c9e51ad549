"""The purge of tombstones: only old ones, only of the user, and the number up to which they are gone."""

from app.records import tombstones
from tests.support.records import BOB, DAY, NOW, Store


def owners(store, before, limit=10, after=""):
    return store.read(lambda session: tombstones.owners(session, before, limit, after))


def test_purge_when_tombstones_are_old_then_they_go_and_the_last_number_is_kept(store):
    """§7: "a purge per user … deletes those over 90 days and sets `purged_seq`"."""
    other = Store(store.database, identity=BOB)
    for one in (store, other):
        for name in "abc":
            one.put(name, {})
        one.delete("b")
    store.now = NOW + 90 * DAY
    store.delete("c")
    assert store.purge(NOW - DAY) == 0
    assert store.account().purged_seq == 0
    assert store.purge(NOW) == 1
    account = store.account()
    assert (account.purged_seq, account.seq) == (4, 5)
    assert [change["id"] for change in store.changes(store.changes()["cursor"])["changes"]] == []
    assert other.account().purged_seq == 0
    assert store.purge(NOW) == 0
    assert store.purge(store.now) == 1
    assert store.account().purged_seq == 5
    store.refuse_wrong_numbers()
    assert [record["id"] for record in store.page()["records"]] == ["a"]


def test_purge_when_the_record_lives_again_then_it_stays(store):
    store.put("a", {})
    store.delete("a")
    store.put("a", {"x": 1})
    assert store.purge() == 0
    assert store.find("a")["data"] == {"x": 1}


def test_purge_when_an_older_number_goes_later_then_the_kept_one_does_not_fall(store):
    """Clocks of two hosts differ: a later number can have an earlier time."""
    store.put("a", {})
    store.put("b", {})
    store.now = NOW + DAY
    store.delete("a")
    store.now = NOW
    store.delete("b")
    assert store.purge(NOW) == 1
    assert store.account().purged_seq == 4
    assert store.purge(NOW + DAY) == 1
    assert store.account().purged_seq == 4


def test_purge_when_there_is_no_account_then_nothing(store):
    assert store.purge() == 0


def test_owners_when_listed_then_all_with_tombstones_in_pages_and_whether_they_are_old(store):
    stores = [Store(store.database, identity=type(BOB)(BOB.tenant, f"user-{number}")) for number in range(5)]
    for one in stores:
        one.put("a", {})
        one.put("b", {})
        one.clear()
    Store(store.database, identity=BOB).put("a", {})
    keys = sorted(one.identity.user_key for one in stores)
    young = next(one for one in stores if one.identity.user_key == keys[1])
    assert list(owners(store, NOW - DAY).items()) == [(key, False) for key in keys]
    assert list(owners(store, NOW).items()) == [(key, True) for key in keys]
    young.purge(NOW)
    young.now = NOW + DAY
    young.put("c", {})
    young.delete("c")
    assert owners(store, NOW, limit=2) == {keys[0]: True, keys[1]: False}
    assert list(owners(store, NOW, after=keys[1])) == keys[2:]
    assert owners(store, NOW, after=keys[4]) == {}


def test_purge_when_there_are_more_than_a_portion_then_the_oldest_and_the_number_that_is_gone(store):
    """§7: a cursor before `purged_seq` has missed a deletion: no portion may leave that number behind."""
    for day, name in enumerate("abc"):
        store.now = NOW + day * DAY
        store.put(name, {})
        store.delete(name)
    gone = []
    while count := store.do(lambda session: tombstones.purge(session, store.identity.user_key, store.now, limit=2)):
        gone.append((count, store.account().purged_seq))
    assert gone == [(2, 4), (1, 6)]
    store.refuse_wrong_numbers()


def test_purge_when_one_moment_has_more_than_a_portion_then_they_go_together(store):
    for name in "abc":
        store.put(name, {})
    store.clear()
    assert store.do(lambda session: tombstones.purge(session, store.identity.user_key, NOW, limit=2)) == 3
    assert store.account().purged_seq == 6
