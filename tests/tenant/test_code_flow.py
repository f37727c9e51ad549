"""D6, D9: authorization code with PKCE, from the form to the tokens."""

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import requests

from tests.support.tenant import API, CALLBACK, CLIENT_ID, Browser, NativeApp, Page, RunningTenant


def _verified(tenant: RunningTenant, token: str, audience: str) -> dict:
    """Verify as a stranger would: by the published keys, with another library."""
    keys = requests.get(tenant.url(".well-known/jwks.json"), timeout=10).json()["keys"]
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWK(next(key for key in keys if key["kid"] == kid))
    return jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=tenant.issuer)


def test_flow_when_user_logs_in_and_consents_gives_tokens_that_verify(tenant, app, browser):
    """RFC 9207 §2: 'an authorization server supporting this specification MUST indicate its identity by including
    the iss parameter in the response.' The state comes back as it was sent.
    """
    page = browser.open(app.authorize_url(prompt="consent"))
    assert isinstance(page, Page)
    assert (page.path, page.status) == ("/u/login", 200)
    assert set(page.fields) == {"state", "csrf_token", "username", "password"}
    page = browser.log_in(page)
    assert isinstance(page, Page)
    assert "Change your profile" in page.text
    reached = browser.consent(page)
    assert isinstance(reached, dict)
    assert reached["state"] == app.state
    assert reached["iss"] == tenant.issuer
    assert reached["_callback"].startswith(CALLBACK + "?")

    response = app.exchange(reached["code"])
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    answer = response.json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 86400
    access = _verified(tenant, answer["access_token"], API)
    assert access["sub"] == "auth0|ada"
    assert access["azp"] == CLIENT_ID
    assert access["scope"] == answer["scope"]
    assert "jti" not in access
    assert access["https://postern.example/roles"] == ["editor"]
    assert access["https://postern.example/attributes"] == {"plan": "pro"}
    assert jwt.get_unverified_header(answer["access_token"])["typ"] == "JWT"

    identity = _verified(tenant, answer["id_token"], CLIENT_ID)
    half = hashlib.sha256(answer["access_token"].encode()).digest()[:16]
    assert identity["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
    assert identity["nonce"] == app.nonce
    assert identity["email"] == "ada@example.org"
    assert identity["sid"]
    assert abs(identity["auth_time"] - identity["iat"]) < 60


def test_second_login_in_the_same_browser_needs_neither_form(app, browser):
    browser.go_through(app.authorize_url())
    assert "code" in browser.open(app.authorize_url())


def test_code_when_used_twice_is_refused_and_revokes_what_it_gave(tenant, app, browser):
    """RFC 6749 §4.1.2: 'If an authorization code is used more than once, the authorization server MUST deny the
    request and SHOULD revoke (when possible) all tokens previously issued based on that authorization code.'
    """
    code = browser.go_through(app.authorize_url())["code"]
    first = app.exchange(code).json()
    assert tenant.userinfo(first["access_token"]).status_code == 200
    again = app.exchange(code)
    assert again.status_code == 403
    assert again.json() == {"error": "invalid_grant", "error_description": "Invalid authorization code"}
    assert app.refresh(first["refresh_token"]).status_code == 403
    assert tenant.userinfo(first["access_token"]).status_code == 401


def test_code_when_exchanged_by_many_at_once_gives_tokens_once(app, browser):
    """RFC 6749 §4.1.2: 'The client MUST NOT use the authorization code more than once.'"""
    code = browser.go_through(app.authorize_url())["code"]
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda _: app.exchange(code).status_code, range(6)))
    assert sorted(statuses) == [200, 403, 403, 403, 403, 403]


def test_code_after_sixty_seconds_is_refused(fresh_tenant):
    """D6: a code lives 60 s."""
    app = NativeApp(fresh_tenant)
    with Browser(fresh_tenant) as browser:
        code = browser.go_through(app.authorize_url())["code"]
        fresh_tenant.dev("clock", {"offset_seconds": 60})
        assert app.exchange(code).json()["error_description"] == "Invalid authorization code"


