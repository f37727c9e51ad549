"""`flask doctor`, as an operator runs it, and each of its checks against what it is about."""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from app.commands.db import downgrade, upgrade
from app.commands.doctor import _summary, doctor_command, examine
from app.commands.examination.storage import _revocations
from app.commands.screen import Finding, Outcome, Screen
from app.db import Database
from app.oauth.keys.download import KeyDownload
from app.oauth.keys.snapshot import KeySnapshot, Snapshot
from app.oauth.revocation.entry import of_client, of_key
from app.stores.revocations import Revocations
from config.settings import Settings
from tests.support import tokens
from tests.support.api import settings_for
from tests.support.command_line import flask
from tests.support.databases import PostgresqlServer
from tests.support.issuer import (
    DOWN,
    KEYLESS,
    OVERSIZED,
    SILENT,
    Fault,
    Issuer,
)
from tests.support.tenant import API, running_tenant
from tests.support.tokens import ec_key, new_rsa_key, rsa_key

SECRET = "correct-horse-battery"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(rsa_key()) as running_issuer:
        yield running_issuer


def settings_of(issuer: Issuer, tmp_path: Path, **changes: Any) -> Settings:
    """Settings under which nothing is to be said against, apart from the API itself, which does not run."""
    given: dict[str, Any] = {
        "tenant_issuers": (issuer.url,),
        "api_audiences": ("http://127.0.0.1:1",),
        "public_url": "http://127.0.0.1:1",
        "database_url": f"sqlite:///{tmp_path / 'postern.db'}",
        "jwks_snapshot_dir": str(tmp_path / "keys"),
        "jwks_timeout_seconds": 2.0,
        "log_format": "json",
    }
    return Settings(**(given | changes))


def found(settings: Settings, name: str) -> Finding:
    return next(one for one in examine(settings, time.time()) if one.name == name)


def dated(seconds_ahead: float, **more: str) -> Fault:
    """A good answer whose Date field is so far from now."""
    return Fault(headers={"Date": formatdate(time.time() + seconds_ahead, usegmt=True), **more})


def environment_of(issuer_url: str, tmp_path: Path, database_url: str, audience: str = API) -> dict[str, str]:
    return {
        "TENANT_ISSUER": issuer_url,
        "API_AUDIENCE": audience,
        "DATABASE_URL": database_url,
        "JWKS_SNAPSHOT_DIR": str(tmp_path / "keys"),
        "PUBLIC_URL": API,
    }


# As real processes


def test_doctor_with_the_development_tenant_when_all_is_well_then_status_0(tmp_path, database_url):
    """One line per check; exit status 0, warnings included; on both databases."""
    upgrade(database_url)
    with running_tenant(tmp_path / "tenant") as tenant:
        done = flask("doctor", **environment_of(tenant.issuer, tmp_path, database_url))
    assert done.status == 0, done.out
    assert done.err == ""
    assert "fail" not in done.out
    for name in (
        "settings",
        "discovery",
        "issuer",
        "keys",
        "database",
        "migrations",
        "revocations",
        "snapshot",
        "trust",
    ):
        assert f"  ok    {name}" in done.out
    assert done.out.splitlines()[-1].startswith("WELL")
    assert max(len(line) for line in done.out.splitlines()) <= 100


