"""Advisories about claims: issuers, audiences and scopes that nearly match, times that are no numbers."""

import json
from typing import Any

import pytest

from app.oauth import scopes
from app.oauth.errors import InsufficientScope
from app.oauth.reasons import Reason
from tests.advisories.gate import RSA, START, Gate, good, good_claims, good_header
from tests.support.tokens import AUDIENCE, DELETED, ISSUER, segment, sign

HEADER = json.dumps(good_header()).encode()
EVIL = "https://evil.example/"
# In the year 2030, and the same in each process of a run: it stands in the tests' names.
LATER = 1_900_000_000


def with_raw(name: str, value: str) -> str:
    """A token one of whose claims is written exactly so: what json.dumps would not write."""
    rest = json.dumps(good_claims(**{name: DELETED}))
    return sign(RSA, HEADER, f'{rest[:-1]}, "{name}": {value}}}'.encode())


@pytest.mark.parametrize(
    "iss",
    [
        ISSUER[:-1],
        ISSUER[:12],
        ISSUER[1:],
        "",
        "/",
        "https://",
        "tenant.example",
        ISSUER + "/",
        ISSUER + "x",
        ISSUER + "?",
        ISSUER + "#",
        ISSUER + " ",
        " " + ISSUER,
        ISSUER + "\x00",
        ISSUER + "\n",
        ISSUER + "../",
        ISSUER + EVIL,
        EVIL + ISSUER,
        "https://tenant.example.evil.example/",
        "https://tenant.example@evil.example/",
        "https://eviltenant.example/",
        ISSUER.upper(),
        ISSUER.title(),
        ISSUER.replace("https", "http"),
        ISSUER.replace("example", "ex\u0430mple"),
        ISSUER.replace(".", "\u3002"),
        ISSUER.replace("tenant", "%74enant"),
        ISSUER.replace(".example", ".example:443"),
        [ISSUER],
        [EVIL, ISSUER],
        [ISSUER, EVIL],
        {"iss": ISSUER},
        {ISSUER: ISSUER},
        True,
        1,
        0,
        None,
    ],
)
def test_gate_when_iss_is_not_exactly_ours_refuses(gate: Gate, iss: object):
    """CVE-2024-53861 (PyJWT): `iss` was looked for inside the expected string: a part of it matched.

    CVE-2025-30144 (fast-jwt): a list that holds the expected issuer passed. RFC 8725 §3.8; T15: exact, slash included.
    """
    gate.accepts(good(RSA, None, {"iss": ISSUER}))
    gate.refuses(good(RSA, None, {"iss": iss}), Reason.WRONG_ISSUER)


@pytest.mark.parametrize(
    "aud",
    [
        "",
        AUDIENCE[:-1],
        AUDIENCE[:11],
        AUDIENCE[1:],
        AUDIENCE + "/",
        AUDIENCE + "x",
        AUDIENCE + "?x",
        AUDIENCE + " ",
        f"{AUDIENCE} {EVIL}",
        f"{EVIL},{AUDIENCE}",
        AUDIENCE + "\x00",
        AUDIENCE.upper(),
        AUDIENCE.replace("https", "http"),
        "https://api.example.evil.example/",
        "*",
        "https://*/",
        "h",
        [],
        [""],
        [AUDIENCE[:-1]],
        [AUDIENCE + "x", EVIL],
        list(AUDIENCE),
        [f'["{AUDIENCE}"]'],
    ],
)
def test_gate_when_aud_only_resembles_ours_refuses(gate: Gate, aud: object):
    """CVE-2020-26160 (jwt-go): an `aud` that was not understood counted as none, and none was not required.

    RFC 9068 §4: MUST reject any JWT access token whose "aud" does not contain a resource indicator of the resource.
    """
    gate.accepts(good(RSA, None, {"aud": AUDIENCE}))
    gate.accepts(good(RSA, None, {"aud": [EVIL, AUDIENCE]}))
    gate.refuses(good(RSA, None, {"aud": aud}), Reason.WRONG_AUDIENCE)


@pytest.mark.parametrize(
    ("aud", "reason"),
    [
        (DELETED, Reason.MISSING_CLAIM),
        (None, Reason.MALFORMED_CLAIMS),
        (0, Reason.MALFORMED_CLAIMS),
        (1, Reason.MALFORMED_CLAIMS),
        (True, Reason.MALFORMED_CLAIMS),
        ({}, Reason.MALFORMED_CLAIMS),
        ({AUDIENCE: True}, Reason.MALFORMED_CLAIMS),
        ([[AUDIENCE]], Reason.MALFORMED_CLAIMS),
        ([AUDIENCE, [AUDIENCE]], Reason.MALFORMED_CLAIMS),
        ([AUDIENCE, None], Reason.MALFORMED_CLAIMS),
        ([AUDIENCE, 1], Reason.MALFORMED_CLAIMS),
        ([{"aud": AUDIENCE}], Reason.MALFORMED_CLAIMS),
    ],
)
def test_gate_when_aud_is_of_another_type_refuses(gate: Gate, aud: object, reason: Reason):
    """CVE-2020-26160 (jwt-go) again: RFC 7519 §4.1.3: a StringOrURI or an array of them, and nothing else."""
    gate.accepts(good(RSA, None, {"aud": [AUDIENCE]}))
    gate.refuses(good(RSA, None, {"aud": aud}), reason)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        f'"{LATER}"',
        '""',
        '"never"',
        '"9999-12-31"',
        "true",
        "false",
        "null",
        "[]",
        f"[{LATER}]",
        "{}",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1e308",
        "9" * 400,
        "9" * 5000,
        "18446744073709551616",
        str(LATER * 1000),
        "0x7fffffff",
        "+1900000000",
        "01900000000",
        "1_900_000_000",
        "1900000000.",
        ".5",
        '"\\u0031\\u0039"',
    ],
)
def test_gate_when_a_time_is_no_finite_number_refuses(gate: Gate, name: str, value: str):
    """A string or a boolean as `exp` compares as something else, NaN as nothing: the token never ended.

    CVE-2020-10735 (CPython): reading a long row of digits took quadratic time. RFC 7519 §2: NumericDate is a number.
    """
    gate.accepts(with_raw(name, str(START + (3600 if name == "exp" else 0))))
    gate.refuses(with_raw(name, value), Reason.MALFORMED_CLAIMS)


