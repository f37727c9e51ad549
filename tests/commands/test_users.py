"""`flask users`: what it sets, says and refuses; and that the API and its change feed follow. On both databases."""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from app.commands.db import upgrade
from app.commands.screen import cells
from app.commands.users import users_group
from app.db import Database
from app.users import account, deletion
from app.users.identity import Identity
from app.users.models import OperatorChange
from config import operator as config_operator
from tests.support import tokens
from tests.support.api import ROLES_CLAIM, Api, running, settings_for
from tests.support.command_line import flask

SUB = tokens.SUBJECT
ADA = Identity(tokens.ISSUER, SUB)


@pytest.fixture
def api(tmp_path: Path, migrated_url: str) -> Iterator[Api]:
    """The API on a migrated database, of each kind in turn."""
    with running(settings_for(tmp_path, migrated_url)) as running_api:
        yield running_api


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences stay on one line, whatever terminal the tests run in."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("SUDO_USER", "grace")


def users(api: Api, *words: str, text: str | bytes | None = None) -> Result:
    return api.app.test_cli_runner().invoke(args=["users", *words], input=text)


def good(done: Result) -> str:
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(done: Result, status: int) -> str:
    assert done.exit_code == status, done.output
    assert done.stdout == ""
    return done.stderr


def me(api: Api, **claims: Any) -> dict[str, Any]:
    found = api.get("/v1/me", headers={"Authorization": f"Bearer {api.token(**claims)}"})
    assert found.status_code == 200
    document: dict[str, Any] = found.json
    return document


def changes(api: Api, cursor: str | None = None) -> dict[str, Any]:
    path = "/v1/changes" if cursor is None else f"/v1/changes?cursor={cursor}"
    page: dict[str, Any] = api.get(path, scope="read:profile read:email read:records").json
    return page


def database_of(api: Api) -> Database:
    database: Database = api.app.extensions["postern"].database
    return database


def lines(api: Api) -> list[tuple[str, str]]:
    with database_of(api).read() as session:
        found = session.execute(select(OperatorChange.action, OperatorChange.operator).order_by(OperatorChange.id))
        return [(action, operator) for action, operator in found]


# The API follows


def test_set_roles_when_done_then_the_api_and_the_change_feed_follow_and_tokens_do_not_undo_it(api: Api):
    """§2: "The operator's side is the command line"; U11; U13: a device that polls learns of it."""
    assert me(api, **{ROLES_CLAIM: ["reader"]})["roles"] == ["reader"]
    cursor = changes(api)["cursor"]
    told = good(users(api, "set-roles", SUB, "editor", "admin"))
    assert told.startswith(f'roles of "{SUB}": editor, admin (before: reader); seq ')
    (change,) = changes(api, cursor)["changes"]
    assert (change["kind"], change["roles"]) == ("profile", ["editor", "admin"])
    after = me(api, **{ROLES_CLAIM: ["reader"]})
    assert (after["roles"], after["etag"]) == (["editor", "admin"], change["etag"])
    assert good(users(api, "set-roles", SUB, "--none")).startswith(f'roles of "{SUB}": none (before: editor, admin)')
    assert me(api)["roles"] == []


def test_set_attributes_when_done_then_the_api_follows_and_the_user_cannot_change_them(api: Api):
    """U11: "`app_attributes` and `roles` the operator's"."""
    me(api)
    good(users(api, "set-attributes", SUB, '{"plan": "pro", "seats": 5}'))
    good(users(api, "set-attributes", SUB, "-", text='{"seats": null, "name": "Größe"}'))
    assert me(api)["app_attributes"] == {"plan": "pro", "name": "Größe"}
    good(users(api, "set-attributes", SUB, '{"plan": "team"}', "--replace"))
    assert me(api)["app_attributes"] == {"plan": "team"}
    mine = api.patch("/v1/me", {"app_attributes": {"plan": "gold"}})
    assert (mine.status_code, mine.json["code"]) == (403, "field_read_only")


def test_follow_tenant_when_asked_then_the_next_token_counts_again(api: Api):
    me(api, **{ROLES_CLAIM: ["reader"]})
    good(users(api, "set-roles", SUB, "admin"))
    told = good(users(api, "set-roles", SUB, "--follow-tenant"))
    assert told == f'roles of "{SUB}": admin, until the next token says otherwise\n'
    assert me(api, **{ROLES_CLAIM: ["reader"]})["roles"] == ["reader"]
    good(users(api, "set-attributes", SUB, "--follow-tenant"))


def test_set_when_nothing_changes_then_said_so_and_no_device_is_woken(api: Api):
    me(api, **{ROLES_CLAIM: ["reader"]})
    cursor = changes(api)["cursor"]
    told = good(users(api, "set-roles", SUB, "reader"))
    assert told == f'roles of "{SUB}": reader, as before; tokens no longer change them\n'
    assert good(users(api, "set-roles", SUB, "reader")) == f'roles of "{SUB}": reader, as before\n'
    assert changes(api, cursor)["changes"] == []


