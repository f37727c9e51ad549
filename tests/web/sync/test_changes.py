"""GET /v1/changes: pages, cursors and what becomes of them, 304, filters, scopes, and how large an answer may be."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from app.commands.purge import purge_accounts
from app.db import Database
from app.records.cursor import Cursor, encoded
from app.records.tombstones import purge
from app.users import deletion
from app.users.identity import Identity
from app.users.models import Account
from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.statements import statements_in

PATH = "/v1/changes"
SCOPE = "read:records write:records"
WHOLE = f"{SCOPE} read:profile read:email read:preferences write:preferences"
ADA = Identity(tokens.ISSUER, tokens.SUBJECT)


@pytest.fixture
def narrow(tmp_path: Path, migrated: str) -> Iterator[Api]:
    """The API with small answers."""
    with running(settings_for(tmp_path, migrated, max_answer_bytes=20_000, max_record_bytes=8_000)) as api:
        yield api


def database_of(api: Api) -> Database:
    database: Database = api.app.extensions["postern"].database
    return database


def put(api: Api, name: str, data: Any = None, collection: str = "notes", **options: Any) -> TestResponse:
    path = f"/v1/collections/{collection}/records/{name}"
    answer = api.request("PUT", path, SCOPE, json={"data": data or {}}, **options)
    assert answer.status_code in {200, 201}, answer.json
    return answer


def delete(api: Api, name: str) -> None:
    assert api.request("DELETE", f"/v1/collections/notes/records/{name}", SCOPE).status_code == 204


def ask(api: Api, cursor: str | None = None, scope: str = SCOPE, headers: Any = None, **query: Any) -> TestResponse:
    asked = query if cursor is None else {"cursor": cursor, **query}
    return api.get(PATH, scope, query_string=asked, headers=headers or {})


def cursor_of(api: Api, **more: Any) -> str:
    cursor: str = ask(api, **more).json["cursor"]
    return cursor


def refused(answer: TestResponse) -> tuple[int, str, str]:
    return answer.status_code, answer.json["code"], answer.json["action"]


# Pages


def test_get_when_something_has_changed_then_a_page_with_the_cursor_as_its_etag(api: Api):
    """§3: the shape; U3: "`ETag`, `Cache-Control: private, no-cache`, `Vary`"; U6: `Device-Id` is kept as `origin`."""
    put(api, "a", {"title": "Milk"}, headers={"Device-Id": "ios-1"})
    put(api, "b")
    delete(api, "b")
    answer = ask(api)
    assert answer.status_code == 200
    assert list(answer.json) == ["changes", "cursor", "has_more", "poll_after"]
    (change,) = answer.json["changes"]
    times = {"updated_at": change["updated_at"]}
    assert change == {
        "kind": "record", "id": "a", "collection": "notes", "data": {"title": "Milk"}, "etag": '"1"', "seq": 1,
        "created_seq": 1, "origin": "ios-1", **times,
    }  # fmt: skip
    assert (answer.json["has_more"], answer.json["poll_after"]) == (False, 30)
    assert answer.headers["ETag"] == f'"{answer.json["cursor"]}"'
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Authorization, Accept-Encoding"


def test_get_when_a_record_was_deleted_since_then_a_tombstone_without_data(api: Api):
    """§3: `{"kind":"record","collection":"notes","id":"…","seq":58,…,"deleted":true}`; U6: `origin`."""
    put(api, "a", {"secret": 1})
    cursor = cursor_of(api)
    api.request("DELETE", "/v1/collections/notes/records/a", SCOPE, headers={"Device-Id": "mac-2"})
    (change,) = ask(api, cursor).json["changes"]
    assert {name: change[name] for name in ("kind", "collection", "id", "seq", "etag", "deleted", "origin")} == {
        "kind": "record", "collection": "notes", "id": "a", "seq": 2, "etag": '"2"', "deleted": True, "origin": "mac-2",
    }  # fmt: skip
    assert "data" not in change


def test_get_when_there_are_many_then_page_after_page_and_the_head_at_the_end(api: Api):
    """§7: "A full page: cursor = its last seq; otherwise cursor = H"."""
    for number in range(5):
        put(api, f"r{number}")
    seen, cursor, sizes = [], None, []
    while True:
        page = ask(api, cursor, limit=2).json
        seen += [change["id"] for change in page["changes"]]
        sizes.append((len(page["changes"]), page["has_more"], page["poll_after"]))
        cursor = page["cursor"]
        if not page["has_more"]:
            break
    assert seen == [f"r{number}" for number in range(5)]
    assert sizes == [(2, True, 0), (2, True, 0), (1, False, 30)]
    # Others' kinds of changes raise the head too: a device that may not see them is not told of them for ever.
    api.request("PUT", "/v1/me/preferences", "write:preferences", json={"preferences": {"x": 1}})
    page = ask(api, cursor).json
    assert (page["changes"], page["cursor"] != cursor) == ([], True)
    assert ask(api, page["cursor"]).json["cursor"] == page["cursor"]


def test_get_when_the_limit_is_too_high_then_coerced(tmp_path: Path, migrated: str):
    """§5: "page 100 by default, 500 at most (coerced)"."""
    with running(settings_for(tmp_path, migrated, page_size_default=2, page_size_max=3)) as api:
        for number in range(5):
            put(api, f"r{number}")
        for limit, count in (("1", 1), ("3", 3), ("4", 3), ("501", 3), ("99999999999999999999", 3)):
            assert len(ask(api, limit=limit).json["changes"]) == count
        assert len(ask(api).json["changes"]) == 2


def test_get_when_the_limit_is_no_number_then_400(api: Api):
    for limit in ("0", "-1", "", "many", "1.5", "\u0663", "1e3", "+1", "0x1"):
        assert refused(ask(api, limit=limit)) == (400, "bad_request", "fix_client"), limit


def test_answer_when_the_records_are_large_then_never_larger_than_the_limit_and_nothing_is_lost(narrow: Api):
    """§5: "answer ≤ 4 MiB (short page, `has_more`)"; both sides: what fits is not held back."""
    for number in range(7):
        put(narrow, f"r{number}", {"text": "x" * 4_000})
    cursor, seen, sizes = None, [], []
    while True:
        answer = ask(narrow, cursor)
        assert len(answer.data) <= 20_000
        sizes.append(len(answer.json["changes"]))
        seen += [change["id"] for change in answer.json["changes"]]
        cursor = answer.json["cursor"]
        if not answer.json["has_more"]:
            break
    assert seen == [f"r{number}" for number in range(7)]
    assert sizes == [3, 3, 1]


def test_answer_when_the_records_just_fit_then_one_page(narrow: Api):
    """The other side of the limit: 20 000 bytes without the 4 096 of the envelope."""
    for number in range(3):
        put(narrow, f"r{number}", {"text": "x" * 5_000})
    answer = ask(narrow)
    assert (len(answer.json["changes"]), answer.json["has_more"]) == (3, False)
    put(narrow, "r3", {"text": "x" * 1_000})
    short = ask(narrow)
    assert (len(short.json["changes"]), short.json["has_more"]) == (3, True)
    assert [change["id"] for change in ask(narrow, short.json["cursor"]).json["changes"]] == ["r3"]


# 304


def test_get_when_the_etag_is_the_cursor_and_nothing_is_new_then_304_after_one_read_by_primary_key(api: Api):
    """§7: "`ETag` = the cursor, so a 304 costs one primary-key read"; U3: "a 304 repeats all of these"."""
    put(api, "a")
    whole = ask(api, scope=WHOLE)
    cursor = whole.json["cursor"]
    with statements_in(database_of(api)) as captured:
        answer = ask(api, cursor, WHOLE, headers={"If-None-Match": whole.headers["ETag"]})
    assert (answer.status_code, answer.data) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert answer.headers[name] == whole.headers[name]
    ((statement, _parameters),) = captured
    assert "FROM accounts" in statement
    assert "WHERE accounts.user_key = " in statement
    for tag in (f'W/"{cursor}"', f'"{cursor}-gzip"', f'"other", "{cursor}"', "*"):
        assert ask(api, cursor, WHOLE, headers={"If-None-Match": tag}).status_code == 304
    put(api, "b")
    news = ask(api, cursor, WHOLE, headers={"If-None-Match": whole.headers["ETag"]})
    assert (news.status_code, len(news.json["changes"])) == (200, 1)


def test_get_when_there_is_no_account_yet_then_an_empty_page_and_nothing_is_written(api: Api):
    """U11: "A read costs no write"."""
    with statements_in(database_of(api)) as captured:
        answer = ask(api)
    assert (answer.json["changes"], answer.json["has_more"]) == ([], False)
    assert all(statement.startswith("SELECT") for statement, _ in captured)
    put(api, "a")
    assert [change["id"] for change in ask(api, answer.json["cursor"]).json["changes"]] == ["a"]


# Scopes and filters


def test_get_when_the_token_may_not_read_records_then_403_names_the_scope(api: Api):
    """§2: scope `read:records`; T22: an application of its own has no data."""
    answer = ask(api, scope="write:records read:profile")
    assert (answer.status_code, answer.json["code"], answer.json["scope"]) == (
        403,
        "insufficient_scope",
        "read:records",
    )
    machine = api.get(PATH, headers={"Authorization": f"Bearer {api.token(SCOPE, gty='client-credentials')}"})
    assert (machine.status_code, machine.json["code"]) == (403, "user_required")
    assert api.anonymous(PATH).status_code == 401


def kinds(answer: TestResponse) -> list[str]:
    return [change["kind"] for change in answer.json["changes"]]


def test_get_when_the_scopes_allow_then_profile_and_preferences_too_and_the_e_mail_with_its_own(api: Api):
    """§2: "profile and preferences rows only with their read scope"; `email` only with `read:email`."""
    claims = {"name": "Ada", "email": "ada@example.org", "email_verified": True}
    headers = {"Authorization": f"Bearer {api.token('read:profile', **claims)}"}
    assert api.get("/v1/me", headers=headers).status_code == 200
    api.request("PUT", "/v1/me/preferences", "write:preferences", json={"preferences": {"x": 1}})
    put(api, "a")
    assert kinds(ask(api)) == ["record"]
    assert kinds(ask(api, scope=f"{SCOPE} read:preferences")) == ["preferences", "record"]
    without = ask(api, scope=f"{SCOPE} read:profile")
    assert kinds(without) == ["profile", "record"]
    assert "email" not in without.json["changes"][0]
    assert b"ada@example.org" not in without.data
    profile = ask(api, scope=f"{SCOPE} read:profile read:email").json["changes"][0]
    assert (profile["email"], profile["etag"]) == ("ada@example.org", '"1"')
    assert kinds(ask(api, scope=f"{SCOPE} read:email")) == ["record"]
    assert kinds(ask(api, scope=WHOLE, collections="notes")) == ["record"]
    # Whoever is allowed more later is told what was there before, and once.
    later = ask(api, without.json["cursor"], WHOLE)
    assert kinds(later) == ["profile", "preferences"]
    assert kinds(ask(api, later.json["cursor"], WHOLE)) == []


def test_get_when_limited_to_collections_then_of_those_alone_and_wider_later_is_a_resync(api: Api):
    """§2: "`collections=a,b`"; the promise: what the device was not told of must not be lost."""
    for collection in ("notes", "tasks", "other"):
        put(api, "a", collection=collection)
    page = ask(api, collections="notes,tasks")
    assert [change["collection"] for change in page.json["changes"]] == ["notes", "tasks"]
    cursor = page.json["cursor"]
    assert ask(api, cursor, collections="tasks").status_code == 200
    assert ask(api, cursor, collections=" tasks , notes").status_code == 200
    for wider in ({}, {"collections": "notes,other"}):
        assert refused(ask(api, cursor, **wider)) == (410, "cursor_expired", "resync")


def test_get_when_the_filter_names_what_can_be_no_collection_then_400(api: Api):
    """§5: 64 collections; the answer says what is wrong."""
    for names in ("", ",", "notes,", "Notes", "a b", "x" * 33, ",".join(f"c{number}" for number in range(65))):
        assert refused(ask(api, collections=names)) == (400, "bad_request", "fix_client"), names


def test_get_when_the_filter_names_as_many_as_there_can_be_then_200(api: Api):
    """The other side of the limit; and its cursor can be sent back."""
    names = ",".join(f"{'c' * 29}{number:03}" for number in range(64))
    page = ask(api, collections=names)
    assert page.status_code == 200
    assert ask(api, page.json["cursor"], collections=names).status_code == 200
    put(api, "a", collection="c" * 29 + "007")
    assert len(ask(api, page.json["cursor"], collections=names).json["changes"]) == 1


# Cursors that lead nowhere


def test_get_when_tombstones_were_purged_that_the_device_has_not_seen_then_410_and_from_the_start_all_is_there(
    api: Api,
):
    """§7: "410 when … `purged_seq > max(since, purged_at_start)`"; the action is to sync anew."""
    put(api, "a")
    put(api, "b")
    old = cursor_of(api)
    delete(api, "a")
    new = cursor_of(api)
    later = datetime.now(UTC) + timedelta(days=91)
    assert database_of(api).transact(lambda session: purge(session, ADA.user_key, later)) == 1
    assert refused(ask(api, old)) == (410, "cursor_expired", "resync")
    assert refused(ask(api, old, headers={"If-None-Match": f'"{old}"'})) == (410, "cursor_expired", "resync")
    assert ask(api, new).json["changes"] == []
    assert [change["id"] for change in ask(api).json["changes"]] == ["b"]


def test_get_when_the_database_was_restored_then_410(api: Api):
    """§7: "410 when the epoch differs (restore, …)": and where nobody has renewed it, by numbers never given."""
    put(api, "a")
    cursor = cursor_of(api)
    with database_of(api).read() as session:
        epoch = session.get_one(Account, ADA.user_key).epoch
    assert refused(ask(api, encoded(Cursor(epoch, 2, 0)))) == (410, "cursor_expired", "resync")
    database_of(api).transact(lambda session: session.execute(update(Account).values(epoch="0" * 8)))
    assert refused(ask(api, cursor)) == (410, "cursor_expired", "resync")


def test_get_when_the_account_was_made_anew_then_410_and_nothing_of_the_old_life(api: Api):
    """§7: "410 when the epoch differs (…, re-created account)"."""
    put(api, "a")
    cursor = cursor_of(api)
    database = database_of(api)
    long_ago = datetime.now(UTC) - timedelta(days=15)
    database.transact(lambda session: deletion.schedule(session, ADA, timedelta(days=14), long_ago))
    purge_accounts(database, datetime.now(UTC))
    assert refused(ask(api, cursor)) == (410, "account_deleted", "fix_client")
    assert api.request("POST", "/v1/me", "write:profile").status_code == 201
    assert refused(ask(api, cursor)) == (410, "cursor_expired", "resync")
    assert ask(api).json["changes"] == []


def test_get_when_the_deletion_is_scheduled_then_403(api: Api):
    """U16: "data endpoints answer 403 `account_deletion_scheduled`"."""
    put(api, "a")
    cursor = cursor_of(api)
    confirmed = {"confirm": "delete my account"}
    assert api.request("POST", "/v1/me/deletion", "delete:account", json=confirmed).status_code == 202
    for answer in (ask(api), ask(api, cursor), ask(api, cursor, headers={"If-None-Match": f'"{cursor}"'})):
        assert refused(answer) == (403, "account_deletion_scheduled", "resync")
    assert api.request("DELETE", "/v1/me/deletion", "delete:account").status_code == 204
    assert ask(api, cursor).json["changes"] == []


def mangled(cursor: str) -> list[str]:
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    words = text.split("|")
    rewritten = ["|".join(words[:-1]), text.replace("v1", "v2"), text + "|", text + "\n", text.replace("|", "||", 1)]
    return [
        "", " ", "null", "0", cursor[:-1], cursor[1:], cursor + "=", cursor + "A", cursor * 40, f'"{cursor}"',
        cursor.swapcase(), cursor[:-1] + "*", "\u00e9" + cursor, cursor + "\x00", "../" + cursor, "A" * 5000,
        base64.b64encode(b"\xff\xfe\xfd" * 5).decode(),
        *(base64.urlsafe_b64encode(text.encode()).decode().rstrip("=") for text in rewritten[1:]),
    ]  # fmt: skip


def test_get_when_the_cursor_was_never_given_out_then_400_bad_cursor(api: Api):
    """§2: "400 `bad_cursor`": truncated, in another alphabet, padded, doubled, of another version."""
    put(api, "a")
    cursor = cursor_of(api)
    for text in mangled(cursor):
        assert refused(ask(api, text)) == (400, "bad_cursor", "resync"), text


def test_get_when_the_cursor_is_another_users_then_410_and_not_one_change_is_skipped_or_shown(api: Api):
    """§7: "opaque, no secret, no authority": the user is the token's, and the epoch is another."""
    eve = api.as_user("auth0|eve")
    for number in range(3):
        put(api, f"mine-{number}", {"whose": "adas"})
        put(eve, f"hers-{number}", {"whose": "eves"})
    theirs = [cursor_of(api), cursor_of(api, limit=1), cursor_of(api, scope=WHOLE), cursor_of(api, collections="notes")]
    for cursor in theirs:
        for query in ({}, {"collections": "notes"}, {"limit": 1}):
            answer = ask(eve, cursor, **query)
            assert refused(answer) == (410, "cursor_expired", "resync")
            assert b"adas" not in answer.data
    assert [change["data"]["whose"] for change in ask(eve).json["changes"]] == ["eves"] * 3
    # Somebody who has no account yet, and the cursor of somebody who had none: from the start.
    stranger = api.as_user("auth0|new")
    assert refused(ask(stranger, theirs[0])) == (410, "cursor_expired", "resync")
    from_the_start = ask(eve, cursor_of(stranger))
    assert [change["id"] for change in from_the_start.json["changes"]] == ["hers-0", "hers-1", "hers-2"]


