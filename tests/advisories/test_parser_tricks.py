"""Advisories about parsing: one token that two readers read in two ways, and tokens that are made to be slow."""

import json

import pytest

from app.oauth.reasons import Reason
from app.oauth.strict_json import MAX_DEPTH
from tests.advisories.gate import RSA, Gate, good, good_claims, good_header
from tests.support.tokens import segment, sign

HEADER, CLAIMS = json.dumps(good_header()), json.dumps(good_claims())
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
BEFORE_PARSING = Reason.MALFORMED_AUTHORIZATION


def signed(header: str | bytes = HEADER, payload: str | bytes = CLAIMS) -> str:
    return sign(
        RSA,
        header.encode() if isinstance(header, str) else header,
        payload.encode() if isinstance(payload, str) else payload,
    )


def with_member(document: str, member: str, *, first: bool = False) -> str:
    return f"{{{member}, {document[1:]}" if first else f"{document[:-1]}, {member}}}"


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    "member",
    ['"alg": "RS256"', '"alg": "none"', '"\\u0061lg": "none"', '"kid": "rsa-2"', '"typ": "rt+jwt"', '"x": 1, "x": 1'],
)
def test_gate_when_the_header_has_a_name_twice_refuses(gate: Gate, member: str, *, first: bool):
    """RFC 7515 §4: the Header Parameter names MUST be unique; T7: no duplicate names."""
    gate.accepts(signed(with_member(HEADER, '"y": 1', first=first)))
    gate.refuses(signed(with_member(HEADER, member, first=first)), Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    "member",
    [
        '"sub": "auth0|admin"',
        '"s\\u0075b": "auth0|admin"',
        '"scope": "admin"',
        '"exp": 9999999999',
        '"iss": "https://evil.example/"',
        '"aud": []',
        '"https://a.example/x": {"a": 1, "a": 2}',
        '"x": [{"a": 1, "\\u0061": 1}]',
    ],
)
def test_gate_when_the_payload_has_a_name_twice_refuses(gate: Gate, member: str, *, first: bool):
    """CVE-2017-12635 (CouchDB): one parser took the first of two, the other the last, and a user became admin.

    RFC 7519 §4: reject such a JWT, or use the last; RFC 8725 §2.4 is about the same doubt. T14 rejects.
    """
    gate.accepts(signed(payload=with_member(CLAIMS, '"y": 1', first=first)))
    gate.refuses(signed(payload=with_member(CLAIMS, member, first=first)), Reason.MALFORMED_CLAIMS)


