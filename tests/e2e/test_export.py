"""The export of 100 000 records by gunicorn: complete, of one moment, in flat memory, and known for cut where it is."""

import hashlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import make_url, text

from app.db import Database
from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer

PATH = "/v1/me/export"
MANY, FEW = 100_000, 1_000
SCOPE = "read:profile read:records write:records export:account"
# A user's rows, as many writes would have left them: 300 bytes of data each.
_COLUMNS = "user_key, collection, id, seq, created_seq, deleted, data, bytes, origin, updated_at"
_DATA = json.dumps({"text": "x" * 288}, separators=(",", ":"))
_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)",
    "postgresql": "WITH n AS (SELECT generate_series(1, :count) AS i)",
}
_ID = {"sqlite": "printf('%06d', i)", "postgresql": "lpad(i::text, 6, '0')"}


class Exporting:
    """One worker with one user, whose records are put into the tables at once."""

    def __init__(self, directory: Path, url: str) -> None:
        settings = {"DATABASE_URL": url, "WEB_CONCURRENCY": "1", "EXPORTS_PER_DAY": "20"}
        self.server = GunicornServer.without_tenant(directory, **settings)
        self.database = Database(url)
        self.kind = make_url(url).get_backend_name()
        self.server.start()

    def close(self) -> None:
        self.server.stop()
        self.database.dispose()

    def fill(self, subject: str, count: int) -> str:
        """Make the account by its first request, then its records; return a token."""
        now = int(time.time())
        claims = {"aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600, "scope": SCOPE}
        token = tokens.mint(tokens.rsa_key(), None, claims)
        assert self.server.get(token, "/v1/me").status_code == 200
        assert self.put(token, "counter", "one", 0).status_code == 201
        rows = (
            f"INSERT INTO records ({_COLUMNS}) {_NUMBERS[self.kind]} SELECT user_key, 'notes', {_ID[self.kind]}, "
            "i + 1000, i + 1000, false, :data, 300, NULL, updated_at FROM accounts CROSS JOIN n WHERE sub = :sub"
        )
        raised = "UPDATE accounts SET seq = :count + 2000, live = :count + 1 WHERE sub = :sub"
        values = {"count": count, "data": _DATA, "sub": subject}
        self.database.transact(lambda session: (session.execute(text(rows), values), None)[1])
        self.database.transact(lambda session: (session.execute(text(raised), values), None)[1])
        return token

    def put(self, token: str, collection: str, record_id: str, number: int) -> requests.Response:
        path = f"/v1/collections/{collection}/records/{record_id}"
        return self.server.request("PUT", path, token, json={"data": {"n": number}})

    def peak(self) -> int:
        """The most memory that the worker ever held, in bytes."""
        (worker,) = self.server.workers()
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def open_snapshots(self) -> int:
        """How many transactions the worker has open."""
        if self.kind == "sqlite":
            with self.database.engine.connect() as connection:
                # Busy where a reader still needs what stands in the log alone.
                connection.exec_driver_sql("ROLLBACK")
                connection.exec_driver_sql("PRAGMA busy_timeout = 100")
                return int(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0])
        open_ones = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with self.database.read() as session:
            return int(
                session.scalar(text(open_ones + " AND xact_start IS NOT NULL AND backend_type = 'client backend'"))
            )


@pytest.fixture
def exporting(tmp_path: Path, database_url: str) -> Iterator[Exporting]:
    started = Exporting(tmp_path, database_url)
    yield started
    started.close()


def checked(body: bytes) -> list[dict[str, Any]]:
    """Read the lines, as a careful user would; ValueError where it is not all of them."""
    *lines, footer = body.splitlines(keepends=True)
    last = json.loads(footer)
    sha256 = hashlib.sha256(b"".join(lines)).hexdigest()
    if last != {"type": "footer", "lines": len(lines), "sha256": sha256}:
        raise ValueError("the export is not complete")
    return [json.loads(line) for line in lines]


