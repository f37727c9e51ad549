"""The limits as an app meets them: who shares a quota, what a 429 says, and what is never limited."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.issuer import Issuer
from tests.support.limits import settled_address, settled_client, settled_user

FRESH = re.compile(r'"requests";r=4;t=[1-9][0-9]?')
Limited = Callable[..., Api]


@pytest.fixture
def limited(tmp_path: Path, migrated: str) -> Iterator[Limited]:
    """Make the API with small limits, for a user whose minute has just begun."""
    with ExitStack() as stack:

        def make(requests: int = 5, writes: int = 2, failures: int = 3, **settings: Any) -> Api:
            limits = {
                "rate_limit_requests_per_minute": requests,
                "rate_limit_writes_per_minute": writes,
                "rate_limit_failures_per_minute": failures,
            }
            api = stack.enter_context(running(settings_for(tmp_path, migrated, **limits, **settings)))
            return api.as_user(settled_user())

        yield make


def ask(api: Api, token: str, path: str = "/v1/whoami", address: str = "127.0.0.1", **fields: str) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}", **fields}
    return api.app.test_client().get(path, headers=headers, environ_overrides={"REMOTE_ADDR": address})


def forged(api: Api) -> str:
    """A token whose signature is another token's."""
    head, claims, _ = api.token().split(".")
    return f"{head}.{claims}.{api.token(jti='other').rsplit('.', 1)[1]}"


def statuses(answers: list[TestResponse]) -> list[int]:
    return [answer.status_code for answer in answers]


def test_requests_when_the_limit_is_passed_then_429_says_when_to_come_again(limited: Limited):
    """U8: 429 with `Retry-After`; T27: nothing in it lets an app log its user out."""
    api = limited(requests=5)
    answers = [api.get("/v1/whoami") for _ in range(6)]
    assert statuses(answers) == [200] * 5 + [429]
    refused = answers[-1]
    seconds = int(refused.headers["Retry-After"])
    assert 1 <= seconds <= 60
    assert refused.headers["RateLimit"] == f'"requests";r=0;t={seconds}'
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert "WWW-Authenticate" not in refused.headers
    told = {name: refused.json[name] for name in ("code", "status", "action", "retryable", "policy")}
    assert told == {
        "code": "rate_limited", "status": 429, "action": "retry_later", "retryable": True, "policy": "requests",
    }  # fmt: skip


def test_writes_when_the_limit_is_passed_then_nothing_is_changed_and_reads_go_on(limited: Limited):
    """§5: writes have a limit of their own."""
    api = limited(requests=9, writes=2)
    answers = [api.patch("/v1/me", {"nickname": name}) for name in ("one", "two", "three")]
    assert statuses(answers) == [200, 200, 429]
    assert answers[-1].json["policy"] == "writes"
    assert '"writes";r=0' in answers[-1].headers["RateLimit"]
    assert api.get("/v1/me").json["nickname"] == "two"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_write_when_it_is_refused_for_itself_then_it_is_counted_all_the_same(limited: Limited, method: str):
    """Its scope is missing: who is told 403 again and again is asking all the same."""
    api = limited(writes=1)
    path = {"POST": "/v1/me/deletion", "PUT": "/v1/me/preferences", "PATCH": "/v1/me"}.get(method, "/v1/me/deletion")
    answers = [api.request(method, path, "read:email", json={}) for _ in range(2)]
    assert statuses(answers) == [403, 429]


def test_batch_when_it_holds_many_operations_then_it_is_one_write(limited: Limited):
    """One batch is what an app should send instead of many writes: MAX_BATCH_OPERATIONS bounds it."""
    api = limited(writes=1)
    operations = [{"op": "put", "collection": "notes", "id": f"n{n}", "data": {}} for n in range(50)]
    answers = [api.request("POST", "/v1/batch", "write:records", json={"operations": operations}) for _ in range(2)]
    assert statuses(answers) == [200, 429]
    assert '"writes";r=0' in answers[0].headers["RateLimit"]


def test_quota_when_two_devices_of_one_user_ask_then_they_share_it(limited: Limited):
    """§5: a minute, a user; each device has a token of its own."""
    api = limited(requests=4)
    devices = [api.token(jti="phone", azp="ios"), api.token(jti="tablet", azp="android")]
    answers = [ask(api, devices[n % 2], address=f"198.51.100.{n}") for n in range(5)]
    assert statuses(answers) == [200] * 4 + [429]


def test_quota_when_two_users_ask_then_they_do_not_share_it(limited: Limited):
    api = limited(requests=2)
    other = api.as_user(settled_user(prefix="google|"))
    assert statuses([api.get("/v1/whoami") for _ in range(3)]) == [200, 200, 429]
    assert statuses([other.get("/v1/whoami") for _ in range(3)]) == [200, 200, 429]


