"""All that is stored of a user, as lines: complete, checked, of one moment. On both databases."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import insert

from app.db import Base, Database
from app.oauth.revocation.entry import of_user
from app.records import operations
from app.records.export import export
from app.records.models import RecordRow
from app.records.reading import CHUNK
from app.stores import kept_of_user
from app.stores.idempotency_models import IdempotencyRow
from app.stores.revocations import Revocations
from app.users import deletion, exports, operating
from app.users.errors import AccountDeleted, AccountDeletionScheduled
from app.users.facts import TenantFacts
from app.users.models import Account
from app.users.operating import Use
from app.users.profiles import observe
from tests.support.records import ADA, BOB, NOW, Store


def lines_of(database: Database, identity=ADA) -> list[bytes]:
    with database.read() as session:
        return list(export(session, identity, NOW, kept_of_user.documents(session, identity)))


def checked(lines: list[bytes]) -> list[dict[str, Any]]:
    """Read an export as its user would: the footer speaks of every byte before it."""
    *before, last = lines
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    sha256 = hashlib.sha256(b"".join(before)).hexdigest()
    assert orjson.loads(last) == {"type": "footer", "lines": len(before), "sha256": sha256}
    return [orjson.loads(line) for line in before]


def exported(database: Database, identity=ADA) -> list[dict[str, Any]]:
    return checked(lines_of(database, identity))


def of_type(documents: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["type"] == name]


def use(hours: int = 0) -> Use:
    return Use(str(uuid4()), "grace", NOW + timedelta(hours=hours))


def fill_everything(store: Store) -> None:
    """Use everything that keeps something of a user."""
    database, facts = store.database, TenantFacts({"name": "Ada", "email": "ada@example.org", "roles": ["reader"]}, 7)
    database.transact(lambda session: observe(session, store.identity, facts, NOW))
    store.write(operations.put_preferences({"theme": "dark"}, origin="phone"))
    for record_id in ("b", "a", "gone"):
        store.put(record_id, {"text": f"é {record_id}", "n": 1.0}, origin="phone")
    store.put("z", {}, "another")
    store.delete("gone", origin="tablet")
    database.transact(lambda session: operating.set_roles(session, store.identity, ["editor"], use()))
    database.transact(lambda session: exports.begin(session, store.identity, 5, NOW))
    Revocations(database).add(of_user(store.identity.subject, last_second=1, now=2, longest_seconds=3), at=NOW)
    kept = {"fingerprint": "0" * 64, "status": 201, "fields": "{}", "body": b"{}", "created_at": NOW}
    key = {"user_key": store.identity.user_key, "key": f"key-of-{store.identity.subject}"}
    database.transact(lambda session: session.execute(insert(IdempotencyRow).values(**key, **kept)))


def test_export_when_everything_was_used_then_all_of_it_in_order_and_nothing_of_others(store: Store):
    """§3: `{"type":"header","format":1,"sub":…}`, `{"type":"profile",…}`, `{"type":"record",…}`, …"""
    fill_everything(Store(store.database, identity=BOB))
    before = lines_of(store.database, BOB)
    fill_everything(store)
    documents = exported(store.database)
    assert [document["type"] for document in documents] == [
        "header", "profile", "preferences", "record", "record", "record", "tombstone", "operator_change", "export",
        "revocation", "idempotency_key",
    ]  # fmt: skip
    header, profile, *_ = documents
    told = {"format": 1, "sub": ADA.subject, "exported_at": "2026-11-21T12:00:00.123Z", "tenant": ADA.tenant}
    assert header == {"type": "header", **told}
    assert (profile["name"], profile["email"], profile["roles"]) == ("Ada", "ada@example.org", ["editor"])
    assert (profile["sources"], profile["told_at"], profile["state"]) == ({"roles": "operator"}, 7, "active")
    records = [(found["collection"], found["id"]) for found in of_type(documents, "record")]
    assert records == [("another", "z"), ("notes", "a"), ("notes", "b")]
    assert of_type(documents, "record")[1]["data"] == {"text": "é a", "n": 1.0}
    (tombstone,) = of_type(documents, "tombstone")
    assert (tombstone["id"], tombstone["deleted"], tombstone["origin"]) == ("gone", True, "tablet")
    assert of_type(documents, "preferences")[0]["preferences"] == {"theme": "dark"}
    (change,) = of_type(documents, "operator_change")
    assert (change["action"], change["before"]["roles"], change["after"]["roles"]) == (
        "set-roles", ["reader"], ["editor"],
    )  # fmt: skip
    assert BOB.subject.encode() not in b"".join(lines_of(store.database))
    assert lines_of(store.database, BOB) == before


def test_export_when_an_operator_acted_then_it_says_what_and_not_who(store: Store):
    """CJEU C-579/21: what was done with the data is the user's to know, the employee's name is not."""
    fill_everything(store)
    assert b"grace" not in b"".join(lines_of(store.database))


# What the export leaves out, with the reason; everything else that is kept of a user must stand in it.
_LEFT_OUT = {
    "user_key": "computed from tenant and sub",
    "accounts.epoch": "a random word that cursors are compared with",
    "accounts.seq": "a counter: the highest seq given out",
    "accounts.purged_seq": "a counter: the highest seq of a purged tombstone",
    "accounts.live": "counted from the records",
    "accounts.bytes": "counted from the records",
    "accounts.deletion_requested_at": "null: in the grace there is no export, GET /v1/me/deletion tells it",
    "accounts.purge_at": "the same",
    "records.bytes": "the length of data",
    "collections.count": "counted from the records",
    "collections.bytes": "the same",
    "collections.seq": "the highest seq of its records",
    "idempotency.fingerprint": "a hash of what was sent",
    "idempotency.fields": "part of an answer that repeats what is exported",
    "idempotency.body": "the same",
    "operator_changes.id": "a random id",
    "operator_changes.operator": "an employee's name: CJEU C-579/21",
}
_BY_ANOTHER_NAME = {
    "accounts.iss": ("header", "tenant"),
    "accounts.profile_seq": ("profile", "seq"),
    "records.deleted": ("tombstone", "deleted"),
    "preferences.data": ("preferences", "preferences"),
    "collections.name": ("record", "collection"),
}
_LINES = {
    "accounts": "profile",
    "records": "record",
    "collections": "record",
    "preferences": "preferences",
    "idempotency": "idempotency_key",
    "exports": "export",
    "operator_changes": "operator_change",
}


def test_export_when_a_column_is_kept_of_a_user_then_it_is_in_a_line_or_left_out_for_a_reason(store: Store):
    """GDPR art. 15: all of it; a new table or column has to be thought of here."""
    fill_everything(store)
    documents = {document["type"]: set(document) for document in exported(store.database)}
    missing = []
    for table in Base.metadata.sorted_tables:
        if "user_key" not in table.columns:
            continue
        for column in table.columns:
            place = f"{table.name}.{column.name}"
            if column.name in _LEFT_OUT or place in _LEFT_OUT:
                continue
            line, member = _BY_ANOTHER_NAME.get(place, (_LINES.get(table.name, ""), column.name))
            if member not in documents.get(line, ()):
                missing.append(place)
    assert missing == []


def test_export_when_there_is_no_account_then_header_and_footer_alone(database: Database):
    assert [document["type"] for document in exported(database)] == ["header"]
    with database.read() as session:
        assert session.get(Account, ADA.user_key) is None


@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_export_when_records_fill_chunks_then_each_stands_in_it_once(store: Store, count: int):
    store.put("first", {})
    rows = [row(number, collection=f"c{number % 3}") for number in range(count)]
    store.do(lambda session: session.execute(insert(RecordRow), rows))
    found = [(found["collection"], found["id"]) for found in of_type(exported(store.database), "record")]
    assert found == sorted([("notes", "first"), *((each["collection"], each["id"]) for each in rows)])


def row(number: int, collection: str = "notes") -> dict[str, Any]:
    seq, moved = 1000 + number, {"deleted": False, "data": "{}", "stored_bytes": 2, "origin": None, "updated_at": NOW}
    key = {"user_key": ADA.user_key, "collection": collection, "id": f"{number:06}"}
    return {**key, "seq": seq, "created_seq": seq, **moved}


def test_export_when_written_to_meanwhile_then_of_one_moment_and_two_snapshots_would_not_be(store: Store):
    """One consistent snapshot; its negative control reads the same lines from snapshots of their own."""
    store.put("first", {})
    rows = [row(number, "middle") for number in range(3 * CHUNK)]
    store.do(lambda session: session.execute(insert(RecordRow), rows))

    def meddle() -> None:
        """Every writer changes two records in one transaction: whoever sees one of them old sees both old."""
        store.batch(operations.put("aaa", "x", {"round": 1}), operations.put("zzz", "x", {"round": 1}))

    store.batch(operations.put("aaa", "x", {"round": 0}), operations.put("zzz", "x", {"round": 0}))
    lines = []
    with store.database.read() as session:
        for number, line in enumerate(export(session, ADA, NOW)):
            lines.append(line)
            if number == 5:
                meddle()
    rounds = [found["data"]["round"] for found in of_type(checked(lines), "record") if found["id"] == "x"]
    assert rounds == [0, 0]

    def round_of(collection: str) -> int:
        return store.find("x", collection)["data"]["round"]

    store.batch(operations.put("aaa", "x", {"round": 0}), operations.put("zzz", "x", {"round": 0}))
    first = round_of("aaa")
    meddle()
    assert (first, round_of("zzz")) == (0, 1)


def test_export_when_broken_off_then_what_arrived_has_no_footer_that_fits(store: Store):
    """§3: `{"type":"footer","lines":1234,"sha256":"…"}`: without one that fits, it is not all of it."""
    fill_everything(store)
    lines = lines_of(store.database)
    for kept in range(len(lines)):
        with pytest.raises((AssertionError, ValueError)):
            checked(lines[:kept])
    with pytest.raises(AssertionError):
        checked([*lines[:3], *lines[4:]])
    with pytest.raises(AssertionError):
        checked([lines[0].replace(b"ada", b"eve"), *lines[1:]])


def test_export_when_the_account_ends_then_refused_as_every_reader_is(store: Store):
    """U16: in the grace 403 `account_deletion_scheduled`, then 410 `account_deleted`."""
    store.put("a", {})
    store.do(lambda session: deletion.schedule(session, ADA, timedelta(days=1), NOW))
    with pytest.raises(AccountDeletionScheduled):
        lines_of(store.database)
    store.do(lambda session: deletion.cancel(session, ADA, NOW))
    store.do(lambda session: deletion.schedule(session, ADA, timedelta(0), NOW))
    with pytest.raises(AccountDeleted):
        lines_of(store.database)
