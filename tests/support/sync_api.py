"""The routes over records and preferences, on each kind of database, and a look at all that is stored.

Takes   the kind of database, a folder, the run's PostgreSQL; rules of collections; limits to change
Gives   serving(…): Api;  fresh_user, whom no other test knows;  send(…): one request;  rows(api): all tables
Raises  nothing of its own
Not     the change feed and the batch, whose tests have words of their own
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.commands.db import upgrade
from app.db import Base, Database
from app.records.registry import COLLECTION_RULES
from app.records.terms import Rule
from tests.support.api import Api, running, settings_for
from tests.support.databases import PostgresqlServer

SCOPES = "read:records write:records read:preferences write:preferences"
NOTES = "/v1/collections/notes"
LIST = NOTES + "/records"
ONE = LIST + "/milk"
PREFERENCES = "/v1/me/preferences"
RECORD = {"data": {"title": "Milk"}}
WISHES = {"preferences": {"theme": "dark"}}
# Method, path, a body that is good, the scope: every route of these rooms.
ROUTES: tuple[tuple[str, str, Any, str], ...] = (
    ("GET", "/v1/collections", None, "read:records"),
    ("DELETE", NOTES, None, "write:records"),
    ("GET", LIST, None, "read:records"),
    ("POST", LIST, RECORD, "write:records"),
    ("GET", ONE, None, "read:records"),
    ("PUT", ONE, RECORD, "write:records"),
    ("PATCH", ONE, RECORD, "write:records"),
    ("DELETE", ONE, None, "write:records"),
    ("GET", "/v1/me/usage", None, "read:records"),
    ("GET", PREFERENCES, None, "read:preferences"),
    ("PUT", PREFERENCES, WISHES, "write:preferences"),
    ("PATCH", PREFERENCES, WISHES, "write:preferences"),
)
ROUTE_IDS = [f"{method} {path}" for method, path, *_ in ROUTES]
# How often may be asked is not the question here.
_NO_RATES = {
    "rate_limit_requests_per_minute": 0,
    "rate_limit_writes_per_minute": 0,
    "rate_limit_failures_per_minute": 0,
}


@contextmanager
def serving(
    kind: str,
    directory: Path,
    server: PostgresqlServer,
    rules: Mapping[str, Rule] = COLLECTION_RULES,
    **changes: Any,
) -> Iterator[Api]:
    """Serve a database of its own."""
    with ExitStack() as stack:
        url = f"sqlite:///{directory / 'postern.db'}"
        if kind == "postgresql":
            url = stack.enter_context(server.database())
        upgrade(url)
        yield stack.enter_context(running(settings_for(directory, url, **(_NO_RATES | changes)), rules))


def fresh_user(api: Api, request: pytest.FixtureRequest) -> Api:
    """The same API for a user whom only this test knows."""
    return api.as_user(f"auth0|{uuid5(NAMESPACE_URL, request.node.nodeid).hex}")


def send(api: Api, method: str, path: str, body: Any = None, scope: str = SCOPES, **fields: str) -> TestResponse:
    """Send one request; a field's name is written with underscores. Bytes are sent as they are."""
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    headers = {"Authorization": f"Bearer {api.token(scope)}", **given}
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return api.app.test_client().open(path, method=method, data=data, headers=headers)


def database_of(api: Api) -> Database:
    database: Database = api.app.extensions["postern"].database
    return database


def rows(api: Api) -> dict[str, list[Any]]:
    """Every row of every table."""
    with database_of(api).read() as session:
        return {table.name: sorted(map(repr, session.execute(select(table)))) for table in Base.metadata.sorted_tables}