def test_quota_when_the_tenant_has_two_names_then_a_user_has_one_quota(limited: Limited):
    """T11: users are keyed by the first issuer; another name of the tenant is no second quota."""
    keys = tokens.rsa_key("first"), tokens.rsa_key("second")
    with Issuer(keys[0]) as first, Issuer(keys[1]) as second:
        names = first.url, second.url
        api = limited(requests=2, tenant_issuers=names, jwks_file=None)
        now = int(time.time())
        claims = {"sub": settled_user(tenant=first.url), "aud": tokens.AUDIENCE, "iat": now, "exp": now + 600}
        seen = [ask(api, tokens.mint(key, None, claims | {"iss": name})) for key, name in zip(keys, names, strict=True)]
        third = ask(api, tokens.mint(keys[1], None, claims | {"iss": second.url}))
    assert [answer.json["issuer"] for answer in seen] == list(names)
    assert statuses([*seen, third]) == [200, 200, 429]


def test_quota_when_a_client_asks_for_itself_then_it_has_one_by_its_id(limited: Limited):
    api = limited(requests=2)
    client = settled_client()
    token = api.token(sub=f"{client}@clients", azp=client, gty="client-credentials")
    answers = [ask(api, token) for _ in range(3)]
    assert answers[0].json["kind"] == "client"
    assert statuses(answers) == [200, 200, 429]
    assert api.get("/v1/whoami").status_code == 200


def test_fields_when_a_token_is_good_then_every_answer_has_them(limited: Limited):
    """U8: `RateLimit-Policy` and `RateLimit` fields: on 200, 304, 403, 404 and 422 alike."""
    api = limited(requests=50, writes=20)
    scope = "read:profile read:email write:profile read:records"
    etag = api.get("/v1/me").headers["ETag"]
    answers = [
        api.get("/v1/me"),
        api.get("/v1/me", headers={"Authorization": f"Bearer {api.token()}", "If-None-Match": etag}),
        api.get("/v1/me", scope="read:records"),
        api.get("/v1/collections/notes/records/none", scope=scope),
        api.patch("/v1/me", {"nickname": 1}),
    ]
    assert statuses(answers) == [200, 304, 403, 404, 422]
    for left, answer in zip(range(48, 43, -1), answers, strict=True):
        assert answer.headers.getlist("RateLimit-Policy") == ['"requests";q=50;w=60, "writes";q=20;w=60']
        (limit,) = answer.headers.getlist("RateLimit")
        assert limit.startswith(f'"requests";r={left};t=')
        assert ("writes" in limit) is (answer is answers[-1])


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/v1", "/v1/openapi.json", "/problems", "/.well-known/oauth-protected-resource"]
)
def test_public_routes_when_asked_without_end_then_they_are_never_limited(limited: Limited, path: str):
    """/livez and /readyz are the balancer's; a token that comes along is not looked at, good or bad."""
    api = limited(requests=1, failures=1)
    tokens_along = [api.token(), api.token(), "x.y.z", "x.y.z", forged(api)]
    answers = [ask(api, token, path) for token in tokens_along] + [api.anonymous(path) for _ in range(3)]
    assert statuses(answers) == [200] * 8
    assert not any("RateLimit" in answer.headers for answer in answers)


def test_limits_when_all_are_off_then_nothing_is_said(limited: Limited):
    """0 turns a limit off."""
    api = limited(requests=0, writes=0, failures=0)
    answers = [api.get("/v1/whoami") for _ in range(20)] + [ask(api, "x.y.z") for _ in range(20)]
    assert statuses(answers) == [200] * 20 + [401] * 20
    assert not any("RateLimit" in answer.headers for answer in answers)


@pytest.mark.parametrize("kind", ["malformed", "forged"])
def test_bad_tokens_when_one_address_sends_too_many_then_429_instead_of_the_reason(limited: Limited, kind: str):
    """§5: per address only malformed and badly signed tokens count."""
    api, address = limited(failures=3), settled_address()
    token = "ey.no.token" if kind == "malformed" else forged(api)
    answers = [ask(api, token, address=address) for _ in range(4)]
    assert statuses(answers) == [401, 401, 401, 429]
    refused = answers[-1]
    assert (refused.json["code"], refused.json["policy"]) == ("rate_limited", "failures")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Policy"] == '"failures";q=3;w=60'
    assert "WWW-Authenticate" not in refused.headers
    assert not any("RateLimit" in answer.headers for answer in answers[:3])


def test_good_tokens_when_a_neighbour_sends_bad_ones_then_they_are_served(limited: Limited):
    """§5: many phones share one carrier's address: also at their first sight, also an expired one gets its 401."""
    api, address = limited(requests=50, failures=1), settled_address()
    assert statuses([ask(api, "ey.no.token", address=address) for _ in range(3)]) == [401, 429, 429]
    assert ask(api, api.token(jti="never seen"), address=address).status_code == 200
    expired = ask(api, api.token(exp=1_700_000_000, iat=1_699_999_000), address=address)
    assert (expired.status_code, expired.json["code"]) == (401, "token_expired")


