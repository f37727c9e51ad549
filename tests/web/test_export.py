"""GET /v1/me/export: the file, its limit, its faults. On SQLite and on PostgreSQL."""

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app.db import Database, DatabaseUnavailable
from app.records.models import RecordRow
from app.users import deletion
from app.users.identity import Identity
from app.users.models import Account, Export
from app.web import export
from tests.support import tokens
from tests.support.api import Api, running, settings_for

PATH = "/v1/me/export"
SCOPE = "export:account"
ADA = Identity(tokens.ISSUER, tokens.SUBJECT)


@pytest.fixture
def migrated(migrated_url: str) -> str:
    """These tests run on SQLite and on PostgreSQL."""
    return migrated_url


def database_of(api: Api) -> Database:
    database: Database = api.app.extensions["postern"].database
    return database


def download(api: Api, method: str = "GET") -> TestResponse:
    return api.request(method, PATH, scope=SCOPE)


def documents(answer: TestResponse) -> list[dict[str, Any]]:
    """Read the file as its user would."""
    assert answer.status_code == 200
    *lines, footer = answer.data.splitlines(keepends=True)
    sha256 = hashlib.sha256(b"".join(lines)).hexdigest()
    assert json.loads(footer) == {"type": "footer", "lines": len(lines), "sha256": sha256}
    return [json.loads(line) for line in lines]


def put(api: Api, record_id: str, data: Any) -> None:
    path = f"/v1/collections/notes/records/{record_id}"
    assert api.request("PUT", path, scope="write:records", json={"data": data}).status_code in {200, 201}


def counted(api: Api) -> int:
    with database_of(api).read() as session:
        return session.scalar(select(func.count()).select_from(Export)) or 0


def test_export_when_asked_then_a_file_of_lines_with_the_email_and_no_other_user(api: Api):
    """§2: GET `/v1/me/export` | `export:account` | 200 NDJSON stream."""
    other = api.as_user("auth0|other")
    for user, text in ((api, "mine"), (other, "theirs")):
        headers = {"Authorization": f"Bearer {user.token(email=text + '@example.org')}"}
        assert user.get("/v1/me", headers=headers).status_code == 200
        put(user, "a", {"text": text})
    answer = download(api)
    found = {document["type"]: document for document in documents(answer)}
    assert list(found) == ["header", "profile", "record", "export"]
    assert (found["header"]["sub"], found["header"]["tenant"]) == (api.subject, tokens.ISSUER)
    assert (found["profile"]["email"], found["record"]["data"]) == ("mine@example.org", {"text": "mine"})
    assert b"theirs" not in answer.data
    assert b"auth0|other" not in answer.data
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Cache-Control"] == "no-store"
    day = found["header"]["exported_at"][:10]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="postern-export-{day}.ndjson"'
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert "Content-Encoding" not in answer.headers


def test_export_when_there_is_no_account_then_header_and_footer_and_none_is_made(api: Api):
    for _ in range(3):
        assert [document["type"] for document in documents(download(api))] == ["header"]
    with database_of(api).read() as session:
        assert session.get(Account, ADA.user_key) is None
    assert counted(api) == 0


def test_export_when_the_day_is_used_up_then_429_says_which_limit_and_when_the_next_may_be(api: Api):
    """§2: 429 (2 a day); U8: "429 with `Retry-After`"."""
    api.get("/v1/me")
    other = api.as_user("auth0|other")
    other.get("/v1/me")
    assert [download(api).status_code for _ in range(3)] == [200, 200, 429]
    refused = download(api)
    assert (refused.json["code"], refused.json["retryable"]) == ("rate_limited", True)
    assert "limit is 2 in 24 hours" in refused.json["detail"]
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400
    assert download(other).status_code == 200
    database_of(api).transact(let_the_oldest_grow_a_day_old)
    assert download(api).status_code == 200
    assert download(api).status_code == 429


def let_the_oldest_grow_a_day_old(session: Session) -> None:
    oldest = session.scalars(select(Export).where(Export.user_key == ADA.user_key).order_by(Export.started_at)).first()
    assert oldest is not None
    oldest.started_at -= timedelta(days=1)


