"""The profile's life: made at first use, in step with the tenant, patched by its user alone. On both databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.db import Database
from app.users import account as accounts
from app.users.errors import AccountMissing, FieldReadOnly, ValidationFailed
from app.users.facts import TenantFacts
from app.users.identity import Identity
from app.users.models import Account
from app.users.profiles import Profile, as_document, changes_anything, find, observe, patch
from app.users.validation import MAX_MEMBERS

ADA = Identity("https://tenant.example/", "auth0|ada")
BOB = Identity("https://tenant.example/", "auth0|bob")
NOW = datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TOLD = TenantFacts(
    {"name": "Ada", "email": "ada@example.org", "email_verified": True, "roles": ["editor"]}, told_at=100
)
NOTHING = TenantFacts({})


def visit(database: Database, facts: TenantFacts = TOLD, identity: Identity = ADA, now: datetime = NOW) -> Profile:
    return database.transact(lambda session: observe(session, identity, facts, now))


def change(database: Database, document: Any, identity: Identity = ADA, now: datetime = LATER) -> Profile:
    return database.transact(lambda session: patch(session, identity, document, lambda _profile: None, now))


def stored(database: Database, identity: Identity = ADA) -> Profile | None:
    with database.read() as session:
        return find(session, identity, NOW)


def head(database: Database) -> int:
    """The account's own counter."""
    with database.read() as session:
        return session.get_one(Account, ADA.user_key).seq


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


# Made just in time, and kept in step


def test_observe_when_the_user_comes_first_then_the_account_is_made_from_the_claims(database):
    """U10: "`/v1/me` is made just in time at first use, from the token's claims"."""
    assert stored(database) is None
    profile = visit(database)
    assert profile == stored(database)
    assert (profile.subject, profile.seq, profile.state) == ("auth0|ada", 1, "active")
    assert (profile.created_at, profile.updated_at) == (NOW, NOW)
    assert {name: value for name, value in profile.members.items() if value} == TOLD.told


def test_observe_when_nothing_is_told_then_an_account_of_nulls_with_a_seq(database):
    profile = visit(database, NOTHING)
    assert profile.seq == 1
    assert not any(profile.members.values())


def test_observe_when_two_users_come_then_each_has_an_epoch_of_its_own(database):
    visit(database)
    visit(database, identity=BOB)
    with database.read() as session:
        epochs = {session.get_one(Account, who.user_key).epoch for who in (ADA, BOB)}
    assert len(epochs) == 2
    assert all(len(epoch) == 8 for epoch in epochs)


def test_changes_anything_when_the_same_is_told_again_then_no(database):
    """U11: "A read costs no write unless something changed"."""
    profile = visit(database)
    assert not changes_anything(profile, TOLD)
    assert not changes_anything(profile, NOTHING)
    assert changes_anything(profile, TenantFacts({"name": "Ada Lovelace"}, told_at=100))


def test_observe_when_the_same_is_told_again_then_no_seq_is_taken(database):
    first = visit(database)
    assert visit(database, now=LATER) == first
    assert head(database) == 1


def test_observe_when_something_else_is_told_then_it_is_taken_with_a_new_seq(database):
    visit(database)
    profile = visit(database, TenantFacts({"name": "Ada Lovelace", "locale": "en-GB"}, told_at=101), now=LATER)
    assert (profile.members["name"], profile.members["locale"]) == ("Ada Lovelace", "en-GB")
    assert (profile.seq, profile.created_at, profile.updated_at, profile.told_at) == (2, NOW, LATER, 101)


def test_observe_when_an_older_token_comes_by_then_it_changes_nothing(database):
    """U11: two devices with tokens of different age must not write in turns for ever."""
    visit(database)
    newer = visit(database, TenantFacts({"email": "new@example.org", "email_verified": True}, told_at=200))
    assert not changes_anything(newer, TOLD)
    assert visit(database) == newer


def test_observe_when_nobody_knows_when_it_was_told_then_it_counts(database):
    visit(database)
    profile = visit(database, TenantFacts({"name": "Ada Lovelace"}))
    assert (profile.members["name"], profile.told_at) == ("Ada Lovelace", 100)


def test_observe_when_the_user_has_set_a_member_then_claims_do_not_overwrite_it(database):
    """U11: "claims never overwrite what the user or the operator has set"."""
    visit(database)
    change(database, {"name": "Countess", "nickname": None})
    told = TenantFacts({"name": "Ada L.", "nickname": "ada", "locale": "en-GB"}, told_at=300)
    members = visit(database, told).members
    assert (members["name"], members["nickname"], members["locale"]) == ("Countess", None, "en-GB")


