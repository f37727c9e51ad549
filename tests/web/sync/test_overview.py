"""GET /v1/collections, DELETE /v1/collections/{c}, GET /v1/me/usage (user-data.md §2, §5)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from marshmallow import Schema, fields

from app.commands.db import upgrade
from app.records.terms import Rule
from tests.support.api import Api, running, settings_for
from tests.support.databases import PostgresqlServer
from tests.support.sync_api import LIST, NOTES, RECORD, fresh_user, rows, send, serving

COLLECTIONS, USAGE = "/v1/collections", "/v1/me/usage"
BOTH = pytest.mark.parametrize("path", [COLLECTIONS, USAGE])


class TaskSchema(Schema):
    """Anything with a title."""

    title = fields.String(required=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Api]:
    directory: Path = tmp_path_factory.mktemp("overview")
    with serving(request.param, directory, postgresql_server, {"tasks": Rule(schema=TaskSchema())}) as api:
        yield api


@pytest.fixture
def api(served: Api, request: pytest.FixtureRequest) -> Api:
    return fresh_user(served, request)


def fill(api: Api, collection: str, *ids: str) -> None:
    for record_id in ids:
        assert send(api, "PUT", f"{COLLECTIONS}/{collection}/records/{record_id}", RECORD).status_code == 201


def test_list_when_there_are_some_then_by_name_with_count_bytes_seq_and_schema(api: Api):
    """§2: `[{name, count, bytes, seq, schema_url}]`."""
    fill(api, "tasks", "a")
    fill(api, "notes", "a", "b")
    last = send(api, "PATCH", LIST + "/a", {"data": {"n": 1}}).json["seq"]
    answer = send(api, "GET", COLLECTIONS)
    assert answer.status_code == 200
    notes, tasks = answer.json["collections"]
    assert (notes["name"], notes["count"], notes["seq"], notes["schema_url"]) == ("notes", 2, last, None)
    assert notes["bytes"] == len('{"title":"Milk","n":1}') + len('{"title":"Milk"}')
    assert notes["etag"] == f'"{last}"'
    url, _, pointer = tasks["schema_url"].partition("#")
    assert url == "https://api.example/v1/openapi.json"
    assert pointer == "/components/schemas/Collection_tasks"


def test_list_when_nothing_is_stored_then_empty_and_no_account_is_made(api: Api):
    before = rows(api)
    assert send(api, "GET", COLLECTIONS).json == {"collections": []}
    used = send(api, "GET", USAGE).json
    assert (used["collections"], used["records"], used["bytes"]) == (0, 0, 0)
    assert rows(api) == before


def test_usage_when_records_come_and_go_then_the_numbers_beside_the_limits(api: Api):
    """§2: "200 quota numbers"; §5."""
    fill(api, "notes", "a", "b")
    fill(api, "tasks", "a")
    send(api, "DELETE", LIST + "/b")
    answer = send(api, "GET", USAGE)
    size = len('{"title":"Milk"}')
    assert (answer.json["collections"], answer.json["records"], answer.json["bytes"]) == (2, 2, 2 * size)
    assert answer.json["limits"] == {
        "collections": 64,
        "records_per_collection": 10_000,
        "bytes": 52_428_800,
        "record_bytes": 65_536,
    }


@BOTH
def test_lists_when_unmodified_then_304_with_all_fields_until_something_changes(api: Api, path):
    """U3: "a 304 repeats all of these"."""
    fill(api, "notes", "a")
    first = send(api, "GET", path)
    again = send(api, "GET", path, If_None_Match=f"W/{first.headers['ETag']}")
    assert (again.status_code, again.data) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]
    assert first.headers["Vary"] == "Authorization, Accept-Encoding"
    fill(api, "notes", "b")
    changed = send(api, "GET", path, If_None_Match=first.headers["ETag"])
    assert (changed.status_code, changed.headers["ETag"] != first.headers["ETag"]) == (200, True)
    assert send(api, "GET", path, If_Match=first.headers["ETag"]).status_code == 412


@BOTH
def test_lists_when_the_operator_changes_limits_and_rules_then_no_304(tmp_path: Path, sqlite_url: str, path):
    """RFC 9110 §8.8.1: a strong validator "changes value whenever a change occurs to the representation data": also
    where no record has changed.
    """
    upgrade(sqlite_url)
    with running(settings_for(tmp_path, sqlite_url), {}) as before:
        fill(before, "tasks", "a")
        etag = send(before, "GET", path).headers["ETag"]
        assert send(before, "GET", path, If_None_Match=etag).status_code == 304
    changed = settings_for(tmp_path, sqlite_url, max_collections=7)
    with running(changed, {"tasks": Rule(schema=TaskSchema())}) as after:
        assert send(after, "GET", path, If_None_Match=etag).status_code == 200


def test_delete_when_there_are_records_then_a_tombstone_for_each_and_usage_is_freed(api: Api):
    """§2: DELETE `/v1/collections/{c}`: 200 `{deleted, seq}`: "tombstones for all"."""
    fill(api, "notes", "a", "b", "c")
    fill(api, "tasks", "a")
    send(api, "DELETE", LIST + "/c")
    answer = send(api, "DELETE", NOTES, Device_Id="ios-1")
    assert (answer.status_code, answer.json["deleted"]) == (200, 2)
    seqs = sorted(send(api, "GET", f"{LIST}/{record_id}").json["seq"] for record_id in "abc")
    assert (len(set(seqs)), seqs[-1]) == (3, answer.json["seq"])
    assert send(api, "GET", LIST).json["records"] == []
    assert [found["name"] for found in send(api, "GET", COLLECTIONS).json["collections"]] == ["tasks"]
    assert send(api, "GET", USAGE).json["records"] == 1
    again = send(api, "DELETE", NOTES)
    assert (again.status_code, again.json) == (200, {"deleted": 0, "seq": answer.json["seq"]})
    assert send(api, "PUT", LIST + "/a", RECORD).status_code == 201


def test_delete_when_the_collection_is_another_version_then_412_with_current(api: Api):
    """U4: "A 412 carries `current`": here, what the overview says of the collection."""
    fill(api, "notes", "a")
    listed = send(api, "GET", COLLECTIONS).json["collections"][0]
    fill(api, "notes", "b")
    before = rows(api)
    refused = send(api, "DELETE", NOTES, If_Match=listed["etag"])
    assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed")
    assert (refused.json["current"]["name"], refused.json["current"]["count"]) == ("notes", 2)
    assert set(send(api, "DELETE", NOTES, scope="write:records", If_Match='"0"').json["current"]) == {"etag", "seq"}
    assert rows(api) == before
    current = refused.json["current"]["etag"]
    assert send(api, "DELETE", NOTES, If_Match=current).json["deleted"] == 2
    nothing = send(api, "DELETE", NOTES, If_Match="*")
    assert (nothing.status_code, nothing.json["current"]) == (412, None)


@pytest.mark.parametrize("name", ["A!", "a.b", "%20", "9a", "_a", "a" * 33, "n%C3%B6tes", "%FF", "a%00b", "a%0A"])
def test_delete_when_no_collection_can_have_the_name_then_422(api: Api, name):
    before = rows(api)
    answer = send(api, "DELETE", f"{COLLECTIONS}/{name}")
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/collection")
    assert rows(api) == before
