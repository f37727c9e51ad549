"""What the operator sets of a user: whose word counts, what devices see, what is written down. On both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import func, select

from app.db import Database
from app.records.changes import Question, changes
from app.records.terms import Limits
from app.users import deletion, operating
from app.users.errors import AccountDeleted, AccountMissing, ValidationFailed
from app.users.facts import MAX_ROLE_LENGTH, MAX_ROLES, TenantFacts
from app.users.models import Account, OperatorChange
from app.users.operating import Outcome, Use
from app.users.profiles import Profile, find, observe, patch
from app.users.validation import MAX_ATTRIBUTES_DEPTH
from tests.support.records import ADA, BOB, NOW

LATER = NOW + timedelta(hours=1)


def use(operator: str = "grace", at=NOW) -> Use:
    return Use(str(uuid4()), operator, at)


@pytest.fixture
def known(database: Database) -> Database:
    """Ada has been here, with roles and attributes in her token."""
    told(database, roles=["reader"], app_attributes={"plan": "free", "seats": 1})
    return database


def told(database: Database, told_at: int = 1, **members: Any) -> Profile:
    return database.transact(lambda session: observe(session, ADA, TenantFacts(members, told_at), NOW))


def profile(database: Database) -> Profile:
    with database.read() as session:
        found = find(session, ADA, NOW)
    assert found is not None
    return found


def roles(database: Database, *names: str, **more: Any) -> Outcome:
    return database.transact(lambda session: operating.set_roles(session, ADA, names, use(), **more))


def attributes(database: Database, document: Any, **more: Any) -> Outcome:
    return database.transact(lambda session: operating.set_attributes(session, ADA, document, use(), **more))


def written_down(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(OperatorChange)) or 0


def history(database: Database) -> list[operating.Entry]:
    return database.transact(lambda session: operating.history(session, ADA, use("auditor", LATER)))


def changed_since(database: Database, cursor: str | None) -> tuple[list[dict[str, Any]], str]:
    question = Question(cursor, with_profile=True)
    with database.read() as session:
        page = orjson.loads(changes(session, ADA, question, Limits(), NOW).body())
    return page["changes"], page["cursor"]


# Whose word counts


def test_set_roles_when_a_token_says_otherwise_then_the_operators_stay(known: Database):
    """U11: "claims never overwrite what the user or the operator has set"."""
    assert roles(known, "editor", "admin", "editor").after == ["editor", "admin"]
    assert told(known, told_at=9, roles=["reader"], app_attributes={"plan": "team"}).members["roles"] == [
        "editor", "admin",
    ]  # fmt: skip
    # Only what was set: the attributes still follow.
    assert profile(known).members["app_attributes"] == {"plan": "team"}
    assert profile(known).sources == {"roles": "operator"}


def test_follow_tenant_when_asked_then_as_it_is_until_the_next_token(known: Database):
    roles(known, "admin")
    before = profile(known)
    outcome = known.transact(lambda session: operating.follow_tenant(session, ADA, "roles", use()))
    assert (outcome.source_before, outcome.source, outcome.changed) == ("operator", "tenant", False)
    assert (profile(known).members, profile(known).seq) == (before.members, before.seq)
    assert told(known, told_at=9, roles=["reader"]).members["roles"] == ["reader"]


def test_set_attributes_when_merged_then_what_is_not_named_stays_and_null_takes_out(known: Database):
    """RFC 7396, as everywhere in this API; `replace` puts the document in the place of what is there."""
    assert attributes(known, {"plan": "pro", "seats": None, "more": {"a": 1}}).after == {
        "plan": "pro",
        "more": {"a": 1},
    }
    assert attributes(known, {"plan": "pro"}, replace=True).after == {"plan": "pro"}
    assert told(known, told_at=9, app_attributes={"plan": "free"}).members["app_attributes"] == {"plan": "pro"}


def test_patch_when_the_user_tries_then_the_operators_members_are_not_the_users(known: Database):
    roles(known, "admin")
    known.transact(lambda session: patch(session, ADA, {"name": "Ada"}, lambda _profile: None, NOW))
    assert profile(known).sources == {"roles": "operator", "name": "user"}


# What devices see


def test_set_when_changed_then_a_seq_and_the_change_feed_has_it(known: Database):
    """U13: "The profile has a `seq` of its own"; a device that polls learns of it."""
    _, cursor = changed_since(known, None)
    before = profile(known).seq
    outcome = roles(known, "editor")
    assert outcome.changed
    assert outcome.seen.profile.seq == outcome.seen.head == before + 1
    (change,), cursor = changed_since(known, cursor)
    assert (change["kind"], change["roles"], change["seq"]) == ("profile", ["editor"], before + 1)
    attributes(known, {"plan": "pro"})
    (change,), _ = changed_since(known, cursor)
    assert change["app_attributes"] == {"plan": "pro", "seats": 1}


def test_set_when_nothing_changes_then_no_seq_but_the_source_and_a_line(known: Database):
    before, (_, cursor) = profile(known), changed_since(known, None)
    assert not roles(known, "reader").changed
    assert not attributes(known, {}).changed
    after = profile(known)
    assert (after.seq, after.updated_at) == (before.seq, before.updated_at)
    assert after.sources == {"roles": "operator", "app_attributes": "operator"}
    assert changed_since(known, cursor)[0] == []
    assert written_down(known) == 2


def test_set_when_another_user_is_there_then_untouched(known: Database):
    other = known.transact(lambda session: observe(session, BOB, TenantFacts({"roles": ["reader"]}, 1), NOW))
    roles(known, "admin")
    with known.read() as session:
        assert find(session, BOB, NOW) == other


# What cannot be stored


@pytest.mark.parametrize(
    ("names", "pointer"),
    [
        ([""], "/roles/0"),
        (["a", "x" * (MAX_ROLE_LENGTH + 1)], "/roles/1"),
        (["a\x1b[31m"], "/roles/0"),
        ([f"r{number}" for number in range(MAX_ROLES + 1)], "/roles"),
    ],
)
def test_set_roles_when_they_cannot_be_stored_then_refused_and_nothing_written(known: Database, names, pointer):
    before = profile(known)
    with pytest.raises(ValidationFailed) as refused:
        roles(known, *names)
    assert [error["pointer"] for error in refused.value.errors] == [pointer]
    assert (profile(known), written_down(known)) == (before, 0)


def test_set_roles_when_at_the_limits_then_stored(known: Database):
    most = [f"{number:0{MAX_ROLE_LENGTH}}" for number in range(MAX_ROLES)]
    assert roles(known, *most).after == most
    assert roles(known).after == []


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth > 1 else {}


def of_bytes(size: int) -> dict[str, str]:
    return {"a": "x" * (size - len('{"a":""}'))}


@pytest.mark.parametrize("document", [[], None, "x", nested(MAX_ATTRIBUTES_DEPTH + 1), of_bytes(101)])
@pytest.mark.parametrize("replace", [True, False])
def test_set_attributes_when_they_cannot_be_stored_then_refused(known: Database, document, replace):
    before = profile(known)
    with pytest.raises(ValidationFailed):
        attributes(known, document, replace=replace, max_bytes=100 if isinstance(document, dict) else 16_384)
    assert (profile(known), written_down(known)) == (before, 0)


def test_set_attributes_when_at_the_limits_then_stored_and_the_merged_document_counts(known: Database):
    """U14: "The merged document is validated, not the patch"."""
    assert attributes(known, of_bytes(100), replace=True, max_bytes=100).changed
    with pytest.raises(ValidationFailed):
        attributes(known, {"b": 1}, max_bytes=100)
    deepest = nested(MAX_ATTRIBUTES_DEPTH)
    assert attributes(known, deepest, replace=True).after == deepest


# The account


def test_set_when_there_is_no_account_then_refused_unless_it_may_be_made(database: Database):
    """A slip of the pen makes no account; a role may be given before the first login."""
    with pytest.raises(AccountMissing):
        roles(database, "editor")
    assert written_down(database) == 0
    outcome = roles(database, "editor", may_make=True)
    assert (outcome.made, outcome.changed) == (True, True)
    first = told(database, roles=["reader"], name="Ada")
    assert (first.members["roles"], first.members["name"]) == (["editor"], "Ada")
    assert not roles(database, "editor", may_make=True).made


def test_look_when_there_is_no_account_then_refused_and_nothing_is_left_of_it(database: Database):
    """A row of a user who has no account would never be erased."""
    for look in (operating.show, operating.history):
        with pytest.raises(AccountMissing):
            database.transact(lambda session, look=look: look(session, ADA, use()))
    with pytest.raises(AccountMissing):
        database.transact(lambda session: operating.follow_tenant(session, ADA, "roles", use()))
    with database.read() as session:
        assert session.get(Account, ADA.user_key) is None
    assert written_down(database) == 0


@pytest.mark.parametrize("purged", [True, False], ids=["purged", "purge late"])
def test_every_use_when_the_user_was_erased_then_refused_and_nothing_comes_back(known: Database, purged):
    """U16: only `POST /v1/me` makes a new account."""
    grace = timedelta(0) if purged else timedelta(minutes=1)
    known.transact(lambda session: deletion.schedule(session, ADA, grace, NOW - timedelta(days=1)))
    for work in (
        lambda session: operating.set_roles(session, ADA, ["admin"], use(), may_make=True),
        lambda session: operating.set_roles(session, ADA, ["admin"], use()),
        lambda session: operating.set_attributes(session, ADA, {}, use(), may_make=True),
        lambda session: operating.follow_tenant(session, ADA, "roles", use()),
        lambda session: operating.show(session, ADA, use()),
        lambda session: operating.history(session, ADA, use()),
    ):
        with pytest.raises(AccountDeleted):
            known.transact(work)
    assert written_down(known) == 0
    with known.read() as session:
        assert (session.get(Account, ADA.user_key) is None) is purged


def test_set_when_in_the_grace_then_it_counts_for_a_user_who_thinks_better_of_it(known: Database):
    scheduled = known.transact(lambda session: deletion.schedule(session, ADA, timedelta(days=1), NOW))
    outcome = roles(known)
    assert (outcome.seen.profile.state, outcome.seen.purge_at) == ("scheduled", scheduled.purge_at)
    known.transact(lambda session: deletion.cancel(session, ADA, NOW))
    assert profile(known).members["roles"] == []


# What is written down


def test_history_when_read_then_every_use_in_order_the_reading_too(known: Database):
    """§2: "each use written to an audit table"."""
    roles(known, "admin")
    attributes(known, {"plan": "pro"})
    known.transact(lambda session: operating.show(session, ADA, use("hopper", LATER)))
    found = history(known)
    assert [entry.use.at for entry in found] == [NOW, NOW, LATER, LATER]
    by_action = {entry.action: entry for entry in found}
    assert set(by_action) == {"set-roles", "set-attributes", "show", "history"}
    assert by_action["set-roles"].before == {"roles": ["reader"], "source": "tenant"}
    assert by_action["set-roles"].after == {"roles": ["admin"], "source": "operator"}
    assert by_action["set-attributes"].after == {"app_attributes": {"plan": "pro", "seats": 1}, "source": "operator"}
    assert (by_action["show"].before, by_action["show"].after) == (None, None)
    assert by_action["history"].use.operator == "auditor"


def test_set_when_the_transaction_fails_then_neither_the_change_nor_its_line(known: Database):
    """The line stands in the transaction of its effect."""
    before = profile(known)

    def work(session: Any) -> None:
        operating.set_roles(session, ADA, ["admin"], use())
        raise RuntimeError("afterwards")

    with pytest.raises(RuntimeError):
        known.transact(work)
    assert (profile(known), written_down(known)) == (before, 0)


def test_set_attributes_when_two_operators_merge_at_once_then_both_survive_and_naively_one_is_lost(known: Database):
    """U14 for the operator: under the user's lock nothing is written over."""
    attributes(known, {}, replace=True)
    names = [f"m{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: attributes(known, {name: 1}), names))
    assert set(profile(known).members["app_attributes"]) == set(names)
    attributes(known, {}, replace=True)
    have_read = threading.Barrier(2)

    def naive(name: str) -> None:
        current = profile(known).members["app_attributes"]
        have_read.wait(20)
        attributes(known, {**current, name: 1}, replace=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(naive, names[:2]))
    assert len(profile(known).members["app_attributes"]) == 1
