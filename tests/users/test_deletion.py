"""The end of an account: scheduled, cancelled, erased, and made anew by its user alone. On both databases."""

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, String, Table, delete, insert, inspect, select, text

from app.commands.db import upgrade
from app.db import Base, Database
from app.users import account as accounts
from app.users import deletion, erasure
from app.users.errors import (
    AccountDeleted,
    AccountDeletionScheduled,
    AccountExists,
    AccountMissing,
    UsersError,
    ValidationFailed,
)
from app.users.facts import TenantFacts
from app.users.identity import Identity
from app.users.models import Account, Erasure
from app.users.profiles import Profile, find, observe, patch
from app.users.standing import hash_of, is_erased

ADA = Identity("https://tenant.example/", "auth0|ada")
BOB = Identity("https://tenant.example/", "auth0|bob")
NOW = datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=UTC)
GRACE = timedelta(days=14)
AT_ONCE = timedelta(0)
LATER = NOW + timedelta(hours=1)
DUE = NOW + GRACE
JUST_BEFORE = DUE - timedelta(milliseconds=1)
RACES = 12
Outcome = Any


def visit(database: Database, identity: Identity = ADA, now: datetime = NOW) -> Profile:
    return database.transact(lambda session: observe(session, identity, TenantFacts({"name": "Ada"}), now))


def schedule(
    database: Database, identity: Identity = ADA, now: datetime = NOW, grace: timedelta = GRACE
) -> deletion.Deletion:
    return database.transact(lambda session: deletion.schedule(session, identity, grace, now))


def cancel(database: Database, identity: Identity = ADA, now: datetime = LATER) -> None:
    database.transact(lambda session: deletion.cancel(session, identity, now))


def purge(database: Database, identity: Identity = ADA, now: datetime = DUE) -> bool:
    return database.transact(lambda session: erasure.purge(session, identity.user_key, now))


def begin_anew(database: Database, identity: Identity = ADA, now: datetime = DUE) -> Profile:
    def work(session: Any) -> Profile:
        deletion.begin_anew(session, identity, now)
        return observe(session, identity, TenantFacts({"name": "Ada"}), now)

    return database.transact(work)


def standing(database: Database, identity: Identity = ADA) -> tuple[bool, bool]:
    """Whether there is an account, and whether there is a record of an erasure."""
    with database.read() as session:
        return session.get(Account, identity.user_key) is not None, is_erased(session, identity.user_key)


def shown(database: Database, identity: Identity = ADA, now: datetime = LATER) -> deletion.Deletion:
    with database.read() as session:
        return deletion.find(session, identity, now)


def every_use(database: Database, now: datetime, identity: Identity = ADA) -> list[Callable[[], object]]:
    """All that a request for data can do with an account."""

    def read() -> object:
        with database.read() as session:
            return find(session, identity, now)

    return [
        read,
        lambda: visit(database, identity, now),
        lambda: database.transact(lambda s: patch(s, identity, {"name": "Eve"}, lambda _: None, now)),
        lambda: database.transact(lambda s: accounts.lock(s, identity, now)),
        lambda: database.transact(lambda s: accounts.lock_or_make(s, identity, now)),
    ]


# The grace


def test_schedule_when_asked_then_due_after_the_grace_and_asked_again_the_same_times(database):
    """U16: "during the grace (`ACCOUNT_DELETION_GRACE_DAYS`, 14, 0..30)"."""
    visit(database)
    first = schedule(database)
    assert first == deletion.Deletion("scheduled", NOW, DUE)
    assert schedule(database, now=LATER, grace=timedelta(days=1)) == first
    assert shown(database) == first
    document = deletion.as_document(first)
    assert document == {
        "state": "scheduled",
        "requested_at": "2026-11-21T12:00:00.123Z",
        "purge_at": "2026-12-05T12:00:00.123Z",
        "cancel_until": "2026-12-05T12:00:00.123Z",
    }


