"""Whatever a request can hold ends in 4xx with problem+json: no 500, a known code, nothing reflected in a header."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.commands.db import upgrade
from app.web.catalogue import PROBLEMS
from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.databases import PostgresqlServer

LATIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
CLAIM = st.sampled_from(
    ["iss", "sub", "aud", "exp", "iat", "nbf", "scope", "permissions", "azp", "client_id", "cnf", "gty", "acr", "amr",
     "auth_time", "org_id", "jti", "nonce", "sid", "events", "name", "email", "email_verified", "locale",
     "https://example.org/roles", "https://example.org/attributes"]
)  # fmt: skip
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def bare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Api]:
    directory: Path = tmp_path_factory.mktemp("bad-input")
    with ExitStack() as stack:
        url = f"sqlite:///{directory / 'postern.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(postgresql_server.database())
        upgrade(url)
        yield stack.enter_context(running(settings_for(directory, url)))


FIXED_FIELDS = (
    'Cache-Control: no-store Vary: Authorization WWW-Authenticate: Bearer realm="api.example", error="invalid_token", '
    "Referrer-Policy: no-referrer X-Content-Type-Options: nosniff Content-Security-Policy X-Request-Id Content-Length"
)


def expect_sane(answer, sent: str = "") -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.content_type == "application/problem+json"
        assert answer.json["code"] in PROBLEMS
    # By chance the text may be one that every answer holds, such as a part of a field's name.
    if len(sent) > 8 and sent not in FIXED_FIELDS:
        assert sent not in str(answer.headers)


@given(value=LATIN)
@quick
def test_authorization_when_any_text_then_4xx(bare: Api, value):
    answer = bare.get("/v1/whoami", headers={"Authorization": value})
    expect_sane(answer, value)
    assert answer.status_code in {400, 401}


@given(segments=st.lists(st.text("ABCabc019-_=+/.", max_size=20), min_size=1, max_size=6))
@quick
def test_token_when_any_segments_then_4xx(bare: Api, segments):
    sent = ".".join(segments)
    answer = bare.get("/v1/whoami", headers={"Authorization": f"Bearer {sent}"})
    expect_sane(answer, sent)
    assert answer.status_code in {400, 401}


@given(
    header=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()), payload=st.binary(max_size=80)
)
@quick
def test_token_when_signed_rubbish_then_401(bare: Api, header, payload):
    sent = tokens.sign(tokens.rsa_key(), header, payload)
    answer = bare.get("/v1/whoami", headers={"Authorization": f"Bearer {sent}"})
    expect_sane(answer)
    assert answer.status_code == 401


@given(changes=st.dictionaries(CLAIM, JSON, max_size=4))
@quick
def test_claims_when_any_json_and_well_signed_then_no_500(bare: Api, changes):
    now = int(time.time())
    base = {"iat": now, "exp": now + 600, "aud": tokens.AUDIENCE, "scope": "read:profile read:email write:profile"}
    token = tokens.mint(tokens.rsa_key(), None, base | changes)
    for path in ("/v1/whoami", "/v1/me"):
        expect_sane(bare.get(path, headers={"Authorization": f"Bearer {token}"}))


@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@quick
def test_body_when_any_bytes_then_no_500(bare: Api, body):
    expect_sane(bare.request("PATCH", "/v1/me", data=body, content_type="application/json"))


@given(
    members=st.dictionaries(st.sampled_from(["name", "picture", "locale", "zoneinfo", "attributes", "nickname"]), JSON)
)
@quick
def test_patch_when_any_values_then_no_500_and_the_profile_can_still_be_read(bare: Api, members):
    try:
        body = json.dumps(members).encode()
    except ValueError:
        return
    expect_sane(bare.request("PATCH", "/v1/me", data=body, content_type="application/json"))
    assert bare.get("/v1/me").status_code == 200


@given(name=st.sampled_from(["If-Match", "If-None-Match", "Content-Type", "X-Request-Id", "Accept"]), value=LATIN)
@quick
def test_field_when_any_text_then_no_500(bare: Api, name, value):
    expect_sane(bare.get("/v1/me", headers={name: value, "Authorization": f"Bearer {bare.token()}"}))
    expect_sane(bare.anonymous("/problems/token_expired", headers={name: value}))


@given(query=st.text(max_size=40), path=st.text("abc/.%{}<>\\'\" é", max_size=30))
@quick
def test_query_and_path_when_any_text_then_no_500(bare: Api, query, path):
    expect_sane(bare.get("/v1/me", query_string={"fields": query}))
    expect_sane(bare.anonymous("/problems/" + path))
    expect_sane(bare.anonymous("/" + path.lstrip("/")))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe{}", 400, "malformed_json"),
        ("{}".encode("utf-16"), 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"attributes":' + b'{"a":' * 40 + b"1" + b"}" * 41, 400, "malformed_json"),
        (b'{"name": NaN}', 400, "malformed_json"),
        (b'{"name": "\\ud800"}', 400, "malformed_json"),
        (b'{"name": "a\\u0000b"}', 422, "validation_failed"),
        (b'{"name": "' + b"a" * 1_100_000 + b'"}', 413, "payload_too_large"),
    ],
)
def test_body_when_broken_in_a_known_way_then_its_code(bare: Api, body, status, code):
    """Oversized, deep, mistyped, truncated and wrongly encoded bodies: 4xx."""
    answer = bare.request("PATCH", "/v1/me", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_path_when_slashes_are_doubled_then_404_and_no_redirect_made_from_host(bare: Api):
    answer = bare.anonymous("//v1", headers={"Host": "evil.example"})
    assert answer.status_code == 404
    assert "evil" not in str(answer.headers)
