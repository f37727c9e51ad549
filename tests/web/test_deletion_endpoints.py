"""/v1/me/deletion, POST /v1/me, and what every other endpoint says of an account that ends (user-data.md U16)."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, inspect, select
from werkzeug.test import TestResponse

from app.commands.purge import purge_accounts
from app.db import Base, Database
from app.stores.revocations import Revocations
from app.users import deletion
from app.users.identity import Identity
from app.users.models import Account, Erasure
from app.users.standing import hash_of
from app.web import me
from app.web.catalogue import PROBLEMS
from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.published import METHODS, published

PATH = "/v1/me/deletion"
SCOPE = "delete:account"
CONFIRMED = {"confirm": "delete my account"}


@pytest.fixture
def migrated(any_database_url: str) -> str:
    """These tests run on SQLite, on PostgreSQL and on PostgreSQL in partitions (§7)."""
    return any_database_url


@pytest.fixture
def hasty(tmp_path: Path, migrated: str) -> Iterator[Api]:
    """The API where a deletion has no grace."""
    with running(settings_for(tmp_path, migrated, account_deletion_grace_days=0)) as api:
        yield api


def database_of(api: Api) -> Database:
    database: Database = api.app.extensions["postern"].database
    return database


def ask(api: Api, document: Any = CONFIRMED, **claims: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {api.token(SCOPE, **claims)}"}
    body = json.dumps(document)  # not `json=`: for the test client, None is no body
    return api.request("POST", PATH, data=body, content_type="application/json", headers=headers)


def show(api: Api) -> TestResponse:
    return api.get(PATH, scope=SCOPE)


def cancel(api: Api) -> TestResponse:
    return api.request("DELETE", PATH, scope=SCOPE)


def uses(api: Api) -> list[TestResponse]:
    """Every data endpoint that there is."""
    return [api.get("/v1/me"), api.patch("/v1/me", {"name": "Eve"}), api.request("POST", "/v1/me")]


def let_the_grace_pass(api: Api) -> None:
    """Schedule the deletion as if it had been asked for 15 days ago: no clock is turned."""
    identity, asked = Identity(tokens.ISSUER, api.subject), datetime.now(UTC) - timedelta(days=15)
    database_of(api).transact(lambda session: deletion.schedule(session, identity, timedelta(days=14), asked))


def stored(api: Api) -> tuple[int, int]:
    """How many accounts and how many records of erasures there are."""
    with database_of(api).read() as session:
        counts = [session.scalar(select(func.count()).select_from(model)) for model in (Account, Erasure)]
    return counts[0] or 0, counts[1] or 0


# The wish


def test_post_when_confirmed_then_202_and_again_the_same_times(api: Api):
    """§3: 202 {"state":"scheduled","requested_at":"…","purge_at":"…","cancel_until":"…"}."""
    api.get("/v1/me")
    first = ask(api)
    assert first.status_code == 202
    assert list(first.json) == ["state", "requested_at", "purge_at", "cancel_until"]
    assert first.json["state"] == "scheduled"
    requested_at, purge_at = (datetime.fromisoformat(first.json[name]) for name in ("requested_at", "purge_at"))
    assert purge_at - requested_at == timedelta(days=14)
    assert first.json["cancel_until"] == first.json["purge_at"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = ask(api)
    assert (again.status_code, again.json) == (202, first.json)
    assert (show(api).status_code, show(api).json) == (200, first.json)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [({"confirm": "yes"}, "/confirm"), ({}, "/confirm"), ({**CONFIRMED, "at": 1}, "/at"), ([], ""), (None, "")],
)
def test_post_when_not_confirmed_then_422_points_at_it_and_nothing_is_scheduled(api: Api, document, pointer):
    """U7: "`errors: [{pointer, detail}]`"."""
    answer = ask(api, document)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert show(api).json["state"] == "active"


def test_post_when_the_body_is_no_json_then_415_or_400(api: Api):
    """T30: 415 and 413 come before 400."""
    assert api.request("POST", PATH, scope=SCOPE, data=b"confirm=yes").json["code"] == "unsupported_media_type"
    broken = api.request("POST", PATH, scope=SCOPE, data=b"{", content_type="application/json")
    assert broken.json["code"] == "malformed_json"


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_endpoints_when_the_scope_is_missing_or_no_user_is_there_then_403(api: Api, method):
    """§2: scope `delete:account`; T22: "User endpoints refuse `client` and `anonymous` tokens"."""
    poor = api.request(method, PATH, json=CONFIRMED)
    assert (poor.status_code, poor.json["code"], poor.json["scope"]) == (403, "insufficient_scope", SCOPE)
    token = api.token(SCOPE, gty="client-credentials")
    machine = api.request(method, PATH, json=CONFIRMED, headers={"Authorization": f"Bearer {token}"})
    assert (machine.status_code, machine.json["code"]) == (403, "user_required")
    assert stored(api) == (0, 0)


def test_get_and_delete_when_nothing_is_scheduled_then_200_active_and_204(api: Api):
    nothing = {"state": "active", "requested_at": None, "purge_at": None, "cancel_until": None}
    for _ in range(2):
        assert (show(api).status_code, show(api).json) == (200, nothing)
        assert (cancel(api).status_code, cancel(api).data) == (204, b"")
        assert "Content-Type" not in cancel(api).headers
        assert stored(api)[1] == 0
        api.get("/v1/me")


# The grace


def test_data_when_deletion_is_scheduled_then_403_with_what_is_scheduled_and_cancel_works(api: Api):
    """U16: "data endpoints answer 403 `account_deletion_scheduled`, cancel works"."""
    before = api.get("/v1/me").json
    scheduled = ask(api).json
    for refused in uses(api):
        assert (refused.status_code, refused.json["code"]) == (403, "account_deletion_scheduled")
        assert refused.json["current"] == scheduled
        assert (refused.json["action"], refused.json["retryable"]) == ("resync", False)
        assert "WWW-Authenticate" not in refused.headers
    assert api.get("/v1/whoami").status_code == 200
    assert api.as_user("auth0|other").get("/v1/me").status_code == 200
    assert cancel(api).status_code == 204
    assert api.get("/v1/me").json == before
    assert show(api).json["state"] == "active"


# The end


@pytest.mark.parametrize("purged", [True, False], ids=["purged", "purge late"])
def test_every_endpoint_when_the_grace_has_passed_then_410_and_nothing_is_written(api: Api, purged):
    """U16: "every token of that user gets 410 `account_deleted`": also before anybody has purged."""
    api.get("/v1/me")
    let_the_grace_pass(api)
    if purged:
        purge_accounts(database_of(api), datetime.now(UTC))
    after = stored(api)
    sent: list[str] = []
    event.listen(database_of(api).engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    for refused in (api.get("/v1/me"), show(api)):
        assert (refused.status_code, refused.json["code"]) == (410, "account_deleted")
    assert [statement for statement in sent if not statement.startswith(("SELECT", "BEGIN", "PRAGMA"))] == []
    for refused in (api.patch("/v1/me", {"name": "Eve"}), ask(api), cancel(api)):
        assert (refused.status_code, refused.json["code"]) == (410, "account_deleted")
        assert "WWW-Authenticate" not in refused.headers
    assert stored(api) == after == ((0, 1) if purged else (1, 0))
    assert api.get("/v1/whoami").status_code == 200
    assert ask(api, {"confirm": "no"}).status_code == 422


def test_post_when_there_is_no_grace_then_erased_at_once(hasty: Api):
    """design.md: "0 days or hours mean at once"."""
    hasty.get("/v1/me")
    answer = ask(hasty)
    assert (answer.status_code, answer.json["state"]) == (202, "erased")
    assert stored(hasty) == (0, 1)
    assert (ask(hasty).status_code, hasty.get("/v1/me").status_code) == (410, 410)


def test_patch_when_the_account_is_erased_after_it_was_seen_then_410(api: Api, monkeypatch):
    """The check is made under the lock, too: what is decided before it may be out of date."""
    seen = me.profile_of

    def seen_and_then_erased(*given: Any) -> Any:
        profile = seen(*given)
        identity = Identity(tokens.ISSUER, api.subject)
        database_of(api).transact(lambda s: deletion.schedule(s, identity, timedelta(0), datetime.now(UTC)))
        return profile

    monkeypatch.setattr(me, "profile_of", seen_and_then_erased)
    assert api.patch("/v1/me", {"name": "Eve"}).json["code"] == "account_deleted"
    assert stored(api) == (0, 1)


# What is left


MARKER = "marker-of-ada"
EMAIL = f"{MARKER}@example.org"
# One of a table's partitions (tests/support/databases.py) counts as the table.
_PARTITION = re.compile(r"_\d+$")


def use_everything(api: Api) -> str:
    """Leave something of the user in every table that can hold it, each text with the marker; return the token."""
    note, preferences = "/v1/collections/notes/records/", "/v1/me/preferences"
    every = "read:profile read:email write:profile read:records write:records write:preferences export:account"
    token = api.token(every, email=EMAIL, name=MARKER)
    headers = {"Authorization": f"Bearer {token}", "Device-Id": f"{MARKER}-phone", "Idempotency-Key": f"{MARKER}-key"}
    plain = {name: value for name, value in headers.items() if name != "Idempotency-Key"}
    assert api.get("/v1/me", headers=plain).json["email"] == EMAIL
    document = {"data": {"text": MARKER}}
    for method, path, body, fields in (
        ("PATCH", "/v1/me", {"nickname": MARKER, "attributes": {"text": MARKER}}, plain),
        ("PUT", preferences, {"preferences": {"text": MARKER}}, plain),
        ("PUT", f"{note}{MARKER}-1", document, headers),
        ("PUT", f"{note}{MARKER}-2", document, plain),
        ("DELETE", f"{note}{MARKER}-2", None, plain),
        ("GET", "/v1/me/export", None, plain),
    ):
        assert api.request(method, path, headers=fields, json=body).status_code < 300
    for words in (["users", "set-roles", api.subject, MARKER], ["revoke", "user", api.subject, "--note", MARKER]):
        assert api.app.test_cli_runner().invoke(args=words).exit_code == 0
    return token


def tables_that_name(api: Api, *words: str) -> set[str]:
    """Walk every row of every table that is really there, migrated by us or not; bytes and JSON are searched, too."""
    database = database_of(api)
    there = set(inspect(database.engine).get_table_names())
    assert set(Base.metadata.tables) <= there
    found = set()
    with database.engine.connect() as connection:
        for table in there:
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"'):
                cells = [cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell) for cell in row]
                if any(word in cell for word in words for cell in cells):
                    found.add(_PARTITION.sub("", table))
        connection.rollback()
    return found


@pytest.mark.parametrize("purged", [True, False], ids=["by the purge", "at once"])
def test_erasure_when_every_feature_was_used_then_no_row_of_any_table_names_the_user(
    api: Api, tmp_path: Path, migrated: str, purged
):
    """U16: "every row keyed by the user goes and only `erasures(user_key_hash, erased_at)` stays".

    What is revoked is not keyed by the user: it is kept by subject for as long as a token could live, because an
    erasure must not let a stolen token in again. It goes by its own clock.
    """
    identity = Identity(tokens.ISSUER, api.subject)
    words = (identity.user_key, api.subject, EMAIL, MARKER)
    other = api.as_user("auth0|other")
    other.get("/v1/me")
    token = use_everything(api)
    keyed = {table.name for table in Base.metadata.sorted_tables if "user_key" in table.columns}
    # Or the walk below would prove nothing: a new table has to be used here.
    assert tables_that_name(api, identity.user_key) == keyed
    assert tables_that_name(api, *words) == keyed | {"revocations"}
    if purged:
        let_the_grace_pass(api)
        assert purge_accounts(database_of(api), datetime.now(UTC)).accounts == 1
    else:
        database_of(api).transact(lambda session: deletion.schedule(session, identity, timedelta(0), datetime.now(UTC)))
    assert tables_that_name(api, *words) == {"revocations"}
    assert tables_that_name(api, hash_of(identity.user_key)) == {"erasures"}
    assert tables_that_name(api, Identity(tokens.ISSUER, other.subject).user_key) == {"accounts"}
    # A token of before is refused for what it is.
    api.app.extensions["postern"].denylist.look()
    assert api.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json["code"] == "token_revoked"
    Revocations(database_of(api)).drop_ended(now=time.time() + 32 * 86_400)
    assert tables_that_name(api, *words) == set()
    assert stored(api) == (1, 1)


# Anew


@pytest.mark.parametrize("purged", [True, False], ids=["purged", "purge late"])
def test_create_when_erased_then_201_and_no_old_entity_tag_is_true_of_the_new_profile(api: Api, purged):
    """§2: "201: a new account after an erasure"; RFC 9110 §8.8.1: a strong validator is "unique across all versions
    of all representations associated with a particular resource over time".
    """
    old = api.patch("/v1/me", {"nickname": "countess"})
    let_the_grace_pass(api)
    if purged:
        purge_accounts(database_of(api), datetime.now(UTC))
    made = api.request("POST", "/v1/me")
    assert made.status_code == 201
    assert (made.json["sub"], made.json["nickname"], made.headers["ETag"]) == (api.subject, None, made.json["etag"])
    assert made.json["seq"] > old.json["seq"]
    assert stored(api) == (1, 0)
    headers = {"If-None-Match": old.headers["ETag"], "Authorization": f"Bearer {api.token()}"}
    assert api.get("/v1/me", headers=headers).status_code == 200
    assert api.get("/v1/me").json == made.json
    assert show(api).json["state"] == "active"


def test_create_when_there_never_was_one_then_201_from_the_claims_and_again_409(api: Api):
    """§2: "409 if there is one"; a 409 that the same body can never cure is not retryable."""
    headers = {"Authorization": f"Bearer {api.token(name='Ada')}"}
    made = api.request("POST", "/v1/me", headers=headers)
    assert (made.status_code, made.json["name"]) == (201, "Ada")
    again = api.request("POST", "/v1/me")
    assert (again.status_code, again.json["code"], again.json["retryable"]) == (409, "conflict", False)
    assert "GET /v1/me" in again.json["detail"]


def test_create_when_the_token_may_only_write_then_the_version_alone_comes_back(api: Api):
    assert set(api.request("POST", "/v1/me", scope="write:profile").json) == {"etag", "seq", "updated_at"}
    assert api.request("POST", "/v1/me", scope="read:profile").json["scope"] == "write:profile"


def test_create_when_it_brings_members_then_422_and_no_account(api: Api):
    refused = api.request("POST", "/v1/me", json={"name": "Ada"})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "")
    assert api.request("POST", "/v1/me", data=b"name=Ada", content_type="text/plain").status_code == 415
    assert stored(api) == (0, 0)
    assert api.request("POST", "/v1/me", json={}).status_code == 201


# Step-up


@pytest.fixture
def careful(tmp_path: Path, migrated: str) -> Iterator[Api]:
    """The API that wants a login of the last five minutes, by mfa."""
    changes = {"deletion_max_age_seconds": 300, "deletion_acr": "mfa"}
    with running(settings_for(tmp_path, migrated, **changes)) as api:
        yield api


def test_post_when_step_up_is_off_then_any_login_will_do(api: Api):
    assert ask(api, auth_time=1).status_code == 202


@pytest.mark.parametrize(
    "claims", [{}, {"auth_time": 1, "acr": "mfa"}, {"acr": "mfa"}, {"auth_time": "now", "acr": "pwd"}]
)
def test_post_when_the_login_is_old_or_weak_then_401_says_which_is_wanted(careful: Api, claims):
    """T23: "answers 401 `insufficient_user_authentication` with `max_age`/`acr_values` (RFC 9470 §3)"."""
    refused = ask(careful, **login(claims))
    assert (refused.status_code, refused.json["code"], refused.json["action"]) == (401, "step_up_required", "step_up")
    assert (refused.json["max_age"], refused.json["acr_values"]) == (300, "mfa")
    challenge = refused.headers["WWW-Authenticate"]
    for part in ('error="insufficient_user_authentication"', 'max_age="300"', 'acr_values="mfa"'):
        assert part in challenge
    assert stored(careful) == (0, 0)


def test_post_when_the_login_is_recent_and_strong_then_202_and_any_login_may_cancel(careful: Api):
    """§2: the step-up is asked of deleting alone: nobody is kept from keeping the account."""
    assert ask(careful, **login({"auth_time": "now", "acr": "mfa"})).status_code == 202
    assert show(careful).json["state"] == "scheduled"
    assert cancel(careful).status_code == 204


def login(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: int(time.time()) if value == "now" else value for name, value in claims.items()}


# What the API says of itself


def test_openapi_when_served_then_the_statuses_scopes_and_problems_of_these_operations(api: Api):
    paths = api.anonymous("/v1/openapi.json").json["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values() if "summary" in operation]
    assert len(ids) == len(set(ids))
    assert {"requestDeletion", "getDeletion", "cancelDeletion", "createMe"} <= set(ids)
    found = published(api)
    deleting = {method: found.operation(method, PATH) for method in paths[PATH] if method in METHODS}
    assert {"202", "401", "403", "410", "415", "422"} <= set(deleting["post"]["responses"])
    assert "step_up_required" in deleting["post"]["responses"]["401"]["description"]
    assert "content" not in deleting["delete"]["responses"]["204"]
    assert "201" in paths["/v1/me"]["post"]["responses"]
    for operation in deleting.values():
        assert {"tenant": [SCOPE], "bearer": []} in operation["security"]
        assert "account_deleted" in operation["responses"]["410"]["description"]
    for method in ("get", "patch"):
        responses = found.operation(method, "/v1/me")["responses"]
        assert "account_deletion_scheduled" in responses["403"]["description"]
        assert "account_deleted" in responses["410"]["description"]


@pytest.mark.parametrize(
    ("code", "status", "action"),
    [
        ("account_deletion_scheduled", 403, "resync"),
        ("account_deleted", 410, "fix_client"),
        ("conflict", 409, "resync"),
    ],
)
def test_table_when_compared_with_the_contract_then_status_and_action(code, status, action):
    """user-data.md §4: `account_deletion_scheduled` 403, `account_deleted` 410, `conflict` 409."""
    assert (PROBLEMS[code].status, PROBLEMS[code].action) == (status, action)


def test_index_when_asked_then_the_grace_is_among_the_limits(hasty: Api):
    """U8: "Limits are visible"."""
    document = hasty.anonymous("/v1").json
    assert document["limits"]["account_deletion_grace_days"] == 0
    assert document["links"]["deletion"] == "https://api.example/v1/me/deletion"