def test_use_when_deletion_is_scheduled_then_refused_with_the_times_and_nothing_changes(database):
    """U16: "during the grace … data endpoints answer 403 `account_deletion_scheduled`"."""
    visit(database)
    schedule(database)
    for use in every_use(database, JUST_BEFORE):
        with pytest.raises(AccountDeletionScheduled) as refused:
            use()
        assert (refused.value.requested_at, refused.value.purge_at) == (NOW, DUE)
    with database.read() as session:
        account = session.get_one(Account, ADA.user_key)
        assert (account.name, account.seq) == ("Ada", 1)
    visit(database, BOB)


def test_cancel_when_in_the_grace_then_the_account_is_as_before(database):
    """U16: "cancel works"; scheduling and cancelling are no changes that a sync would have to carry."""
    before = visit(database)
    schedule(database)
    cancel(database, now=JUST_BEFORE)
    assert visit(database, now=LATER) == before
    assert shown(database) == deletion.Deletion("active")
    assert not purge(database)
    cancel(database)
    assert schedule(database, now=LATER).requested_at == LATER


def test_cancel_and_find_when_there_is_no_account_then_nothing_is_scheduled_and_none_is_made(database):
    cancel(database)
    assert shown(database) == deletion.Deletion("active")
    assert standing(database) == (False, False)
    assert deletion.as_document(shown(database))["purge_at"] is None


def test_schedule_when_there_is_no_account_then_the_wish_outlives_the_users_other_devices(database):
    schedule(database)
    with pytest.raises(AccountDeletionScheduled):
        visit(database, now=LATER)
    cancel(database)
    assert visit(database).seq == 1


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"confirm": "yes"}, {"/confirm"}),
        ({"confirm": "Delete my account"}, {"/confirm"}),
        ({"confirm": None}, {"/confirm"}),
        ({"confirm": ["delete my account"]}, {"/confirm"}),
        ({}, {"/confirm"}),
        ({"confirm": deletion.CONFIRMATION, "now": True}, {"/now"}),
        ([], {""}),
        ("delete my account", {""}),
        (None, {""}),
    ],
)
def test_confirmation_when_not_word_for_word_then_every_fault_by_its_pointer(document, pointers):
    with pytest.raises(ValidationFailed) as refused:
        deletion.refuse_unconfirmed(document)
    assert {fault["pointer"] for fault in refused.value.errors} == pointers


def test_confirmation_when_word_for_word_then_taken():
    assert deletion.refuse_unconfirmed({"confirm": "delete my account"}) is None


# The end


@pytest.mark.parametrize("ended", ["purge late", "purged", "at once"])
def test_use_when_the_grace_has_passed_then_deleted_and_nothing_is_made(database, ended):
    """U16: "every token of that user gets 410 `account_deleted` until the user makes a new account …: an old device
    that merely refreshes cannot bring the account back"; a late purge changes nothing of that.
    """
    visit(database)
    schedule(database, grace=AT_ONCE if ended == "at once" else GRACE)
    assert purge(database) if ended == "purged" else True
    after = standing(database)
    uses = [
        *every_use(database, DUE),
        lambda: shown(database, now=DUE),
        lambda: schedule(database, now=DUE),
        lambda: cancel(database, now=DUE),
    ]
    for use in uses:
        with pytest.raises(AccountDeleted):
            use()
    assert standing(database) == after == ((True, False) if ended == "purge late" else (False, True))


def test_schedule_when_there_is_no_grace_then_erased_in_the_same_transaction(database):
    """§ Settings: "0 days or hours mean at once"."""
    visit(database)
    assert schedule(database, grace=AT_ONCE) == deletion.Deletion("erased", NOW, NOW)
    assert standing(database) == (False, True)


def test_purge_when_not_due_or_not_there_then_nothing(database):
    visit(database)
    assert not purge(database)
    schedule(database)
    assert not purge(database, now=JUST_BEFORE)
    assert purge(database, now=DUE)
    assert not purge(database, now=DUE)
    assert not purge(database, BOB)