@pytest.mark.parametrize("exp", [pytest.param(START - 31, id="just now"), 0, -1, -(10**11), 1.5, "1e3", "-0.0"])
def test_gate_when_expired_refuses_whatever_else_is_said(gate: Gate, exp: object):
    """CVE-2024-51744 (golang-jwt): one of two faults hid the other. RFC 7519 §4.1.4: MUST NOT be accepted."""
    gate.accepts(good())
    gate.refuses(with_raw("exp", str(exp)), Reason.TOKEN_EXPIRED)
    expired = with_raw("exp", str(exp)).rpartition(".")[0]
    gate.refuses(f"{expired}.{segment(bytes(256))}", Reason.BAD_SIGNATURE)


def test_gate_when_a_required_claim_is_absent_refuses(gate: Gate):
    """RFC 8725 §3.8 to §3.10: what is not there was not checked. T15: `missing_claim`."""
    for name in ("iss", "aud", "exp", "sub"):
        gate.accepts(good())
        gate.refuses(good(RSA, None, {name: DELETED}), Reason.MISSING_CLAIM)
        # Names are compared exactly: what looks alike is another claim.
        gate.refuses(good(RSA, None, {name: DELETED, name.upper(): good_claims()[name]}), Reason.MISSING_CLAIM)
        gate.refuses(good(RSA, None, {name: DELETED, f"{name} ": good_claims()[name]}), Reason.MISSING_CLAIM)


@pytest.mark.parametrize("payload", ["[]", '[{"iss":"x"}]', "null", "true", "1", '"{}"', "", " ", "{}{}", '{"a":1}x'])
def test_gate_when_the_payload_is_no_object_refuses(gate: Gate, payload: str):
    """CVE-2026-107723 (fast-jwt): a payload that is a JSON array skipped every check of claims.

    RFC 7519 §7.2 step 10: a completely valid JSON object.
    """
    gate.accepts(sign(RSA, HEADER, json.dumps(good_claims()).encode()))
    claims_in_a_list = json.dumps([good_claims()]).encode()
    for content in (payload.encode(), claims_in_a_list):
        # An empty payload is an empty segment: no token at all.
        gate.refuses(sign(RSA, HEADER, content), Reason.MALFORMED_CLAIMS if content else Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("read:profilex", {"read:profilex"}),
        ("xread:profile", {"xread:profile"}),
        ("read:profil", {"read:profil"}),
        ("read", {"read"}),
        ("read:*", {"read:*"}),
        ("*", {"*"}),
        ("Read:Profile", {"Read:Profile"}),
        ("READ:PROFILE", {"READ:PROFILE"}),
        ("read:profile,read:email", {"read:profile,read:email"}),
        ("read:profile\tread:email", {"read:profile\tread:email"}),
        ("read:profile\nread:email", {"read:profile\nread:email"}),
        ("read:profile\u00a0x", {"read:profile\u00a0x"}),
        ("read:profile\u200b", {"read:profile\u200b"}),
        ("read:prof\u0131le", {"read:prof\u0131le"}),
        ('["read:profile"]', {'["read:profile"]'}),
        ("", set()),
        ("   ", set()),
        (DELETED, set()),
    ],
)
def test_gate_when_a_scope_only_resembles_the_one_wanted_lacks_it(gate: Gate, scope: object, words: set[str]):
    """RFC 6749 §3.3: space-delimited, case-sensitive strings; T21: whole words: prefixes and substrings are others."""
    scopes.require_all(gate.accepts(good(RSA, None, {"scope": "openid read:profile"})), ("read:profile",))
    token = gate.accepts(good(RSA, None, {"scope": scope}))
    assert token.scopes == words
    for demand in (scopes.require_all, scopes.require_any):
        with pytest.raises(InsufficientScope):
            demand(token, ("read:profile",))


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": ["read:profile"]},
        {"scope": [["read:profile"]]},
        {"scope": {"read:profile": True}},
        {"scope": True},
        {"scope": None},
        {"permissions": "read:profile"},
        {"permissions": ["read:profile", None]},
        {"permissions": {"read:profile": True}},
        {"sub": ""},
        {"sub": None},
        {"sub": ["auth0|admin"]},
        {"sub": 1},
        {"sub": "a" * 256},
        {"sub": "auth0|a\x00dmin"},
        {"client_id": "another"},
    ],
)
def test_gate_when_a_claim_is_of_another_type_refuses(gate: Gate, changes: dict[str, Any]):
    """T14: nothing that a token can hold gives a 500, and nothing is coerced into what was wanted."""
    gate.accepts(good())
    gate.refuses(good(RSA, None, changes), Reason.MALFORMED_CLAIMS)


def test_gate_when_scopes_stand_in_other_claims_ignores_them(gate: Gate):
    """T21: a permission is no scope; what the setting does not name says nothing."""
    elsewhere = {"scp": "read:profile", "scopes": ["read:profile"], "roles": ["admin"], "Scope": "read:profile"}
    token = gate.accepts(good(RSA, None, {**elsewhere, "scope": DELETED, "permissions": ["read:profile"]}))
    assert token.scopes == frozenset()
