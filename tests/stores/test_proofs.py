"""Each proof once, for all workers and hosts: the stores of used proofs, on real servers (P2)."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import valkey
from sqlalchemy import text

from app.commands.db import upgrade
from app.db import Database
from app.oauth.dpop.check import ProofStore
from app.oauth.dpop.faults import ProofsUnavailable, TooManyProofs
from app.stores.proofs_database import SWEEP_EVERY_SECONDS, DatabaseProofStore
from app.stores.proofs_valkey import ValkeyProofStore
from tests.support.tokens import NOW
from tests.support.valkey import running_valkey

JKT, OTHER_JKT = "a" * 43, "b" * 43
ENDS = NOW + 90
ROUNDS, CALLERS = 12, 8
Made = Callable[..., ProofStore]


def name(number: int) -> str:
    return f"{number:043d}"


@pytest.fixture(params=["sqlite", "postgresql", "valkey"])
def make(request: pytest.FixtureRequest) -> Iterator[Made]:
    """Makes stores that share one server, each with connections of its own, as hosts have."""
    ends: list[Callable[[], None]] = []

    def of_valkey(**bounds: Any) -> ProofStore:
        store = ValkeyProofStore(url, timeout_seconds=10, **bounds)
        ends.append(store.close)
        return store

    def of_database(**bounds: Any) -> ProofStore:
        database = Database(url)
        ends.append(database.dispose)
        return DatabaseProofStore(database, **bounds)

    url = request.getfixturevalue(f"{request.param}_url")
    if request.param != "valkey":
        upgrade(url)
    yield of_valkey if request.param == "valkey" else of_database
    for end in ends:
        end()


def test_remember_when_a_proof_comes_again_then_it_is_known(make: Made):
    """P1: `jti` once."""
    store = make()
    assert store.remember(JKT, name(1), expires_at=ENDS, now=NOW) is True
    assert store.remember(JKT, name(1), expires_at=ENDS, now=NOW) is False
    assert store.remember(JKT, name(1), expires_at=ENDS + 60, now=NOW + 80) is False
    assert store.remember(JKT, name(2), expires_at=ENDS, now=NOW) is True


def test_remember_when_another_key_takes_the_same_name_then_it_is_another_proof(make: Made):
    """RFC 9449 §11.1: jti values are unique per client; nobody can use up the names of somebody else."""
    store = make()
    assert store.remember(JKT, name(1), expires_at=ENDS, now=NOW) is True
    assert store.remember(OTHER_JKT, name(1), expires_at=ENDS, now=NOW) is True


def test_remember_when_another_host_asks_then_it_knows(make: Made):
    """P2: shared by workers and hosts."""
    assert make().remember(JKT, name(1), expires_at=ENDS, now=NOW) is True
    assert make().remember(JKT, name(1), expires_at=ENDS, now=NOW) is False


def winners(remember: Callable[[int, str], bool]) -> list[int]:
    """How many of the callers of each round were told that the proof is new."""
    barrier = threading.Barrier(CALLERS)

    def call(caller: int) -> list[bool]:
        told = []
        for number in range(ROUNDS):
            barrier.wait()
            told.append(remember(caller, name(number)))
        return told

    with ThreadPoolExecutor(CALLERS) as pool:
        told = list(pool.map(call, range(CALLERS)))
    return [sum(of_round) for of_round in zip(*told, strict=True)]


def test_remember_when_threads_of_two_hosts_bring_one_proof_at_once_then_one_of_them_is_first(make: Made):
    """P2: of all callers, everywhere, one is told True."""
    hosts = make(), make()
    assert winners(
        lambda caller, proof: hosts[caller % 2].remember(JKT, proof, expires_at=ENDS, now=NOW)
    ) == [1] * ROUNDS  # fmt: skip


def test_winners_when_the_store_reads_and_then_writes_then_several_are_first(postgresql_url: str):
    """The negative control: the same race, and a store that asks in one statement and remembers in another."""
    upgrade(postgresql_url)
    database = Database(postgresql_url)
    both_have_read = threading.Barrier(CALLERS)

    def remember(_caller: int, proof: str) -> bool:
        with database.read() as session:
            row = session.execute(text("SELECT 1 FROM dpop_proofs WHERE jti_digest = :proof"), {"proof": proof}).first()
        both_have_read.wait()
        if row is None:
            words = "INSERT INTO dpop_proofs VALUES (:jkt, :proof, :ends) ON CONFLICT DO NOTHING"
            database.transact(lambda session: session.execute(text(words), {"jkt": JKT, "proof": proof, "ends": ENDS}))
        return row is None

    assert winners(remember) == [CALLERS] * ROUNDS
    database.dispose()


def test_remember_when_a_key_has_too_many_live_proofs_then_it_has_to_wait_and_others_have_not(make: Made):
    """P2: The replay store is bounded per key."""
    store = make(max_per_key=3)
    for number in range(3):
        assert store.remember(JKT, name(number), expires_at=ENDS, now=NOW) is True
    with pytest.raises(TooManyProofs):
        store.remember(JKT, name(3), expires_at=ENDS, now=NOW)
    assert store.remember(JKT, name(0), expires_at=ENDS, now=NOW) is False
    assert store.remember(OTHER_JKT, name(3), expires_at=ENDS, now=NOW) is True
    assert store.remember(JKT, name(3), expires_at=ENDS + 95, now=ENDS + 5) is True


def test_remember_when_there_are_too_many_live_proofs_in_all_then_it_is_unavailable(make: Made, caplog):
    """P2: bounded in all. Store down or full: 503."""
    store = make(max_proofs=3)
    for number in range(3):
        assert store.remember(name(number), name(number), expires_at=ENDS, now=NOW) is True
    later = NOW + SWEEP_EVERY_SECONDS
    with pytest.raises(ProofsUnavailable):
        store.remember(JKT, name(3), expires_at=ENDS + SWEEP_EVERY_SECONDS, now=later)
    # All of them have expired, and their slice of time has ended.
    assert store.remember(JKT, name(3), expires_at=ENDS + 150, now=ENDS + 60) is True


def test_remember_when_proofs_expire_then_they_leave_the_table_by_themselves(database: Database):
    """P2: bounded: what has expired is swept, and not at each request."""
    store = DatabaseProofStore(database)

    def rows() -> int:
        with database.read() as session:
            return session.scalar(text("SELECT count(*) FROM dpop_proofs"))

    for number in range(5):
        store.remember(JKT, name(number), expires_at=NOW + 1, now=NOW)
    store.remember(JKT, name(5), expires_at=ENDS, now=NOW + 2)
    assert rows() == 6
    store.remember(JKT, name(6), expires_at=ENDS, now=NOW + SWEEP_EVERY_SECONDS)
    assert rows() == 2
    # A clock that is set back does not put the next sweep off.
    store.remember(JKT, name(7), expires_at=NOW - 3600, now=NOW - 3700)
    store.remember(JKT, name(8), expires_at=NOW, now=NOW - 3600)
    assert rows() == 3


def test_sweep_when_two_workers_sweep_at_once_then_neither_waits_for_the_other(postgresql_url: str):
    """The rows that another worker is removing are skipped: no dead lock, and no request that waits."""
    upgrade(postgresql_url)
    one, other = Database(postgresql_url), Database(postgresql_url, lock_timeout_seconds=0.2)
    DatabaseProofStore(one).remember(JKT, name(1), expires_at=NOW + 1, now=NOW)

    def hold_and_sweep(session: Any) -> bool:
        session.execute(text("SELECT 1 FROM dpop_proofs FOR UPDATE"))
        return DatabaseProofStore(other).remember(JKT, name(2), expires_at=ENDS, now=NOW + 20)

    assert one.transact(hold_and_sweep) is True
    one.dispose()
    other.dispose()


def test_database_store_when_the_schema_is_missing_then_unavailable(database_url: str):
    """P2: Store down: 503; a table that is missing is our fault, never the user's."""
    database = Database(database_url)
    with pytest.raises(ProofsUnavailable):
        DatabaseProofStore(database).remember(JKT, name(1), expires_at=ENDS, now=NOW)
    database.dispose()