def test_due_when_listed_then_only_the_due_in_pages(database):
    users = sorted((Identity(ADA.tenant, f"user-{number}") for number in range(5)), key=lambda user: user.user_key)
    for user in users:
        schedule(database, user)
    visit(database, BOB)
    schedule(database, ADA, now=LATER)
    keys = [user.user_key for user in users]
    with database.read() as session:
        assert erasure.due(session, JUST_BEFORE, 10) == []
        assert erasure.due(session, DUE, 2) == keys[:2]
        assert erasure.due(session, DUE, 10, after=keys[1]) == keys[2:]


def test_erase_when_done_then_only_a_hash_and_a_time_stay(database):
    """U16: "then every row keyed by the user goes and only `erasures(user_key_hash, erased_at)` stays"."""
    visit(database)
    visit(database, BOB)
    schedule(database)
    purge(database)
    with database.read() as session:
        rows = session.execute(select(Erasure.user_key_hash, Erasure.erased_at)).all()
        assert rows == [(hashlib.sha256(ADA.user_key.encode()).hexdigest(), DUE)]
        tables = inspect(session.connection()).get_table_names()
        stored = " ".join(str(row) for name in tables for row in session.execute(text(f"SELECT * FROM {name}")).all())
    assert BOB.user_key in stored
    for trace in (ADA.user_key, ADA.subject):
        assert trace not in stored


def test_erase_when_a_table_is_added_then_its_rows_of_the_user_go_too(database):
    """U16: "every row keyed by the user goes": a new room needs to do nothing for it, and so cannot forget to."""
    table = Table("examples", Base.metadata, Column("user_key", String(36), primary_key=True), Column("id", String(9)))
    try:
        table.create(database.engine)
        for user in (ADA, BOB):
            visit(database, user)
            database.transact(lambda session, user=user: session.execute(insert(table).values(user_key=user.user_key)))
        schedule(database, grace=AT_ONCE)
        with database.read() as session:
            assert session.scalars(select(table.c.user_key)).all() == [BOB.user_key]
    finally:
        Base.metadata.remove(table)


def test_hash_when_made_then_the_sha_256_of_the_key():
    assert hash_of(ADA.user_key) == hashlib.sha256(ADA.user_key.encode()).hexdigest()


# Anew


@pytest.mark.parametrize("late", [True, False], ids=["purge late", "purged"])
def test_begin_anew_when_erased_then_another_life_whose_numbers_are_above_the_old_ones(database, late):
    """U16: "until the user makes a new account by `POST /v1/me`"; U2: `seq` is "unique and increasing per user"."""
    old = database.transact(lambda s: observe(s, ADA, TenantFacts({"nickname": "old"}), NOW))
    with database.read() as session:
        epoch = session.get_one(Account, ADA.user_key).epoch
    schedule(database)
    assert late or purge(database)
    new = begin_anew(database)
    assert standing(database) == (True, False)
    assert (new.members["name"], new.members["nickname"]) == ("Ada", None)
    assert old.seq < new.seq < 2**53
    with database.read() as session:
        assert session.get_one(Account, ADA.user_key).epoch != epoch
    assert visit(database, now=DUE) == new
    schedule(database, now=DUE, grace=AT_ONCE)
    assert begin_anew(database, now=DUE + timedelta(seconds=1)).seq > new.seq


def test_begin_anew_when_there_never_was_an_account_then_made(database):
    assert begin_anew(database).seq == 1


def test_begin_anew_when_there_is_one_then_refused(database):
    visit(database)
    with pytest.raises(AccountExists):
        begin_anew(database)
    schedule(database)
    with pytest.raises(AccountDeletionScheduled):
        begin_anew(database, now=JUST_BEFORE)


def test_lock_when_there_is_no_account_and_never_was_then_missing(database):
    with pytest.raises(AccountMissing):
        database.transact(lambda session: accounts.lock(session, ADA, NOW))


# At the same time: real threads, and for each race a naive variant that must lose


def listed(database: Database) -> list[str]:
    with database.read() as session:
        return erasure.due(session, DUE, 100)


def people() -> list[Identity]:
    return [Identity(ADA.tenant, f"auth0|{number}") for number in range(RACES)]


