"""`flask explain-token`, as its users run it: real processes, a real issuer, the development tenant."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.commands.db import upgrade
from app.commands.explain_token import Explained, explain_token_command
from app.commands.screen import Screen
from app.db import Database
from app.oauth.keys.download import KeyDownload
from app.oauth.keys.snapshot import KeySnapshot, Snapshot
from app.oauth.revocation.entry import of_client, of_key, of_token, of_user
from app.stores.revocations import Revocations
from tests.support import tokens
from tests.support.api import running, settings_for
from tests.support.command_line import flask, flask_at_terminal
from tests.support.explaining import judged, of_app
from tests.support.issuer import DOWN, Fault, Issuer
from tests.support.tenant import API, NativeApp, running_tenant
from tests.support.tokens import AUDIENCE, CLIENT_ID, DELETED, ISSUER, NOW, SUBJECT, mint, new_rsa_key, rsa_key, segment


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer(rsa_key(), rsa_key("rsa-2")) as running_issuer:
        yield running_issuer


@pytest.fixture(scope="module")
def environment(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of an API that asks that issuer."""
    directory = tmp_path_factory.mktemp("processes")
    url = f"sqlite:///{directory / 'postern.db'}"
    upgrade(url)
    return {
        "TENANT_ISSUER": issuer.url,
        "API_AUDIENCE": AUDIENCE,
        "DATABASE_URL": url,
        "JWKS_SNAPSHOT_DIR": str(directory / "keys"),
        "JWKS_TIMEOUT_SECONDS": "5",
    }


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explained]:
    """An API in this process whose keys stand in a file; everything happens at NOW."""
    directory = tmp_path_factory.mktemp("explained")
    url = f"sqlite:///{directory / 'postern.db'}"
    upgrade(url)
    settings = settings_for(directory, url)
    with running(settings) as api:
        yield of_app(api.app, settings)


def token_for(issuer: Issuer, **claims: Any) -> str:
    now = int(time.time())
    return mint(rsa_key(), None, {"iss": issuer.url, "iat": now, "exp": now + 600, "scope": "read:profile", **claims})


def words_about(
    api: Explained, name: str, token: str, *, now: float = NOW, scheme: str = "Bearer", **options: Any
) -> str:
    """What the line of that name says, with its advice."""
    explanation = judged(api, f"{scheme} {token}", now=now, **options)
    found = next(one for one in (*explanation.demands, *explanation.findings) if one.name == name)
    return f"{found.outcome}: {found.text}" + (f" > {found.advice}" if found.advice else "")


# As real processes


def test_explain_token_when_the_token_is_good_then_status_0_and_the_verdict_stands_on_top(issuer, environment):
    done = flask("explain-token", text=token_for(issuer), **environment)
    assert done.out.startswith("ACCEPTED  The API accepts this token. It expires in ")
    assert (done.status, done.err) == (0, "")
    assert "pass  signature" in done.out
    assert "\x1b" not in done.out


def test_explain_token_when_expired_then_status_1_and_what_the_api_answers(issuer, environment):
    """Would the API accept it now, and if not which code and status the API answers with, and what to do."""
    now = int(time.time())
    done = flask("explain-token", text=token_for(issuer, iat=now - 999, exp=now - 190), **environment)
    assert done.status == 1
    assert done.out.startswith("REFUSED  The API answers 401 token_expired: expired 3 min ago")
    assert "The app:  refresh." in done.out


def test_explain_token_when_for_a_route_then_its_demands_too(issuer, environment):
    done = flask("explain-token", "--for", "PATCH /v1/me?x=1", text=token_for(issuer), **environment)
    assert done.status == 1
    assert "403 insufficient_scope for PATCH /v1/me: scope write:profile is missing; the token has read:profile" in (
        " ".join(done.out.split())
    )


