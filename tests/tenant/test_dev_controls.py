"""D14, D16: mint, faults, clock, lifetimes; and who may turn them."""

import jwt
import pytest
import requests

from tests.support.tenant import API, NativeApp


def _claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def _get(tenant, path: str) -> requests.Response:
    return requests.get(tenant.url(path), timeout=10)


def test_mint_without_a_body_is_a_good_token_for_the_first_user(tenant):
    claims = _claims(tenant.mint())
    assert claims["sub"] == "auth0|ada"
    assert claims["aud"] == API
    assert claims["scope"].split() == [
        "read:profile", "read:email", "write:profile", "read:preferences", "write:preferences",
        "read:records", "write:records", "export:account", "delete:account",
    ]  # fmt: skip
    assert claims["exp"] - claims["iat"] == 86400


def test_mint_makes_exactly_what_it_is_told(tenant):
    token = tenant.mint(
        user="grace",
        client_id="another",
        scope="a b",
        audience="https://other.example",
        dialect="rfc9068",
        expires_in=-5,
        claims={"jti": None, "cnf": {"jkt": "x"}},
        header={"kid": None, "typ": "logout+jwt", "x": 1},
        key="next",
    )
    claims, header = _claims(token), jwt.get_unverified_header(token)
    assert claims["sub"] == "auth0|grace"
    assert claims["client_id"] == "another"
    assert (claims["scope"], claims["aud"]) == ("a b", "https://other.example")
    assert claims["exp"] == claims["iat"] - 5
    assert "jti" not in claims
    assert claims["cnf"] == {"jkt": "x"}
    assert header["typ"] == "logout+jwt"
    assert header["x"] == 1


def test_mint_signs_with_the_key_it_is_told(tenant):
    kids = [key["kid"] for key in _get(tenant, ".well-known/jwks.json").json()["keys"]]
    assert jwt.get_unverified_header(tenant.mint(key="next"))["kid"] == kids[1]
    assert jwt.get_unverified_header(tenant.mint(key="foreign"))["kid"] not in kids
    assert jwt.get_unverified_header(tenant.mint(key="foreign", header={"kid": kids[0]}))["kid"] == kids[0]


def test_mint_for_an_application_and_opaque(tenant):
    assert _claims(tenant.mint(sub="postern-m2m@clients"))["gty"] == "client-credentials"
    opaque = tenant.mint(audience=None)
    assert opaque.count(".") == 4
    assert tenant.userinfo(opaque).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"usr": "ada"},
        {"user": "nobody"},
        {"user": "ada", "sub": "x"},
        {"sub": 7},
        {"key": "old"},
        {"dialect": "x"},
        {"expires_in": "1"},
        {"expires_in": True},
        {"claims": []},
        {"audience": ["a"]},
        {"scope": 1},
        {"header": {"alg": "nope"}},
        [],
    ],
)
def test_mint_says_what_is_wrong(tenant, body):
    response = requests.post(tenant.url("_dev/mint"), json=body, timeout=10)
    assert response.status_code == 400
    assert response.json()["error"]


def test_controls_take_json_only(tenant):
    response = requests.post(tenant.url("_dev/mint"), data='{"user": "ada"}', timeout=10)
    assert response.status_code == 415


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_controls_refuse_pages_of_other_sites(tenant, headers):
    """D1: loopback only; a page open in this machine's browser must not turn them either (CSRF, DNS rebinding)."""
    response = requests.post(tenant.url("_dev/mint"), json={}, headers=headers, timeout=10)
    assert response.status_code == 403


def test_controls_have_a_page(tenant):
    page = _get(tenant, "_dev")
    assert page.status_code == 200
    assert "/_dev/mint" in page.text
    assert "&lt;script" not in page.text


@pytest.mark.parametrize(
    ("fault", "path", "status"),
    [
        ({"jwks": "down"}, ".well-known/jwks.json", 503),
        ({"jwks": "429"}, ".well-known/jwks.json", 429),
        ({"discovery": "down"}, ".well-known/openid-configuration", 503),
        ({"userinfo": "down"}, "userinfo", 503),
        ({"outage": True}, ".well-known/jwks.json", 503),
    ],
)
def test_fault_holds_for_a_number_of_requests(fresh_tenant, fault, path, status):
    """D14: faults on demand, for a number of requests."""
    before = _get(fresh_tenant, path).status_code
    fresh_tenant.dev("faults", fault | {"requests": 2})
    assert [_get(fresh_tenant, path).status_code for _ in range(3)] == [status, status, before]
    fresh_tenant.dev("faults", fault)
    assert [_get(fresh_tenant, path).status_code for _ in range(3)] == [status] * 3
    fresh_tenant.dev("faults", method="DELETE")
    assert _get(fresh_tenant, path).status_code == before


