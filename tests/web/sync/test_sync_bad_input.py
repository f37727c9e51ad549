"""Whatever a body can hold ends in 4xx, and what was stored stays (user-data.md §1, §6; RFC 8259, RFC 7493)."""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.web.catalogue import PROBLEMS
from tests.support.api import Api
from tests.support.databases import PostgresqlServer
from tests.support.sync_api import LIST, ONE, PREFERENCES, RECORD, fresh_user, rows, send, serving

WRITES = [("POST", LIST, "data"), ("PUT", ONE, "data"), ("PATCH", ONE, "data"), ("PUT", PREFERENCES, "preferences"),
          ("PATCH", PREFERENCES, "preferences")]  # fmt: skip
writes = pytest.mark.parametrize("route", WRITES, ids=[f"{entry[0]} {entry[1]}" for entry in WRITES])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("If-Match", "If-None-Match", "Device-Id", "Content-Type", "Idempotency-Key")
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Api]:
    directory: Path = tmp_path_factory.mktemp("bad-input")
    with serving(request.param, directory, postgresql_server) as api:
        yield api


@pytest.fixture
def api(served: Api, request: pytest.FixtureRequest) -> Api:
    """A user who has a record and preferences already."""
    user = fresh_user(served, request)
    assert send(user, "PUT", ONE, RECORD).status_code == 201
    assert send(user, "PUT", PREFERENCES, {"preferences": {"a": 1}}).status_code == 200
    return user


def body_of(member: str, value: bytes) -> bytes:
    return b'{"%s": %s}' % (member.encode(), value)


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b'{"a": 1}}', 400, "malformed_json"),
        (b'{"a": 1} x', 400, "malformed_json"),
        (b"{'a': 1}", 400, "malformed_json"),
        (b'{"a": 1,}', 400, "malformed_json"),
        (b'{"a": NaN}', 400, "malformed_json"),
        (b'{"a": -Infinity}', 400, "malformed_json"),
        (b'{"a": 1e999}', 400, "malformed_json"),
        (b'{"a": 18446744073709551616}', 400, "malformed_json"),
        (b'{"a": -9223372036854775809}', 400, "malformed_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "malformed_json"),
        (b'{"a": 1, "a": 2}', 400, "malformed_json"),
        (b'{"a": {"b": 1, "b": 1}}', 400, "malformed_json"),
        (b'{"a": "\\ud800"}', 400, "malformed_json"),
        (b'{"\\udc00": 1}', 400, "malformed_json"),
        (b'{"a": "\xed\xa0\x80"}', 400, "malformed_json"),
        (b'{"a": "\xff"}', 400, "malformed_json"),
        (b'{"a": "\xc0\x80"}', 400, "malformed_json"),
        (b'{"a": "\x00"}', 400, "malformed_json"),
        (b'{"a": "\n"}', 400, "malformed_json"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"a": "' + b"x" * 1_100_000 + b'"}', 413, "payload_too_large"),
        (b'{"a": "' + b"x" * 70_000 + b'"}', 413, "payload_too_large"),
        (b'{"a": "b\\u0000c"}', 422, "validation_failed"),
        (b"[]", 422, "validation_failed"),
        (b"null", 422, "validation_failed"),
        (b'"text"', 422, "validation_failed"),
        (b"1", 422, "validation_failed"),
        (b"true", 422, "validation_failed"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_value_when_broken_in_a_known_way_then_its_code_and_nothing_changes(api: Api, value, status, code):
    """Oversized, deep, mistyped, truncated and wrongly encoded bodies: 4xx, database unchanged."""
    before = rows(api)
    for method, path, member in WRITES:
        answer = send(api, method, path, body_of(member, value))
        assert (answer.status_code, answer.json["code"]) == (status, code), (method, path)
        assert answer.content_type == "application/problem+json"
        if status == 422:
            pointer = f"/{member}/a" if b"u0000" in value else f"/{member}"
            assert answer.json["errors"][0]["pointer"] == pointer
    assert rows(api) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b" ", 400),
        (b"\xef\xbb\xbf{}", 400),
        ('{"data": {}}'.encode("utf-16"), 400),
        ('{"data": {}}'.encode("utf-32-le"), 400),
        (b"data=%7B%7D", 400),
        (b"[]", 422),
        (b"[{}]", 422),
        (b"null", 422),
        (b"0", 422),
        (b'"data"', 422),
        (b"{}", 422),
        (b'{"date": {}}', 422),
        (b'{"data": {}, "preferences": {}}', 422),
        (b'{"data": {}, "preferences": {}, "id": "x"}', 422),
    ],
    ids=repr,
)
def test_body_when_it_is_not_the_shape_then_4xx_and_nothing_changes(api: Api, body, status):
    """§6: "`unknown=RAISE`; errors become JSON pointers"."""
    before = rows(api)
    for method, path, _member in WRITES:
        answer = send(api, method, path, body)
        assert answer.status_code == status, (method, path)
        if status == 422:
            assert answer.json["errors"]
    assert rows(api) == before


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json-patch+json", "application/jsonx", "application/xml", "json", "é",
     "application/json, text/plain"],
)  # fmt: skip
def test_body_when_of_another_type_then_415_before_it_is_read(api: Api, media_type):
    """T30: 415 before 400; §2: 415."""
    before = rows(api)
    for method, path, _member in WRITES:
        answer = send(api, method, path, b"{", Content_Type=media_type)
        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type"), (method, path)
        assert "application/json" in answer.json["accepted"]
    assert rows(api) == before


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y"])
def test_body_when_json_by_another_spelling_then_taken(api: Api, media_type):
    """RFC 9110 §8.3.1: type and subtype are case-insensitive."""
    assert send(api, "PUT", ONE, RECORD, Content_Type=media_type).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity", "x"])
