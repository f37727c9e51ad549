"""An app moves from a tenant's canonical domain to its custom one: the same user, the same data, no common fate."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer
from tests.support.issuer import Fault, Issuer
from tests.support.tenant import RunningTenant, running_tenant

PATIENCE_SECONDS = 60.0
SUBJECT = "auth0|5f7c8ec7c33c6c004bbafe82"


class Name(Issuer):
    """One of the names of a tenant, with keys and a /userinfo of its own."""

    def __init__(self, kid: str) -> None:
        super().__init__(tokens.rsa_key(kid))
        self.kid = kid
        self.asked: list[str] = []
        """The tokens that came to /userinfo."""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path != "/userinfo":
            super().answer(handler)
            return
        token = handler.headers["Authorization"].removeprefix("Bearer ")
        self.asked.append(token)
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        document = {"sub": claims["sub"], "name": f"Ada, as {self.kid} knows her"}
        self._send(handler, Fault(), json.dumps(document).encode())

    def token(self, subject: str = SUBJECT, **claims: object) -> str:
        """A token of this name, good for its /userinfo too."""
        now = int(time.time())
        changes = {
            "iss": self.url,
            "aud": [AUDIENCE, f"{self.origin}/userinfo"],
            "sub": subject,
            "iat": now,
            "exp": now + 600,
            "scope": "openid profile read:profile write:profile",
        }
        return tokens.mint(tokens.rsa_key(self.kid), None, changes | claims)


@pytest.fixture
def names() -> Iterator[tuple[Name, Name]]:
    with Name("canonical") as canonical, Name("custom") as custom:
        yield canonical, custom


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def server_for(servers: ExitStack, directory: Path, *issuers: str) -> GunicornServer:
    return servers.enter_context(GunicornServer(directory, ",".join(issuers), WEB_CONCURRENCY="1").running())


def patiently(server: GunicornServer, token: str, path: str = "/v1/whoami") -> requests.Response:
    """Do what a 503 says until the answer is 200; any other answer fails the test."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    answer = server.get(token, path)
    while answer.status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(int(answer.headers["Retry-After"]))
        answer = server.get(token, path)
    assert answer.status_code == 200, answer.text
    return answer


def write(server: GunicornServer, token: str, colour: str) -> None:
    answer = server.request("PATCH", "/v1/me", token, json={"attributes": {"colour": colour}})
    assert answer.status_code == 200, answer.text


def test_move_to_a_custom_domain_keeps_the_users_data(names: tuple[Name, Name], servers: ExitStack, tmp_path: Path):
    """T11: "keyed by the first one listed, so that moving to a custom domain loses nobody's data"."""
    canonical, custom = names
    server = server_for(servers, tmp_path, canonical.url)
    old, new = canonical.token(), custom.token()
    write(server, old, "green")
    before = server.get(old, "/v1/me")
    assert server.get(new).json()["code"] == "wrong_issuer"
    server.stop()
    server.start(TENANT_ISSUER=f"{canonical.url},{custom.url}")
    # During the move both are accepted, and see the same.
    moved = server.get(new, "/v1/me")
    assert (moved.status_code, moved.json()) == (200, before.json())
    assert moved.headers["ETag"] == before.headers["ETag"]
    assert server.get(old, "/v1/me").json() == before.json()
    write(server, new, "blue")
    assert server.get(old, "/v1/me").json()["attributes"] == {"colour": "blue"}
    write(server, old, "red")
    assert server.get(new, "/v1/me").json()["attributes"] == {"colour": "red"}


def test_move_when_the_order_is_turned_around_finds_nothing(
    names: tuple[Name, Name], servers: ExitStack, tmp_path: Path
):
    """The control of the test above: it is the first name, and not the token's, that keys the data."""
    canonical, custom = names
    server = server_for(servers, tmp_path, canonical.url)
    write(server, canonical.token(), "green")
    server.stop()
    server.start(TENANT_ISSUER=f"{custom.url},{canonical.url}")
    assert server.get(canonical.token(), "/v1/me").json()["attributes"] == {}


