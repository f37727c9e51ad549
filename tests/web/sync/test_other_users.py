"""Two users: one has got hold of every id, cursor, page token, entity-tag and key of the other, and tries them all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import inspect
from werkzeug.test import TestResponse

from app.commands.db import upgrade
from app.db import Database
from app.users.identity import Identity
from app.web.runtime import Runtime
from app.web.scopes import SCOPES
from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.every_route import Loot, Request, requests_of

MARKER = "adas-secret"
ADA, EVE = Identity(tokens.ISSUER, "auth0|ada"), Identity(tokens.ISSUER, "auth0|eve")
ALL_SCOPES = " ".join(SCOPES)
NOTES = "/v1/collections/notes/records"
KEYS = tuple(f"adas-key-{number}" for number in range(5))
# Sent by Ada with a key each. Their answers hold what is hers; they themselves do not, so that Eve can send them too.
KEYED: tuple[Request, ...] = (
    ("PATCH", f"{NOTES}/first", {"json": {"data": {"seen": True}}}),
    ("PATCH", "/v1/me/preferences", {"json": {"preferences": {"seen": True}}}),
    ("PATCH", "/v1/me", {"json": {"attributes": {"seen": True}}}),
    ("POST", NOTES, {"json": {"data": {"seen": True}}}),
    ("POST", "/v1/batch", {"json": {"operations": [
        {"op": "patch", "collection": "notes", "id": "first", "data": {}, "if_match": '"999"'},
    ]}}),
)  # fmt: skip


@dataclass
class User:
    """Somebody with a token for everything."""

    api: Api
    identity: Identity

    def __post_init__(self) -> None:
        claims = {"name": f"{self.identity.subject[6:]}s-secret", "email": f"{self.identity.subject[6:]}s-secret@x.org"}
        self.token = self.api.as_user(self.identity.subject).token(ALL_SCOPES, email_verified=True, **claims)

    def send(self, method: str, path: str, options: Mapping[str, Any]) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **options.get("headers", {})}
        return self.api.anonymous(path, method, **{**options, "headers": headers})

    def send_keyed(self) -> list[TestResponse]:
        return [
            self.send(method, path, {**options, "headers": {"Idempotency-Key": key}})
            for key, (method, path, options) in zip(KEYS, KEYED, strict=True)
        ]


def database_of(api: Api) -> Database:
    database: Database = api.app.extensions["postern"].database
    return database


def rows(api: Api) -> dict[str, dict[str, list[str]]]:
    """Of every table that has a column for the user: each user's rows, to the byte."""
    engine = database_of(api).engine
    found: dict[str, dict[str, list[str]]] = {}
    looked_at = inspect(engine)
    for table in looked_at.get_table_names():
        names = [column["name"] for column in looked_at.get_columns(table)]
        if "user_key" not in names:
            continue
        with engine.connect() as connection:
            for row in connection.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table}").mappings():
                found.setdefault(row["user_key"], {}).setdefault(table, []).append(repr(sorted(row.items())))
    return {user: {table: sorted(each) for table, each in tables.items()} for user, tables in found.items()}


def live(user: User) -> Loot:
    """Use everything there is, and lay open everything by which it could be named."""
    assert user.send("GET", "/v1/me", {}).status_code == 200
    fields = {"Device-Id": f"{MARKER}-phone"}
    for name in ("first", "second", "third", "dead"):
        data = {"data": {"title": MARKER, "name": name}}
        assert user.send("PUT", f"{NOTES}/{name}", {"json": data, "headers": fields}).status_code == 201
    assert user.send("DELETE", f"{NOTES}/dead", {"headers": fields}).status_code == 204
    user.send("PUT", "/v1/me/preferences", {"json": {"preferences": {"title": MARKER}}, "headers": fields})
    user.send("PATCH", "/v1/me", {"json": {"nickname": MARKER, "attributes": {"title": MARKER}}})
    answers = user.send_keyed()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 201, 200]
    assert all(MARKER in answer.text for number, answer in enumerate(answers) if number != 3)
    whole = user.send("GET", "/v1/changes", {}).json
    pages = [
        user.send("GET", "/v1/changes", {"query_string": query}).json
        for query in ({"limit": 1}, {"collections": "notes"})
    ]
    token = user.send("GET", NOTES, {"query_string": {"limit": 1}}).json["next"]
    return Loot(
        subject=user.identity.subject,
        user_key=user.identity.user_key,
        collections=("notes",),
        ids=("first", "dead", answers[3].json["id"]),
        cursors=(whole["cursor"], *(page["cursor"] for page in pages)),
        page_tokens=(token,),
        etags=(str(user.send("GET", f"{NOTES}/first", {}).json["seq"]),),
        keys=KEYS[:2],
    )