def at_once(*calls: Callable[[Callable[[], object]], Outcome]) -> list[Outcome]:
    """Run the calls at once; each is given the place to meet, twice. A refusal is an outcome."""
    meeting = threading.Barrier(len(calls), timeout=30)
    outcomes: list[Outcome] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            outcomes[number] = calls[number](meeting.wait)
        except UsersError as refusal:
            outcomes[number] = refusal
        except BaseException:
            meeting.abort()
            raise

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def truly(work: Callable[[], Outcome]) -> Callable[[Callable[[], object]], Outcome]:
    """Begin when all are there; what happens then, the databases decide."""

    def run(meet: Callable[[], object]) -> Outcome:
        meet()
        try:
            return work()
        finally:
            meet()

    return run


def naive(look: Callable[[], Outcome], then: Callable[[Outcome], Outcome]) -> Callable[[Callable[[], object]], Outcome]:
    """Look first, and act on it when the other has done its work."""

    def run(meet: Callable[[], object]) -> Outcome:
        seen = look()
        meet()
        meet()
        return then(seen)

    return run


@pytest.mark.parametrize("begun", ["first visit", "known", "in the grace"])
def test_visit_when_an_erasure_runs_at_the_same_time_then_the_account_does_not_come_back(database, begun):
    """U16: "an old device that merely refreshes cannot bring the account back"."""
    for user in people():
        erase = prepared(database, user, begun)
        seen, _ = at_once(truly(lambda user=user: visit(database, user)), truly(erase))
        assert isinstance(seen, Profile | AccountDeleted | AccountDeletionScheduled), seen
        assert standing(database, user) == (False, True)


def test_visit_when_it_asks_before_it_makes_then_the_account_comes_back(database):
    """The negative control: asked before the lock, the answer is out of date when the row is made."""

    def make(erased: bool, user: Identity) -> None:
        assert not erased
        database.transact(lambda session: accounts.ensure(session, user, NOW))

    for user in people():
        erase = prepared(database, user, "known")
        careless = naive(lambda user=user: standing(database, user)[1], lambda erased, user=user: make(erased, user))
        at_once(careless, truly(erase))
        assert standing(database, user) == (True, True)


def prepared(database: Database, user: Identity, begun: str) -> Callable[[], Outcome]:
    if begun != "first visit":
        visit(database, user)
    if begun == "in the grace":
        schedule(database, user)
        return lambda: purge(database, user)
    return lambda: schedule(database, user, grace=AT_ONCE)


def test_visit_when_the_erasure_commits_between_its_look_and_its_insert_then_refused(postgresql_url):
    """The one order that a check before the insert would miss, step by step; SQLite's writers cannot meet like that."""
    upgrade(postgresql_url)
    database = Database(postgresql_url)

    def work(session: Any) -> None:
        assert accounts.hold(session, ADA.user_key) is None
        assert not is_erased(session, ADA.user_key)
        visit(database)
        schedule(database, grace=AT_ONCE)
        accounts.lock_or_make(session, ADA, NOW)

    with pytest.raises(AccountDeleted):
        database.transact(work)
    assert standing(database) == (False, True)
    database.dispose()


def test_row_when_it_goes_between_its_making_and_its_lock_then_another_round(postgresql_url, monkeypatch):
    """What happens before each lock is done by another connection, which commits."""
    upgrade(postgresql_url)
    database = Database(postgresql_url)

    def before_each_lock(*others: Callable[[], object]) -> None:
        waiting, real = list(others), accounts.hold

        def hold(session: Any, user_key: str, numbers: int = 0) -> Account | None:
            if waiting:
                other, accounts.hold = waiting.pop(0), real
                other()
                accounts.hold = hold
            return real(session, user_key, numbers)

        monkeypatch.setattr(accounts, "hold", hold)

    def nothing() -> None:
        """Leave the first lock to find no row."""

    real = accounts.ensure

    def made_by_another(session: Any, identity: Identity, now: datetime) -> bool:
        monkeypatch.setattr(accounts, "ensure", real)
        visit(database)
        return real(session, identity, now)

    monkeypatch.setattr(accounts, "ensure", made_by_another)
    before_each_lock(nothing, nothing, nothing, lambda: schedule(database, grace=AT_ONCE))
    with pytest.raises(AccountDeleted):
        visit(database)
    assert standing(database) == (False, True)
    monkeypatch.undo()
    begin_anew(database)
    before_each_lock(lambda: schedule(database, grace=AT_ONCE))
    assert begin_anew(database, now=LATER).seq > 1
    assert standing(database) == (True, False)
    database.dispose()


