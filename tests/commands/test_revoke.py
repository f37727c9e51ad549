"""`flask revoke`: what it stores, what it says, what it refuses; and that the API obeys. On both databases."""

import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.commands.db import upgrade
from app.commands.revoke import revoke_group
from app.commands.screen import cells
from app.db import Database
from app.stores.revocations import Revocations
from config.settings import Settings
from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.gateway import Gateway
from tests.support.tokens import AUDIENCE, CLIENT_ID, DELETED, ISSUER, SUBJECT, ec_key, mint, rsa_key, segment

OBEYED = "every worker obeys within 5 s"
MONTH_SECONDS = 2_592_000


@pytest.fixture
def api(tmp_path: Path, migrated_url: str) -> Iterator[Api]:
    """The API on a migrated database, of each kind in turn."""
    with running(settings_for(tmp_path, migrated_url)) as running_api:
        yield running_api


def revoke(api: Api, *words: str, text: str | bytes | None = None) -> Result:
    """Run the command, and have this process look, as it would by itself within 2 s."""
    done = api.app.test_cli_runner().invoke(args=["revoke", *words], input=text)
    api.app.extensions["postern"].denylist.look()
    return done


def good(done: Result) -> str:
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


def usage_error(done: Result) -> str:
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    return done.stderr


def listed(api: Api) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(revoke(api, "list", "--json").stdout)
    return found