def test_set_roles_when_before_the_first_login_then_with_new_alone(api: Api):
    """A slip of the pen makes no account."""
    assert "look at the spelling, or use --new" in refused(users(api, "set-roles", SUB, "editor"), 1)
    made = users(api, "set-roles", SUB, "editor", "--new")
    assert good(made).startswith(f'roles of "{SUB}": editor (before: none)')
    assert "was made now; its user has not logged in yet" in made.stderr
    assert users(api, "set-roles", SUB, "editor", "--new").stderr == ""
    first = me(api, name="Ada", **{ROLES_CLAIM: ["reader"]})
    assert (first["roles"], first["name"]) == (["editor"], "Ada")


# What is shown


def test_show_when_asked_then_each_member_with_who_has_set_it(api: Api):
    me(api, name="Ada\x1b[31m", email="ada@example.org", **{ROLES_CLAIM: ["reader"]})
    api.patch("/v1/me", {"nickname": "countess", "attributes": {"colour": "green"}})
    good(users(api, "set-roles", SUB, "editor", "admin"))
    shown = good(users(api, "show", SUB))
    assert shown.splitlines()[0] == SUB
    for line in (
        r"  nickname        user      countess",
        r"  email           tenant    ada@example\.org",
        r"  roles           operator  editor, admin",
        r'  attributes      user      \{"colour": "green"\}',
        r"  state                     active",
    ):
        assert re.search(f"^{line}$", shown, re.MULTILINE), shown
    assert "\x1b" not in shown
    document = json.loads(good(users(api, "show", SUB, "--json")))
    assert document["sources"] == {"nickname": "user", "attributes": "user", "roles": "operator"}
    assert (document["state"], document["roles"], document["purge_at"]) == ("active", ["editor", "admin"], None)
    assert (document["email"], document["tenant"]) == ("ada@example.org", tokens.ISSUER)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_screen_when_narrow_or_wide_then_no_line_is_longer(api: Api, monkeypatch: pytest.MonkeyPatch, columns: int):
    monkeypatch.setenv("COLUMNS", str(columns))
    me(api)
    words = "漢字 " * 40 + "x" * 200
    set_it = good(users(api, "set-attributes", SUB, json.dumps({"words": words})))
    shown, history = good(users(api, "show", SUB)), good(users(api, "history", SUB))
    for line in (*set_it.splitlines(), *shown.splitlines(), *history.splitlines()):
        assert cells(line) <= columns
    assert words.replace(" ", "") in re.sub(r"\s", "", shown)


def test_history_when_read_then_every_use_with_its_operator_and_what_changed(api: Api):
    """§2: "each use written to an audit table": looking is a use, too."""
    me(api)
    good(users(api, "set-roles", SUB, "editor"))
    good(users(api, "set-attributes", SUB, '{"plan": "pro"}', "--operator", "hopper"))
    good(users(api, "show", SUB))
    shown = good(users(api, "history", SUB))
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "WHEN", shown).splitlines() == [
        "WHEN  set-roles by grace",
        "  before  none (set by the tenant)",
        "  after   editor (set by the operator)",
        "WHEN  set-attributes by hopper",
        "  before  {} (set by the tenant)",
        '  after   {"plan": "pro"} (set by the operator)',
        "WHEN  show by grace",
        "WHEN  history by grace",
    ]
    document = json.loads(good(users(api, "history", SUB, "--json")))
    assert [entry["action"] for entry in document] == ["set-roles", "set-attributes", "show", "history", "history"]
    assert document[0]["after"] == {"roles": ["editor"], "source": "operator"}
    assert document[2]["before"] is document[2]["after"] is None


def test_set_when_asked_for_json_then_what_a_program_needs(api: Api):
    me(api)
    document = json.loads(good(users(api, "set-roles", SUB, "editor", "--json")))
    seq = document.pop("seq")
    assert document == {"sub": SUB, "roles": ["editor"], "before": [], "source": "operator", "changed": True}
    assert json.loads(good(users(api, "set-attributes", SUB, "{}", "--json")))["seq"] == seq