def test_database_store_when_another_writer_holds_sqlite_then_unavailable(sqlite_url: str):
    """P2: a database that is busy cannot remember a proof: 503, and no 409, which is about the user's own data."""
    upgrade(sqlite_url)
    one, other = Database(sqlite_url), Database(sqlite_url, lock_timeout_seconds=0.05)
    store = DatabaseProofStore(other)

    def hold_and_ask(session: Any) -> bool:
        session.execute(text("SELECT 1"))
        return store.remember(JKT, name(1), expires_at=ENDS, now=NOW)

    with pytest.raises(ProofsUnavailable):
        one.transact(hold_and_ask)
    one.dispose()
    other.dispose()


def test_database_store_when_full_then_the_log_says_so(database: Database, caplog):
    caplog.set_level(logging.ERROR)
    store = DatabaseProofStore(database, max_proofs=1)
    store.remember(JKT, name(1), expires_at=ENDS, now=NOW)
    with pytest.raises(ProofsUnavailable):
        store.remember(JKT, name(2), expires_at=ENDS, now=NOW + SWEEP_EVERY_SECONDS)
    assert "There is no room for used DPoP proofs: 1 of them are remembered." in caplog.text


def test_valkey_store_when_the_server_stops_then_unavailable_and_back_then_new_again():
    """P2: Store down: 503. A Valkey that restarts has forgotten: docs/decisions.md says what that means."""
    with running_valkey() as server:
        store = ValkeyProofStore(server.url)
        assert store.remember(JKT, name(1), expires_at=ENDS, now=NOW) is True
        server.stop()
        with pytest.raises(ProofsUnavailable):
            store.remember(JKT, name(2), expires_at=ENDS, now=NOW)
        server.start()
        # The connection that the server closed costs no request its answer.
        assert store.remember(JKT, name(1), expires_at=ENDS, now=NOW) is True
        store.close()


