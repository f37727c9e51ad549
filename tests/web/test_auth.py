"""Where a token may stand, what its absence means, and the order of answers (tokens.md §1, §5, §6)."""

import time

import pytest

from tests.support import tokens
from tests.support.api import Api

REALM = 'realm="api.example", resource_metadata="https://api.example/.well-known/oauth-protected-resource"'
BARE = f'Bearer {REALM}, DPoP {REALM}, algs="ES256 Ed25519 EdDSA RS256 PS256"'


@pytest.mark.parametrize("place", ["query", "form", "cookie"])
def test_token_outside_the_header_when_sent_then_ignored(api: Api, place):
    """T1: A token in the query, a form field or a cookie is ignored."""
    client = api.app.test_client()
    token = api.token()
    if place == "cookie":
        client.set_cookie("access_token", token)
    options = {"query": {"query_string": {"access_token": token}}, "form": {"data": {"access_token": token}}}
    answer = client.open("/v1/whoami", method="GET", **options.get(place, {}))
    assert (answer.status_code, answer.json["code"]) == (401, "no_credentials")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  ", "bEaReR   "])
def test_scheme_when_any_case_and_spaces_then_accepted(api: Api, scheme):
    """T1: The scheme is case-insensitive; one or more spaces follow it."""
    assert api.get("/v1/whoami", headers={"Authorization": f"{scheme} {api.token()}"}).status_code == 200


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Bearer a b", "Bearer null", "Bearer undefined", "Bearer a,Bearer b", 'Bearer "a"']
)
def test_bearer_when_malformed_then_400(api: Api, value):
    """T2: `Bearer` with a malformed value is 400 `malformed_authorization`."""
    answer = api.get("/v1/whoami", headers={"Authorization": value})
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_authorization")
    assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]


def test_two_headers_when_joined_by_the_server_then_refused_on_the_comma(api: Api):
    """T2: WSGI servers join repeated headers with a comma: refuse on the comma."""
    token = api.token()
    answer = api.get("/v1/whoami", headers={"Authorization": f"Bearer {token},Bearer {token}"})
    assert answer.json["code"] == "malformed_authorization"


@pytest.mark.parametrize("value", [None, "", "Basic YTpi", "Token abc", "DPoPs abc"])
def test_no_credentials_when_header_absent_or_another_scheme_then_bare_challenge(api: Api, value):
    """T3: No header, an empty one, or another scheme is "no credentials": 401 with a bare challenge."""
    headers = {} if value is None else {"Authorization": value}
    answer = api.anonymous("/v1/whoami", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "no_credentials")
    assert answer.headers["WWW-Authenticate"] == BARE


def test_token_when_longer_than_the_limit_then_400_before_it_is_parsed(api: Api):
    """T4: A token longer than `MAX_TOKEN_BYTES` (16384) is 400 before it is parsed."""
    answer = api.get("/v1/whoami", headers={"Authorization": "Bearer " + "a" * 16385})
    assert (answer.status_code, answer.json["code"]) == (400, "token_too_large")


def test_optional_token_when_missing_then_anonymous_and_when_bad_then_401(api: Api):
    """T5: Where a token is optional, a missing one is anonymous and a bad one is still 401."""
    assert api.anonymous("/optional").json == {"sub": None}
    assert api.get("/optional").json == {"sub": api.subject}
    assert api.get("/optional", headers={"Authorization": "Bearer a.b.c"}).status_code == 401


def test_scopes_when_one_is_missing_then_403_names_exactly_what_the_route_wants(api: Api):
    """T26: with `scope="…"` (exactly what the route wants) on that 403."""
    answer = api.get("/all", scope="read:profile")
    assert (answer.status_code, answer.json["code"], answer.json["action"]) == (
        403,
        "insufficient_scope",
        "request_scope",
    )
    assert answer.json["scope"] == "read:profile read:email"
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert 'scope="read:profile read:email"' in answer.headers["WWW-Authenticate"]
    assert answer.json["retryable"] is True


@pytest.mark.parametrize(
    ("path", "scope", "status"),
    [
        ("/all", "read:profile read:email", 200),
        ("/all", "read:email", 403),
        ("/all", "READ:PROFILE read:email", 403),
        ("/all", "read:profiles read:email", 403),
        ("/any", "read:email", 200),
        ("/any", "write:profile", 403),
        ("/any", None, 403),
    ],
)
def test_scopes_when_all_or_any_are_wanted_then_whole_words_decide(api: Api, path, scope, status):
    """T21: `require_scopes` needs all; `require_any_scope` one; whole words, case-sensitive."""
    assert api.get(path, scope=scope).status_code == status


def test_permissions_when_missing_then_403_without_challenge_and_no_substitute_for_a_scope(api: Api):
    """T21: `permissions` is never a substitute for a scope; nor is a scope a substitute for it."""
    missing = api.get("/permission", scope="read:profile")
    assert (missing.status_code, missing.json["code"], missing.json["action"]) == (
        403,
        "permission_required",
        "ask_operator",
    )
    assert "WWW-Authenticate" not in missing.headers
    only = api.token(None, permissions=["reports:read", "read:profile"])
    assert api.get("/permission", headers={"Authorization": f"Bearer {only}"}).json["code"] == "insufficient_scope"
    both = api.token("read:profile", permissions=["reports:read"])
    assert api.get("/permission", headers={"Authorization": f"Bearer {both}"}).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"gty": "client-credentials"},
        {"sub": "abc@clients"},
        {"sub": tokens.CLIENT_ID},
        {"sub": "anon@123"},
    ],
)
def test_user_endpoint_when_no_user_then_403_user_required(api: Api, claims):
    """T22: User endpoints refuse `client` and `anonymous` tokens with 403 `user_required`."""
    answer = api.get("/v1/me", headers={"Authorization": f"Bearer {api.token(**claims)}"})
    assert (answer.status_code, answer.json["code"]) == (403, "user_required")
    assert "WWW-Authenticate" not in answer.headers
    assert api.get("/v1/whoami", headers={"Authorization": f"Bearer {api.token(**claims)}"}).status_code == 200


