"""`flask explain-token` says what the API says: over every broken token of the other tests, and over made-up ones."""

import inspect
import itertools
import json
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.commands.db import upgrade
from app.commands.explain_token import Explained, gather
from app.oauth.claims import SUPPORTED_ALGORITHMS
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.reasons import Reason
from app.oauth.verifier import Verifier
from tests.advisories import (
    test_algorithm_confusion,
    test_claim_tricks,
    test_header_extensions,
    test_keys_from_outside,
    test_parser_tricks,
    test_signature_forgeries,
)
from tests.advisories.gate import ALL_KEYS, Gate, settings_with
from tests.oauth import test_claims, test_header
from tests.support import tokens
from tests.support.api import Api, running, settings_for
from tests.support.explaining import answer_of, judged, of_app
from tests.support.tokens import DELETED, NOW, claims_of, header_of, mint, rsa_key, segment, sign

ADVISORIES = (
    test_algorithm_confusion,
    test_claim_tricks,
    test_header_extensions,
    test_keys_from_outside,
    test_parser_tricks,
    test_signature_forgeries,
)
VARIANTS = {
    "any": {},
    "rfc9068": {"token_profile": "rfc9068"},
    "scp": {"scope_claim": "scp"},
    "bound": {"dpop_mode": "required"},
    "wide": {"token_algorithms": SUPPORTED_ALGORITHMS, "max_token_bytes": 600, "acr_claim": "https://a.example/acr"},
}


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Explained, Verifier]]]:
    """APIs that differ in their policy, each with a verifier that this test has made itself."""
    made = {}
    running_apis = []
    for name, changes in VARIANTS.items():
        directory = tmp_path_factory.mktemp(name)
        of_api = settings_for(directory, f"sqlite:///{directory / 'absent.db'}", **changes)
        entered = running(of_api)
        api = of_app(entered.__enter__().app, of_api)
        running_apis.append(entered)
        source = StaticKeySource(tokens.ISSUER, parse_key_set(tokens.key_set(rsa_key()), api.policy.algorithms))
        required = of_api.dpop_mode == "required"
        made[name] = (api, Verifier(api.policy, {tokens.ISSUER: source}, proof_required=required))
    yield made
    for entered in running_apis:
        entered.__exit__(None, None, None)


def agree(apis: dict[str, tuple[Explained, Verifier]], token: str, *, now: float = NOW) -> None:
    """Demand the same answer of the explanation and of the verifier, under every policy."""
    for api, verifier in apis.values():
        field = f"Bearer {token}"
        explanation = judged(api, field, now=now)
        expected = answer_of(verifier, field, api.policy.max_token_bytes, now=now)
        said = explanation.verdict
        assert said.code == (None if expected is None else expected.code)
        assert said.accepted is (expected is None)
        assert expected is None or (said.status, said.action) == (expected.status, expected.action)


def parameters_of(test: Any) -> Iterator[dict[str, Any]]:
    """Every set of arguments that pytest would call a parametrized test with."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    columns = []
    for mark in marks:
        names = mark.args[0] if isinstance(mark.args[0], tuple) else (mark.args[0],)
        rows = [row.values if hasattr(row, "marks") else row if len(names) > 1 else (row,) for row in mark.args[1]]
        columns.append([dict(zip(names, row, strict=True)) for row in rows])
    for rows in itertools.product(*columns):
        yield {name: value for row in rows for name, value in row.items()}


def functions_of(module: ModuleType) -> list[Any]:
    return [test for name, test in vars(module).items() if name.startswith("test_") and inspect.isfunction(test)]


CLAIMS = ("iss", "aud", "exp", "scope", "scp", "cnf")
MEMBERS = ("alg", "typ", "kid")


def claim_changes(given_arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The claims that a test of claims.check changes, by the names of its arguments; None if it changes none."""
    if "changes" in given_arguments and isinstance(given_arguments["changes"], dict):
        return given_arguments["changes"]
    if "name" in given_arguments:
        value = given_arguments.get("value", given_arguments.get("word", DELETED))
        return {given_arguments["name"]: value}
    found = {name: given_arguments[name] for name in CLAIMS if name in given_arguments}
    return found or None


