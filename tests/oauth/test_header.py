"""What is refused before any key is looked for: T6 to T10."""

import base64
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy
from app.oauth.errors import InvalidToken
from app.oauth.header import Judged, decoded, parse
from app.oauth.reasons import Reason
from tests.support.outcomes import outcome_of
from tests.support.tokens import AUDIENCE, DELETED, DIALECTS, ISSUER, header_of, mint, rsa_key, segment

POLICY = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}))
RFC9068 = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}), profile="rfc9068")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def token_of(header: object, payload: str = "e30", signature: str = "c2ln") -> str:
    """An unsigned token with that header, which may be ready-made JSON."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return f"{segment(content)}.{payload}.{signature}"


def with_header(**changes: object) -> str:
    return token_of(header_of(rsa_key(), changes))


def refusal(token: str, policy: TokenPolicy = POLICY) -> Reason:
    with pytest.raises(InvalidToken) as refused:
        parse(token, policy)
    return refused.value.reason


@pytest.mark.parametrize("dialect", DIALECTS)
def test_parse_when_header_is_good_gives_the_exact_bytes(dialect: str):
    """RFC 7515 §5.2: the JWS Signing Input is the ASCII octets before the last period."""
    token = mint(rsa_key(), dialect=dialect)
    header = parse(token, POLICY)

    assert header.signing_input == token.rpartition(".")[0].encode()
    assert header.signature == base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    assert json.loads(header.payload)["iss"] == ISSUER
    assert (header.alg, header.kid) == ("RS256", "rsa-1")
    assert header.typ == {"auth0": "jwt", "rfc9068": "at+jwt"}[dialect.partition("_")[0]]


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "e30..",
        ".e30.e30",
        "e30..e30",
        "e30.e30.",
        "e30.e30",
        "e30.e30.e30.e30",
        "e30.e30.e30.e30.e30.e30",
        ".",
        "." * 100,
    ],
)
def test_parse_when_not_three_segments_is_malformed(token: str):
    """T6: three non-empty base64url segments; else `malformed_token`."""
    assert refusal(token) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("spoiled", ["e30=", "e30 ", " e30", "e3\n0", "e+0_", "e/0_", "é30", "e", "e30Ae", "\ud800"])
def test_parse_when_a_segment_is_not_base64url_is_malformed(position: int, spoiled: str):
    """RFC 7515 §2: base64url with all trailing '=' omitted, without line breaks, whitespace or other characters."""
    segments = token_of(header_of(rsa_key())).split(".")
    segments[position] = segments[position] + spoiled if len(segments[position]) % 4 == 0 else spoiled
    assert refusal(".".join(segments)) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("length", [1, 2, 16])
def test_parse_when_bits_are_left_over_is_malformed(length: int):
    """T6: no stray trailing bits; otherwise one signed token could be spelled in several ways."""
    canonical = segment(b"\x00" * length)
    outcomes = [
        outcome_of(lambda last=last: parse(token_of(header_of(rsa_key()), signature=canonical[:-1] + last), POLICY))
        for last in ALPHABET
    ]
    stray = 16 if length % 3 == 1 else 4
    assert outcomes.count(Reason.MALFORMED_TOKEN) == 64 - 64 // stray


@given(st.text(alphabet=ALPHABET + "=+/ .\n", max_size=40))
def test_parse_when_signature_is_any_text_reads_only_its_one_spelling(text: str):
    token = token_of(header_of(rsa_key()), signature=text)
    outcome = outcome_of(lambda: parse(token, POLICY).signature)
    if isinstance(outcome, Reason):
        assert outcome in (Reason.MALFORMED_TOKEN, Reason.ENCRYPTED_TOKEN)
    else:
        assert segment(outcome) == text


@pytest.mark.parametrize("token", ["v2opaque", "a" * 32, "eyJhbGciOiJSUzI1NiJ9"])
def test_parse_when_without_dot_is_opaque(token: str):
    """T6: No dot: `opaque_token`."""
    assert refusal(token) is Reason.OPAQUE_TOKEN


def test_parse_when_five_segments_of_alg_dir_is_opaque():
    """T6: five segments whose header says `alg: dir` (what Auth0 issues when the app asked for no audience)."""
    jwe_header = segment(json.dumps({"alg": "dir", "enc": "A256GCM", "iss": ISSUER}).encode())
    assert refusal(f"{jwe_header}..aXY.Y3Q.dGFn") is Reason.OPAQUE_TOKEN


@pytest.mark.parametrize("header", [b'{"alg":"RSA-OAEP-256","enc":"A256GCM"}', b"not JSON", b'{"alg":["dir"]}'])
def test_parse_when_other_five_segments_is_encrypted(header: bytes):
    """T6: Other five segments: `encrypted_token`."""
    assert refusal(f"{segment(header)}.a2V5.aXY.Y3Q.dGFn") is Reason.ENCRYPTED_TOKEN


def test_parse_when_five_segments_are_nonsense_is_encrypted():
    assert refusal("....") is Reason.ENCRYPTED_TOKEN


@pytest.mark.parametrize(
    "header",
    [b"[]", b"null", b'"RS256"', b"", b"{", b'{"alg":"RS256","alg":"none"}', '{"alg":"RS256"}'.encode("utf-16")],
)
def test_parse_when_header_is_no_strict_object_is_malformed(header: bytes):
    """T7: Header: a JSON object, no duplicate names."""
    assert refusal(token_of(header)) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "alg",
    [
        DELETED,
        None,
        "none",
        "None",
        "HS256",
        "HS512",
        "RS384",
        "PS256",
        "ES256",
        "EdDSA",
        "rs256",
        "RS256 ",
        "",
        ["RS256"],
        256,
        True,
    ],
)
def test_parse_when_alg_is_not_on_the_list_is_refused(alg: object):
    """T7: `alg` a string on the allow-list. RFC 8725 §3.1: libraries MUST NOT use any algorithm outside of it."""
    assert refusal(with_header(alg=alg)) is Reason.ALGORITHM_REFUSED


@pytest.mark.parametrize("alg", SUPPORTED_ALGORITHMS)
def test_parse_when_alg_is_configured_is_accepted(alg: object):
    """T7: PS256, ES256, ES384, RS384, RS512, EdDSA may be added."""
    policy = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}), algorithms=SUPPORTED_ALGORITHMS)
    assert parse(with_header(alg=alg), policy).alg == alg


@pytest.mark.parametrize(
    ("typ", "normalised"),
    [
        (DELETED, None),
        ("JWT", "jwt"),
        ("jwt", "jwt"),
        ("at+jwt", "at+jwt"),
        ("AT+JWT", "at+jwt"),
        ("application/at+jwt", "at+jwt"),
        ("Application/AT+JWT", "at+jwt"),
    ],
)
def test_parse_when_typ_is_an_access_token_is_accepted(typ: object, normalised: str | None):
    """T8: `typ` absent, `JWT`, `at+jwt` or `application/at+jwt`, case-insensitively."""
    assert parse(with_header(typ=typ), POLICY).typ == normalised


@pytest.mark.parametrize(
    "typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "rt+jwt", "JWE", "", " JWT", None, ["JWT"], 1, {"JWT": 1}]
)
def test_parse_when_typ_is_another_is_wrong_type(typ: object):
    """T8: `logout+jwt`, `dpop+jwt`, `secevent+jwt`, `rt+jwt` and the rest are `wrong_type`."""
    assert refusal(with_header(typ=typ)) is Reason.WRONG_TYPE


@pytest.mark.parametrize("typ", [DELETED, "JWT"])
def test_parse_when_profile_is_rfc9068_demands_its_typ(typ: object):
    """RFC 9068 §4: MUST verify that the "typ" header value is "at+jwt" or "application/at+jwt"."""
    assert refusal(with_header(typ=typ), RFC9068) is Reason.WRONG_TYPE
    assert parse(with_header(typ="at+jwt"), RFC9068).typ == "at+jwt"


@pytest.mark.parametrize("name", ["crit", "b64", "zip"])
@pytest.mark.parametrize("value", [None, False, True, [], ["exp"], "DEF"])
def test_parse_when_an_extension_is_used_is_malformed(name: str, value: object):
    """RFC 7515 §4.1.11: if any listed extension is not understood, the JWS is invalid; T9: any is refused."""
    assert refusal(with_header(**{name: value})) is Reason.MALFORMED_TOKEN


def test_parse_when_header_points_to_keys_does_not_read_them():
    """T9: `jku`, `x5u`, `jwk`, `x5c` are never read."""
    pointers = {"jku": "https://evil.example/", "x5u": 7, "jwk": {"kty": "oct", "k": "eA"}, "x5c": ["?"]}
    pointing, plain = parse(with_header(**pointers), POLICY), parse(with_header(), POLICY)
    assert dataclasses.replace(pointing, signing_input=plain.signing_input) == plain


@pytest.mark.parametrize("kid", ["", "a" * 201, "a\n", "\x7f", "é", "a\u202eb", None, 1, True, ["rsa-1"], {}])
def test_parse_when_kid_is_odd_is_malformed(kid: object):
    """T10: `kid` is a string of 1..200 printable ASCII characters; otherwise `malformed_token`, without a fetch."""
    assert refusal(with_header(kid=kid)) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("kid", ["a", "a" * 200, "../../etc/passwd", "' OR 1=1 --", " ~"])
def test_parse_when_kid_is_printable_ascii_is_accepted(kid: object):
    """T10: it is only ever compared."""
    assert parse(with_header(kid=kid), POLICY).kid == kid


def test_parse_when_kid_is_absent_gives_none():
    """T10: A token without `kid` is accepted only while the issuer publishes exactly one usable key."""
    assert parse(with_header(kid=DELETED), POLICY).kid is None


def test_parse_when_several_faults_names_the_first():
    """§2: Order: shape, `alg`, `typ`, `crit`/`b64`/`zip`, `kid`; the first fault names the code."""
    faults = {"alg": "none", "typ": "rt+jwt", "crit": [], "kid": ""}
    assert refusal(token_of(header_of(rsa_key(), faults), payload="e3=")) is Reason.MALFORMED_TOKEN
    assert refusal(with_header(**faults)) is Reason.ALGORITHM_REFUSED
    assert refusal(with_header(**{**faults, "alg": "RS256"})) is Reason.WRONG_TYPE


def test_parse_when_too_long_is_refused_before_it_is_split():
    """T4: A token longer than `MAX_TOKEN_BYTES` (16384) is 400 before it is parsed."""
    assert refusal("." * 16_385) is Reason.TOKEN_TOO_LARGE


HEADER_VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)


@given(
    st.text()
    | st.lists(st.text(alphabet=ALPHABET + "=", max_size=12), min_size=1, max_size=6).map(".".join)
    | st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "crit", "b64", "x"]),
        HEADER_VALUES | st.sampled_from(["RS256", "JWT"]),
    ).map(token_of)
)
def test_parse_whatever_the_token_is_gives_a_header_or_refuses(token: str):
    """T14: Nothing that a token can hold gives a 500."""
    outcome = outcome_of(lambda: parse(token, POLICY))
    assert isinstance(outcome, Reason) or outcome.alg == "RS256"


# what a changed line of the room would let through


def test_parse_when_exactly_as_long_as_allowed_is_read():
    """T4: A token longer than `MAX_TOKEN_BYTES` …: one that is as long is not."""
    token = with_header()
    as_long = dataclasses.replace(POLICY, max_token_bytes=len(token))
    assert parse(token, as_long).alg == "RS256"
    assert refusal(token, dataclasses.replace(POLICY, max_token_bytes=len(token) - 1)) is Reason.TOKEN_TOO_LARGE


def test_parse_when_headers_are_remembered_asks_the_memory():
    """V1: a tenant's tokens differ in everything but their header: it is judged once."""
    segments = []

    def judged(header: bytes) -> Judged:
        segments.append(header)
        return Judged(alg="PS256", typ=None, kid="remembered")

    found = parse(with_header(), POLICY, judged)
    assert (found.alg, found.typ, found.kid) == ("PS256", None, "remembered")
    assert segments == [with_header().partition(".")[0].encode()]


def test_segment_when_not_canonical_says_so():
    with pytest.raises(ValueError, match=r"^not canonical base64url$"):
        decoded(b"AB")