def answer(api: Api, token: str) -> tuple[int, str | None]:
    found = api.app.test_client().get("/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    if found.status_code == 401:
        challenge = found.headers["WWW-Authenticate"]
        assert 'error="invalid_token"' in challenge
        assert found.json["detail"] in challenge
    return found.status_code, found.json.get("code")


def in_seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


# What is revoked is refused


def test_user_when_revoked_then_401_for_what_was_issued_and_200_for_what_comes_later(api: Api):
    """T24: "of a user ("issued before")": 401 `token_revoked` with its challenge; the cached token, too."""
    token = api.token()
    assert answer(api, token) == (200, None)
    before = int(time.time())
    told = good(revoke(api, "user", SUBJECT, "--note", "stolen phone"))
    assert answer(api, token) == (401, "token_revoked")
    (entry,) = listed(api)
    assert entry["last_second"] >= before
    assert entry["expires_at"] == entry["last_second"] + MONTH_SECONDS + 30
    assert (entry["kind"], entry["value"], entry["note"]) == ("user", SUBJECT, "stolen phone")
    assert told.startswith(f'revoked user "{SUBJECT}": tokens issued up to 20')
    assert told.endswith(OBEYED)
    assert answer(api, api.token(iat=entry["last_second"] + 1)) == (200, None)
    assert answer(api, api.as_user("auth0|another").token()) == (200, None)
    assert good(revoke(api, "lift", "user", SUBJECT)) == f'lifted user "{SUBJECT}": {OBEYED}'
    assert answer(api, token) == (200, None)


def test_user_when_revoked_before_a_time_then_that_second_counts_and_the_next_does_not(api: Api):
    second = int(time.time()) - 100
    zoned = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    good(revoke(api, "user", SUBJECT, "--before", zoned))
    assert answer(api, api.token(iat=second)) == (401, "token_revoked")
    assert answer(api, api.token(iat=DELETED)) == (401, "token_revoked")
    assert answer(api, api.token(iat=second + 1)) == (200, None)
    # An earlier time loosens nothing.
    told = good(revoke(api, "user", SUBJECT, "--before", "2020-01-01T00:00:00Z"))
    assert zoned.replace("+00:00", "Z") in told
    assert listed(api)[0]["last_second"] == second


def test_key_when_revoked_by_kid_or_thumbprint_then_401_key_distrusted_until_lifted(api: Api):
    """K11; without an end: whoever holds a stolen key writes any `exp` he likes."""
    token = api.token()
    for name in ("rsa-1", rsa_key().thumbprint()):
        told = good(revoke(api, "key", name))
        assert told == f'revoked key "{name}": all that it signed, until lifted; {OBEYED}'
        assert answer(api, token) == (401, "key_distrusted")
        assert listed(api)[0]["expires_at"] is None
        good(revoke(api, "lift", "key", name))
        assert answer(api, token) == (200, None)


def test_client_when_revoked_then_403_without_a_challenge_for_all_its_tokens_until_lifted(api: Api):
    """T24: "A client is 403 `client_revoked`": a new login would be refused alike; T26: no challenge."""
    good(revoke(api, "client", CLIENT_ID))
    assert answer(api, api.token()) == (403, "client_revoked")
    assert answer(api, api.token(iat=int(time.time()) + 20)) == (403, "client_revoked")
    assert answer(api, api.token(azp="another")) == (200, None)
    refused = api.app.test_client().get("/v1/whoami", headers={"Authorization": f"Bearer {api.token()}"})
    assert "WWW-Authenticate" not in refused.headers
    assert (refused.json["action"], refused.json["retryable"]) == ("ask_operator", False)
    good(revoke(api, "lift", "client", CLIENT_ID))
    assert answer(api, api.token()) == (200, None)


@pytest.mark.parametrize("form", ["{}", "  {}\n", "Bearer {}", "Authorization: Bearer {}", '{{"access_token": "{}"}}'])
def test_token_when_read_from_standard_input_then_that_one_alone_is_refused_and_never_printed(api: Api, form: str):
    """T24: "a token (`jti`, or the SHA-256 of its signing input where there is none)"; it lives until its `exp`."""
    expires_at = int(time.time()) + 3600
    for claims in ({"jti": "my-id"}, {}):
        token = api.token(exp=expires_at, **claims)
        assert answer(api, token) == (200, None)
        done = revoke(api, "token", text=form.format(token))
        told = good(done)
        assert answer(api, token) == (401, "token_revoked")
        assert answer(api, api.token(exp=expires_at + 1)) == (200, None)
        (entry,) = [entry for entry in listed(api) if entry["value"] in told]
        assert entry["expires_at"] == expires_at + 30
        assert in_seconds(told.partition("until ")[2][:20]) == expires_at + 30
        for part in token.split("."):
            assert part not in done.output
        assert (entry["value"] == "my-id") == bool(claims)


def test_token_when_named_by_jti_then_refused_for_as_long_as_any_token_lives(api: Api):
    now = int(time.time())
    good(revoke(api, "token", "--jti", "my-id"))
    assert answer(api, api.token(jti="my-id")) == (401, "token_revoked")
    (entry,) = listed(api)
    assert 0 <= entry["expires_at"] - now - MONTH_SECONDS - 30 < 60


def test_token_when_of_another_issuer_or_badly_signed_then_revoked_and_said(api: Api):
    theirs = mint(rsa_key(), None, {"iss": "https://other.example/", "exp": int(time.time()) + 60, "jti": "theirs"})
    done = revoke(api, "token", text=theirs)
    assert good(done).startswith('revoked token "theirs"')
    assert "of another issuer" in done.stderr
    now = int(time.time())
    head = mint(ec_key(), None, {"iss": ISSUER, "exp": now + 60, "jti": "forged"}).rpartition(".")[0]
    done = revoke(api, "token", text=f"{head}.{segment(b'x' * 64)}")
    assert good(done).startswith('revoked token "forged"')
    assert done.stderr == ""


def test_token_when_expired_then_says_that_it_is_refused_anyway(api: Api):
    told = good(revoke(api, "token", text=api.token(exp=int(time.time()) - 3600, jti="old")))
    assert told.startswith('token "old" expired at 20')
    assert listed(api) == []


def test_token_when_it_says_no_end_or_a_far_one_then_stored_all_the_same(api: Api):
    good(revoke(api, "token", text=api.token(exp=DELETED, jti="endless")))
    good(revoke(api, "token", text=api.token(exp=253_402_300_799, jti="far")))
    assert {entry["value"] for entry in listed(api)} == {"endless", "far"}
    assert "9999-12-31T23:59:59Z" in revoke(api, "list").stdout


# What cannot be meant


@pytest.mark.parametrize("text", ["", " \n", "opaque", "a.b.c", "{", "x" * 300_000, b"\xff\xfe", "Basic abc", "Bearer"])
def test_token_when_what_is_read_is_no_token_then_exit_2_without_repeating_it(api: Api, text: str | bytes):
    told = usage_error(revoke(api, "token", text=text))
    assert "Error: " in told
    assert "a.b.c" not in told
    assert listed(api) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("user", ""), "SUBJECT cannot be used: it is empty"),
        (("user", "a" * 256), "it is longer than 255 characters"),
        (("user", "a\nb"), "it holds a control character"),
        (("user", "a\udcff"), "it is not UTF-8"),
        (("client", "\x1b[31m"), "CLIENT_ID cannot be used: it holds a control character"),
        (("key", ""), "KID cannot be used: it is empty"),
        (("token", "--jti", ""), "--jti cannot be used: it is empty"),
        (("lift", "key", "\x00"), "VALUE cannot be used"),
        (("lift", "keys", "x"), "'keys' is not one of"),
        (("user", "x", "--note", "n" * 201), "longer than 200 characters"),
        (("user", "x", "--note", "a\tb"), "--note cannot be used: it holds a control character"),
        (("user", "x", "--before", "yesterday"), "is not a time such as"),
        (("user", "x", "--before", "2026-11-21T10:00:00"), "needs a time zone"),
        (("user", "x", "--before", "2026-11-21"), "needs a time zone"),
        (("user", "x", "--before", "9999-12-31T23:59:59Z"), "lies in the future"),
        (("user", "x", "--before", "1969-12-31T23:59:59Z"), "before 1970"),
        (("user",), "Missing argument"),
        (("token", "x"), "a token does not belong on the command line"),
        (("distrust", "x"), "No such command"),
    ],
)
def test_command_when_the_input_is_unusual_then_exit_2_and_nothing_is_stored(
    api: Api, words: tuple[str, ...], why: str
):
    assert why in usage_error(revoke(api, *words))
    assert listed(api) == []


