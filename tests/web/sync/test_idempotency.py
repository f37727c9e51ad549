"""Idempotency-Key on every write route (user-data.md U5): one effect and one answer, however often it is sent."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.records.models import RecordRow
from app.stores.idempotency_models import IdempotencyRow
from app.users import deletion
from app.users.identity import Identity
from app.users.models import Account
from app.web.idempotency import MAX_KEPT_BYTES
from tests.support import tokens
from tests.support.api import Api
from tests.support.databases import PostgresqlServer
from tests.support.statements import statements_in
from tests.support.sync_api import LIST, NOTES, ONE, PREFERENCES, RECORD, WISHES, database_of, fresh_user, rows, send
from tests.support.sync_api import serving as serving_kind

KEY = "8a7c1e9e-5c1d-4b55-9f6e-0d7d6a5f2b11"
SCOPES = "read:profile read:email write:profile read:records write:records read:preferences write:preferences "
SCOPES += "delete:account"
CONFIRMED = {"confirm": "delete my account"}
BATCH = {"operations": [{"op": "put", "collection": "notes", "id": "tea", "data": {"title": "Tea"}}]}
# By method and rule: the path, a good body, and a request that differs from it in body or query.
WRITES: dict[tuple[str, str], tuple[str, Any, str, Any]] = {
    ("POST", "/v1/collections/<collection>/records"): (LIST, RECORD, LIST, {"data": {}}),
    ("PUT", "/v1/collections/<collection>/records/<record_id>"): (ONE, RECORD, ONE, {"data": {}}),
    ("PATCH", "/v1/collections/<collection>/records/<record_id>"): (ONE, {"data": {"n": 1}}, ONE, {"data": {}}),
    ("DELETE", "/v1/collections/<collection>/records/<record_id>"): (ONE, None, ONE + "?x", None),
    ("DELETE", "/v1/collections/<collection>"): (NOTES, None, "/v1/collections/lists", None),
    ("PUT", "/v1/me/preferences"): (PREFERENCES, WISHES, PREFERENCES, {"preferences": {}}),
    ("PATCH", "/v1/me/preferences"): (PREFERENCES, WISHES, PREFERENCES, {"preferences": {}}),
    ("POST", "/v1/batch"): ("/v1/batch", BATCH, "/v1/batch", {"operations": BATCH["operations"] * 2}),
    ("PATCH", "/v1/me"): ("/v1/me", {"nickname": "ada"}, "/v1/me", {"nickname": "eve"}),
    ("POST", "/v1/me"): ("/v1/me", None, "/v1/me", {}),
    ("POST", "/v1/me/deletion"): ("/v1/me/deletion", CONFIRMED, "/v1/me/deletion?x", CONFIRMED),
    ("DELETE", "/v1/me/deletion"): ("/v1/me/deletion", None, "/v1/me/deletion", {}),
}
write_route = pytest.mark.parametrize("named", WRITES, ids=[" ".join(named) for named in WRITES])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Api]:
    with serving_kind(request.param, tmp_path_factory.mktemp("keys"), postgresql_server) as api:
        yield api


@pytest.fixture
def api(served: Api, request: pytest.FixtureRequest) -> Api:
    return fresh_user(served, request)


def ask(api: Api, method: str, path: str, body: Any = None, key: str = KEY, **more: str) -> TestResponse:
    return send(api, method, path, body, more.pop("scope", SCOPES), Idempotency_Key=key, **more)


def furnish(api: Api) -> None:
    """Give the user a record, so that there is something to change and to delete."""
    assert send(api, "PUT", ONE, RECORD).status_code == 201


def replays(first: TestResponse, second: TestResponse) -> bool:
    """Tell whether the second is the first again, and says so; what each answer has of its own aside."""
    assert "Idempotency-Replayed" not in first.headers
    own = {"X-Request-Id", "RateLimit", "Idempotency-Replayed"}
    fields = [{name: value for name, value in answer.headers.items() if name not in own} for answer in (first, second)]
    is_same = (first.status_code, first.data, fields[0]) == (second.status_code, second.data, fields[1])
    return is_same and second.headers.get("Idempotency-Replayed") == "true"


def refused(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def kept(api: Api) -> int:
    user_key = Identity(tokens.ISSUER, api.subject).user_key
    with database_of(api).read() as session:
        found = select(func.count()).select_from(IdempotencyRow).where(IdempotencyRow.user_key == user_key)
        return session.scalar(found) or 0


def records(api: Api) -> int:
    user_key = Identity(tokens.ISSUER, api.subject).user_key
    with database_of(api).read() as session:
        return session.scalar(select(func.count()).select_from(RecordRow).where(RecordRow.user_key == user_key)) or 0


# Every write route


def test_table_when_compared_with_the_routes_then_no_write_route_is_forgotten(served: Api):
    """U5: "on POST/PUT/PATCH/DELETE"."""
    writing = {"POST", "PUT", "PATCH", "DELETE"}
    rules = served.app.url_map.iter_rules()
    assert {(method, rule.rule) for rule in rules for method in writing & (rule.methods or set())} == set(WRITES)


@write_route
def test_write_when_sent_again_then_the_stored_answer_and_nothing_is_changed(api: Api, named):
    """U5: "Same key, method, path and body: the stored answer with `Idempotency-Replayed: true`"."""
    method, rule = named
    path, body, *_ = WRITES[named]
    if named != ("POST", "/v1/me"):
        furnish(api)
    first = ask(api, method, path, body)
    assert first.status_code < 300, first.text
    after = rows(api)
    for again in (ask(api, method, path, body), ask(api, method, path, body, If_Match='"1"', X_Request_Id="another")):
        if rule == "/v1/me" and method == "PATCH":
            assert again.headers["ETag"] == first.headers["ETag"]
        assert replays(first, again)
        assert rows(api) == after
    assert again.headers["X-Request-Id"] == "another"


@write_route
def test_write_when_the_key_belongs_to_another_request_then_422_and_nothing_is_changed(api: Api, named):
    """U5: "Same key, anything else: 422 `idempotency_key_reused`"."""
    method, _rule = named
    path, body, other_path, other_body = WRITES[named]
    if named != ("POST", "/v1/me"):
        furnish(api)
    first = ask(api, method, path, body)
    after = rows(api)
    assert refused(ask(api, method, other_path, other_body)) == (422, "idempotency_key_reused")
    other = "PUT" if method != "PUT" else "PATCH"
    assert refused(ask(api, other, PREFERENCES, {"preferences": {"a": 1}}))[1] in {
        "idempotency_key_reused",
        "account_deletion_scheduled",
    }
    assert rows(api) == after
    assert replays(first, ask(api, method, path, body))


@write_route
def test_write_when_the_key_is_malformed_then_400_and_nothing_is_written(api: Api, named):
    method, _rule = named
    path, body, *_ = WRITES[named]
    furnish(api)
    ask(api, "PATCH", "/v1/me", {})
    before = rows(api)
    answer = ask(api, method, path, body, key="short")
    assert refused(answer) == (400, "bad_request")
    assert "Idempotency-Key" in answer.json["detail"]
    assert rows(api) == before


@write_route
def test_write_when_the_account_is_scheduled_or_erased_then_no_stored_answer_of_its_data(api: Api, named):
    """U16: "data endpoints answer 403 `account_deletion_scheduled`", a retry too; then 410."""
    method, rule = named
    path, body, *_ = WRITES[named]
    if named != ("POST", "/v1/me"):
        furnish(api)
    first = ask(api, method, path, body)
    identity, now = Identity(tokens.ISSUER, api.subject), datetime.now(UTC)
    schedule = lambda at: lambda session: deletion.schedule(session, identity, timedelta(days=14), at)  # noqa: E731
    database_of(api).transact(schedule(now))
    again, other = ask(api, method, path, body), ask(api, method, path, body, key=KEY + "-other")
    if rule == "/v1/me/deletion":
        # What was asked before is not asked again: an old retry must not cancel a new deletion, nor ask for one.
        assert replays(first, again)
        assert other.status_code == first.status_code
    else:
        assert refused(again) == refused(other) == (403, "account_deletion_scheduled")
        assert kept(api) == 1
        database_of(api).transact(lambda session: deletion.cancel(session, identity, now))
        assert replays(first, ask(api, method, path, body))
    database_of(api).transact(lambda session: deletion.cancel(session, identity, now))
    database_of(api).transact(schedule(now - timedelta(days=15)))
    if named == ("POST", "/v1/me"):
        anew = ask(api, method, path, body)
        assert anew.status_code == 201
        assert "Idempotency-Replayed" not in anew.headers
        assert replays(anew, ask(api, method, path, body))
    else:
        assert refused(ask(api, method, path, body)) == (410, "account_deleted")


def test_deletion_when_an_old_cancellation_is_sent_again_then_the_new_deletion_stays(api: Api):
    """U5: a retry has no effect of its own."""
    furnish(api)
    assert ask(api, "DELETE", "/v1/me/deletion").status_code == 204
    assert send(api, "POST", "/v1/me/deletion", CONFIRMED, SCOPES).status_code == 202
    assert ask(api, "DELETE", "/v1/me/deletion").headers["Idempotency-Replayed"] == "true"
    assert send(api, "GET", "/v1/me/deletion", scope=SCOPES).json["state"] == "scheduled"


def test_deletion_when_nothing_is_there_to_cancel_then_no_account_is_made_for_its_key(api: Api):
    for _ in range(2):
        assert ask(api, "DELETE", "/v1/me/deletion").status_code == 204
    assert kept(api) == 0
    assert send(api, "POST", "/v1/me", scope=SCOPES).status_code == 201


# The key


@pytest.mark.parametrize(
    "key", ["k" * 8, "k" * 255, '"' + "k" * 255 + '"', "a,b;c=d{}", 'ab"cd\\efgh', '"ab\\"cd\\\\efgh"', "'~!@#$%^&*()'"]
)
def test_key_when_it_has_8_to_255_visible_characters_then_it_is_taken(api: Api, key):
    """U5: "8–255 visible ASCII, quoted or bare"."""
    first = ask(api, "POST", LIST, RECORD, key=key)
    assert first.status_code == 201
    assert replays(first, ask(api, "POST", LIST, RECORD, key=key))
    assert records(api) == 1


@pytest.mark.parametrize(
    "key",
    ["", "k" * 7, "k" * 256, '""', '"' + "k" * 7 + '"', '"' + "k" * 256 + '"', "with a space", "with\ta-tab",
     "ümlauts-ö", '"unfinished', '"abc"defgh"', '"abcdefgh\\"', '"abcd\\efgh"', '"abcdefgh";x=1', '"abcd efgh"'],
)  # fmt: skip
def test_key_when_it_is_shorter_longer_or_of_other_characters_then_400(api: Api, key):
    answer = ask(api, "POST", LIST, RECORD, key=key)
    assert refused(answer) == (400, "bad_request")
    assert records(api) == 0


def test_key_when_quoted_then_the_same_as_bare(api: Api):
    first = ask(api, "POST", LIST, RECORD, key='a"b\\cdefgh')
    assert replays(first, ask(api, "POST", LIST, RECORD, key='"a\\"b\\\\cdefgh"'))
    assert records(api) == 1


def test_key_when_another_user_has_it_too_then_it_means_nothing_to_him(api: Api):
    other = api.as_user(api.subject + "-other")
    first, second = ask(api, "POST", LIST, RECORD), ask(other, "POST", LIST, {"data": {"title": "Tea"}})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["id"] != second.json["id"]


def test_key_when_it_comes_with_a_get_then_it_is_not_looked_at(api: Api):
    assert ask(api, "GET", "/v1/collections", key="x").status_code == 200
    assert kept(api) == 0


def test_key_when_hours_are_0_then_it_is_ignored(tmp_path: Path, postgresql_server: PostgresqlServer):
    """design.md: "0 days or hours mean at once"."""
    with serving_kind("sqlite", tmp_path, postgresql_server, idempotency_hours=0) as api:
        answers = [ask(api, "POST", LIST, RECORD, key=key) for key in (KEY, KEY, "x")]
        assert [answer.status_code for answer in answers] == [201, 201, 201]
        assert (records(api), kept(api)) == (3, 0)


@pytest.mark.parametrize(("age", "is_replayed"), [(timedelta(hours=23, minutes=50), True), (timedelta(days=1), False)])
def test_key_when_it_has_expired_then_the_request_runs_anew_also_before_a_purge(api: Api, age, is_replayed):
    """U5: "kept 24 h"."""
    first = ask(api, "POST", LIST, RECORD)
    given = {"created_at": datetime.now(UTC) - age}
    user_key = Identity(tokens.ISSUER, api.subject).user_key
    old = update(IdempotencyRow).where(IdempotencyRow.user_key == user_key).values(given)
    database_of(api).transact(lambda session: session.execute(old))
    again = ask(api, "POST", LIST, RECORD if is_replayed else {"data": {"title": "Tea"}})
    assert again.status_code == 201
    assert replays(first, again) == is_replayed
    assert (records(api), kept(api)) == (1 if is_replayed else 2, 1)
    assert ask(api, "POST", LIST, RECORD if is_replayed else {"data": {"title": "Tea"}}).json == again.json


# Refusals


@pytest.mark.parametrize("is_new", [True, False], ids=["first request of a user", "later"])
def test_refusal_when_the_version_is_learnt_then_the_same_key_carries_it_out_once(api: Api, is_new):
    """U5: "A refusal is never stored": a 412 was replayed for a day, whatever If-Match the retry had learnt."""
    if not is_new:
        furnish(api)
    assert refused(ask(api, "PUT", ONE, RECORD, If_Match='"12345"')) == (412, "precondition_failed")
    assert kept(api) == 0
    stored = send(api, "PUT", ONE, {"data": {}})
    first = ask(api, "PUT", ONE, RECORD, If_Match=stored.headers["ETag"])
    assert first.status_code == 200
    assert replays(first, ask(api, "PUT", ONE, RECORD, If_Match=stored.headers["ETag"]))
    assert refused(ask(api, "PUT", ONE, {"data": {}})) == (422, "idempotency_key_reused")


def test_refusal_when_there_was_no_room_then_the_same_key_after_room_was_made(
    tmp_path: Path, postgresql_server: PostgresqlServer
):
    """U5: the app was told to make room and send it again, and met the refusal for a day."""
    with serving_kind("sqlite", tmp_path, postgresql_server, max_records_per_collection=1) as api:
        furnish(api)
        for _ in range(2):
            answer = ask(api, "POST", LIST, RECORD)
            assert refused(answer) == (403, "quota_exceeded")
            assert "Idempotency-Replayed" not in answer.headers
        assert send(api, "DELETE", ONE).status_code == 204
        first = ask(api, "POST", LIST, RECORD)
        assert first.status_code == 201
        assert replays(first, ask(api, "POST", LIST, RECORD))
        assert records(api) == 2


@pytest.mark.parametrize("atomic", [True, False])
def test_refusal_when_of_a_whole_batch_then_the_same_key_once_it_can_be_done(api: Api, atomic):
    """U5, U15: nothing was carried out: there is nothing that could be done twice."""
    document = {
        "atomic": atomic,
        "operations": [{"op": "patch", "collection": "notes", "id": "milk", "data": {"n": 1}}],
    }
    assert ask(api, "POST", "/v1/batch", document).status_code == (409 if atomic else 200)
    assert kept(api) == 0
    furnish(api)
    first = ask(api, "POST", "/v1/batch", document)
    assert [result["status"] for result in first.json["results"]] == [200]
    assert replays(first, ask(api, "POST", "/v1/batch", document))


def test_refusal_when_it_takes_back_what_was_begun_then_the_numbers_are_right(api: Api):
    furnish(api)
    before = rows(api)
    assert refused(ask(api, "PATCH", LIST + "/none", RECORD)) == (404, "not_found")
    assert {name: found for name, found in rows(api).items() if name != "idempotency"} == {
        name: found for name, found in before.items() if name != "idempotency"
    }


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [(b"{", "application/json", "malformed_json"), (b"a=b", "text/plain", "unsupported_media_type"),
     (b'{"dota": {}}', "application/json", "validation_failed")],
)  # fmt: skip
def test_refusal_when_the_body_could_not_be_taken_then_the_key_is_free(api: Api, body, content_type, code):
    """What is refused before the transaction has begun nothing: the same key serves the corrected request."""
    assert refused(ask(api, "PUT", ONE, body, Content_Type=content_type))[1] == code
    assert ask(api, "PUT", ONE, RECORD).status_code == 201


@pytest.mark.parametrize(
    ("fault", "status"), [(DatabaseBusy("busy"), 409), (DatabaseUnavailable("away"), 503), (RuntimeError("a bug"), 500)]
)
def test_refusal_when_the_fault_is_ours_or_passes_then_it_is_not_kept(api: Api, monkeypatch, fault, status):
    """U5: "A refusal is never stored"; 409 `busy` and 503 say: send it again."""
    from app.web.sync import records as room

    def fails(*_: Any) -> None:
        raise fault

    api.app.config["PROPAGATE_EXCEPTIONS"] = False
    with monkeypatch.context() as patch:
        patch.setattr(room.writing, "write", fails)
        assert ask(api, "PUT", ONE, RECORD).status_code == status
    assert kept(api) == 0
    assert ask(api, "PUT", ONE, RECORD).status_code == 201


def test_refusal_when_the_token_is_bad_or_lacks_the_scope_then_nothing_is_replayed(api: Api):
    """U5: "A refusal is never stored"; T20 comes first."""
    first = ask(api, "PUT", ONE, RECORD)
    assert refused(ask(api, "PUT", ONE, RECORD, Authorization="Bearer x.y.z"))[0] == 401
    assert refused(ask(api, "PUT", ONE, RECORD, scope="read:records")) == (403, "insufficient_scope")
    assert replays(first, ask(api, "PUT", ONE, RECORD))


# Batches


def test_batch_when_some_operations_were_refused_then_the_results_are_kept(api: Api):
    """U15: "nothing acknowledged is rolled back": nor done twice."""
    operations = [*BATCH["operations"], {"op": "delete", "collection": "notes", "id": "none"}]
    first = ask(api, "POST", "/v1/batch", {"operations": operations})
    assert [result["status"] for result in first.json["results"]] == [201, 404]
    assert replays(first, ask(api, "POST", "/v1/batch", {"operations": operations}))


@pytest.mark.parametrize("atomic", [True, False])
def test_batch_when_nothing_was_done_for_want_of_a_scope_then_it_is_not_kept(api: Api, atomic):
    """`insufficient_scope` is retryable: with another token, the same request succeeds."""
    document = {"atomic": atomic, **BATCH}
    assert ask(api, "POST", "/v1/batch", document, scope="read:records").status_code == (409 if atomic else 200)
    assert (kept(api), records(api)) == (0, 0)
    assert ask(api, "POST", "/v1/batch", document).json["results"][0]["status"] == 201


@pytest.mark.parametrize(("number", "is_whole"), [(2, True), (3, False)])
def test_batch_when_its_answer_is_beyond_8_kib_then_statuses_and_etags_are_kept(api: Api, number, is_whole):
    """U5: "Of bodies over 8 KiB statuses and etags only"."""
    ask(api, "PUT", ONE, {"data": {"text": "x" * 3000}}, key=KEY + "-record")
    wish = {"op": "put", "collection": "notes", "id": "milk", "data": {}, "if_match": '"99"'}
    document = {"operations": [*BATCH["operations"], *[wish] * number]}
    first = ask(api, "POST", "/v1/batch", document)
    assert (len(first.data) <= MAX_KEPT_BYTES) == is_whole
    again = ask(api, "POST", "/v1/batch", document)
    assert replays(first, again) == is_whole
    assert again.json["results"][0] == first.json["results"][0]
    for before, after in zip(first.json["results"][1:], again.json["results"][1:], strict=True):
        assert after["status"] == before["status"] == 412
        assert after["problem"].items() <= before["problem"].items()
        assert {"code", "retryable", "action"} <= set(after["problem"])
        assert after["current"]["etag"] == before["current"]["etag"]
        assert ("data" in after["current"]) == is_whole


@pytest.mark.parametrize("beyond", [0, 1])
def test_answer_when_it_is_larger_than_what_is_kept_then_a_retry_learns_the_version(api: Api, beyond):
    """U5: 8 KiB, to the byte: what is kept counts in no quota."""
    probe = send(api, "PUT", LIST + "/milk1", {"data": {"text": ""}})
    body = {"data": {"text": "x" * (MAX_KEPT_BYTES + beyond - len(probe.data))}}
    first = ask(api, "PUT", LIST + "/milk2", body)
    assert (first.status_code, len(first.data)) == (201, MAX_KEPT_BYTES + beyond)
    again = ask(api, "PUT", LIST + "/milk2", body)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    named = ("etag", "seq", "updated_at") if beyond else tuple(first.json)
    assert again.json == {name: first.json[name] for name in named}


def test_batch_when_almost_all_was_refused_with_many_faults_then_little_is_kept(api: Api):
    """What is kept of the largest answer is a small multiple of the limit, whatever was in it."""
    wish = {"op": "put", "collection": "notes", "id": "milk", "data": {f"n{n}": "\0" for n in range(50)}}
    first = ask(api, "POST", "/v1/batch", {"operations": [*BATCH["operations"], *[wish] * 99]})
    assert len(first.data) > 30 * MAX_KEPT_BYTES
    again = ask(api, "POST", "/v1/batch", {"operations": [*BATCH["operations"], *[wish] * 99]})
    assert [result["status"] for result in again.json["results"]] == [201] + [422] * 99
    assert len(again.data) < 2 * MAX_KEPT_BYTES


# What a retry may see


def test_replay_when_the_token_may_read_less_then_the_version_alone(api: Api):
    """A stored answer shows no more than the token that asks for it may read."""
    first = ask(api, "PUT", ONE, RECORD)
    assert first.json["data"] == RECORD["data"]
    again = ask(api, "PUT", ONE, RECORD, scope="write:records")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.json == {name: first.json[name] for name in ("etag", "seq", "updated_at")}
    assert replays(first, ask(api, "PUT", ONE, RECORD))


def test_replay_when_a_refusal_in_it_shows_what_is_stored_then_its_version_alone(api: Api):
    furnish(api)
    wish = {"op": "put", "collection": "notes", "id": "milk", "data": {}, "if_match": '"99"'}
    document = {"operations": [*BATCH["operations"], wish]}
    ask(api, "POST", "/v1/batch", document)
    again = ask(api, "POST", "/v1/batch", document, scope="write:records")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [result["status"] for result in again.json["results"]] == [201, 412]
    assert set(again.json["results"][1]["current"]) == {"etag", "seq", "updated_at"}


def test_replay_when_the_e_mail_must_not_be_shown_then_it_is_not(api: Api):
    first = ask(api, "PATCH", "/v1/me", {"nickname": "ada"})
    assert "email" in first.json
    assert "email" not in ask(api, "PATCH", "/v1/me", {"nickname": "ada"}, scope="read:profile write:profile").json


# The end of the account


def test_deletion_when_there_is_no_grace_then_no_row_of_the_user_is_left(
    tmp_path: Path, postgresql_server: PostgresqlServer
):
    """U16: "every row keyed by the user goes": the answer to the deletion itself must not stay."""
    with serving_kind("sqlite", tmp_path, postgresql_server, account_deletion_grace_days=0) as api:
        ask(api, "PUT", ONE, RECORD, key=KEY + "-before")
        assert ask(api, "POST", "/v1/me/deletion", CONFIRMED).json["state"] == "erased"
        of_nobody = {"erasures": 1, "revocation_version": 1}
        assert {name: len(found) for name, found in rows(api).items() if found} == of_nobody
        assert refused(ask(api, "POST", "/v1/me/deletion", CONFIRMED)) == (410, "account_deleted")
        assert {name: len(found) for name, found in rows(api).items() if found} == of_nobody
        anew = ask(api, "POST", "/v1/me")
        assert anew.status_code == 201
        assert replays(anew, ask(api, "POST", "/v1/me"))


# At the same time


@pytest.mark.parametrize("named", [("POST", LIST), ("PUT", ONE), ("POST", "/v1/me"), ("PATCH", "/v1/me")])
@pytest.mark.parametrize("is_known", [True, False], ids=["with an account", "without"])
def test_retries_when_they_come_at_once_then_one_effect_and_one_answer(api: Api, named, is_known):
    """U5: "after the user's lock, so a concurrent retry waits and replays": also where there is no account to lock."""
    method, path = named
    if is_known:
        send(api, "PATCH", "/v1/me", {"nickname": "known"}, SCOPES)
    body = {ONE: RECORD, LIST: RECORD, "/v1/me": {}}[path]
    fields = {"If_None_Match": "*"} if method == "PUT" else {}
    answers = at_once(api, lambda: ask(api, method, path, body, **fields))
    assert {answer.status_code for answer in answers} == {answers[0].status_code}, answers
    if is_known and named == ("POST", "/v1/me"):
        # No effect, and so nothing that a retry could have a share in.
        assert {answer.json["code"] for answer in answers} == {"conflict"}
        assert kept(api) == 0
        return
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert records(api) == (1 if path in {LIST, ONE} else 0)
    assert kept(api) == 1


def test_retries_when_an_erased_user_begins_anew_at_once_then_one_new_life(api: Api):
    """U16, U5: whoever loses the race to make the account finds the winner's answer, not a conflict."""
    furnish(api)
    identity, asked = Identity(tokens.ISSUER, api.subject), datetime.now(UTC) - timedelta(days=15)
    for is_purged in (True, False):
        grace = timedelta(days=0 if is_purged else 14)
        database_of(api).transact(lambda session, grace=grace: deletion.schedule(session, identity, grace, asked))
        answers = at_once(api, lambda: ask(api, "POST", "/v1/me"))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.data for answer in answers}) == 1
        assert kept(api) == 1