@pytest.mark.parametrize("opening", ["[", '{"a":'], ids=["arrays", "objects"])
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("depth", [MAX_DEPTH, 1000, 1800])
def test_gate_when_json_is_deep_refuses(gate: Gate, opening: str, depth: int, *, closed: bool):
    """CVE-2025-53864 (Nimbus), CVE-2024-27454 (orjson): deep nesting ended the stack, and with it the process."""
    nested = opening * depth + ("1" + ("]" if opening == "[" else "}") * depth if closed else "")
    shallow = opening * (MAX_DEPTH - 1) + "1" + ("]" if opening == "[" else "}") * (MAX_DEPTH - 1)
    gate.accepts(signed(payload=with_member(CLAIMS, f'"x": {shallow}')))
    gate.accepts(signed(with_member(HEADER, f'"x": {shallow}')))
    gate.refuses(signed(payload=with_member(CLAIMS, f'"x": {nested}')), Reason.MALFORMED_CLAIMS)
    gate.refuses(signed(with_member(HEADER, f'"x": {nested}')), Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize("dots", [0, 1, 3, 5, 6, 100, 16_000])
def test_gate_when_the_dots_are_not_two_refuses(gate: Gate, dots: int):
    """CVE-2025-22868 (golang.org/x/oauth2), CVE-2025-27144 (go-jose), CVE-2025-30204 (golang-jwt): many dots."""
    gate.accepts(good())
    reason = Reason.OPAQUE_TOKEN if dots == 0 else Reason.MALFORMED_TOKEN
    gate.refuses("a" + "." * dots, reason)
    if dots < 1000:
        gate.refuses(".".join(["eyJh"] * (dots + 1)), reason)


@pytest.mark.parametrize("size_bytes", [16_385, 100_000, 3_000_000])
def test_gate_when_the_token_is_huge_refuses_before_it_is_read(gate: Gate, size_bytes: int):
    """CVE-2025-61920 (Authlib): segments of any size were decoded and parsed. T4: 400 before it is parsed."""
    gate.accepts(good(RSA, None, {"https://a.example/x": "x" * 9_000}))
    for token in ("." * size_bytes, "a" * size_bytes, f"{segment(b'{' * size_bytes)}.e30.AA"):
        gate.refuses(token, Reason.TOKEN_TOO_LARGE)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize(
    "stray", [" ", "\t", "\n", "\r\n", "\x00", "\x0b", "\x7f", "\u00a0", "\u200b", "\u00e9", "%3D", "!", "*", ","]
)
def test_gate_when_a_segment_holds_what_is_no_base64url_refuses(gate: Gate, place: int, stray: str):
    """CVE-2022-25898 (jsrsasign): such characters were skipped, so that a signature had many spellings.

    RFC 7515 §2: without line breaks, whitespace, or other additional characters.
    """
    parts = good().split(".")
    half = len(parts[place]) // 2
    before, within, behind = (
        ".".join([*parts[:place], spoiled, *parts[place + 1 :]])
        for spoiled in (stray + parts[place], parts[place][:half] + stray + parts[place][half:], parts[place] + stray)
    )
    gate.accepts(".".join(parts))
    spoiled = [within]
    # RFC 9110 §5.5, §11.4: spaces after the scheme, and white space at the end of the field, are not of the token.
    if not (place == 0 and stray == " "):
        spoiled.append(before)
    if not (place == 2 and stray in " \t"):
        spoiled.append(behind)
    for token in spoiled:
        gate.refuses(token, Reason.MALFORMED_TOKEN, over_http=BEFORE_PARSING)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
def test_gate_when_a_segment_is_padded_or_in_the_standard_alphabet_refuses(gate: Gate, place: int):
    """RFC 7515 §2: all trailing '=' omitted, and the URL-safe alphabet: each content has one spelling."""
    parts = good(RSA, None, {"https://a.example/x": "\xff\xfe\xfb~~~???>>>"}).split(".")
    gate.accepts(".".join(parts))
    for padding in ("=", "==", "===", "===="):
        padded = [*parts[:place], parts[place] + padding, *parts[place + 1 :]]
        over_http = None if place == 2 else BEFORE_PARSING
        gate.refuses(".".join(padded), Reason.MALFORMED_TOKEN, over_http=over_http)
    for of_the_standard in "+/":
        changed = [*parts[:place], "eyJh" + of_the_standard + parts[place][5:], *parts[place + 1 :]]
        gate.refuses(".".join(changed), Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize("padding_bytes", [0, 1, 2])
def test_gate_when_stray_bits_are_set_refuses(gate: Gate, place: int, padding_bytes: int):
    """RFC 4648 §3.5: pad bits MUST be zero; where they are ignored, one token can be written in 4 or 16 ways."""
    header = with_member(HEADER, f'"x": "{"x" * padding_bytes}"')
    payload = with_member(CLAIMS, f'"x": "{"x" * padding_bytes}"')
    parts = signed(header, payload).split(".")
    gate.accepts(".".join(parts))
    stray = {0: 0, 2: 15, 3: 3}[len(parts[place]) % 4]
    last = ALPHABET.index(parts[place][-1])
    for bits in range(1, stray + 1):
        changed = [*parts[:place], parts[place][:-1] + ALPHABET[last | bits], *parts[place + 1 :]]
        gate.refuses(".".join(changed), Reason.MALFORMED_TOKEN)
    # A length that cannot be: a last group of one character holds no byte.
    spare = "A" * ((5 - len(parts[place]) % 4) % 4 or 4)
    lone = [*parts[:place], parts[place] + spare, *parts[place + 1 :]]
    assert len(lone[place]) % 4 == 1
    gate.refuses(".".join(lone), Reason.MALFORMED_TOKEN)


@pytest.mark.parametrize(
    "text",
    ["\\ud800", "\\udfff", "a\\ud800b", "\\udc00\\ud800", "\\ud83d", "\\uD83D\\u0041"],
    ids=lambda text: text[1:],
)
@pytest.mark.parametrize("member", ['"sub": "{}"', '"x": "{}"', '"{}": 1', '"x": [{"a": "{}"}]'])
def test_gate_when_a_claim_holds_half_a_surrogate_refuses(gate: Gate, member: str, text: str):
    """What cannot be written as UTF-8 failed later, in a log, a database or an answer: a 500 from a signed token."""
    rest = json.dumps({name: value for name, value in good_claims().items() if name != "sub" or '"sub"' not in member})
    whole = member.replace("{}", "\\ud83d\\ude00")
    gate.accepts(signed(payload=with_member(rest, whole)))
    gate.refuses(signed(payload=with_member(rest, member.replace("{}", text))), Reason.MALFORMED_CLAIMS)


@pytest.mark.parametrize(
    "content",
    [
        CLAIMS.encode("utf-16"),
        CLAIMS.encode("utf-16-le"),
        CLAIMS.encode("utf-32"),
        b"\xef\xbb\xbf" + CLAIMS.encode(),
        CLAIMS.encode().replace(b"auth0|", b"auth0\xff"),
        CLAIMS.encode().replace(b"auth0|", b"auth0\xc1\xbc"),
        CLAIMS.encode().replace(b"auth0|", b"auth0\xed\xa0\x80"),
        CLAIMS.encode().replace(b"auth0|", b"auth0\xf4\x90\x80\x80"),
    ],
    ids=["utf-16", "utf-16-le", "utf-32", "bom", "latin-1", "overlong", "surrogate", "beyond-unicode"],
)
def test_gate_when_the_payload_is_not_utf_8_refuses(gate: Gate, content: bytes):
    """RFC 8725 §2.4, §3.7: use UTF-8, and nothing that some readers guess."""
    gate.accepts(signed(payload=CLAIMS.replace("auth0|", "auth0é|")))
    gate.refuses(signed(payload=content), Reason.MALFORMED_CLAIMS)


@pytest.mark.parametrize(
    "payload",
    [
        CLAIMS.replace('"', "'"),
        CLAIMS[:-1] + ",}",
        CLAIMS[:-1] + ', "x": 01}',
        CLAIMS[:-1] + ', "x": "\n"}',
        CLAIMS[:-1] + ', "x": "\\x41"}',
        CLAIMS[:-1] + "} // comment",
        CLAIMS[:-1] + ', "x": undefined}',
        CLAIMS[:-1],
        CLAIMS + "\x00",
        CLAIMS + CLAIMS,
        "\x0c" + CLAIMS,
    ],
)
def test_gate_when_json_is_only_nearly_json_refuses(gate: Gate, payload: str):
    """CVE-2019-17195 (Nimbus): what the parser did not foresee left it as an uncaught error."""
    gate.accepts(signed(payload=" \n\t" + CLAIMS + "\r\n"))
    gate.refuses(signed(payload=payload), Reason.MALFORMED_CLAIMS)
    gate.refuses(signed(payload.replace(CLAIMS[:-1], HEADER[:-1])), Reason.MALFORMED_TOKEN)


def test_gate_when_strings_never_end_refuses_at_once(gate: Gate):
    """A pattern that backtracks over a run of escaped quotes took quadratic time."""
    gate.accepts(good())
    for content in ('{"a":"' + '\\"[' * 2_500, '["\\' * 2_500, "[" * 40 + '"' + "\\\\" * 3_500):
        gate.refuses(signed(payload=content), Reason.MALFORMED_CLAIMS)
        gate.refuses(signed(content), Reason.MALFORMED_TOKEN)