def test_doctor_when_something_fails_then_status_1_and_no_secret_is_shown(issuer, tmp_path):
    """Exit status 1 on a fail; never prints a secret."""
    environment = environment_of(issuer.url, tmp_path, f"postgresql://user:{SECRET}@127.0.0.1:1/postern")
    environment |= {
        "SHARED_STORE_URL": f"redis://user:{SECRET}@127.0.0.1:1/0",
        "DPOP_NONCE": "required",
        "DPOP_NONCE_KEY": SECRET * 2,
        "COLUMNS": "80",
    }
    done = flask("doctor", **environment)
    assert done.status == 1
    assert SECRET not in done.out + done.err
    assert "  fail  database    postgresql://127.0.0.1:1/postern: the server is not" in done.out
    assert "  fail  store       redis://127.0.0.1:1/0 does not answer" in done.out
    assert done.out.splitlines()[-1].startswith("NOT WELL")
    document = json.loads(flask("doctor", "--json", **environment).out)
    assert document["ok"] is False
    assert SECRET not in json.dumps(document)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_doctor_when_the_settings_do_not_parse_then_each_is_named_and_status_1(options):
    """Settings that do not parse: by name, line by line, no traceback; exit status 1."""
    done = flask("doctor", *options, API_AUDIENCE="x", PORT="many", TOKEN_ALGORITHMS="HS256")
    assert (done.status, done.out) == (1, "")
    assert "Traceback" not in done.err
    named = [line.strip().partition(":")[0] for line in done.err.splitlines()[1:]]
    assert named == ["PORT", "TENANT_ISSUER", "TOKEN_ALGORITHMS"]


def test_doctor_when_it_has_run_then_nothing_has_changed(issuer, tmp_path):
    """It changes nothing anywhere."""
    folder = tmp_path / "place"
    folder.mkdir()
    done = flask("doctor", **environment_of(issuer.url, folder, f"sqlite:///{folder / 'postern.db'}"))
    assert done.status == 1
    assert not list(folder.iterdir())
    url = f"sqlite:///{folder / 'postern.db'}"
    upgrade(url)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert flask("doctor", **environment_of(issuer.url, folder, url)).status == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_doctor_when_the_command_runs_in_process_then_text_and_json_tell_the_same(issuer, tmp_path):
    settings = settings_of(issuer, tmp_path)
    upgrade(settings.database_url)
    shown = CliRunner().invoke(doctor_command(settings))
    document = json.loads(CliRunner().invoke(doctor_command(settings), ["--json"]).output)
    assert shown.exit_code == 0
    for check in document["checks"]:
        assert f"  {check['outcome']:<4}  {check['name']}" in shown.output


# The tenant


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (DOWN, "unreachable"),
        (SILENT, "timeout"),
        (OVERSIZED, "oversized"),
        (Fault(status=404), "answers 404"),
        (Fault(content_type="text/html"), "content_type (text/html)"),
        (Fault(headers={"Content-Encoding": "gzip"}), "encoding"),
    ],
)
def test_doctor_when_discovery_fails_then_it_says_how_and_what_to_look_at(issuer, tmp_path, fault, words):
    """Discovery of each issuer: reachable."""
    issuer.discovery = fault
    finding = found(settings_of(issuer, tmp_path, jwks_timeout_seconds=0.5), "discovery")
    assert finding.outcome == "fail"
    assert words in finding.text
    assert finding.advice


def test_doctor_when_the_issuer_has_no_slash_then_it_says_precisely_what_to_set(issuer, tmp_path):
    """Issuer exact (trailing slash: says precisely what to set)."""
    issuer.metadata = {"issuer": issuer.origin}
    finding = found(settings_of(issuer, tmp_path), "issuer")
    assert (finding.outcome, finding.advice) == ("fail", f"set TENANT_ISSUER={issuer.origin}")
    assert "they differ only by its trailing slash" in finding.text


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://other.example/"}, 'the tenant calls itself "https://other.example/"'),
        ({"issuer": "\x1b[31m"}, "TENANT_ISSUER"),
        ({"issuer": None}, "the tenant calls itself null"),
        ({"issuer": ["x"]}, "the tenant calls itself"),
        ({"jwks_uri": "https://keys.example/"}, "another origin"),
        ({"jwks_uri": None}, "missing"),
    ],
)
def test_doctor_when_the_document_is_another_tenants_then_it_fails(issuer, tmp_path, metadata, words):
    issuer.metadata = metadata
    settings = settings_of(issuer, tmp_path)
    finding = found(settings, "issuer")
    assert finding.outcome == "fail"
    assert words in finding.text
    output = CliRunner().invoke(doctor_command(settings)).output
    assert output.replace("\n", "").isprintable()


