"""The published document against the API: every check of schemathesis, in every phase, none left out.

The examples are the same each time. What only the server can give out (a cursor, the token of a page) and what must
be new for each request (an Idempotency-Key) is put into the requests that are meant to be good: no schema can say it.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import hypothesis.stateful
import pytest
import schemathesis

from app.commands.db import upgrade
from app.factory import create_app
from app.web.conditional import TAGS_PATTERN
from app.web.scopes import SCOPES
from tests.support.api import Api, running, settings_for

EXAMPLES = 12
_ALL = " ".join(SCOPES)
settings = hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip


class _Front:
    """A WSGI application in whose place another can be put: tests are collected before there is a database."""

    app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


_FRONT = _Front()


def _published() -> schemathesis.BaseSchema:
    with TemporaryDirectory() as directory:
        app = create_app(settings_for(Path(directory), f"sqlite:///{directory}/never-made.db"))
        app.extensions["postern"].stop()
        _FRONT.app = app
        return schemathesis.openapi.from_wsgi("/v1/openapi.json", _FRONT)


schema = _published()


# A state of the server's is no fault of the data: 410 deleted, 412 another version.
schema.config.checks.positive_data_acceptance.expected_statuses.extend(["410", "412"])
# And 413 is a refusal.
schema.config.checks.negative_data_rejection.expected_statuses.append("413")
# Free JSON holds no U+0000, and no schema can say so of what is nested in it.
schema.config.generation.update(allow_x00=False)
# Leniently read where it only saves a GET its body: a pattern would call every such answer a fault.
schemathesis.openapi.format("entity-tags", hypothesis.strategies.from_regex(TAGS_PATTERN.replace("$", r"\Z")))
_KEYS = itertools.count()


def filled_in(case: schemathesis.Case) -> schemathesis.Case:
    """Put in what no schema can say; requests that are meant to be bad stay as they are."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    api = Api(_FRONT.app, _user_of(case))
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = str(next(_KEYS)).rjust(len(case.headers["Idempotency-Key"]), "k")
    if "cursor" in (case.query or {}):
        names = case.query.get("collections")
        asked = {} if names is None else {"collections": names if isinstance(names, str) else ",".join(names)}
        case.query["cursor"] = api.get("/v1/changes", _ALL, query_string=asked).json["cursor"]
    if "page" in (case.query or {}):
        path = f"/v1/collections/{case.path_parameters['collection']}/records"
        for name in ("a", "b"):
            api.request("PUT", f"{path}/{name}", _ALL, json={"data": {}})
        case.query["page"] = api.get(f"{path}?limit=1", _ALL).json["next"]
    return case


def _user_of(case: schemathesis.Case) -> str:
    """Who is about to delete the account is somebody else."""
    return "auth0|leaver" if case.path.endswith("/deletion") else "auth0|stayer"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("published")
    database = f"sqlite:///{directory / 'postern.db'}"
    upgrade(database)
    with running(settings_for(directory, database)) as api:
        yield api


@schema.auth(cache_by_key=lambda case, _context: _user_of(case))
class Token:
    """A real token with every scope."""

    def get(self, case: schemathesis.Case, _context: Any) -> str:
        return Api(_FRONT.app, _user_of(case)).token(_ALL)

    def set(self, case: schemathesis.Case, token: str, _context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@pytest.fixture(autouse=True)
def _against(served: Api) -> None:
    _FRONT.app = served.app


@schema.parametrize()
@settings
def test_operation_when_any_request_then_as_documented(case: schemathesis.Case):
    """U §8: schemathesis against the published document."""
    filled_in(case).call_and_validate()


class Journeys(schema.as_state_machine()):
    """Requests that follow the document's links, each with what the answer before has told."""

    def before_call(self, case: schemathesis.Case) -> None:
        filled_in(case)


@pytest.mark.usefixtures("_against")
def test_links_when_followed_then_what_was_made_is_there_and_what_was_deleted_is_not():
    """U §8: use after free, availability of what was made, over POST → GET, PATCH, PUT, DELETE → GET."""
    hypothesis.stateful.run_state_machine_as_test(
        Journeys, settings=hypothesis.settings(settings, max_examples=8, stateful_step_count=8)
    )