def attack(eve: User, loot: Loot) -> list[tuple[Request, TestResponse]]:
    """First what Ada herself has sent, letter by letter; then every route with everything."""
    sent: list[tuple[Request, TestResponse]] = list(zip(KEYED, eve.send_keyed(), strict=True))
    sent.extend((request, eve.send(*request)) for request in requests_of(eve.api.app, loot))
    return sent


def leaks(sent: list[tuple[Request, TestResponse]]) -> list[Request]:
    return [request for request, answer in sent if MARKER in answer.text or MARKER in str(answer.headers)]


UNLIMITED = {f"rate_limit_{name}_per_minute": 0 for name in ("requests", "writes", "failures")}


@pytest.fixture
def api(tmp_path: Path, migrated: str) -> Iterator[Api]:
    """The API without limits on how often one may ask."""
    with running(settings_for(tmp_path, migrated, **UNLIMITED)) as running_api:
        yield running_api


@contextmanager
def on_sqlite(directory: Path) -> Iterator[Api]:
    """The same in a folder of its own."""
    directory.mkdir()
    url = f"sqlite:///{directory / 'postern.db'}"
    upgrade(url)
    with running(settings_for(directory, url, **UNLIMITED)) as running_api:
        yield running_api


def test_user_when_she_tries_all_that_is_anothers_on_every_route_then_she_learns_and_changes_nothing(api: Api):
    """§2: "No HTTP endpoint lets one user touch another": no id, cursor, page token, entity-tag, key or batch."""
    ada, eve = User(api, ADA), User(api, EVE)
    loot = live(ada)
    mine = rows(api)[ADA.user_key]
    seen = [ada.send("GET", path, {}).json for path in (NOTES, "/v1/changes", "/v1/me", "/v1/me/preferences")]
    sent = attack(eve, loot)
    refuse_gaps(api.app, sent)
    assert leaks(sent) == []
    assert [request for request, answer in sent if answer.status_code >= 500] == []
    after = rows(api)
    assert after.pop(ADA.user_key) == mine
    # Nor has she written in anybody else's name.
    assert set(after) <= {EVE.user_key}
    assert [ada.send("GET", path, {}).json for path in (NOTES, "/v1/changes", "/v1/me", "/v1/me/preferences")] == seen
    assert MARKER in str(seen[0])
    # What she was told is that there is no such thing, and never that she may not have it.
    assert {answer.status_code for request, answer in sent[:5]} <= {200, 201, 404}


def refuse_gaps(app: Flask, sent: list[tuple[Request, TestResponse]]) -> None:
    """It would prove nothing with requests that are refused before they name anything, or past a new route."""
    routes = {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    wanted = {(rule, method) for rule, method in routes if method not in {"HEAD", "OPTIONS"}}
    adapter = app.url_map.bind("api.example")
    reached: set[tuple[str, str]] = set()
    let_in: set[str] = set()
    for (method, path, _options), answer in sent:
        rule, _arguments = adapter.match(path, method, return_rule=True)
        reached.add((rule.rule, method))
        if answer.status_code < 400:
            let_in.add(rule.rule)
    assert reached == wanted
    # Outside of /v1 nothing is a user's.
    assert {rule for rule, _method in wanted if rule.startswith("/v1")} - let_in == set()


def test_attack_when_the_api_mistakes_her_for_another_then_it_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The negative control: an API that takes everybody for Ada."""
    with on_sqlite(tmp_path / "one") as api:
        ada, eve = User(api, ADA), User(api, EVE)
        loot = live(ada)
        mine = rows(api)[ADA.user_key]
        monkeypatch.setattr(Runtime, "identity_of", lambda _parts, _token: ADA)
        assert len(leaks(attack(eve, loot))) > 20
        assert rows(api).get(ADA.user_key) != mine


def test_answers_when_the_other_user_exists_or_not_then_the_same(tmp_path: Path):
    """Nor does she learn whether there is such a user or such a record: the answers do not depend on it."""
    with on_sqlite(tmp_path / "one") as api:
        loot = live(User(api, ADA))
        with_ada = attack(User(api, EVE), loot)
    with on_sqlite(tmp_path / "two") as alone:
        without_ada = attack(User(alone, EVE), loot)
    differing = [
        (request, one.status_code, other.status_code)
        for (request, one), (_request, other) in zip(with_ada, without_ada, strict=True)
        if (one.status_code, code_of(one)) != (other.status_code, code_of(other))
    ]
    assert differing == []


def code_of(answer: TestResponse) -> str | None:
    found = answer.json if answer.is_json and isinstance(answer.json, dict) else {}
    code: str | None = found.get("code")
    return code