def test_doctor_when_keys_are_left_out_or_missing_then_it_says_which_and_why(issuer, tmp_path):
    """Keys and their algorithms (how many usable, skipped and why, match TOKEN_ALGORITHMS)."""
    issuer.rotate(rsa_key(), ec_key(), {"kty": "oct", "k": "eA"})
    finding = found(settings_of(issuer, tmp_path), "keys")
    assert finding.outcome == "ok"
    assert "1 usable: rsa-1 (RS256)" in finding.text
    assert "left out: 1 × algorithm, 1 × symmetric" in finding.text
    finding = found(settings_of(issuer, tmp_path, token_algorithms=("RS256", "PS256")), "keys")
    assert (finding.outcome, finding.advice) == (
        "warn",
        "the tenant has no key for PS256: take it out of TOKEN_ALGORITHMS",
    )


@pytest.mark.parametrize(
    ("fault", "words"), [(DOWN, "unreachable"), (KEYLESS, "no_usable_key"), (Fault(status=500), "status 500")]
)
def test_doctor_when_no_key_can_be_had_then_it_fails(issuer, tmp_path, fault, words):
    issuer.jwks = fault
    finding = found(settings_of(issuer, tmp_path), "keys")
    assert (finding.outcome, words in finding.text) == ("fail", True)


@pytest.mark.parametrize(
    ("seconds_ahead", "outcome", "words"),
    [
        (0, "ok", "agree within"),
        (-4, "ok", "agree within"),
        (15, "warn", "behind the tenant"),
        (-20, "warn", "ahead of the tenant"),
        (90, "fail", "CLOCK_SKEW_SECONDS is 30"),
        (-3010, "fail", "50 min ahead of the tenant"),
    ],
)
def test_doctor_when_the_clocks_differ_then_by_how_much(issuer, tmp_path, seconds_ahead, outcome, words):
    """Clock against the tenant's `Date` field (warn beyond 5 s, fail beyond the skew)."""
    issuer.discovery = dated(seconds_ahead)
    finding = found(settings_of(issuer, tmp_path), "clock")
    assert (finding.outcome, words in finding.text) == (outcome, True), finding


def test_doctor_when_a_cache_has_kept_the_answer_then_its_age_is_no_difference_of_clocks(issuer, tmp_path):
    """RFC 9111 §5.1: the Age field says how long ago the answer was made."""
    issuer.discovery = dated(-3000, Age="3000")
    assert found(settings_of(issuer, tmp_path), "clock").outcome == "ok"
    issuer.discovery = dated(-3000, Age="3x")
    assert found(settings_of(issuer, tmp_path), "clock").outcome == "fail"


def test_doctor_when_there_is_no_date_then_it_only_warns(issuer, tmp_path):
    for fault in (None, Fault(headers={"Date": "yesterday"})):
        issuer.discovery = fault
        assert found(settings_of(issuer, tmp_path), "clock").outcome == "warn"


def test_doctor_when_discovery_answers_an_error_then_the_clock_is_told_all_the_same(issuer, tmp_path):
    issuer.discovery = Fault(status=500, headers=dated(90).headers)
    assert found(settings_of(issuer, tmp_path), "clock").outcome == "fail"


def test_doctor_when_the_keys_stand_in_a_file_then_the_tenant_is_not_asked(issuer, tmp_path):
    keys = tmp_path / "jwks.json"
    keys.write_bytes(tokens.key_set(rsa_key()))
    settings = settings_of(issuer, tmp_path, jwks_file=str(keys))
    assert "from JWKS_FILE: the tenant is never asked" in found(settings, "keys").text
    assert not issuer.requests
    keys.write_text("{}")
    assert found(settings, "keys").outcome == "fail"


# The edge