def broken_claims() -> list[dict[str, Any]]:
    found = [claim_changes(row) for test in functions_of(test_claims) for row in parameters_of(test)]
    return [changes for changes in found if changes and not {"issuers", "audiences", "algorithms"} & changes.keys()]


def broken_headers() -> list[str]:
    """The tokens of test_header.py, and headers with what it puts into them; the payload and the key are good."""
    found = []
    for row in [row for test in functions_of(test_header) for row in parameters_of(test)]:
        if "token" in row:
            found.append(row["token"])
        elif "header" in row:
            found.append(sign(rsa_key(), row["header"], json.dumps(claims_of()).encode()))
            found.append(f"{segment(row['header'])}.a2V5.aXY.Y3Q.dGFn")
        elif "spoiled" in row:
            parts = mint(rsa_key()).split(".")
            parts[row["position"]] += row["spoiled"]
            found.append(".".join(parts))
        elif "name" in row:
            found.append(mint(rsa_key(), {row["name"]: row["value"]}))
        else:
            found += [mint(rsa_key(), {name: row[name]}) for name in MEMBERS if name in row]
    return found


def test_explanation_over_every_broken_claim_agrees_with_the_verifier(apis):
    """The code is exactly what the Verifier says: every variant of tests/oauth/test_claims.py."""
    corpus = broken_claims()
    assert len(corpus) > 200
    for changes in corpus:
        agree(apis, mint(rsa_key(), None, changes))


def test_explanation_over_every_broken_header_agrees_with_the_verifier(apis):
    """The same: every variant of tests/oauth/test_header.py."""
    corpus = broken_headers()
    assert len(corpus) > 100
    for token in corpus:
        agree(apis, token)


@pytest.mark.parametrize("dialect", tokens.DIALECTS)
@pytest.mark.parametrize("second", [NOW - 31, NOW - 30, NOW, NOW + 3_629, NOW + 3_630, 0, 253_402_299_999])
def test_explanation_at_any_time_agrees_with_the_verifier(apis, dialect: str, second: float):
    agree(apis, mint(rsa_key(), None, {"nbf": NOW}, dialect=dialect), now=second)


def test_explanation_of_two_faults_names_the_first_and_tells_both(apis):
    """§2: the first fault names the code; the explanation goes on after it."""
    api, _ = apis["any"]
    token = mint(rsa_key(), None, {"aud": "x", "exp": NOW - 300, "sub": 7, "cnf": {}})
    failed = [one.name for one in judged(api, f"Bearer {token}", now=NOW).findings if one.outcome == "FAIL"]
    assert failed == ["aud", "exp", "sub", "cnf"]


PAYLOADS = [b"[]", b"{", b"\xff", b'{"a":1,"a":2}', b'{"exp":NaN}', b'{"a":' + b"[" * 9_999, b"", b'{"exp":1e999}']


@pytest.mark.parametrize("payload", PAYLOADS)
def test_explanation_of_a_broken_payload_agrees_with_the_verifier(apis, payload: bytes):
    """T14: nothing that a token can hold breaks it."""
    token = sign(rsa_key(), json.dumps(header_of(rsa_key())).encode(), payload)
    agree(apis, token)
    agree(apis, token[:-4] + "AAAA")


@settings(max_examples=60)
@given(
    st.dictionaries(test_claims.NAMES, test_claims.JSON, max_size=4),
    st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "crit", "b64", "zip", "x"]),
        test_header.HEADER_VALUES | st.sampled_from(["RS256", "ES256", "JWT", "at+jwt", "rsa-1"]),
        max_size=2,
    ),
    st.booleans(),
)
def test_explanation_whatever_a_token_holds_agrees_with_the_verifier(apis, claims, header, spoiled: bool):
    """The code is exactly what the Verifier says, whatever header and claims hold, signed or not."""
    token = sign(
        rsa_key(),
        json.dumps(header_of(rsa_key(), header)).encode(),
        json.dumps({**claims_of(), **claims}).encode("utf-8", "surrogatepass"),
    )
    agree(apis, token[:-6] + "AAAAAA" if spoiled else token)


