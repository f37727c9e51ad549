"""Bound tokens at the whole API: what is asked of the app, and what it is told (P1 to P4, T26 to T28)."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.test import TestResponse

from app.oauth.dpop.faults import Fault, ProofsUnavailable, TooManyProofs
from app.oauth.dpop.nonces import Nonces
from app.web.problem_help import HELP
from tests.support.api import Api, running, settings_for
from tests.support.proofs import APP_KEY, OTHER_KEY, Request, public_jwk
from tests.support.published import published
from tests.support.tokens import DELETED
from tests.support.valkey import running_valkey

KEY = "0123456789abcdef0123456789abcdef"
CHALLENGE = re.compile(r", (?=(?:Bearer|DPoP) )")
WHOAMI = "/v1/whoami"


class App:
    """An app that holds a key and a token that is bound to it."""

    def __init__(self, api: Api, **claims: Any) -> None:
        self.api = api
        self.token = api.token(**({"cnf": {"jkt": APP_KEY.thumbprint()}} | claims))

    def wants(self, path: str = WHOAMI, method: str = "GET") -> Request:
        """What a proof for this request has to say."""
        return Request(self.token, method, "https://api.example" + path, time.time())

    def send(self, proof: str | None, path: str = WHOAMI, method: str = "GET", **options: Any) -> TestResponse:
        """Send one request by the DPoP scheme."""
        fields = {"Authorization": f"DPoP {self.token}"} | ({} if proof is None else {"DPoP": proof})
        return self.api.app.test_client().open(path, method=method, headers=fields, **options)


Started = Callable[..., App]


@pytest.fixture
def start(tmp_path: Path, migrated: str) -> Iterator[Started]:
    """Starts an API with other settings."""
    ends: list[AbstractContextManager[Api]] = []

    def started(**settings: Any) -> App:
        ends.append(manager := running(settings_for(tmp_path, migrated, **settings)))
        return App(manager.__enter__())

    yield started
    for manager in ends:
        manager.__exit__(None, None, None)


def challenges(answer: TestResponse) -> list[str]:
    """The challenges of the answer's only WWW-Authenticate field."""
    (field,) = answer.headers.getlist("WWW-Authenticate")
    return CHALLENGE.split(field)