@pytest.mark.parametrize(
    ("name", "changes", "outcome", "words"),
    [
        ("audience", {}, "ok", "API_AUDIENCE is PUBLIC_URL"),
        ("audience", {"api_audiences": ("http://127.0.0.1:1/",)}, "warn", "differ only by a trailing slash"),
        ("audience", {"api_audiences": ("api://x",)}, "warn", "recommended"),
        ("host", {}, "ok", "this machine"),
        ("host", {"host": "0.0.0.0", "allow_sqlite": True}, "warn", "SQLite serves one host"),
        ("host", {"host": "0.0.0.0", "database_url": "postgresql://127.0.0.1:1/x"}, "ok", "ends TLS"),
        ("log", {}, "ok", "LOG_LEVEL=info"),
        ("log", {"log_level": "debug"}, "warn", "use info in production"),
        ("log", {"log_format": "console", "host": "::", "allow_sqlite": True}, "warn", "log collector"),
        ("headers", {}, "ok", "large_client_header_buffers 4 32k"),
        ("headers", {"max_token_bytes": 65_500}, "fail", "set MAX_TOKEN_BYTES to at most 65472"),
        ("proxy", {}, "ok", "for this machine alone"),
        ("proxy", {"public_url": "https://127.0.0.1:1"}, "ok", "never believed"),
        ("proxy", {"public_url": "http://api.invalid"}, "warn", "in the clear"),
        ("livez", {}, "warn", "cannot be reached from here: unreachable (Connection refused)"),
        ("livez", {"public_url": "http://api.invalid"}, "warn", "https is needed"),
        ("dpop", {"dpop_mode": "off"}, "ok", "are refused"),
        ("dpop", {"dpop_nonce": "required", "dpop_nonce_key": SECRET * 2}, "ok", "the same on all hosts"),
        ("dpop", {"dpop_nonce_key": SECRET * 2}, "warn", "DPOP_NONCE=required alone"),
    ],
)
def test_doctor_when_a_setting_matters_then_it_says_so(issuer, tmp_path, name, changes, outcome, words):  # noqa: PLR0917
    """Notable values, header limits, proxy trust, audience against PUBLIC_URL, DPoP."""
    finding = found(settings_of(issuer, tmp_path, **changes), name)
    assert finding.outcome == outcome
    assert words in f"{finding.text} > {finding.advice}"


def test_doctor_when_the_api_answers_then_livez_is_well(issuer, tmp_path):
    class Alive(Issuer):
        def document(self) -> dict[str, Any]:
            return {"status": "alive"}

        def answer(self, handler: Any) -> None:
            self._send(handler, Fault(status=self.status), b"{}")

    for status, outcome in ((200, "ok"), (502, "warn")):
        with Alive() as alive:
            alive.status = status
            assert found(settings_of(issuer, tmp_path, public_url=alive.origin), "livez").outcome == outcome


def test_gunicorn_when_its_field_size_is_read_then_it_is_the_one_that_doctor_knows(monkeypatch):
    """Header limits (gunicorn's limit_request_field_size against MAX_TOKEN_BYTES)."""
    import runpy

    from config.connection import MAX_FIELD_BYTES

    monkeypatch.setenv("TENANT_ISSUER", "https://tenant.example/")
    monkeypatch.setenv("API_AUDIENCE", "x")
    path = Path(__file__).parents[2] / "config" / "gunicorn_conf.py"
    assert runpy.run_path(str(path))["limit_request_field_size"] == MAX_FIELD_BYTES


# What is kept


def test_doctor_when_migrations_are_behind_then_it_names_the_command(issuer, tmp_path, database_url):
    """Migrations (at head / behind: the command); on both databases."""
    settings = settings_of(issuer, tmp_path, database_url=database_url)
    upgrade(database_url)
    newest = found(settings, "migrations")
    assert newest.outcome == "ok"
    downgrade(database_url, "0001")
    behind = found(settings, "migrations")
    assert (behind.outcome, behind.advice) == ("fail", "run: flask --app wsgi db upgrade")
    assert "at 0001, the newest is" in behind.text
    assert found(settings, "revocations").outcome == "fail"
    downgrade(database_url, "base")
    assert "none is applied" in found(settings, "migrations").text