@settings(max_examples=60)
@given(st.text() | st.text(alphabet=test_header.ALPHABET + ".=+/ ,\"'", max_size=60))
def test_explanation_whatever_stands_after_the_scheme_agrees_with_the_verifier(apis, text: str):
    """T2, T6: the field and the shape, too."""
    agree(apis, text)


def test_explanation_of_each_advisory_agrees_with_the_api(tmp_path_factory: pytest.TempPathFactory):
    """Every advisory that is tried at the API is explained with the status and code that the API answers."""

    class ExplainingGate(Gate):
        """Demands of the explanation what the API has just answered."""

        explained = 0

        def accepts(self, token: str) -> Any:
            understood = super().accepts(token)
            self.compare(token)
            return understood

        def refuses(self, token: str, reason: Reason, *, over_http: Reason | None = None) -> None:
            super().refuses(token, reason, over_http=over_http)
            self.compare(token)

        def compare(self, token: str) -> None:
            self.explained += 1
            answer = self._ask(token)
            # As WSGI reads the bytes of a field: that is what the verdict is about.
            field = f"Bearer {token}".encode("utf-8", "surrogatepass").decode("latin-1")
            verdict = judged(explained, field, now=time.time(), situation=situation).verdict
            assert (verdict.status or 200, verdict.code) == (answer[0], answer[1].get("code"))

    of_api = settings_with(tmp_path_factory.mktemp("explained"), *ALL_KEYS)
    with running(of_api) as api:
        explained = of_app(api.app, of_api)
        situation = gather(explained, time.time(), offline=False)
        gate = ExplainingGate(api, *ALL_KEYS)
        for module in ADVISORIES:
            for test in functions_of(module):
                wanted = set(inspect.signature(test).parameters)
                for given_arguments in parameters_of(test):
                    if "gate" in wanted and wanted == {"gate"} | given_arguments.keys():
                        test(gate=gate, **given_arguments)
    assert gate.explained > 200


ROUTES = ["GET /v1/me", "PATCH /v1/me", "GET /v1/whoami", "GET /v1", "DELETE /v1/me", "GET /nothing", "OPTIONS /v1/me"]


GRANTS: list[dict[str, Any]] = [
    {},
    {"scope": "read:profile"},
    {"scope": ""},
    {"sub": "app@clients", "gty": "client-credentials"},
    {"sub": "anon@1"},
    {"exp": 1},
    {"aud": "x"},
]


@pytest.fixture(scope="module")
def migrated_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Explained]]:
    directory = tmp_path_factory.mktemp("routes")
    url = f"sqlite:///{directory / 'postern.db'}"
    upgrade(url)
    of_api = settings_for(directory, url)
    with running(of_api) as api:
        yield api, of_app(api.app, of_api)


@pytest.mark.parametrize("request_line", ROUTES)
@pytest.mark.parametrize("changes", GRANTS)
def test_explanation_for_a_route_agrees_with_the_api(migrated_api, request_line: str, changes: dict[str, Any]):
    """--for: scopes, user and the rest by the application's own policies, as the API itself answers."""
    api, explained = migrated_api
    token = api.token(**{"scope": "read:profile read:email write:profile"} | changes)
    method, path = request_line.split()
    options = {"json": {}} if method == "PATCH" else {}
    answer = api.request(method, path, headers={"Authorization": f"Bearer {token}"}, **options)
    verdict = judged(explained, f"Bearer {token}", now=time.time(), request=request_line).verdict
    if verdict.accepted:
        assert answer.status_code not in {401, 403, 404, 405}
    else:
        assert (verdict.status, verdict.code) == (answer.status_code, answer.json["code"])
