"""POST /v1/batch: each for itself or all or nothing, a scope for each, limits, and what is acknowledged stays."""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from werkzeug.test import TestResponse

from app.db import Database
from app.users import deletion
from app.users.identity import Identity
from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.statements import statements_in

PATH = "/v1/batch"
SCOPE = "read:records write:records read:preferences write:preferences read:profile write:profile"
RECORDS = "/v1/collections/notes/records"
ADA = Identity(tokens.ISSUER, tokens.SUBJECT)
TABLES = ("accounts", "records", "collections", "preferences")
NOTHING: dict[str, list[Any]] = {table: [] for table in TABLES}


@pytest.fixture
def narrow(tmp_path: Path, migrated: str) -> Iterator[Api]:
    """The API with small limits."""
    with running(
        settings_for(
            tmp_path, migrated, max_batch_operations=3, max_batch_bytes=4_000, max_body_bytes=1_000,
            max_record_bytes=2_000, max_answer_bytes=10_000,
        )
    ) as api:  # fmt: skip
        yield api


def database_of(api: Api) -> Database:
    database: Database = api.app.extensions["postern"].database
    return database


def send(
    api: Api, *operations: Any, scope: str | None = SCOPE, atomic: bool | None = None, **options: Any
) -> TestResponse:
    document: dict[str, Any] = {"operations": list(operations)}
    if atomic is not None:
        document["atomic"] = atomic
    return api.request("POST", PATH, scope, json=document, **options)


def put(record_id: str, data: Any = None, collection: str = "notes", **more: Any) -> dict[str, Any]:
    return {"op": "put", "collection": collection, "id": record_id, "data": {} if data is None else data, **more}


def patch(record_id: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"op": "patch", "collection": "notes", "id": record_id, "data": data, **more}


def delete(record_id: str, **more: Any) -> dict[str, Any]:
    return {"op": "delete", "collection": "notes", "id": record_id, **more}


def of(kind: str, data: Any, op: str = "patch", **more: Any) -> dict[str, Any]:
    return {"op": op, "kind": kind, "data": data, **more}


def statuses(answer: TestResponse) -> list[int]:
    assert answer.status_code == 200, answer.json
    return [result["status"] for result in answer.json["results"]]