def test_body_when_compressed_then_415(api: Api, coding):
    """RFC 9110 §8.4: a coding that is not acceptable is 415: no bomb is ever unpacked."""
    before = rows(api)
    for method, path, member in WRITES:
        body = gzip.compress(body_of(member, b"{}"))
        answer = send(api, method, path, body, Content_Encoding=coding)
        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type"), (method, path)
    assert rows(api) == before
    assert send(api, "PUT", ONE, RECORD, Content_Encoding="Identity").status_code == 200


@writes
def test_body_when_cut_short_then_400_and_when_chunked_and_too_long_413(api: Api, route):
    """What is left of a body that was cut is never taken for the whole."""
    method, path, member = route
    before = rows(api)
    short = body_of(member, b"{}")
    headers = {"Authorization": f"Bearer {api.token('write:records write:preferences')}"}
    client = api.app.test_client()
    options = {"method": method, "headers": headers, "content_type": "application/json"}
    longer = {"CONTENT_LENGTH": str(len(short) + 5)}
    answer = client.open(path, input_stream=io.BytesIO(short), environ_overrides=longer, **options)
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_json")
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    long = io.BytesIO(short + b" " * 1_048_577)
    answer = client.open(path, input_stream=long, environ_overrides=chunked, **options)
    assert (answer.status_code, answer.json["code"]) == (413, "payload_too_large")
    assert rows(api) == before


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ({"a": "\0"}, ["/a"]),
        ({"a": {"b/c": ["x", {"d": "y\0"}]}, "e": "\0"}, ["/a/b~1c/1/d", "/e"]),
        ({"a": {"\0": 1}}, ["/a"]),
        ({"\0": 1}, [""]),
    ],
)
@writes
def test_nul_when_in_a_text_or_a_name_then_422_points_at_each(api: Api, route, value, pointers):
    """Refused on both databases: PostgreSQL's own JSON could never read it, and attributes refuse it too."""
    method, path, member = route
    before = rows(api)
    answer = send(api, method, path, {member: value})
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert sorted(error["pointer"] for error in answer.json["errors"]) == [f"/{member}{below}" for below in pointers]
    assert rows(api) == before


@writes
def test_nul_when_it_is_only_spelled_out_then_stored(api: Api, route):
    """A backslash and `u0000` are six characters."""
    method, path, member = route
    value = {"a": "\\u0000", "\\u0000": "\x01\x1f\x7f"}
    answer = send(api, method, path, {member: value})
    assert answer.status_code in {200, 201}
    assert answer.json[member].items() >= value.items()


@given(
    field=st.sampled_from(FIELDS),
    value=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60),
)
@quick
def test_field_when_any_text_then_no_500(api: Api, field, value):
    headers = {field: value}
    for method, path, body in (("GET", ONE, None), ("PUT", ONE, RECORD), ("GET", LIST, None)):
        expect_sane(send(api, method, path, body, **headers))


@given(route=st.sampled_from(WRITES), value=JSON)
@quick
def test_value_when_any_json_then_no_500_and_what_is_stored_comes_back(api: Api, route, value):
    method, path, member = route
    answer = send(api, method, path, {member: value})
    expect_sane(answer)
    if answer.status_code >= 400:
        return
    if method != "PATCH":
        assert json.dumps(answer.json[member], sort_keys=True) == json.dumps(value, sort_keys=True)
    target = path if answer.status_code == 200 else answer.headers["Location"].removeprefix("https://api.example")
    assert send(api, "GET", target).json == answer.json
    if answer.status_code == 201:
        assert send(api, "DELETE", target).status_code == 204


@given(route=st.sampled_from(WRITES), body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@quick
def test_body_when_any_bytes_then_no_500(api: Api, route, body):
    answer = send(api, *route[:2], body)
    expect_sane(answer)
    assert answer.status_code >= 400


@given(name=st.text(max_size=40), query=st.text(max_size=40))
@quick
def test_path_and_query_when_any_text_then_no_500(api: Api, name, query):
    client, headers = api.app.test_client(), {"Authorization": f"Bearer {api.token('read:records write:records')}"}
    for path in (f"/v1/collections/{name}/records/a", f"{LIST}/{name}", f"/v1/collections/{name}"):
        for method in ("GET", "DELETE"):
            expect_sane(client.open(path, method=method, headers=headers))
    expect_sane(client.get(LIST, query_string={"limit": query, "page": name}, headers=headers))
    expect_sane(client.get(LIST, query_string={"page": name}, headers=headers))


def expect_sane(answer) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.data:
        assert answer.content_type == "application/problem+json"
        assert answer.json["code"] in PROBLEMS