def test_unknown_path_when_no_token_then_404_and_wrong_method_405_with_allow(api: Api):
    """T30: 404/405 first (an unknown path without a token is 404); T29: 405 keeps `Allow`."""
    missing = api.anonymous("/v1/nothing")
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")
    wrong = api.anonymous("/v1/me", "DELETE")
    assert (wrong.status_code, wrong.json["code"]) == (405, "method_not_allowed")
    assert {"GET", "PATCH"} <= set(wrong.headers["Allow"].replace(" ", "").split(","))
    assert "WWW-Authenticate" not in wrong.headers


def test_order_when_everything_is_wrong_then_401_403_415_400_422_412(api: Api):
    """T30: 400/401 → 403 → 415/413 → 400/422 → 412."""
    bad = {"data": b"\xff", "content_type": "text/plain", "headers": {"If-Match": '"0"'}}
    assert api.anonymous("/v1/me", "PATCH", **bad).status_code == 401
    assert api.request("PATCH", "/v1/me", "read:profile", **bad).status_code == 403
    assert api.request("PATCH", "/v1/me", **bad).status_code == 415
    bad["content_type"] = "application/json"
    assert api.request("PATCH", "/v1/me", **bad).status_code == 400
    bad["data"] = b'{"name": 1}'
    assert api.request("PATCH", "/v1/me", **bad).status_code == 422
    bad["data"] = b'{"name": "Ada"}'
    assert api.request("PATCH", "/v1/me", **bad).status_code == 412


def test_options_when_no_token_then_the_methods(api: Api):
    """T29: HEAD and OPTIONS behave; a preflight needs no token."""
    answer = api.anonymous("/v1/me", "OPTIONS")
    assert answer.status_code == 200
    assert "PATCH" in answer.headers["Allow"]
    assert api.request("HEAD", "/v1/whoami").data == b""
    assert api.anonymous("/v1/whoami", "HEAD").status_code == 401


def test_expired_token_when_sent_then_401_tells_the_servers_time(api: Api):
    """T28: Failures of `exp`/`nbf`/`iat` also tell `server_time`."""
    old = api.token(exp=int(time.time()) - 3600)
    answer = api.get("/v1/whoami", headers={"Authorization": f"Bearer {old}"})
    assert (answer.status_code, answer.json["code"], answer.json["action"]) == (401, "token_expired", "refresh")
    assert abs(answer.json["server_time"] - time.time()) < 60
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_refusal_when_the_token_holds_markup_then_nothing_of_it_is_reflected(api: Api):
    """T26: Values are fixed texts from the table: nothing from the token is ever reflected."""
    marker = "zzmarkerzz"
    odd = api.token(iss=f"https://{marker}.example/")
    answer = api.get("/v1/whoami", headers={"Authorization": f"Bearer {odd}"})
    assert answer.json["code"] == "wrong_issuer"
    assert marker not in str(answer.headers) + answer.text


def test_caching_when_error_or_whoami_then_no_store_and_data_private(api: Api):
    """T29: Errors and `/v1/whoami`: `Cache-Control: no-store`; data: `private, no-cache`; `Vary: Authorization`."""
    for answer in (api.anonymous("/v1/me"), api.get("/v1/whoami")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Authorization" in answer.headers["Vary"]
    data = api.get("/v1/me")
    assert data.headers["Cache-Control"] == "private, no-cache"
    assert data.headers["Vary"] == "Authorization, Accept-Encoding"


def test_user_when_the_tenant_has_two_names_then_one_account(tmp_path, migrated):
    """T11: a user's identity is keyed by the first one listed: moving to a custom domain loses nobody's data."""
    from app.oauth.claims import TokenPolicy
    from app.oauth.keys.jwks import parse_key_set
    from app.oauth.keys.source import StaticKeySource
    from app.oauth.verifier import Verifier
    from app.records.terms import Terms
    from app.users.identity import Identity
    from app.web.runtime import Runtime
    from config.drain import Drain
    from tests.support.api import settings_for

    new, old = "https://login.example/", tokens.ISSUER
    settings = settings_for(tmp_path, migrated, tenant_issuers=(old, new), jwks_file=None)
    keys = parse_key_set(tokens.key_set(tokens.rsa_key()), ("RS256",))
    sources = {issuer: StaticKeySource(issuer, keys) for issuer in (old, new)}
    policy = TokenPolicy(issuers=(old, new), audiences=frozenset({tokens.AUDIENCE}), algorithms=("RS256",))
    parts = Runtime(settings, None, sources, Verifier(policy, sources), None, Terms(), Drain(0))  # type: ignore[arg-type]
    assert parts.identity_of(
        parts.verifier.verify(tokens.mint(tokens.rsa_key(), None, {"iss": new}), now=tokens.NOW)
    ) == (Identity(old, tokens.SUBJECT))
    keyed = {
        parts.identity_of(
            parts.verifier.verify(tokens.mint(tokens.rsa_key(), None, {"iss": issuer}), now=tokens.NOW)
        ).user_key
        for issuer in (old, new)
    }
    assert len(keyed) == 1