def test_other_refusals_when_they_come_in_numbers_then_the_address_is_not_limited(limited: Limited):
    """§5: an expired token, a missing token, a missing scope never count."""
    api, address = limited(requests=99, writes=99, failures=1), settled_address()
    refused = {
        "token_expired": api.token(exp=1_700_000_000, iat=1_699_999_000),
        "wrong_audience": api.token(aud="https://other.example"),
        "wrong_issuer": api.token(iss="https://other.example/"),
        "opaque_token": "opaque",
        "unknown_key": tokens.mint(tokens.rsa_key("never published")),
    }
    for code, token in refused.items():
        answers = [ask(api, token, address=address) for _ in range(3)]
        assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(401, code)] * 3
    assert statuses([ask(api, api.token("read:email"), "/v1/me", address) for _ in range(3)]) == [403] * 3
    missing = [api.anonymous("/v1/me", environ_overrides={"REMOTE_ADDR": address}) for _ in range(3)]
    assert statuses(missing) == [401] * 3
    # None of them has used anything up.
    assert ask(api, "ey.no.token", address=address).status_code == 401
    assert ask(api, "ey.no.token", address=address).status_code == 429


def test_bad_tokens_when_they_come_through_a_proxy_then_the_caller_is_counted(limited: Limited):
    """TRUSTED_PROXIES: the rightmost entry that is no proxy of ours; what the caller adds itself changes nothing."""
    api = limited(failures=2, trusted_proxies=("10.0.0.0/8",))
    caller, neighbour = settled_address(network="203.0.113"), settled_address(network="198.51.100")

    def through_proxy(address: str, made_up: str) -> int:
        field = f"{made_up}, {address}"
        return ask(api, "ey.no.token", address="10.0.0.1", **{"X-Forwarded-For": field}).status_code

    assert [through_proxy(caller, f"192.0.2.{n}") for n in range(3)] == [401, 401, 429]
    assert through_proxy(neighbour, "192.0.2.1") == 401


def test_bad_tokens_when_the_field_comes_from_a_stranger_then_it_helps_nobody(limited: Limited):
    api, address = limited(failures=2), settled_address()
    fields = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in range(3)]
    answers = [ask(api, "ey.no.token", address=address, **field) for field in fields]
    assert statuses(answers) == [401, 401, 429]


def test_requests_when_they_race_then_exactly_the_limit_is_served(limited: Limited):
    """The negative control is in limiting/test_counters.py, where the counting is."""
    api = limited(requests=30)
    token, start = api.token(), threading.Barrier(6)
    seen: list[int] = []

    def work() -> None:
        start.wait(30)
        seen.extend(ask(api, token).status_code for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen.count(200), seen.count(429)) == (30, 30)


def test_readiness_when_asked_then_it_says_who_shares_the_counts(limited: Limited, valkey_url: str):
    """For information: it makes nobody unready."""
    assert limited().anonymous("/readyz").json["checks"]["limits"] == {"ok": True, "shared": False, "error": None}
    shared = limited(shared_store_url=valkey_url)
    assert shared.anonymous("/readyz").json["checks"]["limits"]["shared"] is True
    off = limited(requests=0, writes=0, failures=0).anonymous("/readyz")
    assert (off.status_code, off.json["checks"]["limits"]["ok"]) == (200, True)
    down = limited(shared_store_url="valkey://127.0.0.1:1")
    assert FRESH.match(down.get("/v1/whoami").headers["RateLimit"])
    ready = down.anonymous("/readyz")
    assert (ready.status_code, ready.json["checks"]["limits"]["error"]) == (200, "ConnectionError")


def test_stop_when_there_is_a_shared_store_then_its_connections_are_closed(limited: Limited, valkey_url: str):
    """Those of the proofs' client stayed open: a worker that went away left them to the server's time-out."""
    from valkey import Valkey

    from app.stores.proofs_valkey import ValkeyProofStore

    def connections() -> int:
        with Valkey.from_url(valkey_url) as client:
            database = valkey_url.partition("db=")[2]
            return sum(one["db"] == database for one in client.client_list()) - 1

    # Patient, so that a busy machine closes none before its time.
    api = limited(shared_store_url=f"{valkey_url}&socket_timeout=20")
    parts = api.app.extensions["postern"]
    api.get("/v1/whoami")
    proofs = parts.verifier._proofs._store
    assert isinstance(proofs, ValkeyProofStore)
    proofs.remember("thumbprint", "digest", expires_at=1_800_000_060, now=1_800_000_000)
    assert connections() == 2
    parts.stop()
    assert connections() == 0