def stored(api: Api) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the users' data, as the database has it."""
    with database_of(api).engine.connect() as connection:
        return {
            table: sorted((tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")), key=repr)
            for table in TABLES
        }


# Independent operations


def test_post_when_independent_then_a_result_for_each_in_order_and_refusals_take_nothing_with_them(api: Api):
    """§3: the shape; U15: "independent operations in one transaction … nothing acknowledged is rolled back"."""
    api.request("PUT", f"{RECORDS}/old", SCOPE, json={"data": {"x": 1}})
    answer = send(
        api,
        put("new", {"title": "Milk"}, if_none_match="*"),
        patch("old", {"y": 2}, if_match='"9"'),
        patch("old", {"y": 2}, if_match='W/"1", "7"'),
        delete("none"),
        put("old", {}, if_none_match="*"),
        delete("old", if_match='"3"'),
        patch("old", {"z": 1}),
    )
    assert statuses(answer) == [201, 412, 200, 404, 412, 204, 410]
    results = answer.json["results"]
    assert results[0] == {"status": 201, "etag": '"2"', "seq": 2}
    assert results[2] == {"status": 200, "etag": '"3"', "seq": 3}
    assert results[5] == {"status": 204, "etag": '"4"', "seq": 4}
    for number, code in ((1, "precondition_failed"), (3, "not_found"), (6, "gone")):
        problem = results[number]["problem"]
        assert (problem["code"], problem["retryable"]) == (code, False)
        assert {"title", "detail", "action"} <= set(problem)
        assert not {"etag", "seq"} & set(results[number])
    assert results[6]["problem"]["seq"] == 4
    assert "cursor" not in answer.json
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "ETag" not in answer.headers
    found = api.get("/v1/changes", SCOPE).json["changes"]
    assert [(change["id"], change["seq"]) for change in found] == [("new", 2)]


def test_post_when_an_operation_is_412_then_its_current_version_stands_beside_it(api: Api):
    """§3: `{"status":412,"problem":{…},"current":{…}}`; U4: "A 412 carries `current`"."""
    record = api.request("PUT", f"{RECORDS}/a", SCOPE, json={"data": {"x": 1}}).json
    gone = send(api, put("b"), delete("b")).json["results"][1]
    answer = send(
        api,
        patch("a", {"x": 2}, if_match='"7"'),
        put("b", {}, if_match='"2"'),
        put("c", {}, if_match="*"),
        of("preferences", {"x": 1}, "put", if_match='"5"'),
        of("profile", {"name": "A"}, if_match='"5"'),
    )
    assert statuses(answer) == [412] * 5
    first, tombstone, absent, preferences, profile = answer.json["results"]
    assert first["current"] == record
    assert (tombstone["current"]["deleted"], tombstone["current"]["seq"]) == (True, gone["seq"])
    assert "current" not in absent
    assert (preferences["current"]["preferences"], preferences["current"]["seq"]) == ({}, 0)
    assert profile["current"]["sub"] == tokens.SUBJECT
    assert "email" not in profile["current"]


def test_post_when_several_are_on_one_id_then_each_sees_the_one_before(api: Api):
    """U15: "Order is kept; two operations on one id are allowed"."""
    answer = send(
        api, put("a", {"x": 1}), patch("a", {"y": 2}, if_match='"1"'), patch("a", {"x": None}), delete("a"),
        delete("a"), patch("a", {}), put("a", {"again": True}, if_none_match="*"), put("a", {}, if_none_match="*"),
    )  # fmt: skip
    assert statuses(answer) == [201, 200, 200, 204, 204, 410, 201, 412]
    assert [result.get("seq") for result in answer.json["results"]] == [1, 2, 3, 4, 4, None, 5, None]
    assert answer.json["results"][7]["current"]["data"] == {"again": True}
    assert api.get(f"{RECORDS}/a", SCOPE).json["data"] == {"again": True}


def test_post_when_there_is_nothing_to_do_then_200_with_no_results_and_nothing_is_written(api: Api):
    """An offline queue that is empty has done nothing wrong."""
    before = stored(api)
    for atomic in (None, False, True):
        answer = send(api, atomic=atomic)
        assert (answer.status_code, answer.json) == (200, {"results": []})
    assert stored(api) == before


def test_post_when_the_device_names_itself_then_every_change_carries_it(api: Api):
    """U6: "`Device-Id` header …: kept as `origin` on the change"."""
    send(api, put("a"), of("preferences", {"x": 1}, "put"), headers={"Device-Id": "ios-1"})
    changes = api.get("/v1/changes", SCOPE).json["changes"]
    assert [change["origin"] for change in changes] == ["ios-1", "ios-1"]
    assert send(api, put("b"), headers={"Device-Id": "x" * 65}).status_code == 400


# All or nothing


def test_post_when_atomic_and_all_hold_then_all_are_written(api: Api):
    answer = send(api, put("a"), put("b"), of("preferences", {"x": 1}, "put"), delete("a"), atomic=True)
    assert statuses(answer) == [201, 201, 200, 204]


def test_post_when_atomic_and_one_is_refused_then_409_without_a_success_and_nothing_is_written(api: Api):
    """U15: "all or nothing; refused, it is 409 with per-operation results and no 2xx inside"."""
    send(api, put("a", {"x": 1}), of("preferences", {"x": 1}, "put"), of("profile", {"nickname": "A"}))
    before = stored(api)
    good = (put("a", {"x": 2}), of("preferences", {"x": 2}), of("profile", {"nickname": "B"}))
    for place in range(4):
        answer = send(api, *good[:place], put("a", {}, if_match='"99"'), *good[place:], atomic=True)
        assert (answer.status_code, answer.json["code"], answer.json["retryable"]) == (409, "conflict", False)
        found = [(result["status"], result["problem"]["code"]) for result in answer.json["results"]]
        expected = [(412, "precondition_failed") if number == place else (409, "conflict") for number in range(4)]
        assert found == expected
        assert "current" in answer.json["results"][place]
        assert stored(api) == before
    # The same without the one that was refused succeeds.
    assert statuses(send(api, *good, atomic=True)) == [200, 200, 200]


# Who may do what


def test_post_when_the_token_lacks_a_scope_then_that_operation_says_which_and_the_others_are_done(api: Api):
    """§2: "any valid token; each operation its own scope"; U15: independent."""
    wishes = (put("a"), of("preferences", {"x": 1}, "put"), of("profile", {"nickname": "A"}))
    scopes = ("write:records", "write:preferences", "write:profile")
    for number, scope in enumerate(scopes):
        answer = send(api, *wishes, scope=scope)
        for other, result in enumerate(answer.json["results"]):
            if other == number:
                assert result["status"] in {200, 201}
            else:
                assert (result["status"], result["problem"]["code"]) == (403, "insufficient_scope")
                assert result["problem"]["scope"] == scopes[other]
                assert result["problem"]["retryable"] is True
        assert "WWW-Authenticate" not in answer.headers
    atomic = send(api, *wishes, scope="write:records", atomic=True)
    assert [result["status"] for result in atomic.json["results"]] == [409, 403, 403]


def test_post_when_the_token_may_do_nothing_of_it_then_nothing_is_written_not_even_an_account(api: Api):
    for scope in ("read:records read:preferences read:profile", None, "openid"):
        answer = send(api, put("a"), of("preferences", {}, "put"), of("profile", {}), scope=scope)
        assert statuses(answer) == [403, 403, 403]
    assert stored(api) == NOTHING


def test_post_when_the_token_may_write_and_not_read_then_a_412_shows_the_version_alone(api: Api):
    """Writing is not reading."""
    send(api, put("a", {"secret": 1}), of("preferences", {"secret": 1}, "put"), of("profile", {"nickname": "secret"}))
    wishes = (
        put("a", {}, if_match='"9"'), of("preferences", {}, "put", if_match='"9"'), of("profile", {}, if_match='"9"'),
    )  # fmt: skip
    answer = send(api, *wishes, scope="write:records write:preferences write:profile")
    assert statuses(answer) == [412, 412, 412]
    assert [result["current"]["seq"] for result in answer.json["results"]] == [1, 2, 3]
    assert b"secret" not in answer.data


def test_post_when_no_user_stands_behind_the_token_then_403(api: Api):
    """T22: "User endpoints refuse `client` and `anonymous` tokens"."""
    headers = {"Authorization": f"Bearer {api.token(SCOPE, gty='client-credentials')}"}
    answer = send(api, put("a"), headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "user_required")
    assert api.anonymous(PATH, "POST", json={"operations": []}).status_code == 401
    assert stored(api) == NOTHING


WISHES = ((), (put("a"),), (delete("none"),))


def test_post_when_the_account_ends_then_403_until_it_is_over_and_410_from_then_on(api: Api):
    """U16: "data endpoints answer 403 `account_deletion_scheduled` …; every token of that user gets 410"."""
    send(api, put("old"))
    now, grace = datetime.now(UTC), timedelta(days=14)
    database = database_of(api)
    database.transact(lambda session: deletion.schedule(session, ADA, grace, now))
    before = stored(api)
    for wishes, scope, atomic in itertools.product(WISHES, (SCOPE, "openid"), (False, True)):
        scheduled = send(api, *wishes, atomic=atomic, scope=scope)
        assert (scheduled.status_code, scheduled.json["code"]) == (403, "account_deletion_scheduled")
        assert scheduled.json["current"]["state"] == "scheduled"
    assert stored(api) == before
    database.transact(lambda session: deletion.cancel(session, ADA, now))
    database.transact(lambda session: deletion.schedule(session, ADA, grace, now - timedelta(days=15)))
    before = stored(api)
    for wishes, scope, atomic in itertools.product(WISHES, (SCOPE, "openid"), (False, True)):
        over = send(api, *wishes, atomic=atomic, scope=scope)
        assert (over.status_code, over.json["code"]) == (410, "account_deleted")
    assert stored(api) == before


# Shape and limits


SHAPES: list[tuple[Any, list[str]]] = [
    ([], [""]),
    (None, [""]),
    ({}, ["/operations"]),
    ({"operations": {}}, ["/operations"]),
    ({"operations": [], "atomic": "yes"}, ["/atomic"]),
    ({"operations": [], "atomic": 1}, ["/atomic"]),
    ({"operations": [], "more": 1}, ["/more"]),
    ({"operations": [None, 7, "x", []]}, [f"/operations/{number}" for number in range(4)]),
    ({"operations": [{}]}, ["/operations/0/op"]),
    ({"operations": [put("a"), {**put("b"), "op": "post"}]}, ["/operations/1/op"]),
    ({"operations": [{"op": "put"}]}, [f"/operations/0/{name}" for name in ("collection", "data", "id")]),
    ({"operations": [delete("a", data={})]}, ["/operations/0/data"]),
    ({"operations": [put("a b"), put("a", collection="A")]}, ["/operations/0/id", "/operations/1/collection"]),
    ({"operations": [of("preferences", {}, id="a")]}, ["/operations/0/id"]),
    ({"operations": [of("profile", {}, "put")]}, ["/operations/0/op"]),
    ({"operations": [of("account", {})]}, ["/operations/0/kind"]),
    ({"operations": [put("a", user="eve", sub="eve")]}, ["/operations/0/sub", "/operations/0/user"]),
    ({"operations": [put("a", if_match=7)]}, ["/operations/0/if_match"]),
    ({"operations": [put("a", if_match="x" * 1025)]}, ["/operations/0/if_match"]),
]


def test_post_when_the_shape_is_wrong_then_422_points_at_all_of_it_and_nothing_is_done(api: Api):
    """§2: "422 (shape only)"; U7: "`errors: [{pointer, detail}]`"."""
    for document, pointers in SHAPES:
        answer = api.request("POST", PATH, SCOPE, data=json.dumps(document), content_type="application/json")
        assert (answer.status_code, answer.json["code"]) == (422, "validation_failed"), document
        assert sorted(error["pointer"] for error in answer.json["errors"]) == pointers, document
    assert stored(api) == NOTHING


def test_post_when_the_content_of_one_is_wrong_then_its_result_points_into_the_body_that_was_sent(api: Api):
    """U7: `pointer` leads into the request's own document: there are many operations in it."""
    answer = send(
        api,
        put("a", []),
        of("preferences", 7, "put"),
        of("profile", {"nickname": 7}),
        of("profile", {"roles": [], "email": "x"}),
        of("profile", []),
        put("b"),
    )
    assert statuses(answer) == [422, 422, 422, 403, 422, 201]
    found = [sorted(error["pointer"] for error in result["problem"]["errors"]) for result in answer.json["results"][:5]]
    assert found == [
        ["/operations/0/data"], ["/operations/1/data"], ["/operations/2/data/nickname"],
        ["/operations/3/data/email", "/operations/3/data/roles"], ["/operations/4/data"],
    ]  # fmt: skip
    assert answer.json["results"][3]["problem"]["code"] == "field_read_only"


def test_post_when_there_are_more_operations_than_allowed_then_413_and_one_less_is_fine(narrow: Api):
    """§5: "batch 2 MiB or 100 operations"."""
    before = stored(narrow)
    answer = send(narrow, *(put(f"r{number}") for number in range(4)))
    assert (answer.status_code, answer.json["code"], answer.json["limit"]) == (413, "payload_too_large", 3)
    assert stored(narrow) == before
    assert statuses(send(narrow, *(put(f"r{number}") for number in range(3)))) == [201] * 3


def test_post_when_the_body_has_just_as_many_bytes_as_allowed_then_taken_and_with_one_more_413(narrow: Api):
    """§5: the batch's own limit, above that of all other bodies (here 4 000 and 1 000)."""
    body = json.dumps({"operations": [put("a", {"t": "x" * 1_500}), put("b", {"t": "x" * 1_500})]}).encode()
    assert len(body) < 4_000
    headers = {"content_type": "application/json"}
    exactly = body + b" " * (4_000 - len(body))
    assert statuses(narrow.request("POST", PATH, SCOPE, data=exactly, **headers)) == [201, 201]
    before = stored(narrow)
    answer = narrow.request("POST", PATH, SCOPE, data=exactly + b" ", **headers)
    assert (answer.status_code, answer.json["code"]) == (413, "payload_too_large")
    assert stored(narrow) == before
    assert narrow.request("PUT", f"{RECORDS}/a", SCOPE, data=b" " * 1_001, **headers).status_code == 413


def test_post_when_one_record_is_too_large_then_that_operation_is_413_alone(narrow: Api):
    assert statuses(send(narrow, put("a", {"t": "x" * 1_992}), put("b"))) == [201, 201]
    answer = send(narrow, put("a", {"t": "x" * 1_993}), put("b", {"n": 1}))
    assert statuses(answer) == [413, 200]
    assert answer.json["results"][0]["problem"]["limit"] == 2_000


def test_post_when_data_are_as_deep_as_a_record_may_be_then_taken_and_one_deeper_is_refused(api: Api):
    """§5: "JSON depth 32" is the record's: a batch nests it three levels deeper."""

    def nested(levels: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for _ in range(levels - 1):
            data = {"x": data}
        return data

    assert statuses(send(api, put("a", nested(32)))) == [201]
    assert api.request("PUT", f"{RECORDS}/b", SCOPE, json={"data": nested(32)}).status_code == 201
    deeper = send(api, put("a", nested(33)), put("c"))
    assert (deeper.status_code, deeper.json["code"]) == (400, "malformed_json")
    assert api.get(f"{RECORDS}/a", SCOPE).json["data"] == nested(32)
    assert api.get(f"{RECORDS}/c", SCOPE).status_code == 404


def test_answer_when_every_current_is_large_then_bounded_and_every_version_is_still_told(narrow: Api):
    """§5: "answer ≤ 4 MiB": a small batch of conflicts may not draw out a large answer."""
    for name in "abc":
        send(narrow, put(name, {"t": "x" * 1_900}))
    stale = [patch(name, {}, if_match='"99"') for name in "abc"]
    whole = send(narrow, *stale[:2])
    assert all("data" in result["current"] for result in whole.json["results"])
    for atomic in (False, True):
        answer = send(narrow, *stale, atomic=atomic)
        assert len(answer.data) < 10_000
        results = answer.json["results"]
        assert [result["current"]["seq"] for result in results] == [1, 2, 3]
        assert ["data" in result["current"] for result in results] == [True, True, False]
        assert set(results[2]["current"]) == {"id", "collection", "etag", "seq", "updated_at"}


def test_answer_when_every_operation_has_many_faults_then_bounded_and_every_code_is_still_told(api: Api):
    """§5: the same: fifty faults below a long name, a hundred times, would answer 2 MiB with a hundred."""
    data = {"n" * 17_000: ["\0"] * 60, "m": {"n" * 900: ["\0"] * 60}}
    answer = send(api, *(put(f"r{number}", data) for number in range(100)))
    assert len(answer.data) < 4_194_304
    results = answer.json["results"]
    assert {(result["status"], result["problem"]["code"]) for result in results} == {(422, "validation_failed")}
    for number, result in enumerate(results):
        pointers = [error["pointer"] for error in result["problem"]["errors"]]
        assert pointers
        assert all(pointer.startswith(f"/operations/{number}/data") for pointer in pointers)


BODIES: list[tuple[dict[str, Any], int, str]] = [
    ({"data": b"{}", "content_type": "text/plain"}, 415, "unsupported_media_type"),
    ({"data": b"{}", "content_type": "application/merge-patch+json"}, 415, "unsupported_media_type"),
    ({"data": b"", "content_type": "application/json"}, 400, "malformed_json"),
    ({"data": b'{"operations": [], "operations": []}', "content_type": "application/json"}, 400, "malformed_json"),
    ({"data": b'{"operations": [NaN]}', "content_type": "application/json"}, 400, "malformed_json"),
    ({"data": b"[" * 50_000, "content_type": "application/json"}, 400, "malformed_json"),
]


def test_post_when_the_body_is_no_json_then_refused(api: Api):
    """T30: 415 and 413 before 400."""
    for options, status, code in BODIES:
        answer = api.request("POST", PATH, SCOPE, **options)
        assert (answer.status_code, answer.json["code"]) == (status, code), options
    assert stored(api) == NOTHING


# What is acknowledged stays


def test_post_when_it_is_written_then_with_a_handful_of_statements(api: Api):
    """The user's lock must not be held for hundreds of round trips."""
    send(api, put("warm"))
    with statements_in(database_of(api)) as captured:
        assert statuses(send(api, *(put(f"r{number}") for number in range(100)))) == [201] * 100
    assert len(captured) <= 6


@pytest.fixture
def on_postgresql(tmp_path: Path, partitioned_postgresql_url: str) -> Iterator[tuple[Api, str]]:
    """The API and the URL of its database."""
    with running(settings_for(tmp_path, partitioned_postgresql_url)) as api:
        yield api, partitioned_postgresql_url


def test_post_when_the_server_cannot_serialise_it_then_the_second_attempt_answers_and_nothing_of_the_first(
    on_postgresql,
):
    """§7: "Serialisation failures (40001) are retried": a real one, after the results of the first attempt were known.

    Under REPEATABLE READ (some engines that speak PostgreSQL know nothing weaker) a row that somebody has put there
    since the snapshot cannot be written over.
    """
    api, url = on_postgresql
    send(api, put("old", {"x": 1}))
    database = database_of(api)
    database._writing = database.engine.execution_options(isolation_level="REPEATABLE READ")
    attempts: list[str] = []

    def interfere(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith("INSERT INTO records"):
            return
        attempts.append(statement)
        if len(attempts) == 1:
            row = "VALUES (%s, 'notes', 'new', 1000, 1000, false, '{\"theirs\":true}', 15, now())"
            columns = "user_key, collection, id, seq, created_seq, deleted, data, bytes, updated_at"
            with psycopg.connect(url, autocommit=True) as other:
                other.execute(f"INSERT INTO records ({columns}) {row}", (ADA.user_key,))
                # As the other writer's transaction would have left it.
                other.execute("UPDATE collections SET count = count + 1 WHERE user_key = %s", (ADA.user_key,))

    event.listen(database.engine, "before_cursor_execute", interfere)
    answer = send(api, put("new", {"ours": True}, if_none_match="*"), patch("old", {"y": 2}))
    assert len(attempts) == 2
    assert statuses(answer) == [412, 200]
    assert answer.json["results"][0]["current"]["data"] == {"theirs": True}
    assert api.get(f"{RECORDS}/old", SCOPE).json["data"] == {"x": 1, "y": 2}
    assert api.get(f"{RECORDS}/new", SCOPE).json["data"] == {"theirs": True}


def test_post_when_it_can_never_be_serialised_then_busy_after_three_retries_and_nothing_is_written(on_postgresql):
    """§7: "… retried, 3 times": then 409 `busy`, which an offline queue sends again."""
    api, url = on_postgresql
    send(api, put("old", {"x": 1}))
    before = stored(api)["records"]
    database = database_of(api)
    database._writing = database.engine.execution_options(isolation_level="REPEATABLE READ")
    attempts: list[str] = []

    def interfere(_connection: Any, cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("UPDATE accounts"):
            attempts.append(statement)
            # The snapshot is taken, and then somebody else changes the row in it.
            cursor.execute("SELECT 1")
            with psycopg.connect(url, autocommit=True) as other:
                other.execute("UPDATE accounts SET told_at = 1 WHERE user_key = %s", (ADA.user_key,))

    event.listen(database.engine, "before_cursor_execute", interfere)
    answer = send(api, put("new"), patch("old", {"y": 2}))
    assert len(attempts) == 4
    assert (answer.status_code, answer.json["code"], answer.json["retryable"]) == (409, "busy", True)
    assert answer.headers["Retry-After"] == "1"
    assert stored(api)["records"] == before


def test_post_when_the_commit_fails_then_no_success_is_told(on_postgresql):
    """U15: "nothing acknowledged is rolled back": the answer is made known after the commit, and not before."""
    api, url = on_postgresql
    send(api, put("old"))
    before = stored(api)
    database = database_of(api)

    def cut(connection: Any) -> None:
        pid = connection.connection.driver_connection.info.backend_pid
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    event.listen(database.engine, "commit", cut)
    answer = send(api, put("new"), put("old", {"x": 1}))
    event.remove(database.engine, "commit", cut)
    assert (answer.status_code, answer.json["code"], answer.json["retryable"]) == (503, "unavailable", True)
    assert "results" not in answer.json
    assert stored(api) == before
    assert statuses(send(api, put("new"), put("old", {"x": 1}))) == [201, 200]