def test_outage_answers_503_to_everything_but_the_controls(fresh_tenant):
    fresh_tenant.dev("faults", {"outage": True})
    app = NativeApp(fresh_tenant)
    assert requests.get(app.authorize_url(), timeout=10).status_code == 503
    assert fresh_tenant.token(grant_type="refresh_token").status_code == 503
    assert fresh_tenant.mint()
    fresh_tenant.dev("faults", {"outage": None})
    assert _get(fresh_tenant, ".well-known/jwks.json").status_code == 200


def test_malformed_slow_and_token_faults(fresh_tenant):
    fresh_tenant.dev("faults", {"jwks": "malformed", "token": "500", "requests": 1})
    response = _get(fresh_tenant, ".well-known/jwks.json")
    assert response.status_code == 200
    with pytest.raises(ValueError, match="Expecting"):
        response.json()
    assert fresh_tenant.token(grant_type="x").status_code == 500
    fresh_tenant.dev("faults", {"jwks": "slow", "slow_seconds": 0.01, "token": "429", "requests": 1})
    assert _get(fresh_tenant, ".well-known/jwks.json").status_code == 200
    limited = fresh_tenant.token(grant_type="x")
    assert limited.status_code == 429
    assert limited.json()["error"] == "too_many_requests"
    assert limited.headers["x-ratelimit-remaining"] == "0"


@pytest.mark.parametrize(
    "body",
    [
        {"jwks": "broken"},
        {"nowhere": "down"},
        {"jwks": "down", "requests": 0},
        {"slow_seconds": "x"},
        {"slow_seconds": 1e9},
    ],
)
def test_unknown_fault_is_refused(tenant, body):
    assert requests.post(tenant.url("_dev/faults"), json=body, timeout=10).status_code == 400


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        ("expired", lambda c, now: c["exp"] < now),
        ("not_yet_valid", lambda c, now: c["nbf"] > now),
        ("wrong_audience", lambda c, _now: c["aud"] == "https://another-api.example"),
        ("wrong_issuer", lambda c, _now: c["iss"] == "https://another-tenant.example/"),
    ],
)
def test_access_token_fault_spoils_what_the_next_login_gives(fresh_tenant, fault, broken):
    """D14: tokens expired / not yet valid / wrong audience / wrong issuer / unknown kid."""
    fresh_tenant.dev("faults", {"access_token": fault, "requests": 1})
    answer = NativeApp(fresh_tenant).log_in()
    now = _claims(answer["id_token"])["iat"]
    assert broken(_claims(answer["access_token"]), now)
    again = NativeApp(fresh_tenant).refresh(answer["refresh_token"]).json()
    assert not {"nbf"} & set(_claims(again["access_token"]))
    assert _claims(again["access_token"])["exp"] > now


def test_unknown_kid_fault(fresh_tenant):
    fresh_tenant.dev("faults", {"access_token": "unknown_kid"})
    kids = [key["kid"] for key in _get(fresh_tenant, ".well-known/jwks.json").json()["keys"]]
    assert jwt.get_unverified_header(NativeApp(fresh_tenant).log_in()["access_token"])["kid"] not in kids


def test_clock_lifetimes_and_reset(fresh_tenant):
    right = _claims(fresh_tenant.mint())["iat"]
    fresh_tenant.dev("clock", {"offset_seconds": -7200})
    fresh_tenant.dev("lifetimes", {"access_token_seconds": 5})
    claims = _claims(fresh_tenant.mint())
    assert claims["iat"] < right - 7000
    assert claims["exp"] - claims["iat"] == 5
    fresh_tenant.dev("lifetimes", {"access_token_seconds": None})
    assert NativeApp(fresh_tenant).log_in()["expires_in"] == 86400
    fresh_tenant.dev("reset")
    assert fresh_tenant.dev("state", method="GET")["clock"]["offset_seconds"] == 0
    for path, body in [
        ("clock", {}),
        ("clock", {"offset_seconds": "1"}),
        ("lifetimes", {"x": 1}),
        ("lifetimes", {"code_seconds": -1}),
    ]:
        assert requests.post(fresh_tenant.url("_dev/" + path), json=body, timeout=10).status_code == 400


def test_log_can_be_filtered_and_cleared(fresh_tenant):
    fresh_tenant.dev("keys/rotate")
    fresh_tenant.token(grant_type="refresh_token", client_id="postern-native", refresh_token="x")
    events = _get(fresh_tenant, "_dev/log?type=fertft&limit=5").json()["events"]
    assert [event["type"] for event in events] == ["fertft"]
    assert events[0]["client_id"] == "postern-native"
    fresh_tenant.dev("log", method="DELETE")
    assert fresh_tenant.event_types() == []
