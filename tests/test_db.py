"""The database's two doors, and how each fault of a driver is named: on real databases."""

import select
import socket
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError, StatementError
from sqlalchemy.orm import Session

from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.users.account import ensure, lock
from app.users.identity import Identity
from app.users.models import Account
from app.users.profiles import find

ADA = Identity("https://tenant.example/", "auth0|ada")
NOW = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
def impatient(database: Database, database_url: str) -> Iterator[Database]:
    """A second process's view of the database, which does not wait long."""
    second = Database(database_url, pool_size=1, pool_timeout_seconds=0.05, lock_timeout_seconds=0.05)
    yield second
    second.dispose()


def make_ada(database: Database) -> None:
    database.transact(lambda session: ensure(session, ADA, NOW))


def seq_of_ada(database: Database) -> int:
    with database.read() as session:
        return session.scalars(text("SELECT seq FROM accounts")).one()


def test_transact_when_work_ends_then_it_is_committed(database):
    make_ada(database)
    with database.read() as session:
        assert find(session, ADA, NOW) is not None


def test_transact_when_work_raises_then_nothing_of_it_stays(database):
    def work(session: Session) -> None:
        ensure(session, ADA, NOW)
        raise LookupError

    with pytest.raises(LookupError):
        database.transact(work)
    with database.read() as session:
        assert find(session, ADA, NOW) is None


def test_read_when_it_writes_then_it_fails_and_is_not_called_an_outage(database):
    """§1 U11: "A read costs no write": a GET that writes is a bug, not a 503."""
    with pytest.raises(DBAPIError), database.read() as session:
        ensure(session, ADA, NOW)
    make_ada(database)


def test_read_when_another_commits_meanwhile_then_both_statements_see_one_snapshot(database):
    """§7: "read the head H = accounts.seq first, then …": two statements of a read see the same state."""
    make_ada(database)
    with database.read() as session:
        before = session.scalars(text("SELECT seq FROM accounts")).one()
        database.transact(lambda other: lock(other, ADA, NOW))
        assert session.scalars(text("SELECT seq FROM accounts")).one() == before
    assert seq_of_ada(database) == before + 1


def test_transact_when_another_writer_holds_the_user_then_busy_after_the_time_out(database, impatient):
    make_ada(database)
    with database.engine.connect() as connection, Session(connection) as session:
        lock(session, ADA, NOW)
        with pytest.raises(DatabaseBusy):
            impatient.transact(lambda other: lock(other, ADA, NOW))
    impatient.transact(lambda other: lock(other, ADA, NOW))


def test_transact_when_it_begins_then_sqlite_has_its_write_lock_already(sqlite_url):
    """§7: "BEGIN IMMEDIATE for writes": a reader that turns writer half-way could only fail."""
    database = Database(sqlite_url, lock_timeout_seconds=0.05)

    def work(session: Session) -> None:
        session.execute(text("SELECT 1"))
        other = sqlite3.connect(database.engine.url.database or "", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()

    database.transact(work)
    database.dispose()


def test_sqlite_when_opened_then_every_pragma_is_set(sqlite_url):
    database = Database(sqlite_url)
    with database.read() as session:
        found = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous", "query_only")
        }
    database.dispose()
    assert found == {"journal_mode": "wal", "busy_timeout": 5000, "foreign_keys": 1, "synchronous": 2, "query_only": 1}


def test_sqlite_when_first_opened_by_many_at_once_then_all_succeed(sqlite_url):
    databases = [Database(sqlite_url) for _ in range(8)]
    faults: list[Exception] = []

    def open_it(database: Database) -> None:
        try:
            database.ping()
        except Exception as fault:  # noqa: BLE001 - the assertion shows it
            faults.append(fault)

    run_all([threading.Thread(target=open_it, args=(database,)) for database in databases])
    for database in databases:
        database.dispose()
    assert faults == []


def test_postgresql_when_opened_then_every_wait_is_bounded_and_the_urls_own_words_win(postgresql_url):
    database = Database(postgresql_url + "&options=-c%20statement_timeout%3D7000&application_name=mine")
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "timezone", "application_name")
    with database.read() as session:
        found = [session.scalar(text(f"SHOW {name}")) for name in names]
        isolation = session.scalar(text("SHOW transaction_isolation"))
    writing = database.transact(lambda session: session.scalar(text("SHOW transaction_isolation")))
    database.dispose()
    assert found == ["5s", "7s", "30s", "UTC", "mine"]
    assert (isolation, writing) == ("repeatable read", "read committed")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_when_named_either_way_then_psycopg_3(postgresql_url, scheme):
    database = Database(postgresql_url.replace("postgresql", scheme, 1))
    database.ping()
    database.dispose()
    assert database.engine.driver == "psycopg"


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_transact_when_the_server_breaks_it_off_then_it_is_run_again(postgresql_url, state):
    """§7: "Serialisation failures (40001) are retried, 3 times"."""
    database = Database(postgresql_url)
    calls: list[int] = []

    def work(session: Session) -> str:
        calls.append(1)
        if len(calls) <= 3:
            fail_with(session, state)
        return "done"

    assert database.transact(work) == "done"
    database.dispose()
    assert len(calls) == 4


