"""Create, put, patch and delete one record: outcomes, versions, preconditions, and the order of refusals."""

import re
from datetime import timedelta
from functools import partial

import pytest
from marshmallow import Schema, fields

from app.records.errors import (
    Gone,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    PreconditionRequired,
    QuotaExceeded,
    ValidationFailed,
)
from app.records.names import new_id
from app.records.preconditions import Precondition, Versions
from app.records.terms import Limits, Rule, Terms
from app.records.writing import Outcome
from app.users import deletion
from app.users.errors import AccountDeleted, AccountDeletionScheduled
from tests.support.records import ABSENT, BOB, EXISTS, NOW, Store, if_match, if_none_match


class Task(Schema):
    title = fields.String(required=True)
    steps = fields.List(fields.Integer(strict=True))


STRICT = Terms(Limits(record_bytes=200), {"tasks": Rule(Task(), require_preconditions=True)})


def pointers(refused) -> set[str]:
    return {fault["pointer"] for fault in refused.value.errors}


def test_put_when_there_is_nothing_then_created_and_when_there_is_replaced(store):
    """§2: "PUT (create or replace) … 201/200"; U2: "Every stored thing has `seq` … unique and increasing per user"."""
    first = store.put("a", {"x": 1}, origin="ios-1")
    assert (first.outcome, first.seq) == (Outcome.CREATED, 1)
    assert store.find("a") == {
        "id": "a", "collection": "notes", "data": {"x": 1}, "etag": '"1"', "seq": 1, "created_seq": 1,
        "origin": "ios-1", "updated_at": "2026-11-21T12:00:00.123Z",
    }  # fmt: skip
    second = store.put("a", {"y": 2})
    assert (second.outcome, second.seq, second.current.created_seq) == (Outcome.CHANGED, 2, 1)
    found = store.find("a")
    assert (found["data"], found["seq"], found["etag"], found["created_seq"], found["origin"]) == (
        {"y": 2}, 2, '"2"', 1, None,
    )  # fmt: skip


def test_put_when_the_data_are_the_same_then_a_new_version_all_the_same(store):
    """U4: "The answer carries the new `etag` and `seq`": a put is a change, whatever it puts."""
    assert [store.put("a", {"x": 1}).seq for _ in range(3)] == [1, 2, 3]


def test_create_when_asked_then_under_an_id_of_the_server(store):
    """§2: "POST the same (server id, UUIDv7)"."""
    found = [store.create({"n": number}).current for number in range(3)]
    assert len({record.id for record in found}) == 3
    for record in found:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", record.id)
        assert store.find(record.id)["seq"] == record.seq


def test_new_id_when_made_later_then_it_sorts_later():
    """RFC 9562 §5.7: "unix_ts_ms: 48-bit big-endian unsigned number of the Unix Epoch timestamp in milliseconds"."""
    times = [NOW + timedelta(milliseconds=number) for number in range(50)]
    ids = [new_id(time) for time in times]
    assert ids == sorted(ids)
    assert [int(found.replace("-", "")[:12], 16) for found in ids] == [int(time.timestamp() * 1000) for time in times]


def test_patch_when_there_is_one_then_merged(store):
    """U14: "PATCH is RFC 7396, atomic under the user's lock"."""
    store.put("a", {"x": 1, "y": {"z": 2, "w": 3}})
    assert store.patch("a", {"x": None, "y": {"z": 4}, "n": [None]}).outcome is Outcome.CHANGED
    assert store.find("a")["data"] == {"y": {"z": 4, "w": 3}, "n": [None]}
    assert store.find("a")["seq"] == 2


def test_patch_when_it_changes_nothing_then_the_version_stays(store):
    store.put("a", {"x": 1})
    assert [store.patch("a", patch).seq for patch in ({}, {"x": 1}, {"y": None})] == [1, 1, 1]
    assert store.account().seq == 1
    assert store.patch("a", {"x": 1.0}).seq == 2


