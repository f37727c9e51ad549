"""The tenant's /userinfo, asked by the API over real HTTP: when, when not, and what its failure means."""

import json
import sqlite3
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.issuer import Fault, Issuer

USERINFO = "/userinfo"


class Tenant(Issuer):
    """An issuer that has a /userinfo too."""

    userinfo = Fault()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path != USERINFO:
            super().answer(handler)
            return
        self.requests[handler.path] += 1
        self.seen_headers.append({name.lower(): value for name, value in handler.headers.items()})
        told = {"sub": tokens.SUBJECT, "name": "Ada", "email": "a@example.org", "email_verified": True}
        self._send(handler, self.userinfo, json.dumps(told).encode())


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with Tenant(tokens.rsa_key()) as issuer:
        yield issuer


@pytest.fixture
def online(tmp_path: Path, migrated: str, tenant: Tenant) -> Iterator[Api]:
    """The API of that tenant, with keys and addresses from its discovery."""
    with running(settings_for(tmp_path, migrated, tenant_issuers=(tenant.url,), jwks_file=None)) as api:
        yield api


def get_me(api: Api, tenant: Tenant, **claims: Any) -> TestResponse:
    audience = [tokens.AUDIENCE, tenant.origin + USERINFO]
    token = api.token(**{"iss": tenant.url, "aud": audience, **claims})
    return api.get("/v1/me", headers={"Authorization": f"Bearer {token}"})


def test_userinfo_when_the_token_is_for_it_too_then_the_profile_is_filled(online: Api, tenant: Tenant):
    """U10: `/v1/me` is made just in time at first use, from the token's claims and from the tenant's `/userinfo`."""
    answer = get_me(online, tenant)
    assert (answer.status_code, answer.json["name"], answer.json["email"]) == (200, "Ada", "a@example.org")
    assert tenant.seen_headers[-1]["authorization"].startswith("Bearer ey")


def test_userinfo_when_the_token_is_not_for_it_then_not_asked(online: Api, tenant: Tenant):
    """U10: only where the token's `aud` holds it."""
    answer = get_me(online, tenant, aud=[tokens.AUDIENCE])
    assert (answer.status_code, answer.json["name"], tenant.requests[USERINFO]) == (200, None, 0)


def test_userinfo_when_it_is_of_another_origin_then_no_token_is_sent_there(online: Api, tenant: Tenant):
    """U10: only at the endpoint of the issuer's own discovery and origin."""
    with Tenant() as stranger:
        elsewhere = stranger.origin + USERINFO
        tenant.metadata = {"userinfo_endpoint": elsewhere}
        answer = get_me(online, tenant, aud=[tokens.AUDIENCE, elsewhere])
        assert (answer.status_code, answer.json["name"], stranger.requests[USERINFO]) == (200, None, 0)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(drops=True),
        Fault(status=503),
        Fault(status=401),
        Fault(body=b"<html>"),
        Fault(body=b"[]"),
        Fault(body=b'{"sub": "somebody-else", "name": "Eve"}'),
        Fault(content_type="application/jwt"),
    ],
)
def test_userinfo_when_it_fails_then_200_with_nulls_and_asked_once_a_day(online: Api, tenant: Tenant, fault: Fault):
    """U10: at most once per account and day; its failure is a 200 with nulls."""
    tenant.userinfo = fault
    for _ in range(3):
        answer = get_me(online, tenant)
        assert (answer.status_code, answer.json["name"], answer.json["email"]) == (200, None, None)
    assert tenant.requests[USERINFO] == 1


def test_userinfo_when_it_is_silent_then_the_answer_waits_two_seconds_at_most(online: Api, tenant: Tenant):
    """U10: 2 s, outside any transaction: another user is served meanwhile, and nothing is locked."""
    tenant.userinfo = Fault(drips="silence")
    begun = time.monotonic()
    assert get_me(online, tenant).status_code == 200
    assert time.monotonic() - begun < 4


def test_userinfo_when_claims_tell_more_later_then_a_newer_token_wins(online: Api, tenant: Tenant):
    """U11: `email` and `email_verified` always follow the tenant."""
    get_me(online, tenant)
    later = int(time.time()) + 5  # inside the clock skew
    answer = get_me(online, tenant, iat=later, email="new@example.org")
    assert (answer.json["email"], answer.json["email_verified"]) == ("new@example.org", None)


def test_get_when_news_cannot_be_written_now_then_the_stored_profile_is_the_answer(tmp_path, migrated):
    """U11: a read costs no write unless something changed; one that cannot be made now must not fail the read."""
    with running(settings_for(tmp_path, migrated)) as api:
        assert api.get("/v1/me", headers={"Authorization": f"Bearer {api.token(name='Ada')}"}).json["name"] == "Ada"
        other = sqlite3.connect(migrated.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            busy = api.get("/v1/me", headers={"Authorization": f"Bearer {api.token(name='Countess')}"})
        finally:
            other.rollback()
            other.close()
        assert (busy.status_code, busy.json["name"]) == (200, "Ada")
        later = api.get("/v1/me", headers={"Authorization": f"Bearer {api.token(name='Countess')}"})
        assert later.json["name"] == "Countess"


def test_body_when_the_network_breaks_off_then_408_and_the_write_may_be_sent_again(tmp_path, migrated):
    """U7: an offline queue may park what is not `retryable` at once: a slow network must not lose a write."""

    class Broken:
        def read(self, _size: int = -1) -> bytes:
            raise ConnectionResetError

    with running(settings_for(tmp_path, migrated)) as api:
        answer = api.request(
            "PATCH",
            "/v1/me",
            content_type="application/json",
            environ_overrides={"wsgi.input": Broken(), "wsgi.input_terminated": True},
        )
    assert (answer.status_code, answer.json["code"], answer.json["retryable"]) == (408, "request_timeout", True)