@pytest.mark.parametrize("words", [["SECRET"], ["SECRET", "--json"], ["--at", "SECRET"], ["--for", "a SECRET b"]])
def test_explain_token_when_given_an_argument_then_it_is_an_error_that_repeats_nothing(issuer, environment, words):
    """Never an argument, so that none lands in a shell's history: an argument is an error that says so."""
    secret = token_for(issuer)
    done = flask("explain-token", *[word.replace("SECRET", secret) for word in words], **environment)
    assert done.status == 2
    assert "Error: " in done.err
    assert secret[:20] not in done.out + done.err
    assert secret[-20:] not in done.out + done.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing was given"),
        (" \n", "nothing was given"),
        (b"\xff\xfe", "no text"),
        ("a" * 300_000, "no token"),
        ('{"error": "invalid_grant"}', "refusal"),
        ('{"a": 1}', "no access_token"),
        ("{nonsense", "JSON"),
        ('{"a":' * 5000, "JSON"),
    ],
)
def test_explain_token_when_there_is_nothing_to_judge_then_status_2(explained, text, why):
    """Exit status 2: not readable."""
    result = CliRunner().invoke(explain_token_command(explained), input=text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr


def test_explain_token_when_nothing_is_piped_in_then_the_process_ends_with_status_2(environment):
    done = flask("explain-token", text="", **environment)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("explain-token: nothing was given")


def test_explain_token_when_json_then_one_document_in_ascii(issuer, environment):
    done = flask("explain-token", "--json", text=token_for(issuer, name="Åda\x1b]0;x\x07\u202e"), **environment)
    document = json.loads(done.out)
    assert document["accepted"] is True
    assert document["claims"]["name"] == "Åda\x1b]0;x\x07\u202e"
    assert done.out.isascii()
    assert done.out.replace("\n", "").isprintable()
    assert {check["outcome"] for check in document["checks"]} == {"pass"}


def test_explain_token_at_a_terminal_then_the_paste_is_not_shown_and_colours_are(issuer, environment):
    """On a terminal it prompts without echo; a line of 4096 bytes and more is not cut."""
    token = token_for(issuer, filler="x" * 9000)
    done = flask_at_terminal("explain-token", typed=token.encode() + b"\r", **environment)
    assert done.status == 0, done.out
    assert token[:30] not in done.out
    assert "\x1b[32m" in done.out
    assert f"{len(token)} bytes" in done.out


def test_explain_token_at_a_terminal_when_a_response_of_several_lines_is_pasted_then_all_of_it_is_read(
    issuer, environment
):
    response = json.dumps({"access_token": token_for(issuer), "token_type": "Bearer"}, indent=2).encode()
    done = flask_at_terminal("explain-token", typed=response.replace(b"\n", b"\r") + b"\r", **environment, NO_COLOR="1")
    assert done.status == 0, done.out
    assert "\x1b" not in done.out
    assert "access_token of the token response" in done.out


def test_explain_token_when_a_claim_holds_escape_sequences_then_the_terminal_never_sees_them(issuer, environment):
    """Terminal escape sequences in claims must not reach the terminal raw."""
    evil = "\x1b]0;title\x07\x9b31m\u202e\r\x08"
    token = token_for(issuer, **{evil: evil, "sub": "a\u009bb", "aud": [evil]})
    done = flask_at_terminal("explain-token", typed=token.encode() + b"\r", **environment, NO_COLOR="1")
    assert done.status == 1
    assert done.out.replace("\n", "").isprintable()


@pytest.mark.parametrize("columns", [80, 120])
def test_explain_token_when_the_terminal_is_narrow_then_no_line_is_wider(issuer, environment, columns):
    """A line over the width wraps with a hanging indent."""
    token = token_for(issuer, aud=AUDIENCE[:-1], sub="日本" * 60, long="x" * 500)
    done = flask("explain-token", text=token, **environment, COLUMNS=str(columns))
    from app.commands.screen import cells

    assert max(cells(line) for line in done.out.splitlines()) <= columns
    failing = next(index for index, line in enumerate(done.out.splitlines()) if line.startswith("  FAIL  aud"))
    assert done.out.splitlines()[failing + 1].startswith(" " * 20)


def test_explain_token_when_the_tenant_is_down_then_it_is_our_fault_unless_a_copy_is_on_disk(issuer, environment):
    """T27: 503 keys_unavailable; K8: a worker that starts while the tenant is down still answers."""
    token = token_for(issuer)
    try:
        issuer.down()
        done = flask("explain-token", text=token, **environment)
        assert done.status == 1
        assert "The API answers 503 keys_unavailable: the keys cannot be fetched: unreachable" in " ".join(
            done.out.split()
        )
        keep_copy(issuer, environment, age_seconds=600)
        done = flask("explain-token", text=token, **environment)
        assert done.status == 0
        assert "from the copy on disk, fetched 10 min ago" in " ".join(done.out.split())
        keep_copy(issuer, environment, age_seconds=90_000)
        assert flask("explain-token", text=token, **environment).status == 1
    finally:
        issuer.up()
        for copy in Path(environment["JWKS_SNAPSHOT_DIR"]).glob("*"):
            copy.unlink()


def keep_copy(issuer: Issuer, environment: dict[str, str], *, age_seconds: float) -> None:
    """Keep what the issuer publishes, as if it had been fetched so long ago."""
    faults, (issuer.discovery, issuer.jwks) = (issuer.discovery, issuer.jwks), (None, None)
    download = KeyDownload(issuer.url, ("RS256",))()
    issuer.discovery, issuer.jwks = faults
    file = KeySnapshot(Path(environment["JWKS_SNAPSHOT_DIR"]), issuer.url, ("RS256",))
    file.path.unlink(missing_ok=True)
    assert file.write(Snapshot(download, time.time() - age_seconds), now=time.time())


def test_explain_token_when_offline_then_nothing_is_fetched_and_the_verdict_says_so(issuer, environment):
    """--offline: the signature step says "not checked: offline"."""
    before = sum(issuer.requests.values())
    done = flask("explain-token", "--offline", text=token_for(issuer), **environment)
    assert done.status == 2
    assert done.out.startswith("UNDECIDED")
    assert "not checked: offline" in done.out
    done = flask("explain-token", "--offline", "--json", text=token_for(issuer, exp=1), **environment)
    document = json.loads(done.out)
    assert done.status == 1
    assert (document["code"], document["if_the_signature_is_good"]) == ("token_expired", True)
    assert sum(issuer.requests.values()) == before


def test_explain_token_when_offline_and_a_copy_is_on_disk_then_the_signature_is_checked(issuer, environment):
    keep_copy(issuer, environment, age_seconds=90_000)
    try:
        token = token_for(issuer)
        assert flask("explain-token", "--offline", text=token, **environment).status == 0
        done = flask("explain-token", "--offline", text=token[:-6] + "AAAAAA", **environment)
        assert "401 bad_signature" in done.out
    finally:
        for copy in Path(environment["JWKS_SNAPSHOT_DIR"]).glob("*"):
            copy.unlink()


def test_explain_token_when_the_database_is_absent_then_nothing_is_made_and_the_rest_is_told(
    issuer, environment, tmp_path
):
    absent = tmp_path / "absent.db"
    done = flask("explain-token", text=token_for(issuer), **(environment | {"DATABASE_URL": f"sqlite:///{absent}"}))
    assert done.status == 0
    assert "skip  revoked     the revocations cannot be read: there is no such file yet" in done.out
    assert not list(tmp_path.iterdir())


def test_explain_token_with_tokens_of_the_development_tenant(tmp_path):
    """The tenant's whole token response, a minted token, and its ID token by itself."""
    url = f"sqlite:///{tmp_path / 'postern.db'}"
    upgrade(url)
    with running_tenant(tmp_path / "tenant") as tenant:
        environment = {
            "TENANT_ISSUER": tenant.issuer, "API_AUDIENCE": API, "DATABASE_URL": url, "JWKS_SNAPSHOT_DIR": "",
        }  # fmt: skip
        response = NativeApp(tenant).log_in()
        done = flask("explain-token", "--for", "GET /v1/me", text=json.dumps(response), **environment)
        assert done.status == 0, done.out
        done = flask("explain-token", text=json.dumps({"id_token": response["id_token"]}), **environment)
        assert "401 id_token_used: this is an ID token" in " ".join(done.out.split())
        assert "holds no access_token; its id_token is judged" in " ".join(done.out.split())
        done = flask("explain-token", text=json.dumps({"refresh_token": response["refresh_token"]}), **environment)
        assert done.status == 1
        done = flask("explain-token", text=tenant.mint(user="ada", expires_in=-60), **environment)
        assert "401 token_expired" in done.out


# What is pasted


@pytest.mark.parametrize(
    "form",
    [
        "{0}",
        "  {0}\n",
        "Bearer {0}",
        "bearer   {0}",
        "Authorization: Bearer {0}",
        "GET /v1/me HTTP/1.1\r\nHost: x\r\nauthorization:Bearer {0}\r\nAccept: */*\r\n\r\n",
        "> Authorization: Bearer {0}\n> Accept: */*",
        "curl -H 'Authorization: Bearer {0}' https://api.example/v1/me",
        'curl -H "Authorization: Bearer {0}"',
        '"{0}"',
        "'{0}'",
        '{{"token_type": "Bearer", "access_token": "{0}", "id_token": "x.y.z"}}',
        "\ufeff{0}",
    ],
)
def test_explain_token_when_pasted_in_any_form_then_the_token_is_found(explained, form):
    """It takes the bare token, or a pasted `Authorization: Bearer …` line, or a whole token response."""
    runner = CliRunner()
    text = form.format(mint(rsa_key()))
    result = runner.invoke(explain_token_command(explained), ["--at", str(NOW)], input=text)
    assert result.exit_code == 0, result.output
    assert f"As of {datetime.fromtimestamp(NOW, UTC):%Y-%m-%d %H:%M:%S} UTC, the API accepts this token" in (
        " ".join(result.output.split())
    )


@pytest.mark.parametrize("at", ["1800000000", "2027-01-15T08:00:00Z", "2027-01-15T09:00:00+01:00", "2027-01-15 08:00"])
def test_explain_token_when_at_a_time_then_it_is_judged_as_of_then(explained, at):
    """--at TIME: judge as of then."""
    result = CliRunner().invoke(explain_token_command(explained), ["--json", "--at", at], input=mint(rsa_key()))
    assert json.loads(result.output)["judged_at"] == NOW


@pytest.mark.parametrize("at", ["yesterday", "-5", "9999-12-31T23:59:59Z", "99999999999999999999", "1e3", ""])
def test_explain_token_when_at_no_time_then_status_2(explained, at):
    assert CliRunner().invoke(explain_token_command(explained), ["--at", at], input="x").exit_code == 2


# Words


@pytest.mark.parametrize(
    ("name", "header", "claims", "words"),
    [
        ("iss", {}, {"iss": ISSUER[:-1]}, "issuer differs only by its trailing slash: the token says"),
        ("iss", {}, {"iss": "http://tenant.example/"}, "by http instead of https"),
        ("iss", {}, {"iss": "https://Tenant.example/"}, "by upper and lower case"),
        ("iss", {}, {"iss": " https://tenant.example/"}, "by blanks around it"),
        ("iss", {}, {"iss": "https://other.example/"}, 'another issuer: the token says "https://other.example/"'),
        ("iss", {}, {"iss": 7}, "iss is a number, and must be a string"),
        ("key", {}, {"iss": ISSUER[:-1]}, "so only the issuer's name is wrong"),
        ("purpose", {}, {"nonce": "n"}, "this is an ID token (it has nonce) > send the access token"),
        ("purpose", {}, {"sid": "s", "scope": DELETED}, "it has sid, and no scope"),
        ("purpose", {}, {"aud": CLIENT_ID}, "aud is the client id"),
        ("purpose", {}, {"typ": "Refresh"}, "no access token: typ is"),
        ("purpose", {}, {"events": {}}, "a logout token"),
        ("aud", {}, {"aud": AUDIENCE[:-1]}, "audience differs only by its trailing slash"),
        ("aud", {}, {"aud": AUDIENCE.upper()}, "by upper and lower case"),
        ("aud", {}, {"aud": [CLIENT_ID], "client_id": CLIENT_ID, "azp": DELETED}, "aud is the client id"),
        ("aud", {}, {"aud": "https://tenant.example/userinfo"}, "the app asked for no API > request audience="),
        ("aud", {}, {"aud": "https://other.example"}, 'the token is for "https://other.example", API_AUDIENCE is'),
        ("aud", {}, {"aud": DELETED}, "aud is missing"),
        ("exp", {}, {"exp": NOW - 190}, "expired 3 min ago"),
        ("exp", {}, {"exp": NOW * 1000}, "exp is in milliseconds: 1800000000000 instead of 1800000000"),
        ("exp", {}, {"exp": str(NOW)}, "exp is a string"),
        ("exp", {}, {"exp": DELETED}, "exp is missing"),
        ("exp", {}, {"exp": NOW - 10}, "10 s ago, inside the tolerance"),
        ("nbf", {}, {"nbf": NOW + 90}, "is not valid before 2027-01-15 08:01:30 UTC, in 90 s by this machine's clock"),
        ("iat", {}, {"iat": NOW + 300}, "was issued 2027-01-15 08:05:00 UTC, in 5 min"),
        ("sub", {}, {"sub": "a" * 300}, "sub has 300 characters, at most 255"),
        ("sub", {}, {"sub": "a\nb"}, "holds a control character"),
        ("scope", {}, {"scope": ["a"]}, "scope is an array"),
        ("client", {}, {"client_id": "other"}, "two apps in one token"),
        ("others", {}, {"jti": 7}, "jti is a number"),
        ("ignored", {}, {"amr": "pwd"}, "amr is"),
        ("ignored", {}, {"acr": ["mfa"]}, "acr is an array"),
        (
            "ignored",
            {},
            {"auth_time": str(NOW)},
            "a number of seconds since 1970; it counts as absent, and a route that",
        ),
        ("ignored", {}, {"auth_time": NOW * 1000}, "whoever writes this claim must divide by 1000"),
        ("cnf", {}, {"cnf": {"x5t#S256": "x"}}, "cannot check"),
        (
            "proof",
            {},
            {"cnf": {"jkt": "a" * 43}},
            "bound to a key, and was sent as Bearer > send it by the DPoP scheme",
        ),
        ("lifetime", {}, {"exp": NOW + 9_000_000}, "TOKEN_MAX_LIFETIME_SECONDS is 2592000: a revocation could end"),
        ("lifetime", {}, {"exp": NOW + 20}, "about to expire"),
        ("alg", {"alg": "HS256"}, {}, "set RS256 at the tenant's API settings"),
        ("alg", {"alg": "none"}, {}, "not signed"),
        ("alg", {"alg": "ES256"}, {}, "add ES256 to TOKEN_ALGORITHMS"),
        ("typ", {"typ": "dpop+jwt"}, {}, "a DPoP proof, which belongs into the DPoP field"),
        ("crit", {"crit": ["exp"], "zip": "DEF"}, {}, "the header has crit, zip"),
        ("kid", {"kid": 5}, {}, "kid is a number"),
        ("kid", {"kid": "a" * 300}, {}, "300 characters"),
        ("key", {"kid": "rsa-9"}, {}, 'signed with kid "rsa-9", the tenant publishes rsa-1 (RS256)'),
        ("signature", {"x": 1}, {}, 'made by the key "rsa-1"'),
    ],
)
def test_explanation_when_something_is_wrong_then_it_says_what_the_token_says_and_what_was_expected(
    explained, name, header, claims, words
):
    """The reason in a developer's words with the actual and expected values."""
    assert words in words_about(explained, name, mint(rsa_key(), header, claims))


@pytest.mark.parametrize(
    ("field", "name", "words"),
    [
        ("Bearer null", "field", "the word null stands where the token should"),
        ("Bearer", "field", "there is no token"),
        ("Bearer a b", "field", "a line break inside"),
        ("Bearer a,Bearer", "field", "joined by a comma"),
        ('Bearer "a"', "field", "quotes"),
        ("Bearer a€", "field", "cannot stand in a token"),
        ("Basic eDp5", "field", 'the scheme is "Basic"'),
        ("Bearer abc", "shape", "opaque: the app did not ask for this API > request audience=https://api.example/"),
        ("Bearer v1.abc", "shape", "Auth0's refresh tokens look like this"),
        ("Bearer eyJ.abc", "shape", "the end seems cut off"),
        ("Bearer a.b.c.d.e", "shape", "encrypted"),
        (f"Bearer {segment(b'{}')}.e30=.c2ln", "shape", "padding"),
        (f"Bearer {segment(b'{}')}.e3+_.c2ln", "shape", "base64url"),
        (f"Bearer {segment(b'{}')}..c2ln", "shape", "the payload is empty"),
        (f"Bearer {segment(b'{}')}.e30.c2lnx", "shape", "5 characters, which cannot be"),
        (f"Bearer {segment(b'{}')}.e30.c2lnxx", "shape", "leaves bits over"),
        (f"Bearer {segment(b'[]')}.e30.c2ln", "shape", "no JSON object"),
        (f"Bearer {'a' * 17_000}", "size", "17000 bytes, MAX_TOKEN_BYTES is 16384"),
    ],
)
def test_explanation_when_the_field_or_the_shape_is_wrong_then_it_says_how(explained, field, name, words):
    explanation = judged(explained, field, now=NOW)
    found = next(one for one in explanation.findings if one.name == name)
    assert words in f"{found.text} > {found.advice}"


def test_explanation_when_a_token_is_too_large_then_the_largest_claims_are_named(explained):
    token = mint(rsa_key(), None, {"roles": ["x" * 40] * 400, "sub": "a"})
    assert 'largest: "roles" 17600 bytes' in words_about(explained, "size", token)


def test_explanation_when_the_signature_is_wrong_then_the_claims_are_told_all_the_same(explained):
    """It goes on after the first failure as far as the rest still makes sense."""
    token = mint(rsa_key(), None, {"aud": "x"})[:-8] + "AAAAAAAA"
    explanation = judged(explained, f"Bearer {token}", now=NOW)
    assert explanation.verdict.code == "bad_signature"
    assert [one.name for one in explanation.findings if one.outcome == "FAIL"] == ["signature", "aud"]


def test_explanation_when_there_is_no_kid_then_it_says_whether_one_key_is_published(tmp_path, sqlite_url):
    keys = tmp_path / "jwks.json"
    keys.write_bytes(tokens.key_set(rsa_key(), rsa_key("rsa-2"), {"kty": "oct", "k": "eA", "kid": "hs"}))
    settings = settings_for(tmp_path, sqlite_url)
    token = mint(rsa_key(), {"kid": DELETED})
    with running(settings) as api:
        words = words_about(of_app(api.app, settings), "key", token)
    assert "the token has no kid, and the tenant publishes rsa-1 (RS256), rsa-2 (RS256)" in words
    assert "left out as unusable: 1 × symmetric" in words


@pytest.mark.parametrize(
    ("changes", "scheme", "claims", "code"),
    [
        ({"dpop_mode": "off"}, "Bearer", {"cnf": {"jkt": "a" * 43}}, "proof_required"),
        ({"dpop_mode": "off"}, "DPoP", {"cnf": {"jkt": "a" * 43}}, "no_credentials"),
        ({"dpop_mode": "allowed"}, "DPoP", {"cnf": {"jkt": "a" * 43}}, None),
        ({"dpop_mode": "allowed"}, "DPoP", {}, "token_not_bound"),
        ({"dpop_mode": "required"}, "Bearer", {}, "proof_required"),
        ({"dpop_mode": "required"}, "Bearer", {"exp": 1}, "token_expired"),
    ],
)
def test_explanation_when_bound_or_not_then_the_scheme_counts(  # noqa: PLR0917 - the columns of the table
    tmp_path, sqlite_url, changes, scheme, claims, code
):
    """T19, P4: a bound token never passes as a plain one, nor a plain one by the DPoP scheme."""
    settings = settings_for(tmp_path, sqlite_url, **changes)
    with running(settings) as api:
        explanation = judged(of_app(api.app, settings), f"{scheme} {mint(rsa_key(), None, claims)}", now=NOW)
    assert explanation.verdict.code == code


@pytest.mark.parametrize("form", ["{}", "'{}'", '{{"access_token": "{}"}}', "Bearer {}"])
@pytest.mark.parametrize("bound", [True, False])
def test_explain_token_when_nothing_names_the_scheme_then_a_bound_token_counts_as_by_dpop(explained, form, bound):
    """P4: the scheme counts; a bare bound token is judged as apps send it, a named scheme as it is named."""
    claims = {"cnf": {"jkt": "a" * 43}} if bound else {}
    pasted = form.format(mint(rsa_key(), None, claims))
    command = explain_token_command(explained)
    done = CliRunner().invoke(command, ["--at", str(NOW), "--json"], input=pasted)
    assumed = bound and not form.startswith("Bearer")
    assert done.exit_code == int(bound and not assumed)
    assert ("as sent by the DPoP scheme with a good proof" in done.stdout) == assumed


def revoke_token(store: Revocations) -> None:
    store.add(of_token("j1", expires_at=NOW + 9, skew_seconds=30), at=datetime.now(UTC))


def revoke_user(store: Revocations) -> None:
    store.add(of_user(SUBJECT, last_second=NOW, now=NOW, longest_seconds=9999), at=datetime.now(UTC))


def revoke_client(store: Revocations) -> None:
    store.add(of_client(CLIENT_ID), at=datetime.now(UTC))


def revoke_key(store: Revocations) -> None:
    store.add(of_key("rsa-1"), at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("revoke", "name", "code", "words"),
    [
        (revoke_token, "revoked", "token_revoked", "this token is revoked (j1)"),
        (revoke_user, "revoked", "token_revoked", "that were issued until 2027-01-15 08:00:00 UTC are revoked"),
        (revoke_client, "revoked", "client_revoked", f'the app "{CLIENT_ID}" is revoked'),
        (revoke_key, "key", "key_distrusted", 'the operator distrusts the key "rsa-1"'),
    ],
)
def test_explanation_when_revoked_then_it_says_by_what(  # noqa: PLR0917 - the columns of the table
    tmp_path, database: Database, database_url: str, revoke: Callable[[Revocations], None], name, code, words
):
    """T24: a denylist of a token, of a user, of a client, of a key; on both databases."""
    revoke(Revocations(database))
    settings = settings_for(tmp_path, database_url)
    with running(settings) as api:
        explained = of_app(api.app, settings)
        token = mint(rsa_key(), None, {"jti": "j1"})
        assert judged(explained, f"Bearer {token}", now=NOW).verdict.code == code
        assert words in words_about(explained, name, token)


def test_explanation_when_two_issuers_then_the_payload_decides_which_keys(tmp_path, sqlite_url):
    """T11: of several names of one tenant, `iss` chooses the key set; unreadable, nothing can be chosen."""
    with Issuer(rsa_key()) as canonical, Issuer(rsa_key("custom")) as custom:
        settings = settings_for(
            tmp_path, sqlite_url, jwks_file=None, jwks_snapshot_dir=None, tenant_issuers=(canonical.url, custom.url)
        )
        with running(settings) as api:
            explained = of_app(api.app, settings)
            good = mint(rsa_key("custom"), None, {"iss": custom.url})
            assert judged(explained, f"Bearer {good}", now=NOW).verdict.accepted
            other = mint(rsa_key(), None, {"iss": custom.url})
            assert judged(explained, f"Bearer {other}", now=NOW).verdict.code == "unknown_key"
            header, _, signature = good.split(".")
            broken = f"{header}.{segment(b'{')}.{signature}"
            assert judged(explained, f"Bearer {broken}", now=NOW).verdict.code == "malformed_claims"
            custom.discovery = DOWN
            assert judged(explained, f"Bearer {good}", now=NOW).verdict.code == "keys_unavailable"
            custom.discovery = Fault(status=404, body=b"")
            assert "discovery_status (status 404)" in words_about(explained, "key", good)
            nobodys = mint(new_rsa_key("zz"), None, {"iss": "https://x.example/"})
            assert "skip: iss chooses the keys" in words_about(explained, "key", nobodys)


# Demands


@pytest.mark.parametrize(
    ("request_line", "claims", "name", "words"),
    [
        ("GET /v1/me", {"scope": "openid"}, "scope", "scope read:profile is missing; the token has openid"),
        ("/v1/me", {"scope": DELETED}, "scope", "the token has none > register it for this API at the tenant"),
        ("GET https://api.example/v1/me?fields=name", {"gty": "client-credentials"}, "user", "an application"),
        ("GET /v1/me", {"sub": "anon@1"}, "user", "nobody who has logged in"),
        ("get /v1/whoami", {}, "token", "any good token will do"),
        ("GET /v1", {"exp": 1}, "token", "none is needed, and none is looked at"),
    ],
)
def test_explanation_for_a_route_then_its_policy_is_what_is_asked(explained, request_line, claims, name, words):
    """--for "GET /v1/me": by the application's own policies."""
    assert words in words_about(explained, name, mint(rsa_key(), None, claims), request=request_line)


def test_explanation_for_a_recent_login_then_it_says_how_old_this_one_is(tmp_path, sqlite_url):
    """T23: step-up."""
    settings = settings_for(tmp_path, sqlite_url, deletion_max_age_seconds=300, deletion_acr="mfa")
    with running(settings) as api:
        explained = of_app(api.app, settings)
        endpoint, demands = next(
            (name, policy) for name, policy in explained.policies.items() if policy.max_age_seconds == 300
        )
        rule = next(rule for rule in api.app.url_map.iter_rules() if rule.endpoint == endpoint)
        request = f"{min(rule.methods - {'OPTIONS', 'HEAD'})} {rule.rule}"
        claims = {"scope": " ".join(demands.scopes), "auth_time": NOW - 900, "acr": "pwd"}
        token = mint(rsa_key(), None, claims)
        assert judged(explained, f"Bearer {token}", now=NOW, request=request).verdict.code == "step_up_required"
        words = words_about(explained, "login", token, request=request)
        assert "the age of the login is 15 min, at most 5 min is taken; acr is pwd, mfa is wanted" in words
        good = mint(rsa_key(), None, claims | {"auth_time": NOW - 9, "acr": "mfa"})
        assert judged(explained, f"Bearer {good}", now=NOW, request=request).verdict.accepted
        unsaid = mint(rsa_key(), None, {"scope": claims["scope"]})
        assert "not told (no auth_time)" in words_about(explained, "login", unsaid, request=request)


def test_explanation_for_permissions_and_optional_routes_then_as_declared(explained):
    """T21, T5, by policies of this test."""
    from app.web.policy import RoutePolicy

    endpoint = "whoami.whoami"
    assert endpoint in explained.policies
    asking = RoutePolicy(
        credentials="required", scopes=("a", "b"), any_scope=True, permissions=("x:y",), allow_clients=True
    )
    api = replace(explained, policies={**explained.policies, endpoint: asking})
    token = mint(rsa_key(), None, {"scope": "b"})
    assert judged(api, f"Bearer {token}", now=NOW, request="/v1/whoami").verdict.code == "permission_required"
    assert "pass: a or b" in words_about(api, "scope", token, request="/v1/whoami")
    assert "permission x:y is missing" in words_about(api, "permissions", token, request="/v1/whoami")
    assert "scope a or b is missing" in words_about(api, "scope", mint(rsa_key()), request="/v1/whoami")
    optional = replace(
        explained,
        policies={**explained.policies, endpoint: RoutePolicy(credentials="optional", allow_clients=True)},
    )
    refused = judged(optional, f"Bearer {mint(rsa_key(), None, {'exp': 1})}", now=NOW, request="/v1/whoami")
    assert refused.verdict.code == "token_expired"


@pytest.mark.parametrize("request_line", ["", "a b c", "GET v1/me x", "123 /v1/me"])
def test_explain_token_when_for_names_no_request_then_status_2(explained, request_line):
    result = CliRunner().invoke(explain_token_command(explained), ["--for", request_line], input=mint(rsa_key()))
    assert result.exit_code == 2
    assert "--for names no request" in result.output


def test_screen_when_the_output_is_no_terminal_then_no_colours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert Screen.of_process() == Screen(120, colours=False)
    monkeypatch.setenv("COLUMNS", "20")
    assert Screen.of_process().columns == 60