def test_patch_when_there_is_nothing_then_not_found_and_of_a_tombstone_gone(store):
    with pytest.raises(NotFound):
        store.patch("a", {})
    store.put("a", {})
    deleted = store.delete("a").seq
    with pytest.raises(Gone) as refused:
        store.patch("a", {})
    assert refused.value.seq == deleted


def test_delete_when_there_is_one_then_a_tombstone_that_keeps_key_and_seq_and_drops_the_data(store):
    """§7: "Tombstones keep key and seq, drop data"; §2: "DELETE of a tombstone is 204, of what never existed 404"."""
    store.put("a", {"secret": "x"})
    first = store.delete("a", origin="ios-1")
    assert (first.outcome, first.seq, first.current.data, first.current.origin) == (Outcome.DELETED, 2, None, "ios-1")
    with pytest.raises(Gone) as gone:
        store.find("a")
    assert gone.value.seq == 2
    assert store.delete("a").seq == 2
    assert store.delete("a", precondition=if_match(1)).seq == 2
    with pytest.raises(NotFound):
        store.delete("b")
    with pytest.raises(NotFound):
        store.find("b")
    assert store.account().seq == 2


def test_put_when_over_a_tombstone_then_created_anew(store):
    """§2: "PUT over a tombstone is 201"."""
    store.put("a", {"x": 1})
    store.delete("a")
    anew = store.put("a", {"x": 2}, precondition=ABSENT)
    assert (anew.outcome, anew.seq, anew.current.created_seq) == (Outcome.CREATED, 3, 3)
    store.refuse_wrong_numbers()


CONDITIONS = [
    (if_match, True),
    (lambda seq: if_match(777, seq), True),
    (lambda _seq: EXISTS, True),
    (lambda seq: if_match(seq + 1), False),
    (lambda _seq: if_match(), False),
    (lambda _seq: ABSENT, False),
    (if_none_match, False),
    (lambda seq: if_none_match(seq + 1), True),
    (lambda seq: Precondition(Versions(frozenset({seq})), Versions(is_any=True)), False),
]


@pytest.mark.parametrize("verb", ["put", "patch", "delete"])
def test_write_when_it_says_what_it_expects_then_only_that_is_written(store, verb):
    """U4: "`If-Match` optional … A 412 carries `current`"; RFC 9110 §13.1, §13.2.2."""
    for number, (condition, holds) in enumerate(CONDITIONS):
        name = f"r{number}"
        before = store.put(name, {"x": 1}).current
        more = {} if verb == "delete" else {"data": {"x": 2}}
        precondition = condition(before.seq)
        if holds:
            assert getattr(store, verb)(name, **more, precondition=precondition).seq == before.seq + 1
        else:
            with pytest.raises(PreconditionFailed) as refused:
                getattr(store, verb)(name, **more, precondition=precondition)
            assert refused.value.current == before
            assert (store.find(name)["seq"], store.account().seq) == (before.seq, before.seq)


def test_put_when_there_is_nothing_then_if_match_fails_and_if_none_match_holds(store):
    for precondition in (if_match(1), EXISTS):
        with pytest.raises(PreconditionFailed) as refused:
            store.put("a", {}, precondition=precondition)
        assert refused.value.current is None
    assert store.put("a", {}, precondition=ABSENT).outcome is Outcome.CREATED
    tombstone = store.delete("a").current
    for precondition in (if_match(2), EXISTS):
        with pytest.raises(PreconditionFailed) as refused:
            store.put("a", {}, precondition=precondition)
        assert refused.value.current == tombstone


def test_write_when_the_collection_requires_preconditions_then_only_with_one(database):
    """U4: "428 where a collection sets `require_preconditions`"; a POST replaces nothing."""
    store = Store(database, STRICT)
    with pytest.raises(PreconditionRequired):
        store.put("a", {"title": "x"}, "tasks")
    store.put("a", {"title": "x"}, "tasks", precondition=ABSENT)
    for write in (
        lambda: store.put("a", {"title": "y"}, "tasks"),
        lambda: store.patch("a", {"title": "y"}, "tasks"),
        lambda: store.delete("a", "tasks"),
    ):
        with pytest.raises(PreconditionRequired):
            write()
    assert store.create({"title": "z"}, "tasks").seq == 2
    assert store.delete("a", "tasks", precondition=if_match(1)).seq == 3
    assert store.put("a", {"title": "free"}).seq == 4