@pytest.mark.parametrize(
    ("claims", "what"),
    [({"nonce": "n"}, "this is an ID token"), ({"token_use": "refresh"}, "this is no access token but another kind")],
)
def test_token_when_the_api_refuses_its_kind_anyway_then_exit_2_and_nothing_is_stored(
    api: Api, claims: dict[str, str], what: str
):
    """T17: what is no access token is refused by its kind; "revoked" would be said of the wrong token."""
    told = usage_error(revoke(api, "token", text=api.token(**claims)))
    assert what in told
    assert "which the API refuses anyway: paste the access token" in told
    assert listed(api) == []


@pytest.mark.parametrize(
    "words",
    [(), ("token",), ("token", "--jti"), ("user",), ("client",), ("key",), ("lift", "token"), ("user", "x", "--note")],
)
def test_command_when_a_token_is_an_argument_then_it_says_so_without_repeating_it(api: Api, words: tuple[str, ...]):
    token = api.token()
    for given in (token, f"Bearer {token}"):
        told = usage_error(revoke(api, *words, given))
        assert "does not belong on the command line, and is now in your shell's history" in told
        assert not any(part in told for part in token.split("."))
    assert listed(api) == []


# What nobody bears


def test_key_when_not_published_then_stored_and_the_published_ones_are_named(api: Api):
    """K11: a key may be withdrawn that is not published yet, or no more: so it is stored, and doubted."""
    done = revoke(api, "key", "rsa-l")
    assert good(done).startswith('revoked key "rsa-l"')
    assert done.stderr == (
        f"warning: no key of that name is published by {ISSUER} now (read from JWKS_FILE): look at the spelling; "
        "published are rsa-1\n"
    )
    for name in ("rsa-1", rsa_key().thumbprint()):
        assert revoke(api, "key", name).stderr == ""
    assert len(listed(api)) == 3


def test_key_when_the_tenant_cannot_be_reached_then_stored_and_said(tmp_path: Path, sqlite_url: str):
    upgrade(sqlite_url)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        issuer = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        settings = settings_for(tmp_path, sqlite_url, jwks_file=None, tenant_issuers=(issuer,), jwks_timeout_seconds=1)
        done = run_with(settings, "key", "rsa-1")
    assert done.exit_code == 0
    assert f"warning: whether {issuer} publishes a key of that name is not known: the keys cannot be" in done.stderr


def test_key_when_jwks_file_is_broken_then_stored_and_said(tmp_path: Path, sqlite_url: str):
    upgrade(sqlite_url)
    settings = settings_for(tmp_path, sqlite_url)
    (tmp_path / "jwks.json").write_text("{", encoding="utf-8")
    done = run_with(settings, "key", "rsa-1")
    assert done.exit_code == 0
    assert done.stderr.startswith("warning: JWKS_FILE cannot be used")


def test_user_when_no_account_is_stored_then_stored_and_said(api: Api):
    done = revoke(api, "user", SUBJECT)
    assert good(done).startswith("revoked user")
    assert done.stderr == "warning: no account of this subject is stored here: look at the spelling\n"
    good(revoke(api, "lift", "user", SUBJECT))
    assert api.get("/v1/me").status_code == 200
    assert revoke(api, "user", SUBJECT).stderr == ""


def test_lift_when_nothing_is_there_then_exit_1(api: Api):
    done = revoke(api, "lift", "key", "rsa-1")
    assert (done.exit_code, done.stderr) == (1, 'Error: no key "rsa-1" is revoked: see `flask revoke list`\n')


# The list


def test_list_when_shown_then_80_columns_in_which_nothing_steers_the_terminal(api: Api):
    assert good(revoke(api, "list")) == "nothing is revoked"
    good(revoke(api, "user", "auth0|\u202e\u2028x", "--note", "left the company " * 8))
    good(revoke(api, "key", "rsa-1"))
    good(revoke(api, "key", "鍵" * 40, "--note", "wide"))
    good(revoke(api, "token", text=api.token()))
    lines = revoke(api, "list").stdout.splitlines()
    assert lines[0].split() == ["KIND", "VALUE", "ENDS", "WRITTEN"]
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == ["key", "key", "token", "user"]
    assert max(map(cells, lines)) <= 80
    written = cells(lines[0].partition("WRITTEN")[0])
    assert {cells(line[: -len("2026-11-21T10:00:00Z")]) for line in lines if "when lifted" in line} == {written}
    assert not any(character in line for line in lines for character in "\u202e\u2028")
    user = next(number for number, line in enumerate(lines) if line.startswith("user"))
    assert "\\u202e" in lines[user]
    assert lines[user + 1].startswith("        tokens issued up to 20")
    assert " ".join(" ".join(lines[user + 1 :]).split()).endswith("; " + " ".join(["left the company"] * 8))


