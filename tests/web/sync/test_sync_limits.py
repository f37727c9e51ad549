"""Every limit of user-data.md §5 that concerns records, collections and preferences, on both of its sides.

Each refusal leaves all rows of all tables as they were.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.support.api import Api
from tests.support.databases import PostgresqlServer
from tests.support.sync_api import LIST, ONE, PREFERENCES, RECORD, ROUTES, fresh_user, rows, send, serving

LIMITS = {
    "max_record_bytes": 200,
    "max_preferences_bytes": 100,
    "max_body_bytes": 1000,
    "max_json_depth": 6,
    "max_collections": 3,
    "max_records_per_collection": 4,
    "max_bytes_per_user": 500,
    "max_answer_bytes": 5000,
    "page_size_default": 2,
    "page_size_max": 3,
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Api]:
    directory: Path = tmp_path_factory.mktemp("limits")
    with serving(request.param, directory, postgresql_server, **LIMITS) as api:
        yield api


@pytest.fixture
def api(served: Api, request: pytest.FixtureRequest) -> Api:
    return fresh_user(served, request)


def sized(size: int) -> dict[str, Any]:
    """An object that takes so many bytes as stored JSON."""
    return {"a": "x" * (size - len('{"a":""}'))}


def nested(depth: int) -> dict[str, Any]:
    """An object of this depth."""
    value: Any = 1
    for _ in range(depth - 1):
        value = [value]
    return {"a": value}


def refused(api: Api, code: str, method: str, path: str, body: Any = None, **fields: str) -> TestResponse:
    """Send what must be refused so, and look whether anything has changed."""
    before = rows(api)
    answer = send(api, method, path, body, **fields)
    assert answer.json["code"] == code
    assert rows(api) == before
    return answer


@pytest.mark.parametrize(("method", "path"), [("PUT", ONE), ("POST", LIST)])
def test_record_when_of_the_greatest_size_then_stored_and_a_byte_more_413(api: Api, method, path):
    """§5: record data 64 KiB."""
    assert send(api, method, path, {"data": sized(200)}).status_code == 201
    answer = refused(api, "payload_too_large", method, path, {"data": sized(201)})
    assert (answer.status_code, answer.json["limit"], answer.json["retryable"]) == (413, 200, False)


def test_record_when_its_size_is_counted_then_in_bytes_of_utf_8_without_white_space(api: Api):
    data = {"a": "é" * 96}
    body = b'{"data": {   "a":    "' + b"\\u00e9" * 96 + b'"}}'
    assert send(api, "PUT", ONE, body).status_code == 201
    assert send(api, "GET", ONE).json["data"] == data
    assert send(api, "GET", "/v1/me/usage").json["bytes"] == 200
    refused(api, "payload_too_large", "PUT", ONE, {"data": {"a": "é" * 97}})


def test_patch_when_it_leads_beyond_the_size_then_413_and_to_the_size_itself_200(api: Api):
    """U14: "The merged document is validated, not the patch"."""
    send(api, "PUT", ONE, {"data": sized(150)})
    more = {"b": "y" * (50 - len(',"b":""'))}
    refused(api, "payload_too_large", "PATCH", ONE, {"data": {"b": more["b"] + "y"}})
    assert send(api, "PATCH", ONE, {"data": more}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_preferences_when_of_the_greatest_size_then_stored_and_a_byte_more_413(api: Api, method):
    """§5: preferences 16 KiB."""
    assert send(api, method, PREFERENCES, {"preferences": sized(100)}).status_code == 200
    answer = refused(api, "payload_too_large", method, PREFERENCES, {"preferences": sized(101)})
    assert (answer.status_code, answer.json["limit"]) == (413, 100)


@pytest.mark.parametrize(("method", "path"), [("PUT", ONE), ("POST", LIST), ("PATCH", ONE), ("PUT", PREFERENCES)])
def test_body_when_of_the_greatest_size_then_read_and_a_byte_more_413(api: Api, method, path):
    """§5: request 1 MiB."""
    send(api, "PUT", ONE, RECORD)
    body = b'{"preferences": {}}' if path == PREFERENCES else b'{"data": {}}'
    assert send(api, method, path, body.ljust(1000)).status_code in {200, 201}
    answer = refused(api, "payload_too_large", method, path, body.ljust(1001))
    assert (answer.status_code, answer.json["limit"]) == (413, 1000)


@pytest.mark.parametrize(
    ("method", "path", "member"),
    [("PUT", ONE, "data"), ("POST", LIST, "data"), ("PATCH", ONE, "data"), ("PUT", PREFERENCES, "preferences"),
     ("PATCH", PREFERENCES, "preferences")],
)  # fmt: skip
def test_depth_when_the_greatest_then_stored_and_a_level_more_400(api: Api, method, path, member):
    """§5: JSON depth 32, of what is stored: the object around it does not count, here nor in a batch."""
    send(api, "PUT", ONE, RECORD)
    assert send(api, method, path, {member: nested(6)}).status_code in {200, 201}
    answer = refused(api, "malformed_json", method, path, {member: nested(7)})
    assert (answer.status_code, "too deep" in answer.json["detail"]) == (400, True)


def test_collections_when_all_are_taken_then_403_and_what_is_there_still_grows(api: Api):
    """§5: 64 collections; §4: `quota_exceeded` 403."""
    for name in ("a", "b", "c"):
        assert send(api, "PUT", f"/v1/collections/{name}/records/x", RECORD).status_code == 201
    for method, path in (("PUT", "/v1/collections/d/records/x"), ("POST", "/v1/collections/d/records")):
        answer = refused(api, "quota_exceeded", method, path, RECORD)
        assert (answer.status_code, answer.json["quota"], answer.json["limit"]) == (403, "collections", 3)
        assert answer.json["retryable"] is False
    assert send(api, "POST", "/v1/collections/a/records", RECORD).status_code == 201
    assert send(api, "DELETE", "/v1/collections/b").status_code == 200
    assert send(api, "PUT", "/v1/collections/d/records/x", RECORD).status_code == 201


def test_records_when_a_collection_is_full_then_403_and_replacing_is_still_possible(api: Api):
    """§5: 10 000 live records each: a tombstone takes no room."""
    for number in range(4):
        assert send(api, "PUT", f"{LIST}/n{number}", {"data": {}}).status_code == 201
    for method, path in (("PUT", ONE), ("POST", LIST)):
        answer = refused(api, "quota_exceeded", method, path, {"data": {}})
        assert (answer.status_code, answer.json["quota"], answer.json["limit"]) == (403, "records", 4)
    assert send(api, "PUT", f"{LIST}/n0", RECORD).status_code == 200
    assert send(api, "DELETE", f"{LIST}/n0").status_code == 204
    assert send(api, "PUT", ONE, {"data": {}}).status_code == 201
    refused(api, "quota_exceeded", "PUT", f"{LIST}/n0", {"data": {}})


def test_bytes_when_the_user_has_no_more_then_403_and_shrinking_is_still_possible(api: Api):
    """§5: 50 MiB a user; another user has their own."""
    send(api, "PUT", f"{LIST}/a", {"data": sized(200)})
    send(api, "PUT", f"{LIST}/b", {"data": sized(200)})
    for method, path, body in (("PUT", ONE, {"data": sized(101)}), ("PATCH", f"{LIST}/c", {"data": {"b": "y" * 40}})):
        if method == "PATCH":
            assert send(api, "PUT", path, {"data": sized(100)}).status_code == 201
        answer = refused(api, "quota_exceeded", method, path, body)
        assert (answer.status_code, answer.json["quota"], answer.json["limit"]) == (403, "bytes", 500)
    assert send(api, "GET", "/v1/me/usage").json["bytes"] == 500
    assert send(api, "PUT", f"{LIST}/a", {"data": sized(199)}).status_code == 200
    assert send(api, "PUT", f"{LIST}/d", {"data": {}}, If_Match='"0"').status_code == 412
    refused(api, "quota_exceeded", "PUT", f"{LIST}/d", {"data": {}})
    other = api.as_user(api.subject + "-other")
    assert send(other, "PUT", ONE, {"data": sized(200)}).status_code == 201


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 2), ("?limit=1", 1), ("?limit=3", 3), ("?limit=4", 3), ("?limit=500", 3), ("?limit=0000000000003", 3),
     ("?limit=99999999999999999999", 3), ("?limit=" + "9" * 5000, 3)],
)  # fmt: skip
def test_page_when_so_many_are_asked_for_then_coerced(api: Api, query, count):
    """§5: page 100 by default, 500 at most (coerced)."""
    for number in range(4):
        send(api, "PUT", f"{LIST}/n{number}", {"data": {}})
    answer = send(api, "GET", LIST + query)
    assert (answer.status_code, len(answer.json["records"])) == (200, count)
    assert answer.json["next"] is not None


@pytest.mark.parametrize("limit", ["0", "-1", "", "abc", "1.5", "1e2", "%D9%A3", " 1", "0x1", "+1", "%00", "null"])
def test_page_when_the_limit_is_no_number_then_400(api: Api, limit):
    """Too many is coerced; what can not be meant is not: a page of none would never lead on."""
    answer = send(api, "GET", f"{LIST}?limit={limit}")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert "limit" in answer.json["detail"]


def test_answer_when_it_would_be_too_large_then_a_short_page_that_leads_on(
    tmp_path: Path, postgresql_server: PostgresqlServer
):
    """§5: answer ≤ 4 MiB (short page)."""
    limits = {"max_record_bytes": 2000, "max_answer_bytes": 8192}
    with serving("sqlite", tmp_path, postgresql_server, **limits) as api:
        for number in range(5):
            assert send(api, "PUT", f"{LIST}/n{number}", {"data": sized(2000)}).status_code == 201
        seen, path = [], LIST
        while path:
            page = send(api, "GET", path)
            assert len(page.data) <= 8192
            seen += [record["id"] for record in page.json["records"]]
            path = page.json["next"] and f"{LIST}?page={page.json['next']}"
        assert seen == [f"n{number}" for number in range(5)]


@pytest.mark.parametrize("name", ["a", "A-b_9", "_", "-", "0", "x" * 64])
def test_id_when_it_fits_then_stored(api: Api, name):
    """§5: id `[A-Za-z0-9_-]{1,64}`."""
    assert send(api, "PUT", f"{LIST}/{name}", RECORD).status_code == 201
    assert send(api, "GET", f"{LIST}/{name}").json["id"] == name


@pytest.mark.parametrize(
    "name", ["x" * 65, "a.b", "a%20b", "%C3%A9", "%00", "%FF", "a%0A", "..%2e", "~", "a:b", "%25", "a%22"]
)
def test_id_when_it_does_not_fit_then_422_where_it_is_written_and_404_where_it_is_read(api: Api, name):
    path = f"{LIST}/{name}"
    for method in ("PUT", "PATCH", "DELETE"):
        answer = refused(api, "validation_failed", method, path, None if method == "DELETE" else RECORD)
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/id")
    assert send(api, "GET", path).status_code == 404


@pytest.mark.parametrize("name", ["a", "a-b_9", "x" * 32])
def test_collection_when_its_name_fits_then_stored(api: Api, name):
    """§5: collection `[a-z][a-z0-9_-]{0,31}`."""
    assert send(api, "POST", f"/v1/collections/{name}/records", RECORD).status_code == 201
    assert send(api, "GET", f"/v1/collections/{name}/records").json["records"][0]["collection"] == name


@pytest.mark.parametrize("name", ["x" * 33, "A!", "Notes", "9", "_a", "-", "a.b", "%C3%A9", "%00", "%FF", "a%0A"])
def test_collection_when_its_name_does_not_fit_then_422_where_it_is_written_and_404_where_it_is_read(api: Api, name):
    path = f"/v1/collections/{name}/records"
    for method, target in (("POST", path), ("PUT", path + "/a"), ("PATCH", path + "/a"), ("DELETE", path + "/a")):
        answer = refused(api, "validation_failed", method, target, None if method == "DELETE" else RECORD)
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/collection")
    for target in (path, path + "/a"):
        assert send(api, "GET", target).status_code == 404


@pytest.mark.parametrize(
    "path", [LIST + "/a%2Fb", LIST + "/", LIST + "/a/", "/v1/collections//records", LIST + "/../a"]
)
def test_path_when_it_is_none_of_ours_then_404_and_no_redirect(api: Api, path):
    for method in ("GET", "PUT", "POST", "DELETE"):
        assert refused(api, "not_found", method, path, RECORD).status_code == 404


@pytest.mark.parametrize("name", ["a", "x" * 64, "ios:1/~"])
@pytest.mark.parametrize(("method", "path", "body"), [("PUT", ONE, RECORD), ("PUT", PREFERENCES, {"preferences": {}})])
def test_device_when_its_name_fits_then_kept_as_origin(api: Api, name, method, path, body):
    """U6: `Device-Id` header (optional, ≤ 64): kept as `origin` on the change."""
    answer = send(api, method, path, body, Device_Id=name)
    assert answer.status_code in {200, 201}
    assert answer.json.get("origin", name) == name


@pytest.mark.parametrize("name", ["x" * 65, "", "a b", "é", "a\tb", "x" * 8000])
def test_device_when_its_name_does_not_fit_then_400(api: Api, name):
    before = rows(api)
    for method, path, body, _scope in ROUTES:
        if method != "GET":
            answer = send(api, method, path, body, Device_Id=name)
            assert (answer.status_code, answer.json["code"]) == (400, "bad_request"), (method, path)
            assert "Device-Id" in answer.json["detail"]
    assert rows(api) == before