# What is refused


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("set-roles", SUB), "name the roles, or --none, or --follow-tenant"),
        (("set-roles", SUB, "editor", "--none"), "one of them"),
        (("set-roles", SUB, "--none", "--follow-tenant"), "one of them"),
        (("set-roles", SUB, ""), "/roles/0"),
        (("set-roles", SUB, "x" * 129), "/roles/0"),
        (("set-roles", "", "editor"), "SUB cannot be used"),
        (("set-roles", "x" * 256, "editor"), "subject too long"),
        (("set-attributes", SUB), "give a document"),
        (("set-attributes", SUB, "{}", "--follow-tenant"), "one of them"),
        (("set-attributes", SUB, "[]"), "Must be an object"),
        (("set-attributes", SUB, "{"), "not strict JSON"),
        (("set-attributes", SUB, '{"a":1,"a":2}'), "a name twice"),
        (("set-attributes", SUB, json.dumps({"a": "x" * 16_384})), "larger than 16384 bytes"),
        (("show", SUB, "--operator", ""), "--operator"),
        (("show", SUB, "--operator", "x" * 256), "--operator"),
        (("show", SUB, "--operator", "a\nb"), "--operator"),
    ],
)
def test_every_command_when_it_cannot_be_meant_then_2_and_nothing_changed(api: Api, words, why):
    before = me(api)
    assert why in refused(users(api, *words), 2)
    assert (me(api), lines(api)) == (before, [])


@pytest.mark.parametrize(
    "words", [("show", SUB), ("history", SUB), ("set-roles", SUB, "a"), ("set-attributes", SUB, "{}")]
)
def test_every_command_when_the_user_is_unknown_or_erased_then_1_and_one_sentence(api: Api, words):
    """U16: only the user begins anew."""
    assert "no account of this subject is stored here" in refused(users(api, *words), 1)
    me(api)
    database_of(api).transact(lambda session: deletion.schedule(session, ADA, timedelta(0), datetime.now(UTC)))
    more = ["--new"] if words[0].startswith("set") else []
    told = refused(users(api, *words, *more), 1)
    assert told == "Error: this account was erased, and only its user can begin anew: nothing was changed\n"
    assert lines(api) == []
    assert api.get("/v1/me").status_code == 410


def test_set_when_the_deletion_is_scheduled_then_done_and_said(api: Api):
    me(api)
    database_of(api).transact(lambda session: deletion.schedule(session, ADA, timedelta(days=3), datetime.now(UTC)))
    done = users(api, "set-roles", SUB, "editor")
    good(done)
    assert "note: the account is scheduled: erased " in done.stderr
    assert re.search(r"state +scheduled: erased \d{4}-", good(users(api, "show", SUB)))


def test_every_command_when_the_database_is_busy_or_not_migrated_then_1_and_one_sentence(
    tmp_path: Path, api: Api, migrated_url: str
):
    me(api)
    impatient = Database(migrated_url, lock_timeout_seconds=0.05)
    group = users_group(impatient, settings_for(tmp_path, migrated_url))

    def work(session: Any) -> Result:
        account.hold(session, ADA.user_key)
        return CliRunner().invoke(group, ["show", SUB])

    assert "another write of this user holds the lock: try again" in refused(database_of(api).transact(work), 1)
    impatient.dispose()
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    done = CliRunner().invoke(users_group(empty, settings_for(tmp_path, migrated_url)), ["show", SUB])
    assert "flask --app wsgi db upgrade" in refused(done, 1)
    empty.dispose()


# Who it was


def test_operator_when_not_named_then_the_login_name_and_behind_sudo_the_person(api: Api, monkeypatch):
    me(api)
    good(users(api, "show", SUB))
    monkeypatch.delenv("SUDO_USER")
    good(users(api, "show", SUB))
    good(users(api, "show", SUB, "--operator", "hopper"))
    own = config_operator.pwd.getpwuid(os.getuid()).pw_name
    assert lines(api) == [("show", "grace"), ("show", own), ("show", "hopper")]


def test_operator_when_the_system_knows_no_name_then_2_and_asked_for(api: Api, monkeypatch):
    """A container's user may have no entry in passwd."""
    me(api)

    def nobody(_uid: int) -> None:
        raise KeyError

    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr(config_operator.pwd, "getpwuid", nobody)
    assert "give one with --operator" in refused(users(api, "show", SUB), 2)
    good(users(api, "show", SUB, "--operator", "hopper"))


def test_command_when_run_as_a_process_then_the_same(tmp_path: Path):
    """Through the door that an operator uses: `flask --app wsgi users …`."""
    keys, url = tmp_path / "jwks.json", f"sqlite:///{tmp_path / 'postern.db'}"
    keys.write_bytes(tokens.key_set(tokens.rsa_key()))
    upgrade(url)
    settings = {"TENANT_ISSUER": tokens.ISSUER, "API_AUDIENCE": tokens.AUDIENCE, "DATABASE_URL": url,
                "JWKS_FILE": str(keys)}  # fmt: skip
    done = flask(
        "users", "set-attributes", SUB, "-", "--new", "--operator", "hopper", text='{"plan":"pro"}', **settings
    )
    assert (done.status, done.out.startswith(f'app_attributes of "{SUB}": {{"plan": "pro"}}')) == (0, True), done.err
    shown = flask("users", "show", SUB, "--json", "--operator", "hopper", **settings)
    assert json.loads(shown.out)["app_attributes"] == {"plan": "pro"}