def code_of(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


@pytest.mark.parametrize("mode", ["allowed", "required"])
def test_bound_token_when_its_proof_comes_with_it_then_200(start: Started, mode: str):
    """T19: `cnf.jkt` demands the `DPoP` scheme and a proof."""
    app = start(dpop_mode=mode)
    assert app.send(app.wants().proof()).status_code == 200
    assert app.send(app.wants("/v1/me").proof(), "/v1/me").status_code == 200
    patch = app.wants("/v1/me", "PATCH").proof()
    assert app.send(patch, "/v1/me", "PATCH", json={"name": "Ada"}).status_code == 200


@pytest.mark.parametrize("query", ["", "?fields=name", "?a=%2F..%2F"])
def test_proof_when_the_request_has_a_query_then_it_is_ignored(start: Started, query: str):
    """RFC 9449 §4.3: ignoring any query and fragment parts."""
    app = start()
    assert app.send(app.wants().proof(), WHOAMI + query).status_code == 200


def test_proof_when_the_host_field_says_otherwise_then_public_url_counts(start: Started):
    """P1: `htu` against `PUBLIC_URL` + path, never from `Host`."""
    app = start()
    assert app.send(app.wants().proof(), base_url="http://evil.example").status_code == 200
    evil = Request(app.token, url="http://evil.example" + WHOAMI, now=time.time()).proof()
    answer = app.send(evil, base_url="http://evil.example")
    assert answer.json["detail"] == Fault.URL.value


def test_proof_when_public_url_has_a_path_then_it_belongs_to_the_address(start: Started):
    """P1: PUBLIC_URL + path, normalised."""
    app = start(public_url="HTTPS://API.example:443/base/")
    assert app.send(app.wants("/base" + WHOAMI).proof()).status_code == 200
    assert app.send(app.wants().proof()).json["detail"] == Fault.URL.value


@pytest.mark.parametrize("path", ["/problems/a%20b", "/problems/%C3%A9", "/problems/a%2Fb", "/v1/nothing"])
def test_proof_when_nothing_is_there_then_404_whatever_the_path(start: Started, path: str):
    """T30: 404 before 401; a path that has to be decoded breaks nothing."""
    app = start(dpop_nonce="required", dpop_nonce_key=KEY)
    answer = app.send("nonsense", path)
    assert answer.status_code == 404
    assert answer.headers["DPoP-Nonce"]


def test_head_when_the_proof_is_for_get_then_401_and_for_head_then_200(start: Started):
    """P1: htm exact."""
    app = start()
    assert app.send(app.wants().proof(), method="HEAD").status_code == 401
    assert app.send(app.wants(method="HEAD").proof(), method="HEAD").status_code == 200


WRONG: dict[Fault, Callable[[Request], str | None]] = {
    Fault.MISSING: lambda _: None,
    Fault.REPEATED: lambda wants: f"{wants.proof()}, {wants.proof()}",
    Fault.TOO_LARGE: lambda _: "a" * 8193,
    Fault.MALFORMED: lambda _: "a.b.c.d",
    Fault.TYPE: lambda wants: wants.proof(header={"typ": "JWT"}),
    Fault.ALGORITHM: lambda wants: wants.proof(header={"alg": "HS256"}),
    Fault.EXTENSION: lambda wants: wants.proof(header={"crit": ["exp"]}),
    Fault.PRIVATE_KEY: lambda wants: wants.proof(header={"jwk": public_jwk(APP_KEY, d="c2VjcmV0")}),
    Fault.KEY: lambda wants: wants.proof(header={"jwk": public_jwk(APP_KEY, y="AAAA")}),
    Fault.OTHER_KEY: lambda wants: wants.proof(OTHER_KEY),
    Fault.CLAIMS: lambda wants: wants.proof(claims={"iat": "now"}),
    Fault.METHOD: lambda wants: wants.proof(claims={"htm": "POST"}),
    Fault.URL: lambda wants: wants.proof(claims={"htu": "https://other.example/v1/whoami"}),
    Fault.OTHER_TOKEN: lambda wants: wants.proof(claims={"ath": "x" * 43}),
    Fault.TOO_OLD: lambda wants: wants.proof(claims={"iat": wants.now - 3600}),
    Fault.TOO_EARLY: lambda wants: wants.proof(claims={"iat": wants.now + 3600}),
    Fault.PROOF_ID: lambda wants: wants.proof(claims={"jti": DELETED}),
    Fault.SIGNATURE: lambda wants: wants.proof(OTHER_KEY, {"jwk": public_jwk(APP_KEY)}),
    Fault.USED: lambda wants: wants.proof(),
}


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_proof_when_something_is_wrong_with_it_then_the_developer_reads_what(start: Started, fault: Fault):
    """T28: A refusal says what to do; for `fix_client` in one sentence a developer understands, with server_time.

    T26: the challenge of the used scheme says it too; nothing of the proof is reflected. (`pytest -rP` shows them all.)
    """
    app = start()
    proof = WRONG[fault](app.wants())
    if fault is Fault.USED:
        assert app.send(proof).status_code == 200
    answer = app.send(proof)
    sys.stdout.write(f"{answer.status_code} {answer.json['code']}: {answer.json['detail']}\n")

    assert code_of(answer) == (401, "invalid_dpop_proof")
    assert (answer.json["detail"], answer.json["action"]) == (fault.value, "fix_client")
    assert abs(answer.json["server_time"] - time.time()) < 60
    assert answer.headers["Cache-Control"] == "no-store"
    first, second = challenges(answer)
    assert first.startswith('DPoP realm="api.example", error="invalid_dpop_proof", error_description="')
    assert f'error_description="{fault.value}"' in first
    assert 'algs="ES256 Ed25519 EdDSA RS256 PS256"' in first
    assert second.startswith("Bearer ")
    assert "error" not in second
    pieces = [] if proof is None else [piece for piece in re.split(r"[., ]+", proof) if len(piece) > 15]
    assert not any(piece in f"{answer.headers}{answer.text}" for piece in pieces)


@pytest.mark.parametrize(
    ("authorization", "code", "first", "error"),
    [
        ("Bearer {bound}", (401, "proof_required"), "Bearer", "invalid_token"),
        ("DPoP {unbound}", (401, "token_not_bound"), "DPoP", "invalid_token"),
        ("DPoP a.b.c", (401, "malformed_token"), "DPoP", "invalid_token"),
        ("Bearer a.b.c", (401, "malformed_token"), "Bearer", "invalid_token"),
        ("DPoP", (400, "malformed_authorization"), "DPoP", "invalid_request"),
        ("DPoP null", (400, "malformed_authorization"), "DPoP", "invalid_request"),
        ("DPoP {bound}, Bearer {bound}", (400, "malformed_authorization"), "DPoP", "invalid_request"),
        ("Bearer {bound}, DPoP {bound}", (400, "malformed_authorization"), "Bearer", "invalid_request"),
        ("DPoP " + "a" * 16_385, (400, "token_too_large"), "DPoP", "invalid_request"),
    ],
)
def test_refusal_when_both_schemes_are_taken_then_the_used_one_says_why(
    start: Started, authorization: str, code: tuple[int, str], first: str, error: str
):
    """T26: both schemes are named and exactly one challenge carries `error`: that of the scheme used."""
    app = start()
    field = authorization.format(bound=app.token, unbound=app.api.token())
    answer = app.api.get(WHOAMI, headers={"Authorization": field, "DPoP": app.wants().proof()})
    assert code_of(answer) == code
    said = challenges(answer)
    assert [one.partition(" ")[0] for one in said] == [first, {"Bearer": "DPoP", "DPoP": "Bearer"}[first]]
    assert f'error="{error}"' in said[0]
    assert "error" not in said[1]


def test_scope_when_it_is_lacking_then_the_dpop_challenge_names_it(start: Started):
    """T26: with `scope="…"` on that 403, in the challenge of the scheme used."""
    app = start()
    app.token = app.api.token("openid", cnf={"jkt": APP_KEY.thumbprint()})
    answer = app.send(app.wants("/v1/me").proof(), "/v1/me")
    assert code_of(answer) == (403, "insufficient_scope")
    assert challenges(answer)[0].startswith('DPoP realm="api.example", error="insufficient_scope"')
    assert 'scope="read:profile"' in challenges(answer)[0]


def test_mode_when_off_then_dpop_is_another_scheme_and_a_bound_token_is_refused(start: Started):
    """P4: with mode off the DPoP scheme counts as another scheme; a bound token by Bearer is refused all the same."""
    app = start(dpop_mode="off")
    answer = app.send(app.wants().proof())
    assert code_of(answer) == (401, "no_credentials")
    assert [one.partition(" ")[0] for one in challenges(answer)] == ["Bearer"]
    assert "error" not in answer.headers["WWW-Authenticate"]
    bearer = app.api.get(WHOAMI, headers={"Authorization": f"Bearer {app.token}"})
    assert code_of(bearer) == (401, "proof_required")
    assert [one.partition(" ")[0] for one in challenges(bearer)] == ["Bearer"]
    assert app.api.get(WHOAMI).status_code == 200


def test_mode_when_required_then_only_bound_tokens_and_only_the_dpop_challenge(start: Started):
    """P4: `required`: only the DPoP challenge; an unbound Bearer token is proof_required."""
    app = start(dpop_mode="required")
    for answer, code in (
        (app.api.get(WHOAMI), "proof_required"),
        (app.api.get(WHOAMI, headers={"Authorization": f"Bearer {app.token}"}), "proof_required"),
        (app.api.anonymous(WHOAMI), "no_credentials"),
        (app.api.get(WHOAMI, headers={"Authorization": "Bearer a b"}), "malformed_authorization"),
    ):
        assert answer.json["code"] == code
        (only,) = challenges(answer)
        assert only.startswith("DPoP ")
        assert ("error=" in only) is (code != "no_credentials")


def test_optional_route_when_a_bound_token_comes_without_proof_then_401(start: Started):
    """T5: a missing one is anonymous and a bad one is still 401."""
    app = start()
    assert code_of(app.api.get(WHOAMI, headers={"Authorization": f"Bearer {app.token}"})) == (401, "proof_required")


def test_nonce_when_demanded_then_given_and_the_second_request_passes(start: Started):
    """P3: `use_dpop_nonce` with the `DPoP-Nonce` field; RFC 9449 §9."""
    app = start(dpop_nonce="required", dpop_nonce_key=KEY)
    first = app.send(app.wants().proof())
    assert code_of(first) == (401, "use_dpop_nonce")
    assert (first.json["action"], first.json["retryable"]) == ("retry_now", True)
    assert challenges(first)[0].startswith('DPoP realm="api.example", error="use_dpop_nonce"')
    assert first.headers["Cache-Control"] == "no-store"
    (nonce,) = first.headers.getlist("DPoP-Nonce")
    second = app.send(app.wants().proof(claims={"nonce": nonce}))
    assert second.status_code == 200
    # RFC 9449 §8.2: the next one comes with the answer, so that an app that goes on is asked once.
    assert second.headers["DPoP-Nonce"]
    # A phone whose clock is a day off is let in: the nonce proves that the proof is fresh.
    wrong_clock = app.wants().proof(claims={"nonce": nonce, "iat": int(time.time()) - 86_400})
    assert app.send(wrong_clock).status_code == 200
    assert app.send(wrong_clock).json["detail"] == Fault.USED.value


def test_nonce_when_demanded_then_every_answer_by_the_dpop_scheme_has_one_and_no_other(start: Started):
    """P3: every answer to a request by the DPoP scheme carries a DPoP-Nonce when the mode is on."""
    app = start(dpop_nonce="required", dpop_nonce_key=KEY)
    for field in (f"DPoP {app.token}", "dpop", "DPoP a, Bearer b"):
        assert "DPoP-Nonce" in app.api.get(WHOAMI, headers={"Authorization": field}).headers
    assert "DPoP-Nonce" not in app.api.get(WHOAMI).headers
    assert "DPoP-Nonce" not in app.api.anonymous(WHOAMI).headers
    plain = start()
    assert "DPoP-Nonce" not in plain.send(plain.wants().proof()).headers


def test_nonce_when_of_another_key_then_use_dpop_nonce(start: Started):
    app = start(dpop_nonce="required", dpop_nonce_key=KEY)
    foreign = Nonces(b"x" * 32).current(time.time())
    assert code_of(app.send(app.wants().proof(claims={"nonce": foreign}))) == (401, "use_dpop_nonce")


def test_store_when_it_is_down_then_503_and_no_challenge(start: Started):
    """P2: Store down: 503, never 401, no challenge: T27: our fault is never the user's."""
    with running_valkey() as server:
        app = start(shared_store_url=server.url)
        assert app.send(app.wants().proof()).status_code == 200
        server.stop()
        answer = app.send(app.wants().proof())
        assert code_of(answer) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert "WWW-Authenticate" not in answer.headers
        # Who brings no proof needs no store.
        assert app.api.get(WHOAMI).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(ProofsUnavailable("full"), 503, "unavailable"), (TooManyProofs(), 429, "too_many_proofs")],
)
def test_store_when_it_has_no_room_then_the_app_is_told_to_wait(
    start: Started, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, code: str
):
    """P2: full: 503; a key's own bound: 429: nothing is wrong with the proof, and no challenge says so."""
    from app.stores.proofs_database import DatabaseProofStore

    def refuse(*_given: object, **_named: object) -> bool:
        raise fault

    monkeypatch.setattr(DatabaseProofStore, "remember", refuse)
    app = start()
    answer = app.send(app.wants().proof())
    assert code_of(answer) == (status, code)
    assert (answer.json["action"], answer.json["retryable"]) == ("retry_later", True)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("off", (None, None, ["header"])),
        ("allowed", (["ES256", "Ed25519", "EdDSA", "RS256", "PS256"], False, ["header"])),
        ("required", (["ES256", "Ed25519", "EdDSA", "RS256", "PS256"], True, [])),
    ],
)
def test_metadata_when_read_then_it_says_what_proofs_are_taken(start: Started, mode: str, expected: tuple[Any, ...]):
    """RFC 9728 §2: dpop_signing_alg_values_supported, dpop_bound_access_tokens_required; [] means no bearer method."""
    document = start(dpop_mode=mode).api.anonymous("/.well-known/oauth-protected-resource").json
    names = ("dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required", "bearer_methods_supported")
    assert tuple(document.get(name) for name in names) == expected