def test_doctor_when_the_database_is_newer_than_the_code_then_it_only_warns(issuer, tmp_path, database: Database):
    database.transact(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    url = database.engine.url.render_as_string(hide_password=False)
    settings = settings_of(issuer, tmp_path, database_url=url.replace("+psycopg", ""))
    finding = found(settings, "migrations")
    assert (finding.outcome, "newer than the code" in finding.text) == ("warn", True)


def test_doctor_when_the_database_answers_then_kind_and_version(issuer, tmp_path, database_url):
    """Database (reachable, kind, version, server time)."""
    upgrade(database_url)
    finding = found(settings_of(issuer, tmp_path, database_url=database_url), "database")
    assert finding.outcome == "ok"
    assert finding.text.startswith(("SQLite 3.", "PostgreSQL "))


def test_doctor_when_the_server_has_no_such_database_then_it_fails(
    issuer, tmp_path, postgresql_server: PostgresqlServer
):
    with postgresql_server.database() as url:
        gone = url
    assert found(settings_of(issuer, tmp_path, database_url=gone), "database").outcome == "fail"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file yet"),
        (b"", "the file is empty"),
        (b"x" * 200, "no SQLite database"),
        (b"SQLite format 3\x00\x10\x00\x01\x01" + bytes(80), "was not made by Postern"),
    ],
)
def test_doctor_when_the_sqlite_file_is_none_of_ours_then_it_is_not_opened(issuer, tmp_path, content, words):
    file = tmp_path / "postern.db"
    if content is not None:
        file.write_bytes(content)
    finding = found(settings_of(issuer, tmp_path), "database")
    assert (finding.outcome, words in finding.text) == ("fail", True)
    assert (file.read_bytes() if file.exists() else None) == content
    assert len(list(tmp_path.iterdir())) <= 1


def test_doctor_when_the_sqlite_path_is_a_folder_then_it_fails(issuer, tmp_path):
    (tmp_path / "postern.db").mkdir()
    assert "cannot be read: Is a directory" in found(settings_of(issuer, tmp_path), "database").text


def test_doctor_when_there_is_no_shared_store_then_it_says_what_that_means(issuer, tmp_path):
    """Shared store (none set: what that means)."""
    finding = found(settings_of(issuer, tmp_path), "store")
    assert (finding.outcome, "the database keeps the used DPoP proofs" in finding.text) == ("ok", True)


def test_doctor_when_the_shared_store_answers_then_its_version(issuer, tmp_path, valkey_url: str):
    """Shared store (SHARED_STORE_URL answers PING, version)."""
    finding = found(settings_of(issuer, tmp_path, shared_store_url=valkey_url), "store")
    assert finding.outcome == "ok"
    assert finding.text.startswith("Valkey ")


def test_doctor_when_the_snapshot_folder_is_odd_then_it_says_why(issuer, tmp_path):
    """Snapshot folder writable (JWKS_SNAPSHOT_DIR)."""
    assert found(settings_of(issuer, tmp_path, jwks_snapshot_dir=None), "snapshot").outcome == "warn"
    file = tmp_path / "file"
    file.touch()
    assert "is no folder" in found(settings_of(issuer, tmp_path, jwks_snapshot_dir=str(file / "keys")), "snapshot").text
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert (
        "other users may write there"
        in found(settings_of(issuer, tmp_path, jwks_snapshot_dir=str(shared)), "snapshot").text
    )
    assert "no copy of the keys" in found(settings_of(issuer, tmp_path), "snapshot").text
    assert not (tmp_path / "keys").exists()


def test_doctor_when_the_snapshot_folder_cannot_be_written_then_it_fails(issuer, tmp_path, monkeypatch):
    # Root may write everywhere, so the answer of the system is what is changed here.
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    assert "cannot be written by this user" in found(settings_of(issuer, tmp_path), "snapshot").text