def test_code_with_wrong_verifier_is_refused(app, browser):
    """RFC 7636 §4.6: 'If the values are not equal, an error response indicating "invalid_grant" ... MUST be
    returned.'
    """
    code = browser.go_through(app.authorize_url())["code"]
    response = app.exchange(code, code_verifier="w" * 43)
    assert response.status_code == 403
    assert response.json() == {"error": "invalid_grant", "error_description": "Failed to verify code verifier"}
    assert app.exchange(code, code_verifier="").json()["error"] == "invalid_request"


@pytest.mark.parametrize("changes", [{"redirect_uri": CALLBACK + "2"}, {"client_id": "postern-other"}])
def test_code_is_bound_to_application_and_redirect_address(app, browser, changes):
    """RFC 6749 §4.1.2: 'The authorization code is bound to the client identifier and redirection URI.'"""
    code = browser.go_through(app.authorize_url())["code"]
    assert app.exchange(code, **changes).status_code in (401, 403)
    assert app.exchange(code).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": "short"},
    ],
)
def test_request_without_s256_goes_back_as_invalid_request(app, browser, changes):
    """RFC 9700 §2.1.1: 'public clients MUST use PKCE'; D6: S256 required, `plain` refused."""
    reached = browser.open(app.authorize_url(**changes))
    assert reached["error"] == "invalid_request"
    assert reached["state"] == app.state
    assert "code" not in reached


def test_error_redirect_names_the_issuer_too(tenant, app, browser):
    """RFC 9207 §2: 'In authorization responses to the client, including error responses, ...'"""
    reached = browser.open(app.authorize_url(response_type="token"))
    assert reached["error"] == "unsupported_response_type"
    assert reached["iss"] == tenant.issuer


def test_token_endpoint_takes_json_as_well(tenant, app, browser):
    """D1: form AND JSON bodies (Auth0's SDKs send JSON)."""
    code = browser.go_through(app.authorize_url())["code"]
    body = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "code": code, "redirect_uri": CALLBACK}
    response = requests.post(tenant.url("oauth/token"), json=body | {"code_verifier": app.verifier}, timeout=10)
    assert response.status_code == 200


@pytest.mark.parametrize("body", ["[]", "{", '{"grant_type": {"a": 1}}', "null", '"x"'])
def test_token_endpoint_with_odd_json_is_400(tenant, body):
    headers = {"Content-Type": "application/json"}
    response = requests.post(tenant.url("oauth/token"), data=body, headers=headers, timeout=10)
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"


def test_token_endpoint_never_reads_the_query(tenant, app, browser):
    """RFC 6749 §2.3.1: 'The parameters can only be transmitted in the request-body and MUST NOT be included in the
    request URI.'
    """
    code = browser.go_through(app.authorize_url())["code"]
    parameters = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "code": code}
    response = requests.post(tenant.url("oauth/token"), params=parameters, timeout=10)
    assert response.status_code == 400
    assert response.json()["error_description"] == "Missing required parameter: grant_type"


@pytest.mark.parametrize(
    ("form", "status", "body"),
    [
        ({"grant_type": "password"}, 403, {"error": "unsupported_grant_type"}),
        ({"grant_type": "authorization_code", "client_id": "nobody", "code": "x"}, 401, {"error": "access_denied"}),
        ({"grant_type": "authorization_code", "client_id": CLIENT_ID, "code": "x"}, 403, {"error": "invalid_grant"}),
        ({"grant_type": "authorization_code", "client_id": CLIENT_ID}, 400, {"error": "invalid_request"}),
        ({"grant_type": "refresh_token", "client_id": "postern-m2m"}, 401, {"error": "access_denied"}),
    ],
)
def test_token_endpoint_errors_have_auth0s_statuses(tenant, form, status, body):
    """D9: error bodies with Auth0's statuses."""
    response = tenant.token(**form)
    assert response.status_code == status
    assert body.items() <= response.json().items()


def test_log_says_why_and_holds_no_secret(fresh_tenant):
    """D15: a log in Auth0's event codes that says why something was refused."""
    app = NativeApp(fresh_tenant)
    answer = app.log_in()
    app.exchange("made-up")
    app.refresh(answer["refresh_token"])
    events = fresh_tenant.dev("log", method="GET")["events"]
    assert [event["type"] for event in events] == ["sertft", "feacft", "seacft", "s", "s"]
    assert "Invalid authorization code" in events[1]["description"]
    text = json.dumps(events)
    assert not any(answer[name] in text for name in ("access_token", "refresh_token", "id_token"))