def test_transact_when_it_is_broken_off_for_ever_then_busy_after_three_retries(postgresql_url):
    database = Database(postgresql_url)
    calls: list[int] = []

    def work(session: Session) -> None:
        calls.append(1)
        fail_with(session, "40001")

    with pytest.raises(DatabaseBusy):
        database.transact(work)
    database.dispose()
    assert len(calls) == 4


@pytest.mark.parametrize("state", ["08006", "53300", "57P03", "57014", "25006", "58030"])
def test_transact_when_the_server_is_not_fit_then_unavailable(postgresql_url, state):
    database = Database(postgresql_url)
    with pytest.raises(DatabaseUnavailable):
        database.transact(lambda session: fail_with(session, state))
    database.dispose()


@pytest.mark.parametrize("state", ["40001", "55P03"])
def test_read_when_it_waits_in_vain_then_unavailable_for_no_write_is_in_its_way(postgresql_url, state):
    database = Database(postgresql_url)
    with pytest.raises(DatabaseUnavailable), database.read() as session:
        fail_with(session, state)
    database.dispose()


def test_transact_when_a_statement_runs_too_long_then_unavailable(postgresql_url):
    database = Database(postgresql_url, statement_timeout_seconds=0.05)
    with pytest.raises(DatabaseUnavailable, match="too long"):
        database.transact(lambda session: session.execute(text("SELECT pg_sleep(30)")))
    database.dispose()


def test_transact_when_the_fault_is_ours_then_it_stays_what_it_is(database):
    make_ada(database)
    with pytest.raises(IntegrityError):
        database.transact(lambda session: session.execute(text("INSERT INTO accounts SELECT * FROM accounts")))
    with pytest.raises(DBAPIError):
        database.transact(lambda session: session.execute(text("SELEKT 1")))


def test_postgresql_when_the_slip_is_ours_then_a_programming_error(postgresql_url):
    database = Database(postgresql_url)
    with pytest.raises(ProgrammingError):
        database.transact(lambda session: session.execute(text("SELEKT 1")))
    database.dispose()


def test_read_when_the_schema_is_missing_then_unavailable_and_the_command_is_named(database_url):
    database = Database(database_url)
    with pytest.raises(DatabaseUnavailable, match="flask --app wsgi db upgrade"), database.read() as session:
        find(session, ADA, NOW)
    database.dispose()


def test_ping_when_nobody_listens_then_unavailable():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        database = Database(f"postgresql://nobody:secret@127.0.0.1:{reserved.getsockname()[1]}/none")
        with pytest.raises(DatabaseUnavailable) as caught:
            database.ping()
    database.dispose()
    assert "secret" not in str(caught.value)


def test_ping_when_the_database_does_not_exist_then_unavailable(postgresql_url):
    database = Database(postgresql_url.replace("/test_", "/absent_"))
    with pytest.raises(DatabaseUnavailable):
        database.ping()
    database.dispose()


def test_ping_when_the_server_was_restarted_then_a_new_connection_answers(postgresql_url):
    database, other = Database(postgresql_url), Database(postgresql_url)
    database.ping()
    other.transact(
        lambda session: session.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
                 " AND pid <> pg_backend_pid()")
        )
    )  # fmt: skip
    with database.look() as session:
        assert session.scalar(text("SELECT 1")) == 1
    database.dispose()
    other.dispose()


@pytest.mark.parametrize(("trusted_seconds", "pings"), [(30.0, 0), (0.0, 1)])
def test_connection_when_it_was_idle_for_long_then_it_is_asked_before_it_is_used(
    postgresql_url, monkeypatch, trusted_seconds, pings
):
    """A peer that vanished without a word says nothing; one that was used a moment ago costs no round trip."""
    monkeypatch.setattr("app.connections._TRUSTED_IDLE_SECONDS", trusted_seconds)
    database = Database(postgresql_url)
    database.ping()
    asked: list[object] = []
    ping = database.engine.dialect.do_ping
    monkeypatch.setattr(
        database.engine.dialect, "do_ping", lambda connection: asked.append(connection) or ping(connection)
    )
    database.ping()
    database.dispose()
    assert len(asked) == pings


def test_connection_when_the_server_has_said_something_else_then_it_is_kept(postgresql_url):
    """What is said to an idle connection need not be its end: it is asked, and goes on."""
    database, other = Database(postgresql_url, pool_size=1), Database(postgresql_url)
    with database.look() as session:
        before = session.scalar(text("SELECT pg_backend_pid()"))
        session.execute(text("LISTEN news"))
        socket_number = session.connection().connection.driver_connection.fileno()
    other.transact(lambda session: session.execute(text("NOTIFY news")))
    waiting = select.poll()
    waiting.register(socket_number, select.POLLIN)
    assert waiting.poll(5000)
    with database.look() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) == before
    database.dispose()
    other.dispose()