@pytest.mark.parametrize(
    ("mode", "alternatives"),
    [
        ("off", [{"tenant": ["read:profile"], "bearer": []}]),
        ("allowed", [{"tenant": ["read:profile"], "bearer": []}, {"tenant": ["read:profile"], "dpop": []}]),
        ("required", [{"tenant": ["read:profile"], "dpop": []}]),
    ],
)
def test_openapi_when_read_then_it_says_which_schemes_are_taken(start: Started, mode: str, alternatives: list[Any]):
    """The document is written from the routes' own declarations, and from the mode."""
    found = published(start(dpop_mode=mode).api)
    document, operation = found.document, found.operation("get", "/v1/me")
    assert operation["security"] == alternatives
    assert ("dpop" in document["components"]["securitySchemes"]) is (mode != "off")
    codes = operation["responses"]["401"]["description"].split()
    assert ("invalid_dpop_proof" in codes) is ("use_dpop_nonce" in codes) is ("token_not_bound" in codes)
    assert ("invalid_dpop_proof" in codes) is (mode != "off")
    assert ("too_many_proofs" in operation["responses"]["429"]["description"]) is (mode != "off")
    assert "proof_required" in codes


@pytest.mark.parametrize(
    "code", ["invalid_dpop_proof", "use_dpop_nonce", "token_not_bound", "proof_required", "too_many_proofs"]
)
def test_help_when_a_proof_is_refused_then_its_page_says_more(start: Started, code: str):
    """T25: `type` is a public page."""
    assert HELP[code]
    assert requests.codes.ok == start().api.anonymous(f"/problems/{code}").status_code
