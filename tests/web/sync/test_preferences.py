"""GET, PUT and PATCH /v1/me/preferences (user-data.md §2, §3, U2–U7, U14)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.databases import PostgresqlServer
from tests.support.sync_api import PREFERENCES, WISHES, fresh_user, rows, send, serving


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Api]:
    directory: Path = tmp_path_factory.mktemp("preferences")
    with serving(request.param, directory, postgresql_server) as api:
        yield api


@pytest.fixture
def api(served: Api, request: pytest.FixtureRequest) -> Api:
    return fresh_user(served, request)


def test_get_when_never_written_then_empty_with_version_0_and_no_row_is_made(api: Api):
    before = rows(api)
    answer = send(api, "GET", PREFERENCES)
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"0"')
    assert answer.json == {"preferences": {}, "etag": '"0"', "seq": 0, "updated_at": None}
    assert send(api, "GET", PREFERENCES, If_None_Match='"0"').status_code == 304
    assert rows(api) == before


def test_put_when_sent_then_200_and_the_whole_is_replaced(api: Api):
    """§3: preferences, etag, seq, updated_at; U4: "The answer carries the new `etag` and `seq`"."""
    first = send(api, "PUT", PREFERENCES, WISHES, Device_Id="ios-1")
    assert first.status_code == 200
    assert list(first.json) == ["preferences", "etag", "seq", "updated_at"]
    assert first.headers["ETag"] == first.json["etag"] == f'"{first.json["seq"]}"'
    second = send(api, "PUT", PREFERENCES, {"preferences": {"size": 3}})
    assert (second.status_code, second.json["preferences"]) == (200, {"size": 3})
    assert second.json["seq"] > first.json["seq"]
    assert send(api, "GET", PREFERENCES).json == second.json


@pytest.mark.parametrize("media_type", ["application/merge-patch+json", "application/json"])
def test_patch_when_sent_then_merged_and_what_changes_nothing_keeps_the_version(api: Api, media_type):
    """U14: "PATCH is RFC 7396 …: two devices that change different members both survive"."""
    send(api, "PATCH", PREFERENCES, {"preferences": {"theme": "dark", "list": {"sort": "name", "rows": 5}}})
    patch = {"preferences": {"theme": None, "list": {"rows": 6}}}
    merged = send(api, "PATCH", PREFERENCES, patch, Content_Type=media_type)
    assert (merged.status_code, merged.json["preferences"]) == (200, {"list": {"sort": "name", "rows": 6}})
    again = send(api, "PATCH", PREFERENCES, patch, Content_Type=media_type)
    assert (again.status_code, again.json) == (200, merged.json)


def test_put_when_sent_as_a_merge_patch_then_415(api: Api):
    """A merge patch would replace what it means to keep."""
    answer = send(api, "PUT", PREFERENCES, WISHES, Content_Type="application/merge-patch+json")
    assert (answer.status_code, answer.json["accepted"]) == (415, ["application/json"])


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_write_when_the_version_is_another_then_412_with_current_and_nothing_changes(api: Api, method):
    """U4: "A 412 carries `current`"; a token that may not read learns the version alone."""
    stored = send(api, "PUT", PREFERENCES, WISHES)
    etag, before = stored.headers["ETag"], rows(api)
    body = {"preferences": {"a": 1}}
    for fields in ({"If_Match": '"0"'}, {"If_None_Match": "*"}, {"If_None_Match": etag}, {"If_Match": '"rubbish"'}):
        refused = send(api, method, PREFERENCES, body, **fields)
        assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed"), fields
        assert refused.json["current"] == stored.json
        assert rows(api) == before
    poor = send(api, method, PREFERENCES, body, scope="write:preferences", If_Match='"0"')
    assert set(poor.json["current"]) == {"etag", "seq", "updated_at"}
    for form in ('"{}"', 'W/"{}"', '"{}-gzip"', '"0", "{}"', "*"):
        seq = send(api, "GET", PREFERENCES).json["seq"]
        assert send(api, method, PREFERENCES, body, If_Match=form.format(seq)).status_code == 200, form


@pytest.mark.parametrize("fields", [{"If_Match": '"0"'}, {"If_Match": "*"}, {"If_None_Match": "*"}])
def test_put_when_it_is_the_first_then_version_0_and_none_at_all_both_hold(api: Api, fields):
    assert send(api, "PUT", PREFERENCES, WISHES, **fields).status_code == 200


def test_get_when_unmodified_then_304_with_the_fields_of_a_200_and_if_match_is_asked_first(api: Api):
    """U3: "a 304 repeats all of these"; RFC 9110 §13.2.2."""
    etag = send(api, "PUT", PREFERENCES, WISHES).headers["ETag"]
    whole, again = send(api, "GET", PREFERENCES), send(api, "GET", PREFERENCES, If_None_Match=f'"1", W/{etag}')
    assert (again.status_code, again.data) == (304, b"")
    for name, value in (
        ("ETag", etag),
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Authorization, Accept-Encoding"),
    ):
        assert again.headers[name] == whole.headers[name] == value
    refused = send(api, "GET", PREFERENCES, If_Match='"0"', If_None_Match=etag)
    assert (refused.status_code, refused.json["current"]) == (412, whole.json)


def test_answer_when_the_token_may_only_write_then_the_version_alone(api: Api):
    answer = send(api, "PUT", PREFERENCES, WISHES, scope="write:preferences")
    assert set(answer.json) == {"etag", "seq", "updated_at"}


def test_write_when_of_records_then_the_preferences_keep_their_version(api: Api):
    """A seq of its own: a record's write never breaks the preferences' If-Match."""
    etag = send(api, "PUT", PREFERENCES, WISHES).headers["ETag"]
    send(api, "PUT", "/v1/collections/notes/records/a", {"data": {}})
    assert send(api, "PUT", PREFERENCES, WISHES, If_Match=etag).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/preferences"),
        ({"preferences": []}, "/preferences"),
        ({"preferences": None}, "/preferences"),
        ({"preferences": {}, "etag": "x"}, "/etag"),
        ({"theme": "dark"}, "/theme"),
        ([], ""),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_write_when_the_shape_is_wrong_then_422_points_at_it_and_nothing_changes(api: Api, method, body, pointer):
    """U7: "`errors: [{pointer, detail}]`"."""
    before = rows(api)
    answer = send(api, method, PREFERENCES, body)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert pointer in {error["pointer"] for error in answer.json["errors"]}
    assert rows(api) == before