def test_look_when_it_ends_then_it_was_one_round_trip_and_no_transaction(database):
    sent: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    with database.look() as session:
        session.execute(text("SELECT 1"))
        driver = session.connection().connection.driver_connection
        if database.engine.dialect.name == "postgresql":
            assert driver.info.transaction_status == TransactionStatus.IDLE
        else:
            assert not driver.in_transaction
    assert [statement for statement in sent if not statement.startswith("PRAGMA")] == ["SELECT 1"]


def test_read_when_repeated_then_the_server_keeps_its_statements_prepared(postgresql_url):
    """A rollback at the end of each would make the driver forget them."""
    database = Database(postgresql_url, pool_size=1)
    for _ in range(8):
        with database.read() as session:
            session.execute(text("SELECT 42 AS answer"))
    with database.look() as session:
        prepared = session.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    database.dispose()
    assert "SELECT 42 AS answer" in prepared


@pytest.mark.parametrize(("words", "prepared"), [("", True), ("&prepare_threshold=none", False)])
def test_postgresql_when_the_url_forbids_it_then_nothing_is_prepared(postgresql_url, words, prepared):
    """Poolers that share sessions and do not know prepared statements need this."""
    database = Database(postgresql_url + words, pool_size=1)
    for _ in range(8):
        database.ping()
    with database.look() as session:
        found = session.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    database.dispose()
    assert ("SELECT 1" in found) == prepared


@pytest.mark.parametrize("value", ["all", "-1"])
def test_database_when_the_threshold_is_no_number_then_refused(value):
    with pytest.raises(ValueError, match="prepare_threshold"):
        Database(f"postgresql://a:b@127.0.0.1/c?prepare_threshold={value}")


def test_transact_when_the_connection_is_lost_half_way_then_unavailable(postgresql_url):
    database, other = Database(postgresql_url), Database(postgresql_url)

    def work(session: Session) -> None:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        other.transact(lambda killer: killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}))
        session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        database.transact(work)
    database.dispose()
    other.dispose()


def test_ping_when_the_folder_is_missing_then_unavailable(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'absent' / 'postern.db'}")
    with pytest.raises(DatabaseUnavailable):
        database.ping()
    database.dispose()


def test_ping_when_the_file_is_something_else_then_unavailable(tmp_path: Path):
    file = tmp_path / "postern.db"
    file.write_bytes(b"this is no database at all, " * 64)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(DatabaseUnavailable):
        database.ping()
    database.dispose()


def test_read_when_every_connection_is_in_use_then_unavailable(impatient):
    with impatient.read() as one, impatient.read() as two, impatient.read() as three:
        for session in (one, two, three):
            session.execute(text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable):
            impatient.ping()


def test_dispose_after_fork_when_the_parent_goes_on_then_its_connection_is_still_open(database):
    with database.engine.connect() as connection:
        of_the_parent = connection.connection.driver_connection
    assert of_the_parent is not None
    database.dispose_after_fork()
    database.ping()
    of_the_parent.execute("SELECT 1").fetchone()
    of_the_parent.close()


@pytest.mark.parametrize(
    "url",
    ["", "no url", "mysql://u:secret@h/d", "postgresql+psycopg2://u:secret@h/d", "postgresql://u:secret@h:port/d",
     "sqlite://", "sqlite:///:memory:"],
)  # fmt: skip
def test_database_when_the_url_will_not_do_then_refused_without_repeating_it(url):
    with pytest.raises(ValueError) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_times_when_stored_then_aware_utc_with_milliseconds(database):
    """U1: "RFC 3339 UTC times with milliseconds"."""
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    database.transact(lambda session: ensure(session, ADA, elsewhere))
    with database.read() as session:
        found = session.get_one(Account, ADA.user_key)
    assert found.created_at == datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=UTC)
    assert found.created_at.tzinfo is UTC
    assert found.purge_at is None


def test_times_when_none_is_written_then_none_is_read(database):
    make_ada(database)

    def clear(session: Session) -> None:
        session.get_one(Account, ADA.user_key).purge_at = NOW
        session.flush()
        session.get_one(Account, ADA.user_key).purge_at = None

    database.transact(clear)
    with database.read() as session:
        assert session.get_one(Account, ADA.user_key).purge_at is None


def test_times_when_without_a_zone_then_they_do_not_reach_the_database(database):
    with pytest.raises((ValueError, StatementError), match="without a zone"):
        database.transact(lambda session: ensure(session, ADA, NOW.replace(tzinfo=None)))


def fail_with(session: Session, state: str) -> None:
    """Let the real server raise a real error with this code."""
    session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$"))


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


SECRET = "secret" + "@example.org"


def test_error_text_when_a_statement_fails_then_it_holds_no_value(database):
    """Never a claim value in a log: an error's text ends up there, and a statement's values are users' data."""
    with pytest.raises(DatabaseUnavailable) as caught, database.read() as session:
        session.execute(text("SELECT no_such_column, :value FROM accounts"), {"value": SECRET})
    told = "".join(traceback.format_exception(caught.value))
    assert "no_such_column" in told
    assert SECRET not in told