def test_write_when_the_collection_has_a_schema_then_the_merged_document_is_judged(database):
    """§6: "422 before any write"; U14: "The merged document is validated, not the patch"."""
    store = Store(database, STRICT)
    for data, expected in [
        ({}, {"/data/title"}),
        ({"title": 1, "steps": [1, "x"], "more/~": 1}, {"/data/title", "/data/steps/1", "/data/more~1~0"}),
    ]:
        with pytest.raises(ValidationFailed) as refused:
            store.put("a", data, "tasks", precondition=ABSENT)
        assert pointers(refused) == expected
    store.put("a", {"title": "x", "steps": [1]}, "tasks", precondition=ABSENT)
    with pytest.raises(ValidationFailed) as refused:
        store.patch("a", {"title": None}, "tasks", precondition=EXISTS)
    assert pointers(refused) == {"/data/title"}
    assert store.patch("a", {"steps": None}, "tasks", precondition=EXISTS).seq == 2
    assert store.account().seq == 2


def test_write_when_the_data_are_no_object_then_refused(store):
    store.put("a", {"x": 1})
    for data in (None, [], "text", 1, True):
        for write in (partial(store.put, "b"), store.create, partial(store.patch, "a")):
            with pytest.raises(ValidationFailed) as refused:
                write(data)
            assert pointers(refused) == {"/data"}


def test_write_when_the_data_are_not_json_for_every_parser_then_refused(store):
    for value in (float("nan"), float("inf"), 2**64, -(2**63) - 1, "\ud800", {"\udfff": 1}, [[float("-inf")]]):
        with pytest.raises(ValidationFailed) as refused:
            store.put("a", {"x": value})
        assert pointers(refused) == {"/data"}


def test_write_when_the_data_are_any_other_json_then_kept_as_they_are(store):
    """§6: "Record `data` is free JSON"; only U+0000 is refused, which PostgreSQL's JSON functions cannot read."""
    values = ["", "\x01 \x1f", "ü€😀", "\u2028</script>", 2**64 - 1, -(2**63), 1e308, 1.5, True, None, [], {"": {}}]
    for number, value in enumerate(values):
        store.put(f"r{number}", {"x": value})
        assert store.find(f"r{number}")["data"] == {"x": value}
    assert [change["data"]["x"] for change in store.changes()["changes"]] == values
    store.refuse_wrong_numbers()


def test_write_when_it_is_as_large_or_deep_as_allowed_then_taken_and_one_more_is_refused(database):
    """§5: "record data 64 KiB … JSON depth 32"."""
    store = Store(database, Terms(Limits(record_bytes=100, json_depth=3)))
    store.put("a", {"x": "y" * 92})
    with pytest.raises(PayloadTooLarge) as refused:
        store.put("a", {"x": "y" * 93})
    assert (refused.value.limit, refused.value.unit) == (100, "bytes")
    with pytest.raises(PayloadTooLarge):
        store.put("a", {"x": "ü" * 47})
    with pytest.raises(PayloadTooLarge):
        store.patch("a", {"z": 1})
    store.put("b", {"x": [[1]]})
    for deep in ({"x": [[[1]]]}, {"x": {"y": {"z": {}}}}):
        with pytest.raises(ValidationFailed):
            store.put("b", deep)
    with pytest.raises(ValidationFailed):
        store.patch("b", {"x": {"y": {"z": {}}}})
    bottomless: dict[str, object] = {}
    for _ in range(300):
        bottomless = {"a": bottomless}
    for write in (lambda: store.put("b", bottomless), lambda: store.patch("b", bottomless)):
        with pytest.raises(ValidationFailed):
            write()


IMPOSSIBLE = [
    ("Notes", "a", {"/collection"}),
    ("", "a", {"/collection"}),
    ("n" * 33, "a", {"/collection"}),
    ("1n", "a", {"/collection"}),
    ("notes\n", "a", {"/collection"}),
    ("notes", "", {"/id"}),
    ("notes", "a" * 65, {"/id"}),
    ("notes", "a/b", {"/id"}),
    ("notes", "ä", {"/id"}),
    ("\x00", "\x00", {"/collection", "/id"}),
]