def test_doctor_when_a_copy_of_the_keys_is_kept_then_its_age_or_why_it_is_not_usable(issuer, tmp_path):
    settings = settings_of(issuer, tmp_path)
    file = KeySnapshot(tmp_path / "keys", issuer.url, ("RS256",))
    file.write(Snapshot(KeyDownload(issuer.url, ("RS256",))(), time.time() - 600), now=time.time())
    assert "of 10 min ago are kept there" in found(settings, "snapshot").text
    file.path.write_text("{")
    finding = found(settings, "snapshot")
    assert (finding.outcome, "malformed" in finding.text) == ("warn", True)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (["ok", "ok"], "WELL  2 checks, nothing to do."),
        (["ok", "warn"], "WELL  2 checks, 1 with a warning: see the line marked warn."),
        (["warn", "warn"], "WELL  2 checks, 2 with a warning: see the lines marked warn."),
        (["ok", "fail"], "NOT WELL  1 of 2 checks failed: see the lines marked so."),
        (["warn", "fail"], "NOT WELL  1 of 2 checks failed, 1 with a warning: see the lines marked so."),
    ],
)
def test_summary_when_shown_then_it_names_marks_that_are_there(outcomes: list[Outcome], said: str):
    found = [Finding("name", outcome, "text") for outcome in outcomes]
    assert list(_summary(found, outcomes.count("fail"), Screen(80, colours=False))) == [said]


def test_revocations_when_counted_then_one_is_singular(tmp_path: Path, database: Database, database_url: str):
    for kid in ("k1", "k2"):
        Revocations(database).add(of_key(kid), at=datetime.now(UTC))
    Revocations(database).add(of_client("app"), at=datetime.now(UTC))
    found = _revocations(settings_for(tmp_path, database_url), time.time())
    assert found.text == "readable; revoked: 0 tokens, 0 users, 1 app, 2 keys"


# What is published beside what is held, and what is trusted


def copied(issuer: Issuer, tmp_path: Path, age_seconds: float, *, max_age_seconds: int | None = None) -> None:
    """Keep what the issuer publishes now on disk, as a worker did that fetched it so long ago."""
    download = replace(KeyDownload(issuer.url, ("RS256",))(), max_age_seconds=max_age_seconds)
    now = time.time()
    assert KeySnapshot(tmp_path / "keys", issuer.url, ("RS256",)).write(Snapshot(download, now - age_seconds), now=now)


def absent(settings: Settings, name: str) -> bool:
    return name not in {one.name for one in examine(settings, time.time())}


@pytest.mark.parametrize("age_seconds", [1, 7_200])
def test_doctor_when_the_copy_has_what_is_published_then_well_whatever_its_age(issuer, tmp_path, age_seconds):
    """K8: a host on which nothing runs has an old copy; only keys that differ are worth a warning."""
    copied(issuer, tmp_path, age_seconds)
    finding = found(settings_of(issuer, tmp_path), "rotation")
    assert (finding.outcome, finding.text) == ("ok", f"the copy on disk has the keys that {issuer.url} publishes")


def test_doctor_when_the_tenant_has_just_rotated_then_it_names_both_keys_and_when_workers_see_it(issuer, tmp_path):
    """K4, K7: a rotation is seen by the next fetch, or by the first token that names the new key."""
    issuer.rotate(rsa_key("old"), rsa_key("stays"))
    copied(issuer, tmp_path, 60)
    issuer.rotate(rsa_key("stays"), rsa_key("new"))
    finding = found(settings_of(issuer, tmp_path), "rotation")
    assert (finding.outcome, finding.advice) == ("ok", None)
    assert "published and not in the copy on disk: new (RS256);" in finding.text
    assert "in the copy on disk and no longer published: old (RS256);" in finding.text
    assert "stays" not in finding.text
    assert re.search(r"at the latest in (8|9) min, and at once for a token", finding.text)