def ids_of(documents: list[dict[str, Any]]) -> list[str]:
    return [document["id"] for document in documents if document["type"] == "record"]


def test_export_when_there_are_100000_records_then_complete_and_memory_stays_flat(exporting: Exporting):
    """§2: 200 NDJSON stream: what is stored of a user may be more than a worker's memory."""
    few, many = exporting.fill("auth0|few", FEW), exporting.fill("auth0|many", MANY)
    for _ in range(2):
        assert len(ids_of(checked(exporting.server.get(few, PATH).content))) == FEW + 1
    before = exporting.peak()
    answer = exporting.server.get(many, PATH)
    grown = exporting.peak() - before
    assert answer.status_code == 200
    expected = ["one", *(f"{number:06}" for number in range(1, MANY + 1))]
    assert ids_of(checked(answer.content)) == expected
    assert b"auth0|few" not in answer.content
    assert len(answer.content) > 40_000_000
    # Of 40 MB, MAX_ANSWER_BYTES may wait for the client, twice while they are moved.
    assert grown < 16_000_000, grown


def test_export_when_two_devices_write_meanwhile_then_of_one_moment(exporting: Exporting):
    """One consistent snapshot: of two records that are always written together, both are of the same write."""
    token = exporting.fill("auth0|ada", 20_000)
    over = threading.Event()
    written = []

    def write(number: int) -> None:
        """`counter` stands before the 20 000 notes, `zzz` after them."""
        pair = [{"op": "put", "collection": name, "id": "one", "data": {"n": number}} for name in ("counter", "zzz")]
        answer = exporting.server.request("POST", "/v1/batch", token, json={"atomic": True, "operations": pair})
        written.append(answer.status_code)

    def go_on() -> None:
        number = 1
        while not over.is_set():
            write(number)
            number += 1

    write(0)
    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        bodies = [exporting.server.get(token, PATH).content for _ in range(5)]
    finally:
        over.set()
        writer.join()
    assert set(written) == {200}
    seen = set()
    for body in bodies:
        pairs = [found["data"]["n"] for found in checked(body) if found["type"] == "record" and found["id"] == "one"]
        assert len(pairs) == 2
        assert pairs[0] == pairs[1]
        seen.add(pairs[0])
    # Or there was nothing to tell apart.
    assert len(seen) > 1


def test_export_when_its_reader_stops_reading_then_no_snapshot_is_held_for_it(exporting: Exporting):
    """A snapshot that lasts as long as a client likes keeps the database from clearing up behind it."""
    token = exporting.fill("auth0|ada", MANY)
    with closing(socket.create_connection(("127.0.0.1", exporting.server.port))) as connection:
        connection.settimeout(30)
        connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert b" 200 " in connection.recv(64)
        # Much more is still to be sent than any buffer of the connection takes.
        assert exporting.put(token, "notes", "new", 1).status_code == 201
        assert exporting.open_snapshots() == 0
        # Were there one, it would be seen.
        with exporting.database.read() as session:
            session.execute(text("SELECT count(*) FROM accounts"))
            assert exporting.put(token, "notes", "newer", 2).status_code == 201
            assert exporting.open_snapshots() == 1


def test_export_when_the_worker_dies_meanwhile_then_the_client_knows(exporting: Exporting):
    """An export without its footer is none, and HTTP says so too: the length was promised."""
    token = exporting.fill("auth0|ada", MANY)
    headers = {"Authorization": f"Bearer {token}"}
    with requests.get(exporting.server.url + PATH, headers=headers, stream=True, timeout=30) as answer:
        promised = int(answer.headers["Content-Length"])
        arrived = [next(answer.iter_content(1_000_000))]
        for worker in exporting.server.workers():
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(requests.RequestException):
            arrived.extend(answer.iter_content(65_536))
    body = b"".join(arrived)
    assert 0 < len(body) < promised
    with pytest.raises(ValueError):
        checked(body)
