"""What has changed since: order, windows, cursors, first sync, filters, and what makes a cursor expire."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app.records import operations
from app.records.cursor import HIDEABLE, Cursor, decoded, encoded
from app.records.errors import BadCursor, CursorExpired
from app.users import deletion
from app.users.facts import TenantFacts
from app.users.models import Account
from app.users.profiles import observe, patch
from tests.support.records import DAY, NOW, Device, Store
from tests.support.statements import statements_in


def told(page) -> list[tuple[str, int, bool]]:
    return [
        (change.get("id", change["kind"]), change["seq"], change.get("deleted", False)) for change in page["changes"]
    ]


def visit(store, name="Ada"):
    facts = TenantFacts({"name": name, "email": "ada@example.org", "email_verified": True})
    return store.do(lambda session: observe(session, store.identity, facts, NOW))


def test_changes_when_asked_then_all_since_the_cursor_in_the_order_of_their_seq(store):
    """§3: "GET /v1/changes → {…}"; §7: "WHERE user_key = :u AND seq > :s AND seq <= :H ORDER BY seq"."""
    store.put("a", {"x": 1}, origin="ios-1")
    store.put("b", {})
    first = store.changes()
    assert first["changes"] == [
        {"kind": "record", **store.find("a")},
        {"kind": "record", **store.find("b")},
    ]
    assert (first["has_more"], first["poll_after"]) == (False, 30)
    store.put("a", {"x": 2})
    store.delete("b", origin="ios-2")
    second = store.changes(first["cursor"])
    assert second["changes"][1] == {
        "kind": "record", "collection": "notes", "id": "b", "seq": 4, "etag": '"4"', "deleted": True,
        "origin": "ios-2", "updated_at": "2026-11-21T12:00:00.123Z",
    }  # fmt: skip
    assert told(second) == [("a", 3, False), ("b", 4, True)]
    assert store.changes(first["cursor"]) == second
    assert store.changes(second["cursor"]) == {**second, "changes": []}


def test_changes_when_the_page_is_full_then_its_last_seq_leads_on_and_otherwise_the_head(store):
    """§7: "A full page: cursor = its last seq; otherwise cursor = H"."""
    for name in "abcd":
        store.put(name, {})
    page = store.changes(size=2)
    assert (told(page), page["has_more"], page["poll_after"]) == ([("a", 1, False), ("b", 2, False)], True, 0)
    assert decoded(page["cursor"]).since == 2
    store.put("a", {})
    rest = store.changes(page["cursor"], size=3)
    assert (told(rest), rest["has_more"]) == ([("c", 3, False), ("d", 4, False), ("a", 5, False)], False)
    # The profile's number is the head, and this device may not see it.
    visit(store)
    after = store.changes(rest["cursor"])
    assert (told(after), decoded(after["cursor"]).since) == ([], 6)


def test_changes_when_there_are_none_then_one_primary_key_read_says_so(store):
    """§7: "`ETag` = the cursor, so a 304 costs one primary-key read"."""
    store.put("a", {})
    cursor = store.changes(with_profile=True, with_preferences=True)["cursor"]
    with statements_in(store.database) as captured:
        page = store.changes(cursor, with_profile=True, with_preferences=True)
    assert page == {"changes": [], "cursor": cursor, "has_more": False, "poll_after": 30}
    assert len(captured) == 1
    assert "FROM accounts" in captured[0][0]


def test_changes_when_it_is_the_first_sync_then_no_tombstones_of_what_was_deleted_before_it(store):
    """§7: "First sync is `since=0` without tombstones, resumable at any page"."""
    for name in "abcdef":
        store.put(name, {})
    store.delete("b")
    store.delete("f")
    pages, cursor, has_more = [], None, True
    while has_more:
        page = store.changes(cursor, size=1)
        pages.append(told(page))
        cursor, has_more = page["cursor"], page["has_more"]
    assert pages == [[("a", 1, False)], [("c", 3, False)], [("d", 4, False)], [("e", 5, False)]]
    assert decoded(cursor) == Cursor(store.account().epoch, 8, 0, hidden=HIDEABLE)
    store.delete("a")
    assert told(store.changes(cursor)) == [("a", 9, True)]


def test_changes_when_something_is_deleted_during_the_first_sync_then_it_is_told(store):
    for name in "abc":
        store.put(name, {})
    store.delete("c")
    page = store.changes(size=1)
    assert decoded(page["cursor"]) == Cursor(store.account().epoch, 1, 0, 4, hidden=HIDEABLE)
    store.delete("a")
    store.put("c", {})
    store.delete("c")
    store.put("d", {})
    rest = store.changes(page["cursor"], size=3)
    assert told(rest) == [("b", 2, False), ("a", 5, True), ("c", 7, True)]
    assert decoded(rest["cursor"]) == Cursor(store.account().epoch, 7, 0, hidden=HIDEABLE)
    assert told(store.changes(rest["cursor"])) == [("d", 8, False)]


def test_changes_when_the_scopes_allow_then_profile_and_preferences_are_told_too(store):
    """§2: "profile and preferences rows only with their read scope"; U13: the form without the e-mail is `-p`."""
    visit(store)
    store.write(operations.put_preferences({"theme": "dark"}, origin="ios-1"))
    store.put("a", {})
    assert told(store.changes()) == [("a", 3, False)]
    whole = store.changes(with_profile=True, with_email=True, with_preferences=True)
    assert told(whole) == [("profile", 1, False), ("preferences", 2, False), ("a", 3, False)]
    profile, preferences, _record = whole["changes"]
    assert (profile["name"], profile["email"], profile["etag"]) == ("Ada", "ada@example.org", '"1"')
    assert preferences == {
        "kind": "preferences", "preferences": {"theme": "dark"}, "etag": '"2"', "seq": 2, "origin": "ios-1",
        "updated_at": "2026-11-21T12:00:00.123Z",
    }  # fmt: skip
    partial = store.changes(with_profile=True)
    assert told(partial) == [("profile", 1, False), ("a", 3, False)]
    assert partial["changes"][0]["etag"] == '"1-p"'
    assert "email" not in partial["changes"][0]
    cursor = whole["cursor"]
    store.do(lambda session: patch(session, store.identity, {"nickname": "A"}, lambda _: None, NOW))
    assert told(store.changes(cursor, with_profile=True, with_preferences=True)) == [("profile", 4, False)]
    pages = [told(store.changes(size=1, with_profile=True, with_preferences=True))]
    assert pages == [[("preferences", 2, False)]]


def everything(**more):
    return {"with_profile": True, "with_email": True, "with_preferences": True, **more}


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_changes_when_the_token_has_gained_a_scope_then_what_was_hidden_is_told_once(store, size):
    """The promise: "nothing acknowledged is ever lost from sync", also to a device whose user has allowed it more."""
    visit(store)
    store.write(operations.put_preferences({"theme": "dark"}))
    store.put("a", {})
    cursor = store.changes()["cursor"]
    assert store.changes(cursor)["cursor"] == cursor
    store.put("b", {})
    found, has_more = [], True
    while has_more:
        page = store.changes(cursor, **everything(size=size))
        assert 0 < len(page["changes"]) <= size
        found += told(page)
        cursor, has_more = page["cursor"], page["has_more"]
    assert found == [("profile", 1, False), ("preferences", 2, False), ("b", 4, False)]
    assert decoded(cursor).hidden == frozenset()
    assert store.changes(cursor, **everything())["changes"] == []


def test_changes_when_the_e_mail_may_be_seen_at_last_then_the_profile_is_told_again_with_it(store):
    visit(store)
    without = store.changes(**everything(with_email=False))
    assert "email" not in without["changes"][0]
    assert decoded(without["cursor"]).hidden == {"email"}
    page = store.changes(without["cursor"], **everything())
    assert [(change["kind"], change["email"]) for change in page["changes"]] == [("profile", "ada@example.org")]
    assert store.changes(page["cursor"], **everything())["changes"] == []


def test_changes_when_a_scope_is_lost_and_gained_again_then_nothing_between_is_missed(store):
    visit(store)
    wide = store.changes(**everything())["cursor"]
    store.write(operations.put_preferences({"theme": "dark"}))
    narrow = store.changes(wide)
    assert narrow["changes"] == []
    page = store.changes(narrow["cursor"], **everything())
    assert told(page) == [("profile", 1, False), ("preferences", 2, False)]
    assert store.changes(wide, **everything())["changes"] == page["changes"][1:]


def test_changes_when_limited_to_collections_then_of_their_records_alone(store):
    """§2: "`?cursor&limit=100&collections=a,b`"."""
    visit(store)
    for collection in ("notes", "tasks", "other"):
        store.put("a", {}, collection)
    both = store.changes(collections=frozenset({"notes", "tasks"}), with_profile=True, with_preferences=True)
    assert [change["collection"] for change in both["changes"]] == ["notes", "tasks"]
    assert store.changes(collections=frozenset({"none"}))["changes"] == []
    store.delete("a", "tasks")
    store.put("b", {}, "other")
    after = store.changes(both["cursor"], collections=frozenset({"tasks"}))
    assert told(after) == [("a", 5, True)]


def test_changes_when_more_collections_are_wanted_than_before_then_the_device_must_sync_anew(store):
    """The promise: "nothing acknowledged is ever lost from sync": of the others it has missed what came before."""
    for collection in ("notes", "tasks", "other"):
        store.put("a", {}, collection)
    notes, tasks = frozenset({"notes"}), frozenset({"tasks"})
    narrow = store.changes(collections=notes | tasks)["cursor"]
    for wider in (None, frozenset({"other"}), notes | {"other"}):
        with pytest.raises(CursorExpired):
            store.changes(narrow, collections=wider)
    narrower = store.changes(narrow, collections=notes)["cursor"]
    with pytest.raises(CursorExpired):
        store.changes(narrower, collections=tasks)
    assert store.changes(store.changes()["cursor"], collections=tasks)["changes"] == []


def test_changes_when_there_is_no_account_yet_then_an_empty_page_that_leads_on(store):
    empty = store.changes()
    assert (empty["changes"], empty["has_more"]) == ([], False)
    assert store.changes(empty["cursor"]) == empty
    store.put("a", {})
    assert told(store.changes(empty["cursor"])) == [("a", 1, False)]


def test_changes_when_the_account_is_another_or_gone_then_expired(store):
    """§7: "410 when the epoch differs (restore, re-created account)"."""
    store.put("a", {})
    cursor = store.changes()["cursor"]
    store.do(lambda session: deletion.schedule(session, store.identity, timedelta(0), NOW))
    store.do(lambda session: deletion.begin_anew(session, store.identity, NOW))
    with pytest.raises(CursorExpired):
        store.changes(cursor)
    assert store.changes()["changes"] == []
    elsewhere = Store(store.database, identity=type(store.identity)("https://tenant.example/", "nobody"))
    with pytest.raises(CursorExpired):
        elsewhere.changes(cursor)


def test_changes_when_the_database_was_restored_from_before_the_cursor_then_expired(store):
    """The epoch may have been restored too; numbers that were never given say it all the same."""
    store.put("a", {})
    account = store.account()
    for since, purged in ((2, 0), (1, 1)):
        with pytest.raises(CursorExpired):
            store.changes(encoded(Cursor(account.epoch, since, purged)))
    store.do(lambda session: session.execute(update(Account).values(epoch="00000000")))
    with pytest.raises(CursorExpired):
        store.changes(encoded(Cursor(account.epoch, 1, 0)))


def test_changes_when_tombstones_have_been_purged_that_the_device_missed_then_expired(store):
    """§7: "410 when … `purged_seq > max(since, purged_at_start)`"."""
    for name in "abc":
        store.put(name, {})
    before = store.changes()["cursor"]
    in_first_sync = store.changes(size=1)["cursor"]
    store.delete("b")
    after = store.changes()["cursor"]
    store.put("d", {})
    store.purge(NOW - DAY)
    assert told(store.changes(before)) == [("b", 4, True), ("d", 5, False)]
    assert store.purge() == 1
    for cursor in (before, in_first_sync):
        with pytest.raises(CursorExpired):
            store.changes(cursor)
    assert told(store.changes(after)) == [("d", 5, False)]
    assert told(store.changes()) == [("a", 1, False), ("c", 3, False), ("d", 5, False)]


def test_changes_when_the_sync_began_after_the_purge_then_it_goes_on_from_any_page(store):
    """§7: `purged_at_start`: what was purged before the first page was never told to this device."""
    for name in "abc":
        store.put(name, {})
    store.delete("c")
    store.purge()
    page = store.changes(size=1)
    assert decoded(page["cursor"]).purged_at_start == 4
    assert told(store.changes(page["cursor"])) == [("b", 2, False)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_device_when_it_follows_then_it_has_what_is_stored(store, size):
    visit(store)
    device = Device(store, size=size, with_profile=True, with_preferences=True)
    for number in range(7):
        store.put(f"r{number}", {"n": number})
        device.turn()
    store.write(operations.put_preferences({"x": 1}))
    store.delete("r3")
    copy = device.sync()
    assert {key: data for key, data in copy.items() if isinstance(key, tuple)} == {
        ("notes", record["id"]): record["data"] for record in store.page()["records"]
    }
    assert copy["preferences"] == {"x": 1}
    assert device.resyncs == 0


def test_changes_when_the_cursor_was_never_given_out_then_refused(store):
    """§2: "400 `bad_cursor`"."""
    store.put("a", {})
    for text in ("", "x", "djEu", encoded(Cursor("0" * 8, 1, 0)) + "="):
        with pytest.raises(BadCursor):
            store.changes(text)