@pytest.mark.parametrize(
    ("age_seconds", "max_age_seconds", "changes", "outcome"),
    [
        (560, None, {}, "ok"),
        (620, None, {}, "warn"),
        (280, 15, {}, "ok"),
        (320, 15, {}, "warn"),
        (880, 86_400, {}, "ok"),
        (920, 86_400, {}, "warn"),
        (100, 86_400, {"jwks_min_ttl_seconds": 60, "jwks_max_ttl_seconds": 60}, "warn"),
    ],
)
def test_doctor_when_workers_should_have_seen_the_rotation_then_it_warns(  # noqa: PLR0917
    issuer, tmp_path, age_seconds, max_age_seconds, changes, outcome
):
    """K4: fresh for the server's `max-age` (600 without one), clamped: past that, nobody can have fetched."""
    copied(issuer, tmp_path, age_seconds, max_age_seconds=max_age_seconds)
    issuer.rotate(rsa_key("new"))
    finding = found(settings_of(issuer, tmp_path, **changes), "rotation")
    assert finding.outcome == outcome
    assert "not in the copy on disk: new (RS256); in the copy on disk and no longer published: rsa-1" in finding.text
    assert ("`cannot be fetched`" in str(finding.advice)) == (outcome == "warn")


def test_doctor_when_a_key_was_replaced_under_its_name_then_both_thumbprints(issuer, tmp_path):
    """K5: a set that has another key under an old name is another set."""
    issuer.rotate(rsa_key())
    copied(issuer, tmp_path, 7_200)
    issuer.rotate(new_rsa_key("rsa-1"))
    finding = found(settings_of(issuer, tmp_path), "rotation")
    assert finding.outcome == "warn"
    thumbprints = re.findall(r"rsa-1 \(RS256\), thumbprint ([\w-]{43})", finding.text)
    assert len(set(thumbprints)) == 2


def test_doctor_when_there_is_no_usable_copy_then_nothing_is_compared(issuer, tmp_path):
    """Its own line says so already."""
    assert absent(settings_of(issuer, tmp_path), "rotation")
    assert absent(settings_of(issuer, tmp_path, jwks_snapshot_dir=None), "rotation")
    copied(issuer, tmp_path, 1)
    KeySnapshot(tmp_path / "keys", issuer.url, ("RS256",)).path.write_text("{")
    assert absent(settings_of(issuer, tmp_path), "rotation")


def test_doctor_when_the_keys_stand_in_a_file_then_no_copy_counts_but_trust_does(issuer, tmp_path, database_url):
    copied(issuer, tmp_path, 7_200)
    file = tmp_path / "jwks.json"
    file.write_bytes(tokens.key_set(rsa_key("new")))
    upgrade(database_url)
    settings = settings_of(issuer, tmp_path, jwks_file=str(file), database_url=database_url)
    assert absent(settings, "rotation")
    assert found(settings, "trust").outcome == "ok"


def test_doctor_when_every_published_key_is_distrusted_then_it_fails_until_one_is_lifted(
    issuer, tmp_path, database: Database, database_url
):
    """K11: every token is then 401 `key_distrusted`, whoever brings it; by `kid` or by thumbprint."""
    settings = settings_of(issuer, tmp_path, database_url=database_url)
    issuer.rotate(rsa_key("one"), rsa_key("two"))
    keys = KeyDownload(issuer.url, ("RS256",))().keys.keys
    assert found(settings, "trust").outcome == "ok"

    Revocations(database).add(of_key("one"), at=datetime.now(UTC))
    finding = found(settings, "trust")
    assert (finding.outcome, ": one; tokens that it signs" in finding.text) == ("warn", True)

    by_thumbprint = next(key.thumbprint for key in keys if key.kid == "two")
    Revocations(database).add(of_key(by_thumbprint), at=datetime.now(UTC))
    finding = found(settings, "trust")
    assert finding.outcome == "fail"
    assert f"(one, {by_thumbprint}): each of its tokens is 401 key_distrusted" in finding.text
    assert "revoke lift key" in str(finding.advice)
    assert CliRunner().invoke(doctor_command(settings)).exit_code == 1

    issuer.rotate(rsa_key("three"))
    assert found(settings, "trust").outcome == "ok"


def test_doctor_when_the_revocations_cannot_be_read_then_nothing_is_said_of_trust(issuer, tmp_path):
    """Their own line fails already."""
    settings = settings_of(issuer, tmp_path)
    assert found(settings, "revocations").outcome == "fail"
    assert absent(settings, "trust")
