"""The routes over records (user-data.md §2, §3, §6, U1–U7)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from marshmallow import Schema, fields, validate
from sqlalchemy import update

from app.records.models import RecordRow
from app.records.terms import Rule, Terms
from app.users import deletion
from app.users.identity import Identity
from tests.support import tokens
from tests.support.api import Api
from tests.support.databases import PostgresqlServer
from tests.support.sync_api import (
    LIST,
    NOTES,
    ONE,
    PREFERENCES,
    RECORD,
    ROUTE_IDS,
    ROUTES,
    database_of,
    fresh_user,
    rows,
    send,
    serving,
)

MEMBERS = ["id", "collection", "data", "etag", "seq", "created_seq", "origin", "updated_at"]
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Encoding"}
route = pytest.mark.parametrize(("method", "path", "body", "scope"), ROUTES, ids=ROUTE_IDS)


class TaskSchema(Schema):
    """What a task has to look like."""

    title = fields.String(required=True, validate=validate.Length(max=10))
    tags = fields.List(fields.String())


RULES = {
    "tasks": Rule(schema=TaskSchema()),
    "guarded": Rule(require_preconditions=True),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Api]:
    directory: Path = tmp_path_factory.mktemp("records")
    with serving(request.param, directory, postgresql_server, RULES) as api:
        yield api


@pytest.fixture
def api(served: Api, request: pytest.FixtureRequest) -> Api:
    return fresh_user(served, request)


# Create, read, replace, merge, delete


def test_put_when_new_then_201_with_location_and_when_there_then_200(api: Api):
    """§2: "PUT (create or replace)", 201/200; §3: the shape; U4: "The answer carries the new `etag` and `seq`"."""
    made = send(api, "PUT", ONE, RECORD, Device_Id="ios-1")
    assert made.status_code == 201
    assert list(made.json) == MEMBERS
    assert (made.json["id"], made.json["collection"], made.json["data"]) == ("milk", "notes", {"title": "Milk"})
    assert made.headers["ETag"] == made.json["etag"] == f'"{made.json["seq"]}"'
    assert made.headers["Location"] == "https://api.example" + ONE
    assert (made.json["created_seq"], made.json["origin"]) == (made.json["seq"], "ios-1")
    replaced = send(api, "PUT", ONE, {"data": {"a": 1}})
    assert (replaced.status_code, replaced.json["data"], replaced.json["origin"]) == (200, {"a": 1}, None)
    assert replaced.json["seq"] > made.json["seq"] == replaced.json["created_seq"]
    assert "Location" not in replaced.headers
    assert send(api, "GET", ONE).json == replaced.json


def test_post_when_sent_then_201_under_a_uuidv7_and_location_leads_there(api: Api):
    """§2: "(server id, UUIDv7)", "201 + `Location`"."""
    made = send(api, "POST", LIST, RECORD)
    assert made.status_code == 201
    found = UUID(made.json["id"])
    assert (str(found), found.version, found.variant) == (made.json["id"], 7, "specified in RFC 4122")
    path = made.headers["Location"].removeprefix("https://api.example")
    assert path == f"{LIST}/{made.json['id']}"
    assert send(api, "GET", path).json == made.json
    assert made.headers["ETag"] == made.json["etag"]


def test_patch_when_sent_then_merged_and_what_changes_nothing_keeps_the_version(api: Api):
    """§2: PATCH (RFC 7396); §3: "PATCH merges into it"; U14: members of two devices both survive."""
    send(api, "PUT", ONE, {"data": {"title": "Milk", "done": False, "at": {"x": 1, "y": 2}}})
    merged = send(api, "PATCH", ONE, {"data": {"done": True, "at": {"x": None}}})
    assert (merged.status_code, merged.json["data"]) == (200, {"title": "Milk", "done": True, "at": {"y": 2}})
    media_type = "application/merge-patch+json"
    same = send(api, "PATCH", ONE, {"data": {"done": True}}, Content_Type=media_type)
    assert (same.status_code, same.json, same.headers["ETag"]) == (200, merged.json, merged.headers["ETag"])


def test_delete_when_there_then_204_with_the_tombstones_etag_and_again_204(api: Api):
    """§2: "DELETE of a tombstone is 204, of what never existed 404"; U4: the new `etag`; U2: in the header."""
    made = send(api, "PUT", ONE, RECORD)
    gone = send(api, "DELETE", ONE, Device_Id="ios-1")
    assert (gone.status_code, gone.data) == (204, b"")
    assert "Content-Type" not in gone.headers
    assert int(gone.headers["ETag"].strip('"')) > made.json["seq"]
    again = send(api, "DELETE", ONE, If_Match=made.headers["ETag"])
    assert (again.status_code, again.headers["ETag"]) == (204, gone.headers["ETag"])
    never = send(api, "DELETE", LIST + "/never")
    assert (never.status_code, never.json["code"]) == (404, "not_found")


def test_tombstone_when_read_or_patched_then_410_with_seq_and_put_makes_it_anew(api: Api):
    """§2: "404; 410 with `seq` for a tombstone"; "PUT over a tombstone is 201"."""
    first = send(api, "PUT", ONE, RECORD)
    seq = int(send(api, "DELETE", ONE).headers["ETag"].strip('"'))
    for refused in (send(api, "GET", ONE), send(api, "PATCH", ONE, RECORD)):
        assert (refused.status_code, refused.json["code"], refused.json["seq"]) == (410, "gone", seq)
    again = send(api, "PUT", ONE, RECORD)
    assert (again.status_code, again.json["created_seq"]) == (201, again.json["seq"])
    assert again.json["seq"] > seq > first.json["seq"]


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", RECORD), ("DELETE", None)])
def test_record_when_it_never_was_then_404_and_nothing_is_made(api: Api, method, body):
    before = rows(api)
    answer = send(api, method, ONE, body)
    assert (answer.status_code, answer.json["code"], answer.json["retryable"]) == (404, "not_found", False)
    assert rows(api) == before


def test_record_when_of_another_user_then_404_and_never_touched(api: Api, served: Api):
    """U1: "The user is always the token's (tenant, `sub`)"."""
    mine = send(api, "PUT", ONE, RECORD)
    other = served.as_user(api.subject + "-other")
    assert send(other, "GET", ONE).status_code == 404
    assert send(other, "DELETE", ONE).status_code == 404
    assert send(other, "GET", LIST).json == {"records": [], "next": None}
    assert send(other, "DELETE", NOTES).json["deleted"] == 0
    assert send(api, "GET", ONE).json == mine.json


def test_patch_when_data_is_no_object_then_422_before_404(api: Api):
    """tokens.md T30: "400/422 → 404/410"."""
    answer = send(api, "PATCH", ONE, {"data": 5})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/data")


# Lists


def test_list_when_followed_by_link_then_every_record_once_in_the_order_of_ids(api: Api):
    """§2: "`{records, next}`, `Link: rel=next`"; §3: "the Link field carries the URL"."""
    ids = [f"n{number:02}" for number in range(7)]
    for record_id in reversed(ids):
        send(api, "PUT", f"{LIST}/{record_id}", RECORD)
    send(api, "DELETE", f"{LIST}/n03")
    seen: list[str] = []
    path = LIST + "?limit=2"
    while path:
        page = send(api, "GET", path)
        assert page.status_code == 200
        assert list(page.json) == ["records", "next"]
        assert list(page.json["records"][0]) == MEMBERS
        seen += [record["id"] for record in page.json["records"]]
        link = page.headers.get("Link")
        assert (link is None) == (page.json["next"] is None)
        if link is not None:
            target, _, relation = link.partition(">; ")
            assert relation == 'rel="next"'
            assert f"page={page.json['next']}" in target
        path = "" if link is None else target.removeprefix("<https://api.example")
    assert seen == [record_id for record_id in ids if record_id != "n03"]


def test_list_when_empty_then_200(api: Api):
    answer = send(api, "GET", LIST)
    assert (answer.status_code, answer.json) == (200, {"records": [], "next": None})
    assert "Link" not in answer.headers


def test_list_when_unmodified_then_304_repeats_every_field_and_a_write_ends_that(api: Api):
    """U3: "a 304 repeats all of these (RFC 9110 §15.4.5)"; Link too."""
    for number in range(3):
        send(api, "PUT", f"{LIST}/n{number}", RECORD)
    first = send(api, "GET", LIST + "?limit=2")
    again = send(api, "GET", LIST + "?limit=2", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary", "Link"):
        assert again.headers[name] == first.headers[name]
    send(api, "DELETE", f"{LIST}/n0")
    assert send(api, "GET", LIST + "?limit=2", If_None_Match=first.headers["ETag"]).status_code == 200


def test_lists_when_written_then_the_stored_text_is_spliced_in_as_it_stands(api: Api):
    """§6: "record lists are dumped by splicing the stored JSON text (no parse and no re-serialise per record)"."""
    send(api, "PUT", ONE, RECORD)
    odd = '{"title":  "Milk",\n "n": 1.50}'
    subject = Identity(tokens.ISSUER, api.subject).user_key
    statement = update(RecordRow).where(RecordRow.user_key == subject).values(data=odd)
    database_of(api).transact(lambda session: session.execute(statement))
    for path in (LIST, ONE):
        assert odd.encode() in send(api, "GET", path).data


@pytest.mark.parametrize(
    "token", ["", "x", "cjF8bm90ZXN8", "cjF8b3RoZXJ8bWlsaw", "é", "%00", "a" * 5000, "cjF8bm90ZXN8bWlsaw=="]
)
def test_list_when_the_page_token_was_never_given_out_then_400(api: Api, token):
    """§2: 400 `bad_page_token`."""
    answer = send(api, "GET", f"{LIST}?page={token}")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_page_token")


@pytest.mark.parametrize("query", ["sort=title", "fields=id", "limit=5&since=2&x=", "%FF=%00"])
def test_query_when_a_parameter_is_unknown_then_ignored(api: Api, query):
    assert send(api, "GET", f"{LIST}?{query}").status_code == 200
    assert send(api, "PUT", f"{ONE}?{query}", RECORD).status_code == 201


# Conditions


def test_get_when_unmodified_then_304_with_the_fields_of_a_200(api: Api):
    """U3; U2: lists, `*`, and what proxies do."""
    made = send(api, "PUT", ONE, RECORD)
    etag = made.headers["ETag"]
    whole = send(api, "GET", ONE)
    assert {name: whole.headers[name] for name in PRIVATE} == PRIVATE
    for value in (etag, f"W/{etag}", f'"1", {etag}', "*", etag[:-1] + '-gzip"', etag[:-1] + '--gzip"'):
        answer = send(api, "GET", ONE, If_None_Match=value)
        assert (answer.status_code, answer.data) == (304, b""), value
        for name in ("ETag", *PRIVATE):
            assert answer.headers[name] == whole.headers[name]
        # RFC 9111 §3.2: a cache takes the fields of a 304 over into what it holds.
        assert "Content-Type" not in answer.headers
    for value in ('"0"', "", "rubbish", etag[:-1] + '-x"'):
        assert send(api, "GET", ONE, If_None_Match=value).status_code == 200, value


def test_get_when_if_match_names_another_version_then_412(api: Api):
    """RFC 9110 §13.1.1: "the origin server MUST NOT perform the requested method if the condition evaluates to
    false"; §13.2.2: If-Match comes before If-None-Match.
    """
    made = send(api, "PUT", ONE, RECORD)
    refused = send(api, "GET", ONE, If_Match='"0"', If_None_Match=made.headers["ETag"])
    assert (refused.status_code, refused.json["code"], refused.json["current"]) == (
        412,
        "precondition_failed",
        made.json,
    )
    assert send(api, "GET", ONE, If_Match=made.headers["ETag"]).status_code == 200
    assert send(api, "GET", LIST, If_Match='"0"').status_code == 412


@pytest.mark.parametrize(
    ("method", "body"), [("PUT", {"data": {"b": 2}}), ("PATCH", {"data": {"b": 2}}), ("DELETE", None)]
)
def test_write_when_the_version_is_another_then_412_with_current_and_nothing_changes(api: Api, method, body):
    """U4: "`If-Match` optional", "A 412 carries `current`"; RFC 9110 §13.2.2."""
    made = send(api, "PUT", ONE, RECORD)
    etag, before = made.headers["ETag"], rows(api)
    for fields_sent in (
        {"If_Match": '"0"'},
        {"If_Match": '"0", "1000000"'},
        {"If_None_Match": "*"},
        {"If_None_Match": f'"0", W/{etag}'},
        {"If_Match": etag, "If_None_Match": etag},
        {"If_Match": '"0"', "If_None_Match": '"0"'},
    ):
        refused = send(api, method, ONE, body, **fields_sent)
        assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed"), fields_sent
        assert (refused.json["current"], refused.json["retryable"]) == (made.json, False)
        assert rows(api) == before
    poor = send(api, method, ONE, body, scope="write:records", If_Match='"0"')
    assert set(poor.json["current"]) == {"etag", "seq", "updated_at"}


@pytest.mark.parametrize("field", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["", ",", "rubbish", "1", '"x', "'*'", '*, "1"', '"1" "2"'])
def test_write_when_a_condition_cannot_be_read_then_400_names_it_and_nothing_changes(api: Api, field, value):
    """U4: taken for a list that matches nothing, `If-None-Match` let the write through, and overwrote the record."""
    send(api, "PUT", ONE, RECORD)
    before = rows(api)
    body = {"data": {"b": 2}}
    for method, path, sent in (("PUT", ONE, body), ("PATCH", ONE, body), ("DELETE", ONE, None), ("POST", LIST, body),
                               ("DELETE", NOTES, None), ("PUT", PREFERENCES, {"preferences": {}}),
                               ("PATCH", PREFERENCES, {"preferences": {}}), ("PATCH", "/v1/me", {"nickname": "x"}),
                               ("PUT", "/v1/collections/guarded/records/a", body)):  # fmt: skip
        scope = "read:profile write:profile write:records write:preferences"
        refused = send(api, method, path, sent, scope, **{field: value})
        assert (refused.status_code, refused.json["code"]) == (400, "bad_request"), (method, path)
        assert refused.json["detail"].startswith(f"{field}: ")
        assert rows(api) == before
    operation = {"op": "put", "collection": "notes", "id": "milk", field.lower().replace("-", "_"): value, **body}
    refused = send(api, "POST", "/v1/batch", {"operations": [operation]})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == f"/operations/0/{field.lower().replace('-', '_')}"
    assert rows(api) == before


def test_put_when_the_star_comes_in_two_lines_then_it_is_one(api: Api):
    """RFC 9110 §5.3: a server may join lines of one name; `*,*` overwrote what `*` protects."""
    headers = [("Authorization", f"Bearer {api.token('write:records')}"), *[("If-None-Match", "*")] * 2]
    answers = [api.app.test_client().put(ONE, json=RECORD, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 412]


def test_post_when_a_version_is_expected_then_412_for_nothing_is_there(api: Api):
    """U4; RFC 9110 §13.1.1: `If-Match` is false where there is no current representation."""
    before = rows(api)
    for value in ('"1"', "*"):
        refused = send(api, "POST", LIST, RECORD, If_Match=value)
        assert (refused.status_code, refused.json["current"]) == (412, None)
        assert rows(api) == before
    for value in ('"1"', "*"):
        assert send(api, "POST", LIST, RECORD, If_None_Match=value).status_code == 201


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"0", {}', ', {} ,"x",', "*", "gzip", "--gzip"])
def test_write_when_the_version_is_named_then_carried_out(api: Api, method, form):
    """U2: "takes lists and `*`, tolerates what proxies do"; RFC 9110 §5.6.1.2: empty elements of a list."""
    etag = send(api, "PUT", ONE, RECORD).headers["ETag"]
    value = f'{etag[:-1]}-{form.lstrip("-")}"' if "gzip" in form else form.format(etag)
    body = None if method == "DELETE" else {"data": {"b": 2}}
    assert send(api, method, ONE, body, If_Match=value).status_code in {200, 204}


def test_put_when_only_a_new_one_is_wanted_then_201_where_nothing_or_a_tombstone_is(api: Api):
    """U4, U2: `If-None-Match: *`; a tombstone is no current representation."""
    assert send(api, "PUT", ONE, RECORD, If_None_Match="*").status_code == 201
    assert send(api, "PUT", ONE, RECORD, If_None_Match="*").status_code == 412
    gone = send(api, "DELETE", ONE).headers["ETag"]
    refused = send(api, "PUT", ONE, RECORD, If_Match=gone)
    assert (refused.status_code, refused.json["current"]["deleted"]) == (412, True)
    assert send(api, "PUT", ONE, RECORD, If_None_Match="*").status_code == 201
    never = send(api, "PUT", LIST + "/never", RECORD, If_Match="*")
    assert (never.status_code, never.json["current"]) == (412, None)


def test_answers_when_the_token_may_only_write_then_the_version_alone(api: Api):
    for method in ("PUT", "PATCH"):
        answer = send(api, method, ONE, RECORD, scope="write:records")
        assert set(answer.json) == {"etag", "seq", "updated_at"}
        assert answer.headers["ETag"] == answer.json["etag"]
    made = send(api, "POST", LIST, RECORD, scope="write:records")
    assert set(made.json) == {"etag", "seq", "updated_at"}
    assert made.headers["Location"].startswith("https://api.example" + LIST)


def test_guarded_when_no_version_is_said_then_428_and_post_needs_none(api: Api):
    """U4: "428 where a collection sets `require_preconditions`"."""
    path = "/v1/collections/guarded/records"
    made = send(api, "POST", path, RECORD)
    assert made.status_code == 201
    one, before = f"{path}/{made.json['id']}", rows(api)
    for method, target, body in (("PUT", one, RECORD), ("PATCH", one, RECORD), ("DELETE", one, None),
                                 ("PUT", path + "/new", RECORD), ("DELETE", path[:-8], None)):  # fmt: skip
        refused = send(api, method, target, body)
        assert (refused.status_code, refused.json["code"]) == (428, "precondition_required")
        assert rows(api) == before
    assert send(api, "PUT", path + "/new", RECORD, If_None_Match="*").status_code == 201
    assert send(api, "PUT", one, RECORD, If_Match=made.headers["ETag"]).status_code == 200
    assert send(api, "DELETE", path[:-8], If_Match="*").json["deleted"] == 2


# The operator's schemas


@pytest.mark.parametrize(
    ("data", "pointers"),
    [
        ({}, ["/data/title"]),
        ({"title": 5}, ["/data/title"]),
        ({"title": "x" * 11, "tags": ["a", 1, "b", None]}, ["/data/title", "/data/tags/1", "/data/tags/3"]),
        ({"title": "x", "a/b~c": 1}, ["/data/a~1b~0c"]),
    ],
)
def test_schema_when_a_document_does_not_fit_then_422_points_at_all_of_it_before_any_write(api: Api, data, pointers):
    """§6: "unless the operator registers a schema for the collection: then 422 before any write"."""
    path, before = "/v1/collections/tasks/records", rows(api)
    for method, target in (("POST", path), ("PUT", path + "/a")):
        refused = send(api, method, target, {"data": data})
        assert (refused.status_code, refused.json["code"]) == (422, "validation_failed")
        assert sorted(error["pointer"] for error in refused.json["errors"]) == sorted(pointers)
        assert rows(api) == before


def test_schema_when_a_patch_leads_out_of_it_then_422_and_the_merged_document_counts(api: Api):
    """U14: "The merged document is validated, not the patch"."""
    path = "/v1/collections/tasks/records/a"
    made = send(api, "PUT", path, {"data": {"title": "Milk"}})
    assert made.status_code == 201
    refused = send(api, "PATCH", path, {"data": {"title": None}})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/data/title")
    assert send(api, "PATCH", path, {"data": {"tags": ["a"]}}).status_code == 200
    other = send(api, "PUT", "/v1/collections/free/records/a", {"data": {"title": 5}})
    assert other.status_code == 201
    # tokens.md T30: 422 comes before 412.
    assert send(api, "PUT", path, {"data": {}}, If_Match='"0"').status_code == 422


def test_rule_when_it_could_never_be_kept_then_the_start_fails():
    with pytest.raises(ValueError, match="'Notes'"):
        Terms(rules={"Notes": Rule()})
    with pytest.raises(TypeError, match="instance"):
        Rule(schema=TaskSchema)  # type: ignore[arg-type]


# Every route: who may, and when


@route
def test_routes_when_no_token_then_401_and_with_another_scope_403_names_it(api: Api, method, path, body, scope):
    """§2: the scope of each."""
    assert api.anonymous(path, method=method).status_code == 401
    others = " ".join(sorted({"read:profile", "write:profile", *(entry[3] for entry in ROUTES)} - {scope}))
    before = rows(api)
    refused = send(api, method, path, b"{", scope=others)
    assert (refused.status_code, refused.json["code"]) == (403, "insufficient_scope")
    assert refused.json["scope"] == scope
    assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]
    assert rows(api) == before
    send(api, "PUT", ONE, RECORD)
    assert send(api, method, path, body, scope=scope).status_code < 300


@route
def test_routes_when_the_method_is_another_then_405_without_a_token(api: Api, method, path, body, scope):
    """T30: "404/405 (an unknown path without a token is 404) → 400/401"; T29: "405 keeps `Allow`"."""
    answer = api.anonymous(path, method="TRACE")
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert method in answer.headers["Allow"]
    assert api.anonymous(path + "/more/of/it", method=method).status_code == 404


@route
def test_routes_when_deletion_is_scheduled_then_403_and_after_the_grace_410(api: Api, method, path, body, scope):
    """U16: "data endpoints answer 403 `account_deletion_scheduled`", later "410 `account_deleted`"."""
    send(api, "PUT", ONE, RECORD)
    identity, now, grace = Identity(tokens.ISSUER, api.subject), datetime.now(UTC), timedelta(days=14)
    database_of(api).transact(lambda session: deletion.schedule(session, identity, grace, now))
    before = rows(api)
    refused = send(api, method, path, body)
    assert (refused.status_code, refused.json["code"]) == (403, "account_deletion_scheduled")
    assert refused.json["current"]["state"] == "scheduled"
    assert "WWW-Authenticate" not in refused.headers
    assert rows(api) == before
    database_of(api).transact(lambda session: deletion.cancel(session, identity, now))
    database_of(api).transact(lambda session: deletion.schedule(session, identity, grace, now - 2 * grace))
    before = rows(api)
    refused = send(api, method, path, body)
    assert (refused.status_code, refused.json["code"]) == (410, "account_deleted")
    assert rows(api) == before


@route
def test_routes_when_the_account_is_erased_then_410_and_nothing_is_made(api: Api, method, path, body, scope):
    """U16: "From then on every token of that user gets 410 `account_deleted`"."""
    send(api, "PUT", ONE, RECORD)
    identity, now = Identity(tokens.ISSUER, api.subject), datetime.now(UTC)
    database_of(api).transact(lambda session: deletion.schedule(session, identity, timedelta(0), now))
    before = rows(api)
    assert not any(identity.user_key in row for row in before["records"] + before["accounts"])
    refused = send(api, method, path, body)
    assert (refused.status_code, refused.json["code"]) == (410, "account_deleted")
    assert rows(api) == before


@pytest.mark.parametrize("path", [path for method, path, *_ in ROUTES if method == "GET"], ids=lambda path: path)
def test_head_when_asked_then_the_fields_of_get_without_a_body(api: Api, path):
    """T29: "HEAD and OPTIONS behave"; RFC 9110 §9.3.2."""
    send(api, "PUT", ONE, RECORD)
    got, head = send(api, "GET", path), send(api, "HEAD", path)
    assert (head.status_code, head.data) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Length", *PRIVATE):
        assert head.headers[name] == got.headers[name]
    assert send(api, "HEAD", path, If_None_Match=got.headers["ETag"]).status_code == 304
    options = api.anonymous(path, method="OPTIONS")
    assert (options.status_code, "GET" in options.headers["Allow"]) == (200, True)


def test_order_when_several_faults_meet_then_that_of_the_contract(api: Api):
    """T30: "→ 403 → 415/413 → 400/422 → 404/410 → 412"."""
    text = {"Content_Type": "text/plain"}
    assert send(api, "PATCH", ONE, b"{", scope="read:records", **text).status_code == 403
    assert send(api, "PATCH", ONE, b"{", **text).status_code == 415
    assert send(api, "PATCH", ONE, b"{" * 2_000_000).status_code == 413
    assert send(api, "PATCH", ONE, b"{", If_Match='"0"').status_code == 400
    assert send(api, "PATCH", ONE, {"date": {}}, If_Match='"0"').status_code == 422
    assert send(api, "PATCH", ONE, RECORD, If_Match='"0"').status_code == 404
    send(api, "PUT", ONE, RECORD)
    send(api, "DELETE", ONE)
    assert send(api, "PATCH", ONE, RECORD, If_Match='"0"').status_code == 410
    send(api, "PUT", ONE, RECORD)
    assert send(api, "PATCH", ONE, RECORD, If_Match='"0"').status_code == 412


def test_times_when_told_then_rfc_3339_utc_with_milliseconds(api: Api):
    """U1: "RFC 3339 UTC times with milliseconds, set by the server only"."""
    told = send(api, "PUT", ONE, RECORD).json["updated_at"]
    assert len(told) == len("2026-11-21T12:00:00.000Z")
    assert abs(datetime.fromisoformat(told) - datetime.now(UTC)) < timedelta(minutes=5)


def test_data_when_stored_then_the_same_json_comes_back(api: Api):
    data = {
        "": "",
        "é": "🎈",
        "n": [0, -1, 1.5, 2**63, -(2**63)],
        "b": [True, False, None],
        "esc": 'q"\\\n',
        "u": "\\u0000",
    }
    assert send(api, "PUT", ONE, {"data": data}).json["data"] == data
    assert send(api, "GET", ONE).json["data"] == data
    assert json.loads(send(api, "GET", LIST).data)["records"][0]["data"] == data
