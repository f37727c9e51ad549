"""The measurement of the sync: its arithmetic, its data, its counts, and that the document keeps its other parts."""

import json
from pathlib import Path

import pytest

from app.db import Database
from app.users.identity import Identity
from benchmarks import kinto, report, sync_data, sync_plans, sync_report
from benchmarks.credentials import ISSUER, SYNC_SCOPES, sign
from benchmarks.load import message
from benchmarks.sync_peers import DELTA, OURS, RECORD, THEIRS, Beside, Turn, beside
from benchmarks.sync_size import EMPTY, Compared, Sizes
from tests.support.records import Store

COST = sync_plans.Cost("Index Scan `pk_accounts`", 3, 3)


def compared(ratio: float) -> Compared:
    return Compared(EMPTY, (COST,), (COST,), 1.0, ratio, ratio, ratio, ratio)


def found(throughput: float, ratio: float) -> sync_report.Sync:
    one = Beside(RECORD, 300.0, 100.0, throughput, throughput, throughput, 500.0, 1500.0, 3.0)
    sizes = Sizes("PostgreSQL", (compared(ratio),), {"records": 300.0, "pk_records": 100.0})
    return sync_report.Sync((sizes,), (one,), 5, 100, "16.2", "26.5.0")


def test_beside_when_the_machine_slows_down_then_compared_inside_each_round():
    rounds = [
        {(DELTA, OURS): Turn(300, 1.0, 1.0), (DELTA, THEIRS): Turn(100, 1.0, 1.0)},
        {(DELTA, OURS): Turn(300, 10.0, 10.0), (DELTA, THEIRS): Turn(100, 10.0, 10.0)},
        {(DELTA, OURS): Turn(300, 1.0, 1.0), (DELTA, THEIRS): Turn(50, 1.0, 1.0)},
    ]
    one = beside(rounds, DELTA)
    assert (one.ratio, one.lowest_ratio, one.highest_ratio) == (
        pytest.approx(3), pytest.approx(3), pytest.approx(6),
    )  # fmt: skip
    assert one.cpu_ratio == pytest.approx(3)
    assert (one.ours_per_second, one.theirs_per_second) == (pytest.approx(300), pytest.approx(50))


@pytest.mark.parametrize(
    ("throughput", "ratio", "missed"), [(3.0, 1.5, 0), (2.9, 1.5, 1), (3.0, 1.6, 1), (2.9, 1.6, 2)]
)
def test_targets_when_at_the_limit_then_met(throughput, ratio, missed):
    assert sync_report.targets(found(throughput, ratio)).count("**missed**") == missed


def test_part_when_written_then_every_table_has_its_figures():
    text = sync_report.part(found(4.0, 1.1))
    assert "| PostgreSQL, an empty sync | 1.00 | 1.10 | 1.10 × (1.10–1.10) |" in text
    assert "| PostgreSQL, an empty sync, 1 of 1 | 3 (generic 3) | 3 (generic 3) | Index Scan `pk_accounts` |" in text
    assert "| together | 400 | 400 |" in text
    assert "| one record | 300 | 100 | 4.00 × (4.00–4.00) | 500 | 1500 | 3.00 × |" in text


def test_document_when_one_part_is_written_then_the_other_stays_and_the_order_too(tmp_path: Path):
    path = tmp_path / "performance.md"
    report.write(path, "sync", "the sync, once")
    report.write(path, "token", "the token")
    report.write(path, "sync", "the sync, again")
    text = path.read_text()
    assert text.startswith("# Performance\n")
    assert text.index("the token") < text.index("the sync, again")
    assert "once" not in text
    assert text.count("<!-- sync -->") == 1


def test_fill_when_done_then_the_numbers_agree_as_if_the_api_had_written_them(database: Database):
    sync_data.fill(database, "ada", 25)
    sync_data.surround(database, 3)
    store = Store(database, identity=Identity(ISSUER, "ada"))
    store.refuse_wrong_numbers()
    page = store.changes(sync_data.cursor_at(database, "ada", 20))
    assert [change["seq"] for change in page["changes"]] == [21, 22, 23, 24, 25]
    json.loads(sync_data.content(1))


def test_costs_when_asked_then_each_statement_of_the_poll_is_counted(database: Database):
    sync_data.fill(database, "ada", 25)
    nothing = sync_plans.costs(database, "ada", sync_data.cursor_at(database, "ada", 25), 10)
    some = sync_plans.costs(database, "ada", sync_data.cursor_at(database, "ada", 20), 10)
    # The head alone; or the head again, under the snapshot, the preferences and the records.
    assert (len(nothing), len(some)) == (1, 4)
    assert all(cost.count > 0 for cost in nothing)
    is_sqlite = database.engine.dialect.name == "sqlite"
    assert all((cost.count_when_generic is None) == is_sqlite for cost in some)


def test_tokens_when_signed_for_the_sync_then_they_carry_its_scopes():
    assert sign(1, SYNC_SCOPES).tokens[0] != sign(1).tokens[0]
    assert {"read:records", "write:records"} <= set(SYNC_SCOPES.split())


def test_message_when_it_has_a_body_then_its_length_is_said():
    sent = message("PUT", "/x", {"A": "b"}, b"{}")
    assert sent.startswith(b"PUT /x HTTP/1.1\r\nHost: ")
    assert b"Content-Length: 2\r\n" in sent
    assert sent.endswith(b"\r\n\r\n{}")
    assert b"Content-Length" not in message("GET", "/x", {})


def test_kinto_when_named_then_one_bucket_for_each_user():
    assert kinto.record("user001", 7) == "/v1/buckets/user001/collections/notes/records/r0000007"
    assert kinto.authorization("a")["Authorization"] == "Basic YTpzZWNyZXQ="