@pytest.mark.parametrize("down", ["canonical", "custom"])
def test_names_when_one_is_down_from_the_start_the_other_is_not_disturbed(
    names: tuple[Name, Name], servers: ExitStack, tmp_path: Path, down: str
):
    """T11: "each with its own key set"; K10: the other name must not take the API out of the balancer."""
    dead, alive = names if down == "canonical" else (names[1], names[0])
    dead.down()
    server = server_for(servers, tmp_path, names[0].url, names[1].url)
    write(server, alive.token(), "green")
    assert server.get(alive.token(), "/v1/me").json()["attributes"] == {"colour": "green"}
    refused = server.get(dead.token())
    assert (refused.status_code, refused.json()["code"]) == (503, "keys_unavailable")
    assert "WWW-Authenticate" not in refused.headers
    # A kid of the one name says nothing about the other: still our fault, and never "unknown".
    assert server.get(dead.token("auth0|other")).status_code == 503
    assert server.readiness().status_code == 200
    dead.up()
    # The data is that of the same user.
    assert patiently(server, dead.token(), "/v1/me").json()["attributes"] == {"colour": "green"}


def test_names_when_one_goes_down_later_both_serve_on(names: tuple[Name, Name], servers: ExitStack, tmp_path: Path):
    """K6, T11: held keys serve on, and the tenant that is up can rotate meanwhile."""
    canonical, custom = names
    server = server_for(servers, tmp_path, canonical.url, custom.url)
    canonical.down()
    assert {server.get(name.token(f"auth0|{n}")).status_code for name in names for n in range(8)} == {200}
    custom.kid = "custom-2"
    custom.rotate(tokens.rsa_key("custom"), tokens.rsa_key("custom-2"))
    for number in range(16):
        patiently(server, custom.token(f"auth0|{number}"))
    assert server.get(canonical.token("auth0|later")).status_code == 200


def test_names_share_no_keys(names: tuple[Name, Name], servers: ExitStack, tmp_path: Path):
    """T11: a key of the one name signs nothing for the other, though both are the same tenant."""
    canonical, custom = names
    server = server_for(servers, tmp_path, canonical.url, custom.url)
    crossed = tokens.mint(
        tokens.rsa_key("custom"),
        None,
        {"iss": canonical.url, "aud": AUDIENCE, "iat": int(time.time()), "exp": int(time.time()) + 600},
    )
    codes = {server.get(crossed).json()["code"] for _ in range(8)}
    assert codes <= {"unknown_key", "keys_unavailable"}
    forged = tokens.mint(
        tokens.rsa_key("custom"),
        {"kid": "canonical"},
        {"iss": canonical.url, "aud": AUDIENCE, "iat": int(time.time()), "exp": int(time.time()) + 600},
    )
    assert server.get(forged).json()["code"] == "bad_signature"
    assert server.get(canonical.token()).status_code == 200


@pytest.mark.parametrize("which", [0, 1])
def test_userinfo_is_asked_at_the_name_of_the_token(
    names: tuple[Name, Name], servers: ExitStack, tmp_path: Path, which: int
):
    """T11, U10: the user's token goes to the name that issued it, and to no other."""
    server = server_for(servers, tmp_path, names[0].url, names[1].url)
    asked, other = names[which], names[1 - which]
    token = asked.token()
    assert server.get(token, "/v1/me").json()["name"] == f"Ada, as {asked.kid} knows her"
    assert (asked.asked, other.asked) == ([token], [])
    # The day's request is the account's, whatever name its next token is of.
    assert server.get(other.token(), "/v1/me").json()["name"] == f"Ada, as {asked.kid} knows her"
    assert other.asked == []


def test_development_tenant_under_two_names_is_one_user(servers: ExitStack, tmp_path: Path):
    """T11 with a tenant that issues the tokens itself: Ada logs in at one domain, then at the other."""
    canonical = servers.enter_context(running_tenant(tmp_path / "canonical", api_identifier=AUDIENCE))
    custom = servers.enter_context(running_tenant(tmp_path / "custom", api_identifier=AUDIENCE))
    server = server_for(servers, tmp_path, canonical.issuer, custom.issuer)
    write(server, adas(canonical), "green")
    me = server.get(adas(custom), "/v1/me").json()
    assert (me["name"], me["attributes"]) == ("Ada Lovelace", {"colour": "green"})
    canonical.dev("faults", {"outage": True})
    write(server, adas(custom), "blue")
    canonical.dev("faults", method="DELETE")
    assert server.get(adas(canonical), "/v1/me").json()["attributes"] == {"colour": "blue"}


def adas(tenant: RunningTenant) -> str:
    return tenant.mint(user="auth0|ada", scope="openid profile read:profile write:profile")