def test_get_when_a_cursor_is_written_by_hand_then_it_reaches_no_further_than_its_user(api: Api):
    """It gives no right: whatever numbers are put into it, the rows are those of the token's user."""
    eve = api.as_user("auth0|eve")
    put(api, "mine", {"whose": "adas"})
    put(eve, "hers", {"whose": "eves"})
    with database_of(api).read() as session:
        epochs = [
            session.get_one(Account, identity.user_key).epoch
            for identity in (ADA, Identity(tokens.ISSUER, eve.subject))
        ]
    for epoch in (*epochs, "-"):
        for since in (0, 1, 2**63 - 1):
            for purged in (0, 2**63 - 1):
                for first_head in (None, 0, 2**63 - 1):
                    answer = ask(eve, encoded(Cursor(epoch, since, purged, first_head)))
                    assert answer.status_code in {200, 410}, answer.json
                    assert b"adas" not in answer.data


def test_answer_when_it_is_read_by_any_json_parser_then_whole(api: Api):
    """§6: lists "are dumped by splicing the stored JSON text"."""
    data = {"text": 'quotes " and \\ and \u2028 and 😀', "number": 1.5, "list": [None, True, {"deep": []}], "": ""}
    put(api, "a", data)
    assert json.loads(ask(api).data)["changes"][0]["data"] == data