def test_valkey_store_when_the_server_hangs_then_unavailable_after_the_time_out(valkey_url: str):
    """P2: time-outs; nothing is asked twice, or a proof that was remembered would be called used."""
    store = ValkeyProofStore(valkey_url, timeout_seconds=0.2)
    with valkey.Valkey.from_url(valkey_url) as client:
        assert store.remember(JKT, name(1), expires_at=ENDS, now=NOW) is True
        calls_before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        client.client_pause(700)
        with pytest.raises(ProofsUnavailable):
            store.remember(JKT, name(2), expires_at=ENDS, now=NOW)
        assert client.ping()
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] - calls_before <= 1
    store.close()


def test_valkey_store_when_nothing_listens_then_unavailable():
    store = ValkeyProofStore("redis://127.0.0.1:1/0")
    with pytest.raises(ProofsUnavailable):
        store.remember(JKT, name(1), expires_at=ENDS, now=NOW)


def test_valkey_store_when_the_server_takes_no_writes_then_unavailable():
    """P2: a replica, or a server whose memory is full, cannot remember."""
    with running_valkey() as server, valkey.Valkey.from_url(server.url) as client:
        store = ValkeyProofStore(server.url)
        client.config_set("maxmemory", 1)
        with pytest.raises(ProofsUnavailable):
            store.remember(JKT, name(1), expires_at=ENDS, now=NOW)
        store.close()


def test_valkey_store_when_proofs_expire_then_nothing_of_them_stays(valkey_url: str):
    """P2: bounded: every key that is written lives as long as a proof could, by the server's own clock."""
    store = ValkeyProofStore(valkey_url)
    store.remember(JKT, name(1), expires_at=ENDS, now=NOW)
    store.remember(JKT, name(2), expires_at=NOW + 10, now=NOW)
    with valkey.Valkey.from_url(valkey_url) as client:
        lives = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert len(lives) == 3
    assert all(0 < seconds <= 90 + 30 for seconds in lives.values()), lives
    assert lives["{postern:proofs}:" + JKT] > 80
    store.close()


def test_valkey_store_when_asked_then_one_round_trip(valkey_url: str):
    """P2: one script; what it needs goes over once."""
    store = ValkeyProofStore(valkey_url)
    store.remember(JKT, name(0), expires_at=ENDS, now=NOW)
    with valkey.Valkey.from_url(valkey_url) as client:
        before = client.info("stats")["total_commands_processed"]
        client.config_resetstat()
        store.remember(JKT, name(1), expires_at=ENDS, now=NOW)
        found = client.info("commandstats")
    assert before > 0
    assert found["cmdstat_evalsha"]["calls"] == 1
    assert "cmdstat_eval" not in found
    store.close()