def test_observe_when_the_operator_has_set_roles_then_claims_do_not_overwrite_them(database):
    visit(database)

    def set_by_operator(session: Any) -> None:
        account = accounts.lock(session, ADA, NOW)
        account.roles, account.sources = '["admin"]', '{"roles":"operator"}'

    database.transact(set_by_operator)
    assert visit(database, TenantFacts({"roles": []}, told_at=300)).members["roles"] == ["admin"]


def test_observe_when_the_user_has_patched_all_then_the_email_still_follows_the_tenant(database):
    """U11: "`email` and `email_verified` always follow the tenant"."""
    visit(database)
    change(database, {"name": "Countess"})
    members = visit(database, TenantFacts({"email": "b@example.org", "email_verified": True}, told_at=300)).members
    assert (members["email"], members["email_verified"]) == ("b@example.org", True)


def test_observe_when_a_new_email_comes_without_its_verification_then_it_counts_as_unknown(database):
    visit(database)
    members = visit(database, TenantFacts({"email": "mallory@example.org"}, told_at=300)).members
    assert (members["email"], members["email_verified"]) == ("mallory@example.org", None)


def test_observe_when_the_same_email_comes_without_its_verification_then_it_stays_verified(database):
    visit(database)
    assert visit(database, TenantFacts({"email": "ada@example.org"}, told_at=300)).members["email_verified"] is True


# Patched


def test_patch_when_members_are_named_then_those_change_and_no_other(database):
    visit(database)
    profile = change(database, {"name": "Countess", "attributes": {"colour": "green", "size": {"w": 1, "h": 2}}})
    assert (profile.seq, profile.created_at, profile.updated_at) == (2, NOW, LATER)
    profile = change(database, {"attributes": {"size": {"h": None}, "new": [1]}})
    assert profile.members["attributes"] == {"colour": "green", "size": {"w": 1}, "new": [1]}
    assert (profile.members["name"], profile.members["email"]) == ("Countess", "ada@example.org")
    assert profile == stored(database)


@pytest.mark.parametrize(
    ("document", "name", "value"), [({"name": None}, "name", None), ({"attributes": None}, "attributes", {})]
)
def test_patch_when_a_member_is_null_then_it_is_cleared(database, document, name, value):
    visit(database)
    change(database, {"attributes": {"a": 1}})
    assert change(database, document).members[name] == value


def test_patch_when_it_changes_nothing_then_no_seq_is_taken_and_the_etag_stays(database):
    visit(database)
    before = change(database, {"attributes": {"a": 1}})
    for document in ({}, {"name": "Ada"}, {"attributes": {"a": 1}}, {"attributes": {"b": None}}):
        profile = change(database, document, now=LATER + timedelta(hours=1))
        assert (profile.seq, profile.updated_at, profile.members) == (before.seq, before.updated_at, before.members)
    assert head(database) == before.seq


def test_patch_when_the_value_is_confirmed_then_it_is_the_users_from_then_on(database):
    visit(database)
    change(database, {"name": "Ada"})
    assert visit(database, TenantFacts({"name": "Other"}, told_at=300)).members["name"] == "Ada"


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False)])
def test_patch_when_only_the_json_type_differs_then_it_is_a_change(database, old, new):
    visit(database)
    before = change(database, {"attributes": {"a": old}})
    after = change(database, {"attributes": {"a": new}})
    assert after.seq == before.seq + 1
    assert type(after.members["attributes"]["a"]) is type(new)


def test_patch_when_the_check_refuses_then_nothing_changes_and_no_seq_is_taken(database):
    """§7: "(3) read the touched rows, preconditions": under the lock, so it sees what is current."""
    visit(database)
    seen: list[int] = []

    def check(profile: Profile) -> None:
        seen.append(profile.seq)
        raise LookupError

    with pytest.raises(LookupError):
        database.transact(lambda session: patch(session, ADA, {"name": "Countess"}, check, LATER))
    assert seen == [1]
    assert (stored(database), head(database)) == (visit(database), 1)


def test_patch_when_the_merged_document_will_not_do_then_refused_and_nothing_changes(database):
    """U14: "The merged document is validated, not the patch"."""
    before = visit(database)
    change(database, {"attributes": {"a": "x" * 10_000}})
    with pytest.raises(ValidationFailed) as caught:
        change(database, {"attributes": {"b": "x" * 10_000}, "unknown": None})
    assert {fault["pointer"] for fault in caught.value.errors} == {"/attributes", "/unknown"}
    assert head(database) == before.seq + 1