def test_lift_when_given_what_the_list_shows_then_that_entry_and_no_other(api: Api):
    """A long value is shown shortened; what is shown twice must be given whole, from --json."""
    token = api.token()
    good(revoke(api, "token", text=token))
    shown = revoke(api, "list").stdout.splitlines()[1].split()[1]
    assert re.fullmatch(r"sha256:[0-9a-f]{10}…[0-9a-f]{8}", shown)
    assert good(revoke(api, "lift", "token", shown)).startswith('lifted token "')
    assert answer(api, token) == (200, None)
    for middle in "ab":
        good(revoke(api, "user", f"auth0|{'0' * 20}{middle}{'0' * 20}"))
    shown = revoke(api, "list").stdout.splitlines()[1].split()[1]
    done = revoke(api, "lift", "user", shown)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "2 entries are shown so: give the whole value" in done.stderr
    assert len(listed(api)) == 2


# The database lets us down


def run(url: str, tmp_path: Path, *words: str) -> Result:
    return run_with(settings_for(tmp_path, url), *words)


def run_with(settings: Settings, *words: str) -> Result:
    database = Database(settings.database_url, lock_timeout_seconds=0.2)
    try:
        return CliRunner().invoke(revoke_group(database, settings), words)
    finally:
        database.dispose()


WORDS = [("user", "x"), ("list",), ("lift", "key", "x")]


@pytest.mark.parametrize("words", WORDS)
def test_command_when_migrations_are_missing_then_one_sentence_and_exit_1(database_url, tmp_path, words):
    done = run(database_url, tmp_path, *words)
    assert done.exit_code == 1
    assert done.output.count("\n") == 1
    assert "run `flask --app wsgi db upgrade`" in done.output


@pytest.mark.parametrize("words", WORDS)
def test_command_when_the_database_is_away_then_one_sentence_and_exit_1(postgresql_url, tmp_path, words):
    with Gateway(postgresql_url) as gateway:
        gateway.close()
        done = run(gateway.url, tmp_path, *words)
    assert done.exit_code == 1
    assert done.output.startswith("Error: the database in DATABASE_URL cannot be used: ")
    assert gateway.url not in done.output


def test_command_when_another_change_holds_the_lock_then_one_sentence_and_exit_1(database, database_url, tmp_path):
    held = Revocations(database)

    def hold(session) -> Result:
        from app.stores.revocations import _raise_version

        _raise_version(session)
        session.flush()
        return run(database_url, tmp_path, "key", "x")

    done = database.transact(hold)
    assert done.exit_code == 1
    assert "holds the lock: try again" in done.output
    assert held.entries(now=0) == []


# /readyz


def test_readyz_when_the_revocations_were_read_then_ok_and_how_old(api: Api):
    checks = api.anonymous("/readyz").json["checks"]
    assert checks["revocations"] == {"ok": True, "age_seconds": 0, "error": None}


def test_readyz_when_they_could_never_be_read_then_not_ready(tmp_path: Path, sqlite_url: str):
    """A worker that has never seen what is revoked takes no requests from the balancer."""
    with running(settings_for(tmp_path, sqlite_url)) as api:
        ready = api.anonymous("/readyz")
        assert ready.status_code == 503
        assert ready.json["checks"]["revocations"]["ok"] is False
        assert "db upgrade" in ready.json["checks"]["revocations"]["error"]
        assert answer(api, api.token(aud=AUDIENCE)) == (200, None)


def test_readyz_when_they_cannot_be_read_any_more_then_still_ok_and_the_detail_says_so(tmp_path, postgresql_url):
    """T24: the API goes on with what it knows, and says so, not as unready."""
    upgrade(postgresql_url)
    with Gateway(postgresql_url) as gateway, running(settings_for(tmp_path, gateway.url)) as api:
        # Issued before: a token of a later second is that of a new login.
        token = api.token(sub=tokens.SUBJECT)
        assert good(revoke(api, "user", SUBJECT)).startswith("revoked")
        gateway.close()
        api.app.extensions["postern"].denylist.look()
        check = api.anonymous("/readyz").json["checks"]["revocations"]
        assert check["ok"] is True
        assert "not reachable" in check["error"]
        assert answer(api, token) == (401, "token_revoked")