def at_once(api: Api, work: Any, number: int = 8) -> list[TestResponse]:
    """Do the same in so many threads, all at once."""
    found: list[TestResponse] = []
    meeting = threading.Barrier(number, timeout=30)

    def one() -> None:
        meeting.wait()
        found.append(work())

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == number
    return found


# What it costs


def test_write_when_it_has_no_key_then_no_statement_more(api: Api):
    """§7: the look-up is for requests with a key: all others cost what they did."""
    furnish(api)
    counts = []
    for key in ("", KEY, KEY):
        with statements_in(database_of(api)) as captured:
            answer = ask(api, "PUT", ONE, RECORD, key=key) if key else send(api, "PUT", ONE, RECORD)
        assert answer.status_code == 200
        counts.append(sum(not statement.startswith("RELEASE") for statement, _ in captured))
        assert any("idempotency" in statement for statement, _ in captured) == bool(key)
    bare, first, again = counts
    # The lock, the look-up, whether the account is still there, the answer; a retry: the lock and the look-up.
    assert (first - bare, again) == (4, 2)


def test_write_when_the_database_breaks_it_off_then_it_runs_again_and_is_kept_once(api: Api, monkeypatch):
    """§7: "Serialisation failures (40001) are retried, 3 times"."""
    import app.db as room
    from app.web.sync import records as routes

    furnish(api)
    write, runs = routes.writing.write, []

    def broken_off_once(*given: Any) -> Any:
        runs.append(1)
        written = write(*given)
        if len(runs) == 1:
            raise room._Collision("played")
        return written

    monkeypatch.setattr(routes.writing, "write", broken_off_once)
    first = ask(api, "POST", LIST, RECORD)
    assert (first.status_code, len(runs), records(api), kept(api)) == (201, 2, 2, 1)
    assert replays(first, ask(api, "POST", LIST, RECORD))
    assert isinstance(database_of(api), Database)
    with database_of(api).read() as session:
        account = session.get_one(Account, Identity(tokens.ISSUER, api.subject).user_key)
    assert account.seq == json.loads(first.data)["seq"]