def test_patch_when_the_limit_is_a_setting_then_that_one_counts(database):
    visit(database)
    document = {"attributes": {"a": "x" * 100}}
    with pytest.raises(ValidationFailed):
        database.transact(lambda session: patch(session, ADA, document, lambda _: None, NOW, max_attributes_bytes=99))


def test_patch_when_it_is_nested_too_deep_then_refused(database):
    visit(database)
    nested: dict[str, Any] = {}
    for _ in range(100):
        nested = {"a": nested}
    with pytest.raises(ValidationFailed):
        change(database, {"attributes": nested})


def test_patch_when_it_has_too_many_members_then_no_statement_is_sent(database):
    """It was found under the user's lock, after an error had been made for each."""
    visit(database)
    with statements(database) as sent, pytest.raises(ValidationFailed):
        change(database, {f"m{number}": 1 for number in range(MAX_MEMBERS + 1)})
    assert not [statement for statement in sent if "accounts" in statement]


def test_patch_when_it_names_a_read_only_member_then_no_statement_is_sent(database):
    visit(database)
    with statements(database) as sent, pytest.raises(FieldReadOnly):
        change(database, {"email": "mallory@example.org"})
    assert not [statement for statement in sent if "accounts" in statement]


def test_patch_when_there_is_no_account_then_it_says_so(database):
    with pytest.raises(AccountMissing):
        change(database, {"name": "Ada"})


def test_patch_when_text_is_of_any_language_then_it_comes_back_as_it_went(database):
    visit(database)
    name = "名前 👩‍🚀 Zoë \\u0000 'quote\" %s :x"
    profile = change(database, {"name": name, "attributes": {name: [name, 2**63, -1.5e300]}})
    assert profile == stored(database)
    assert (profile.members["name"], profile.members["attributes"]) == (name, {name: [name, 2**63, -1.5e300]})


# Nobody else's


def test_every_function_when_called_for_bob_then_ada_is_neither_read_nor_changed(database):
    """U1: "The user is always the token's (tenant, `sub`)"."""
    ada = visit(database)
    others = [BOB, Identity("https://other.example/", ADA.subject), Identity(ADA.tenant, "AUTH0|ADA")]
    for other in others:
        assert stored(database, other) is None
        with pytest.raises(AccountMissing):
            change(database, {"name": "Mallory"}, other)
        visit(database, TenantFacts({"name": "Mallory"}), other)
        change(database, {"attributes": {"a": 1}}, other)
        found = stored(database, other)
        assert found is not None
        assert found.subject == other.subject
        assert "email" not in {name for name, value in found.members.items() if value}
    assert stored(database) == ada


def test_every_statement_when_sent_then_it_is_filtered_by_the_users_key(database):
    """§7: "every statement of a request has `user_key =`, so each request touches one shard"."""
    with statements(database) as sent:
        visit(database)
        stored(database)
        change(database, {"name": "Countess", "attributes": {"a": 1}})
        change(database, {})
    about_accounts = [statement for statement in sent if "accounts" in statement]
    assert len(about_accounts) > 5
    for statement in about_accounts:
        assert statement.startswith("INSERT INTO accounts (user_key") or "WHERE accounts.user_key =" in statement


def test_patch_when_sent_then_the_row_is_locked_before_anything_is_read(database):
    """§7: "(1) lock the account's row … (`UPDATE accounts SET seq = seq + :n … RETURNING`)"."""
    visit(database)
    with statements(database) as sent:
        change(database, {"name": "Countess"})
    first = next(statement for statement in sent if "accounts" in statement)
    assert first.startswith("UPDATE accounts SET seq=(accounts.seq + ")
    assert "RETURNING" in first


# Shown


def test_as_document_when_with_email_then_the_shape_and_order_of_the_contract(database):
    """§3: GET /v1/me."""
    visit(database)
    document = as_document(change(database, {"attributes": {"a": 1}}), with_email=True)
    assert list(document) == [
        "sub", "name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo", "email",
        "email_verified", "roles", "app_attributes", "attributes", "etag", "seq", "created_at", "updated_at",
    ]  # fmt: skip
    assert (document["sub"], document["roles"], document["app_attributes"]) == ("auth0|ada", ["editor"], {})
    assert (document["etag"], document["seq"]) == ('"2"', 2)
    assert (document["created_at"], document["updated_at"]) == ("2026-11-21T12:00:00.123Z", "2026-11-21T13:00:00.123Z")


def test_as_document_when_without_email_then_it_has_an_etag_of_its_own(database):
    """U13: "A form without the e-mail has the ETag `"42-p"`"."""
    document = as_document(visit(database), with_email=False)
    assert not {"email", "email_verified"} & document.keys()
    assert (document["etag"], document["seq"]) == ('"1-p"', 1)
