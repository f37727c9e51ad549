"""Pages of records, the collections of a user, the usage: in order, bounded, and the stored text as it is."""

from datetime import timedelta

import orjson
import pytest

from app.records import reading
from app.records.errors import BadPageToken, NotFound
from app.records.overview import Usage, usage_document
from app.records.reading import CHUNK, ENVELOPE_BYTES
from app.records.terms import Limits, Terms
from app.users import deletion
from app.users.errors import AccountDeletionScheduled
from tests.support.records import BOB, Store

NAMES = ["-", "0", "9", "A", "Z", "_", "a", "a-b", "a_b", "aa", "z"]


def pages(store, **more):
    """Follow the tokens to the end."""
    found, token = [], None
    while True:
        page = store.page(token=token, **more)
        found.append([record["id"] for record in page["records"]])
        token = page["next"]
        if token is None:
            return found


def test_page_when_followed_then_every_living_record_once_by_id_on_both_databases(store):
    """§2: "GET `/v1/collections/{c}/records` `?limit&page` (by id)": in the order of their bytes."""
    for name in reversed(NAMES):
        store.put(name, {"n": name})
        store.put(name, {}, "tasks")
    store.put("gone", {})
    store.delete("gone")
    Store(store.database, identity=BOB).put("b", {})
    assert pages(store) == [NAMES]
    for size in (1, 2, 3, len(NAMES) - 1, len(NAMES), len(NAMES) + 1):
        found = pages(store, size=size)
        assert [name for page in found for name in page] == NAMES
        assert all(len(page) == size for page in found[:-1])
    assert store.page(size=2)["records"] == [store.find("-"), store.find("0")]


def test_page_when_records_come_and_go_meanwhile_then_the_others_are_not_moved(store):
    for name in ("b", "d", "f"):
        store.put(name, {})
    token = store.page(size=2)["next"]
    store.put("a", {})
    store.put("e", {})
    store.delete("d")
    assert [record["id"] for record in store.page(token=token)["records"]] == ["e", "f"]


def test_page_when_the_collection_is_not_there_then_empty_and_of_an_impossible_one_not_found(store):
    assert store.page() == {"records": [], "next": None}
    store.put("a", {})
    assert store.page("tasks") == {"records": [], "next": None}
    with pytest.raises(NotFound):
        store.page("Tasks")


def test_page_when_its_size_is_wished_for_then_coerced(database):
    """§5: "page 100 by default, 500 at most (coerced)"."""
    store = Store(database, Terms(Limits(page_size_default=2, page_size_max=3)))
    for name in "abcd":
        store.put(name, {})
    sizes = {None: 2, -1: 1, 0: 1, 1: 1, 3: 3, 4: 3, 10**30: 3}
    assert {size: len(store.page(size=size)["records"]) for size in sizes} == sizes
    assert {size: len(store.changes(size=size)["changes"]) for size in sizes} == sizes


def test_page_when_it_needs_several_statements_then_nothing_is_missed_or_twice(store):
    names = [f"r{number:03d}" for number in range(CHUNK + 2)]
    store.do(lambda session: [batch_of(session, store, names[at : at + 50]) for at in range(0, len(names), 50)])
    for size in (CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 2, CHUNK + 3):
        assert [name for page in pages(store, size=size) for name in page] == names
        page = store.changes(size=size)
        assert [change["id"] for change in page["changes"]] == names[:size]
        assert page["has_more"] is (size < len(names))
        rest = store.changes(page["cursor"], size=size)["changes"]
        assert [change["id"] for change in rest] == names[size:]


def test_glance_when_one_statement_tells_all_then_a_page_else_nothing(store, monkeypatch):
    """Database.look sees each statement's own moment: what takes two is left to page()."""
    assert store.glance() is None, "no account: perhaps it was erased"
    store.put("a", {})
    store.put("b", {})
    store.put("elsewhere", {}, collection="tasks")
    page = store.glance()
    assert page is not None
    assert (len(page.items), page.next, page.seq) == (2, None, 3)
    empty = store.glance("nothing")
    assert empty is not None
    assert (empty.items, empty.next, empty.seq) == ((), None, 3)
    assert store.glance(size=CHUNK - 1) == page
    assert store.glance(size=CHUNK) is None
    assert store.glance("no name") is None
    monkeypatch.setattr(reading, "WALK", 2)
    assert store.glance() is None, "there may be more than was walked"
    first = store.glance(size=1)
    assert first is not None
    assert first.next is not None