def test_write_when_a_name_cannot_be_then_refused_and_nothing_is_found_there(store):
    """§5: "id `[A-Za-z0-9_-]{1,64}`, collection `[a-z][a-z0-9_-]{0,31}`"."""
    for collection, name, expected in IMPOSSIBLE:
        for write in (partial(store.put, name, {}), partial(store.patch, name, {}), partial(store.delete, name)):
            with pytest.raises(ValidationFailed) as refused:
                write(collection)
            assert pointers(refused) == expected
        with pytest.raises(NotFound):
            store.find(name, collection)


def test_write_when_names_are_as_long_as_allowed_then_taken(store):
    assert store.put("aZ_-" * 16, {}, "n_-9" * 8).seq == 1
    assert store.find("aZ_-" * 16, "n_-9" * 8)["seq"] == 1


def test_write_when_several_things_are_wrong_then_in_the_order_of_the_contract(database):
    """tokens.md T30: "→ 415/413 → 400/422 → 404/410 → 412": each is seen only when those before it are mended."""
    store = Store(database, Terms(Limits(collections=1), {"tasks": Rule(Task(), require_preconditions=True)}))
    store.put("a", {})
    wrong = if_match(99)
    with pytest.raises(ValidationFailed):
        store.put("t", {"title": 1}, "tasks", precondition=wrong)
    with pytest.raises(NotFound):
        store.patch("t", {"title": 1}, "tasks")
    with pytest.raises(PreconditionRequired):
        store.put("t", {"title": "x"}, "tasks")
    with pytest.raises(PreconditionFailed):
        store.put("t", {"title": "x"}, "tasks", precondition=wrong)
    with pytest.raises(QuotaExceeded):
        store.put("t", {"title": "x"}, "tasks", precondition=ABSENT)


def test_write_when_it_is_of_one_user_then_the_other_has_nothing_of_it(database):
    """U1: "The user is always the token's (tenant, `sub`)"."""
    ada, bob = Store(database), Store(database, identity=BOB)
    ada.put("a", {"x": 1})
    with pytest.raises(NotFound):
        bob.find("a")
    with pytest.raises(NotFound):
        bob.delete("a")
    assert bob.put("a", {"x": 2}).seq == 1
    assert (ada.find("a")["data"], ada.changes()["changes"][0]["data"]) == ({"x": 1}, {"x": 1})
    ada.clear()
    assert bob.find("a")["data"] == {"x": 2}
    assert (bob.page()["records"], bob.collections()) == ([bob.find("a")], {"notes": (1, 7, 1)})


def test_use_when_the_account_is_to_be_deleted_then_refused_and_after_it_nothing_is_left(database):
    """U16: "during the grace … data endpoints answer 403 `account_deletion_scheduled`"; "then every row … goes"."""
    store = Store(database)
    store.put("a", {"x": 1})
    store.put("b", {"x": 1}, "tasks")
    store.delete("b", "tasks")
    uses = [
        lambda: store.put("a", {}), lambda: store.delete("a"), store.batch, store.clear,
        lambda: store.find("a"), store.page, store.changes, store.collections, store.usage, store.preferences,
    ]  # fmt: skip
    store.do(lambda session: deletion.schedule(session, store.identity, timedelta(days=14), NOW))
    for use in uses:
        with pytest.raises(AccountDeletionScheduled):
            use()
    store.do(lambda session: deletion.cancel(session, store.identity, NOW))
    assert store.find("a")["seq"] == 1
    store.do(lambda session: deletion.schedule(session, store.identity, timedelta(0), NOW))
    for use in uses:
        with pytest.raises(AccountDeleted):
            use()
    store.do(lambda session: deletion.begin_anew(session, store.identity, NOW))
    assert (store.collections(), store.changes()["changes"], store.usage().records) == ({}, [], 0)
    store.refuse_wrong_numbers()