def test_export_when_the_operator_allows_more_then_more(tmp_path: Path, migrated: str):
    with running(settings_for(tmp_path, migrated, exports_per_day=3)) as api:
        api.get("/v1/me")
        assert [download(api).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert api.anonymous("/v1").json["limits"]["exports_per_day"] == 3


def test_head_when_asked_first_then_not_counted_and_nothing_is_sent(api: Api):
    """RFC 9110 §9.3.2: no content; a download manager that asks first has not had an export."""
    api.get("/v1/me")
    for _ in range(3):
        asked = download(api, "HEAD")
        assert (asked.status_code, asked.data, asked.content_type) == (200, b"", "application/x-ndjson")
        assert "attachment" in asked.headers["Content-Disposition"]
        # RFC 9110 §8.6: "unless its field value equals" that of a GET: it said 0.
        assert "Content-Length" not in asked.headers
    assert counted(api) == 0


def test_head_when_a_get_would_be_429_then_429_and_not_counted(api: Api):
    """RFC 9110 §9.3.2: the fields that a GET would have."""
    api.get("/v1/me")
    assert [download(api).status_code for _ in range(2)] == [200, 200]
    for _ in range(2):
        asked = download(api, "HEAD")
        assert (asked.status_code, asked.data) == (429, b"")
        assert 86_000 < int(asked.headers["Retry-After"]) <= 86_400
    assert counted(api) == 2
    database_of(api).transact(let_the_oldest_grow_a_day_old)
    assert download(api, "HEAD").status_code == 200
    assert counted(api) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_export_when_the_account_ends_then_403_and_410_and_not_counted(api: Api, method):
    """U16: in the grace "data endpoints answer 403 `account_deletion_scheduled`", then 410 `account_deleted`."""
    api.get("/v1/me")
    for grace, status in ((timedelta(days=1), 403), (timedelta(0), 410)):
        database_of(api).transact(lambda session: deletion.cancel(session, ADA, datetime.now(UTC)))
        database_of(api).transact(
            lambda session, grace=grace: deletion.schedule(session, ADA, grace, datetime.now(UTC))
        )
        assert download(api, method).status_code == status
    assert counted(api) == 0


def test_export_when_the_scope_is_missing_or_no_user_is_there_then_403(api: Api):
    """T22: "User endpoints refuse `client` and `anonymous` tokens"."""
    poor = api.get(PATH)
    assert (poor.status_code, poor.json["code"], poor.json["scope"]) == (403, "insufficient_scope", SCOPE)
    token = api.token(SCOPE, gty="client-credentials")
    assert api.get(PATH, headers={"Authorization": f"Bearer {token}"}).json["code"] == "user_required"


# What goes wrong


def broken_off(*_given: Any, **_more: Any) -> Iterator[bytes]:
    yield b'{"type":"header"}\n'
    raise DatabaseUnavailable("gone")


def full(*_given: Any, **_more: Any) -> Iterator[bytes]:
    yield b'{"type":"header"}\n'
    raise OSError(28, "No space left on device")


def broken(*_given: Any, **_more: Any) -> Iterator[bytes]:
    yield b'{"type":"header"}\n'
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(broken_off, 503, "unavailable"), (full, 503, "unavailable"), (broken, 500, "internal_error")],
)
def test_export_when_it_breaks_off_on_this_side_then_an_error_and_not_counted(
    api: Api, monkeypatch: pytest.MonkeyPatch, fault, status, code
):
    """T27: our fault is a 503 with Retry-After, and not one byte of half an export is sent."""
    api.get("/v1/me")
    with monkeypatch.context() as patch:
        patch.setattr(export, "export", fault)
        for _ in range(3):
            refused = download(api)
            assert (refused.status_code, refused.json["code"]) == (status, code)
            assert ("Retry-After" in refused.headers) == (status == 503)
    assert counted(api) == 0
    assert download(api).status_code == 200


@pytest.mark.parametrize("on_disk", [False, True])
def test_export_when_larger_than_memory_holds_then_from_the_disk_and_the_same(
    api: Api, monkeypatch: pytest.MonkeyPatch, on_disk
):
    """Both sides of what is kept in memory; a file without a name either way, and closed at the end."""
    api.get("/v1/me")
    put(api, "a", {"text": "x" * 2000})
    made: list[SpooledTemporaryFile[bytes]] = []

    def file_of(size: int) -> SpooledTemporaryFile[bytes]:
        made.append(SpooledTemporaryFile(1000 if on_disk else size))  # noqa: SIM115
        return made[-1]

    monkeypatch.setattr(export, "SpooledTemporaryFile", file_of)
    answer = download(api)
    assert [document["type"] for document in documents(answer)] == ["header", "profile", "record", "export"]
    assert made[0]._rolled is on_disk
    answer.close()
    assert made[0].closed


def test_pieces_when_the_reader_is_too_slow_then_cut_and_otherwise_whole():
    """A client that does not read must not keep a thread: 60 s, and a second for each 32 KiB."""
    size = 4 * 65_536
    allowed = 60 + size / 32_768
    assert sum(map(len, pieces_at(size, 0, 0, 0, allowed))) == size
    slow = pieces_at(size, 0, 0, 0, allowed + 0.1)
    assert [len(next(slow)) for _ in range(3)] == [65_536] * 3
    with pytest.raises(ConnectionResetError):
        next(slow)


def pieces_at(size: int, *seconds: float) -> Iterator[bytes]:
    """Read pieces of a file, each at its time after the begin."""
    clock = iter([100.0, *(100.0 + second for second in seconds)])
    return export._pieces(io.BytesIO(bytes(size)), size, lambda: next(clock))


def test_export_when_there_are_many_records_then_each_stands_in_it_once(api: Api):
    api.get("/v1/me")
    now = datetime.now(UTC)
    rows = [
        {"user_key": ADA.user_key, "collection": "notes", "id": f"{number:05}", "seq": number + 10, "created_seq": 9,
         "deleted": False, "data": '{"n":1.50}', "stored_bytes": 10, "origin": None, "updated_at": now}
        for number in range(2000)
    ]  # fmt: skip
    database_of(api).transact(lambda session: session.execute(insert(RecordRow), rows))
    answer = download(api)
    found = [document["id"] for document in documents(answer) if document["type"] == "record"]
    assert found == [row["id"] for row in rows]
    # As it was stored, to the letter.
    assert answer.data.count(b'"data":{"n":1.50}') == 2000


# What the API says of itself


def test_openapi_and_index_when_served_then_the_export_is_there(api: Api):
    """U8: "links to documentation"; the answer is no JSON document but lines of it."""
    document = api.anonymous("/v1/openapi.json").json
    operation = document["paths"][PATH]["get"]
    assert operation["operationId"] == "exportAccount"
    assert list(operation["responses"]["200"]["content"]) == ["application/x-ndjson"]
    for status, code in (("403", "account_deletion_scheduled"), ("410", "account_deleted"), ("429", "rate_limited")):
        response = operation["responses"][status]
        shared = document["components"]["responses"][response["$ref"].rpartition("/")[2]] if "$ref" in response else {}
        assert code in {**response, **shared}["description"]
    assert all(way["tenant"] == [SCOPE] for way in operation["security"])
    assert api.anonymous("/v1").json["links"]["export"] == "https://api.example/v1/me/export"