def test_cancel_when_a_purge_runs_at_the_same_time_then_one_of_them_wins_wholly(database):
    """U16: "cancel works": an account whose cancellation was acknowledged is never erased."""
    for user in people():
        visit(database, user)
        schedule(database, user)
        # Two hosts' clocks: for the one there is a millisecond left.
        cancelled, purged = at_once(
            truly(lambda user=user: cancel(database, user, JUST_BEFORE)), truly(lambda user=user: purge(database, user))
        )
        if cancelled is None:
            assert (purged, standing(database, user)) == (False, (True, False))
        else:
            assert isinstance(cancelled, AccountDeleted)
            assert (purged, standing(database, user)) == (True, (False, True))


def test_purge_when_it_trusts_its_list_then_a_cancelled_account_is_lost(database):
    """The negative control."""

    def erase(keys: list[str]) -> None:
        for key in keys:
            database.transact(lambda session, key=key: erasure.erase(session, key, DUE))

    for user in people():
        visit(database, user)
        schedule(database, user)
        cancelled, _ = at_once(
            truly(lambda user=user: cancel(database, user, JUST_BEFORE)), naive(lambda: listed(database), erase)
        )
        assert (cancelled, standing(database, user)) == (None, (False, True))


def test_purge_when_two_run_at_the_same_time_then_each_account_is_erased_once(database):
    for user in people():
        visit(database, user)
        schedule(database, user)
        counts = at_once(*[truly(lambda user=user: purge(database, user))] * 2)
        assert sorted(counts) == [False, True]
        assert standing(database, user) == (False, True)


def test_purge_when_it_looks_before_it_locks_then_two_count_the_same_account(database):
    """The negative control."""

    def erase(keys: list[str]) -> int:
        database.transact(lambda session: session.execute(delete(Account).where(Account.user_key.in_(keys))))
        return len(keys)

    for user in people():
        schedule(database, user)
        counts = at_once(*[naive(lambda: listed(database), erase)] * 2)
        assert sum(counts) == 2


def test_begin_anew_when_two_devices_ask_at_the_same_time_then_one_makes_it(database):
    """§2: "POST `/v1/me` … 409 if there is one"."""
    for user in people():
        schedule(database, user, grace=AT_ONCE)
        outcomes = at_once(*[truly(lambda user=user: begin_anew(database, user))] * 2)
        assert {type(outcome) for outcome in outcomes} == {Profile, AccountExists}
        assert standing(database, user) == (True, False)


def test_begin_anew_when_it_looks_before_it_makes_then_two_believe_they_made_it(database):
    """The negative control."""
    for user in people():
        schedule(database, user, grace=AT_ONCE)

        def make(exists: bool, user: Identity = user) -> bool:
            database.transact(lambda session: accounts.ensure(session, user, NOW))
            return not exists

        outcomes = at_once(*[naive(lambda user=user: standing(database, user)[0], make)] * 2)
        assert outcomes == [True, True]


def test_schedule_when_two_devices_ask_at_the_same_time_then_both_are_told_the_same_times(database):
    for user in people():
        first, second = at_once(
            truly(lambda user=user: schedule(database, user, NOW)),
            truly(lambda user=user: schedule(database, user, LATER)),
        )
        assert first == second
        assert first.requested_at in {NOW, LATER}


def test_account_when_visited_erased_and_made_anew_at_the_same_time_then_never_both_account_and_erasure(database):
    """What all of this keeps: an account and the record of its erasure are never there together."""
    for user in people():
        at_once(
            truly(lambda user=user: visit(database, user)),
            truly(lambda user=user: schedule(database, user, grace=AT_ONCE)),
            truly(lambda user=user: begin_anew(database, user)),
        )
        assert sum(standing(database, user)) == 1