def test_glance_when_the_account_is_about_to_go_then_left_to_who_refuses_it(store):
    """U16: within the grace, 410 with the time; afterwards erased."""
    store.put("a", {})
    store.do(lambda session: deletion.schedule(session, store.identity, timedelta(days=1), store.now))
    assert store.glance() is None
    with pytest.raises(AccountDeletionScheduled):
        store.page()


def batch_of(session, store, names):
    from app.records import batch, operations
    from app.records.operation_shapes import Batch

    wishes = Batch(tuple(operations.put("notes", name, {}) for name in names))
    return batch.run(session, store.identity, wishes, store.terms, store.now)


def test_page_when_it_would_be_too_large_then_short_and_it_leads_on(database):
    """§5: "answer ≤ 4 MiB (short page, `has_more`)"; one item at least."""
    size = 1000
    store = Store(database, Terms(Limits(answer_bytes=ENVELOPE_BYTES + 3 * size)))
    names = ["a", "b", "c", "d", "e", "f"]
    for name in names:
        store.put(name, {"x": "y" * (5 * size if name == "e" else size - 300)})
    found = pages(store)
    assert found == [["a", "b", "c"], ["d"], ["e"], ["f"]]
    page_of, limits = reading.page, store.terms.limits
    whole = store.read(lambda session: page_of(session, store.identity, "notes", limits, store.now))
    assert 2 * size < len(whole.body()) <= limits.answer_bytes
    cursor, changed = None, []
    while True:
        page = store.changes(cursor)
        changed.append([change["id"] for change in page["changes"]])
        cursor = page["cursor"]
        if not page["has_more"]:
            break
    assert changed == found


def test_page_when_the_token_was_not_given_for_it_then_refused(store):
    """§2: "400 `bad_page_token`"."""
    for name in "abc":
        store.put(name, {})
    token = store.page(size=1)["next"]
    assert len(store.page(token=token)["records"]) == 2
    with pytest.raises(BadPageToken):
        store.page("tasks", token=token)
    for bad in ("", "x", token + "=", token[:-1], token + "A", "ä", "\x00", "cjF8bm90ZXN8", "A" * 10_000, token * 50):
        with pytest.raises(BadPageToken):
            store.page(token=bad)


def test_answers_when_written_then_the_stored_text_is_spliced_as_it_is(store):
    """§6: "record lists are dumped by splicing the stored JSON text"."""
    from sqlalchemy import update

    from app.records.changes import Question, changes
    from app.records.models import RecordRow
    from app.records.reading import page

    store.put("a", {"x": 1})
    odd = '{ "spelt" :\t"in \\u0061n odd way" }'
    mine = RecordRow.user_key == store.identity.user_key
    store.do(lambda session: session.execute(update(RecordRow).where(mine).values(data=odd)))
    limits = store.terms.limits
    bodies = [
        store.read(lambda session: page(session, store.identity, "notes", limits, store.now)).body(),
        store.read(lambda session: changes(session, store.identity, Question(), limits, store.now)).body(),
    ]
    for body in bodies:
        assert odd.encode() in body
        orjson.loads(body)


def test_collections_when_listed_then_counted_exactly_and_only_while_they_hold_something(store):
    """§2: "GET `/v1/collections` … `[{name, count, bytes, seq, schema_url}]`"."""
    assert store.collections() == {}
    store.put("a", {"x": "ü"})
    store.put("b", {})
    store.put("a", {}, "tasks")
    assert store.collections() == {"notes": (2, 12, 2), "tasks": (1, 2, 3)}
    store.put("a", {})
    store.delete("b")
    assert store.collections() == {"notes": (1, 2, 5), "tasks": (1, 2, 3)}
    store.delete("a")
    assert store.collections() == {"tasks": (1, 2, 3)}
    store.put("a", {})
    assert store.collections() == {"notes": (1, 2, 7), "tasks": (1, 2, 3)}
    store.refuse_wrong_numbers()


def test_usage_when_asked_then_what_is_kept_beside_the_limits(store):
    assert store.usage() == Usage(0, 0, 0, 0)
    store.put("a", {"x": 1})
    store.put("a", {}, "tasks")
    store.delete("a", "tasks")
    assert store.usage() == Usage(1, 1, 7, 3)
    assert usage_document(store.usage(), Limits()) == {
        "collections": 1, "records": 1, "bytes": 7,
        "limits": {"collections": 64, "records_per_collection": 10_000, "bytes": 52_428_800, "record_bytes": 65_536},
    }  # fmt: skip
