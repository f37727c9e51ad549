"""What a proof must say, and what it must not: P1, RFC 9449 §4.3."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.dpop.check import CLOCK_MARGIN_SECONDS, DpopProofs, PresentedProof
from app.oauth.dpop.faults import Fault, InvalidProof
from app.oauth.dpop.nonces import WINDOW_SECONDS, Nonces
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason
from tests.support.outcomes import outcome_of
from tests.support.proofs import (
    APP_KEY,
    KEYS,
    OTHER_KEY,
    ProofsInMemory,
    Request,
    bound_token,
    public_jwk,
    token_hash,
)
from tests.support.tokens import DELETED, NOW, SigningKey, segment, sign

TOKEN = bound_token()
REQUEST = Request(TOKEN)
NONCES = Nonces(b"n" * 32)


def check(
    field: str | None,
    request: Request = REQUEST,
    *,
    key: SigningKey = APP_KEY,
    store: ProofsInMemory | None = None,
    nonces: Nonces | None = None,
    now: float = NOW,
) -> None:
    proofs = DpopProofs(store or ProofsInMemory(), nonces)
    proofs.check(PresentedProof(field, request.method, request.url), request.token, key.thumbprint(), now=now)


def fault_of(field: str | None, request: Request = REQUEST, **options: Any) -> Fault:
    with pytest.raises(InvalidProof) as refused:
        check(field, request, **options)
    assert refused.value.reason is Reason.INVALID_DPOP_PROOF
    return refused.value.fault


@pytest.mark.parametrize("alg", KEYS)
def test_check_when_the_proof_is_good_then_it_passes(alg: str):
    """P1: ES256/Ed25519/RS256/PS256, whatever TOKEN_ALGORITHMS says."""
    key = KEYS[alg]
    request = Request(bound_token(key))
    check(request.proof(key), request, key=key)


def test_check_when_alg_is_the_name_of_the_curve_then_it_passes():
    """RFC 9864 §2.2: Ed25519 stands for EdDSA on this curve; openid-client signs its proofs by that name."""
    key = KEYS["EdDSA"]
    request = Request(bound_token(key))
    check(request.proof(key, {"alg": "Ed25519"}), request, key=key)


@pytest.mark.parametrize("field", [None, "", " ", "\t"])
def test_check_when_there_is_no_field_then_it_says_so(field: str | None):
    """RFC 9449 §4.3: There is not more than one DPoP HTTP request header field. Here: not less than one, either."""
    assert fault_of(field) is Fault.MISSING


def test_check_when_there_are_two_fields_then_refused_on_the_comma():
    """P1: one DPoP field (a comma means two: refused)."""
    for joined in (",", ", "):
        assert fault_of(joined.join([REQUEST.proof(), REQUEST.proof()])) is Fault.REPEATED
    assert fault_of(REQUEST.proof() + ",") is Fault.REPEATED


def test_check_when_the_field_is_surrounded_by_blanks_then_it_passes():
    """RFC 9110 §5.5: a field value does not include leading or trailing whitespace."""
    check(f" \t{REQUEST.proof()} ")


def test_check_when_the_field_is_longer_than_8_kib_then_refused_before_it_is_parsed():
    """P1: field at most 8 KiB."""
    assert fault_of("," * 8193) is Fault.TOO_LARGE
    padding = "x" * 5500
    check(REQUEST.proof(claims={"padding": padding}))
    assert fault_of(REQUEST.proof(claims={"padding": padding * 2})) is Fault.TOO_LARGE


@pytest.mark.parametrize(
    "field",
    [".", "..", "a.b", "e30.e30", "e30.e30.e30.e30", "e30.e30.e30=", "e3 0.a.a", "é.e30.e30", "\ud800.a.a", "W10.a.a"],
)  # fmt: skip
def test_check_when_the_field_is_no_jwt_then_malformed(field: str):
    """RFC 9449 §4.3: The DPoP HTTP request header field value is a single and well-formed JWT."""
    assert fault_of(field) is Fault.MALFORMED


@pytest.mark.parametrize("part", [0, 1, 2])
def test_check_when_a_part_is_spelled_otherwise_then_malformed(part: int):
    """P1: each proof has one spelling: no padding, no stray bits, no other alphabet."""
    for spoiled in ("=", "+", "/", "\n", " ", "é"):
        parts = REQUEST.proof().split(".")
        parts[part] = parts[part][:4] + spoiled + parts[part][4:]
        assert fault_of(".".join(parts)) is Fault.MALFORMED


def test_check_when_bits_are_left_over_then_malformed():
    """An ES256 signature ends in one of four letters of its alphabet; the others spell the same 64 bytes again."""
    field = REQUEST.proof()
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    respelled = letters[letters.index(field[-1]) + 1]
    assert fault_of(field[:-1] + respelled) is Fault.MALFORMED


@pytest.mark.parametrize("name", ["htm", "htu", "ath", "jti", "iat"])
def test_check_when_a_claim_stands_twice_then_malformed(name: str):
    """P1: Strict JSON, no duplicate names: two parsers would see two proofs."""
    claims = REQUEST.claims()
    doubled = json.dumps(claims)[:-1] + f', "{name}": {json.dumps(claims[name])}}}'
    assert fault_of(sign(APP_KEY, json.dumps(REQUEST.header()).encode(), doubled.encode())) is Fault.MALFORMED


@pytest.mark.parametrize("name", ["typ", "alg", "jwk"])
def test_check_when_a_header_member_stands_twice_then_malformed(name: str):
    header = REQUEST.header()
    doubled = json.dumps(header)[:-1] + f', "{name}": {json.dumps(header[name])}}}'
    assert fault_of(sign(APP_KEY, doubled.encode(), json.dumps(REQUEST.claims()).encode())) is Fault.MALFORMED


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b"{", b'{"iat":NaN}', b"\xff", b'{"a":' * 40 + b"1" + b"}" * 40]
)
def test_check_when_the_claims_are_no_strict_object_then_malformed(payload: bytes):
    assert fault_of(sign(APP_KEY, json.dumps(REQUEST.header()).encode(), payload)) is Fault.MALFORMED


@pytest.mark.parametrize(
    "typ", [DELETED, None, "JWT", "at+jwt", "DPOP+JWT", "application/dpop+jwt", " dpop+jwt", ["dpop+jwt"], 1, {}]
)
def test_check_when_typ_is_another_then_refused(typ: object):
    """RFC 9449 §4.3: The typ JOSE Header Parameter has the value dpop+jwt."""
    assert fault_of(REQUEST.proof(header={"typ": typ})) is Fault.TYPE


@pytest.mark.parametrize(
    "alg",
    [
        DELETED,
        None,
        "none",
        "HS256",
        "HS512",
        "RS384",
        "ES384",
        "ES256K",
        "Ed448",
        "ed25519",
        "es256",
        "",
        ["ES256"],
        {},
        1,
        True,
    ],
)
def test_check_when_alg_is_not_on_the_list_then_refused(alg: object):
    """RFC 9449 §4.3: The alg … indicates a registered asymmetric digital signature algorithm, is not none."""
    assert fault_of(REQUEST.proof(header={"alg": alg})) is Fault.ALGORITHM


@pytest.mark.parametrize("name", ["crit", "b64", "zip"])
@pytest.mark.parametrize("value", [None, False, [], ["exp"], "DEF"])
def test_check_when_an_extension_is_used_then_refused(name: str, value: object):
    """P1: no crit/b64/zip."""
    assert fault_of(REQUEST.proof(header={name: value})) is Fault.EXTENSION


def test_check_when_the_key_is_not_the_one_of_the_token_then_refused():
    """RFC 9449 §4.3: the public key to which the access token is bound matches the public key from the DPoP proof."""
    assert fault_of(REQUEST.proof(OTHER_KEY)) is Fault.OTHER_KEY
    assert fault_of(REQUEST.proof(KEYS["RS256"])) is Fault.OTHER_KEY


def test_check_when_the_signature_is_by_another_key_then_refused():
    """RFC 9449 §4.3: The JWT signature verifies with the public key contained in the jwk JOSE Header Parameter."""
    assert fault_of(REQUEST.proof(OTHER_KEY, {"jwk": public_jwk(APP_KEY)})) is Fault.SIGNATURE


@pytest.mark.parametrize("signature", [b"\0" * 64, b"\0" * 32 + b"x" * 32, b"x" * 63, b"x" * 65, b"x"])
def test_check_when_the_signature_is_made_up_then_refused(signature: bytes):
    field = REQUEST.proof().rpartition(".")[0] + "." + segment(signature)
    assert fault_of(field) is Fault.SIGNATURE


@pytest.mark.parametrize("part", [0, 1])
def test_check_when_signed_bytes_are_changed_then_refused(part: int):
    """The signature covers the first two parts as they stand."""
    parts, others = REQUEST.proof().split("."), REQUEST.proof(header={"x": 1}, claims={"x": 1}).split(".")
    parts[part] = others[part]
    assert fault_of(".".join(parts)) is Fault.SIGNATURE


@pytest.mark.parametrize("name", ["htm", "htu", "ath"])
@pytest.mark.parametrize("value", [DELETED, None, 1, True, ["GET"], {}])
def test_check_when_a_claim_is_no_string_then_refused(name: str, value: object):
    """RFC 9449 §4.3: All required claims per Section 4.2 are contained in the JWT."""
    assert fault_of(REQUEST.proof(claims={name: value})) is Fault.CLAIMS


@pytest.mark.parametrize("method", ["POST", "HEAD", "get", "Get", "GET ", "", "G\u0415T"])
def test_check_when_htm_is_another_method_then_refused(method: str):
    """RFC 9449 §4.3: The htm claim matches the HTTP method of the current request."""
    assert fault_of(REQUEST.proof(claims={"htm": method})) is Fault.METHOD


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "DELETE"])
def test_check_when_a_proof_for_get_comes_with_another_method_then_refused(method: str):
    assert fault_of(REQUEST.proof(), Request(TOKEN, method)) is Fault.METHOD


@pytest.mark.parametrize(
    "htu",
    [
        "https://api.example/v1/me?fields=name",
        "https://api.example/v1/me#top",
        "HTTPS://API.EXAMPLE/v1/me",
        "https://api.example:443/v1/me",
        "https://api.example/v1/x/../m%65",
    ],
)
def test_check_when_htu_is_written_otherwise_then_it_passes(htu: str):
    """RFC 9449 §4.3: matches … ignoring any query and fragment parts; servers SHOULD employ … normalization."""
    check(REQUEST.proof(claims={"htu": htu}))


@pytest.mark.parametrize(
    "htu",
    [
        "",
        "/v1/me",
        "api.example/v1/me",
        "http://api.example/v1/me",
        "https://api.example/v1",
        "https://evil.example/v1/me",
    ],
)
def test_check_when_htu_is_another_address_then_refused(htu: str):
    """RFC 9449 §4.3: The htu claim matches the HTTP URI value for the HTTP request in which the JWT was received."""
    assert fault_of(REQUEST.proof(claims={"htu": htu})) is Fault.URL


def test_check_when_ath_is_of_another_token_then_refused():
    """RFC 9449 §4.3: ensure that the value of the ath claim equals the hash of that access token."""
    other = bound_token(sub="auth0|other")
    assert fault_of(Request(other).proof(), REQUEST) is Fault.OTHER_TOKEN
    for ath in ("", token_hash(TOKEN) + "=", token_hash(TOKEN).lower(), TOKEN):
        assert fault_of(REQUEST.proof(claims={"ath": ath})) is Fault.OTHER_TOKEN


@pytest.mark.parametrize("iat", [-60, -59.5, 0, 29.9, 30])
def test_check_when_iat_is_within_the_window_then_it_passes(iat: float):
    """P1: `iat` is at most 60 s old and 30 s ahead without a nonce."""
    check(REQUEST.proof(claims={"iat": NOW + iat}))


@pytest.mark.parametrize(
    ("iat", "fault"),
    [
        (NOW - 60.5, Fault.TOO_OLD),
        (NOW - 3600, Fault.TOO_OLD),
        (0, Fault.TOO_OLD),
        (-1, Fault.TOO_OLD),
        (NOW + 30.5, Fault.TOO_EARLY),
        (NOW + 3600, Fault.TOO_EARLY),
        (NOW * 1000, Fault.CLAIMS),
        (1e300, Fault.CLAIMS),
        (-1e300, Fault.CLAIMS),
        (str(NOW), Fault.CLAIMS),
        (True, Fault.CLAIMS),
        (None, Fault.CLAIMS),
        ([NOW], Fault.CLAIMS),
        (DELETED, Fault.CLAIMS),
    ],
)
def test_check_when_iat_is_outside_the_window_then_it_says_in_which_direction(iat: object, fault: Fault):
    """RFC 9449 §4.3: The creation time of the JWT … is within an acceptable window; T28: compare server_time."""
    assert fault_of(REQUEST.proof(claims={"iat": iat})) is fault
    if fault in (Fault.TOO_OLD, Fault.TOO_EARLY):
        assert "server_time" in fault.value


@pytest.mark.parametrize("jti", ["a", "x" * 255, "ü ~", "d5a1c1de-5a6f-4f0e-9b6b-6f1f6c0a8a11"])
def test_check_when_jti_is_printable_then_it_passes(jti: str):
    """P1: jti: 1..255 printable characters."""
    check(REQUEST.proof(claims={"jti": jti}))


@pytest.mark.parametrize("jti", [DELETED, None, "", "x" * 256, "a\n", "\x00", "\u202e", 1, ["a"], {}])
def test_check_when_jti_is_none_then_refused(jti: object):
    assert fault_of(REQUEST.proof(claims={"jti": jti})) is Fault.PROOF_ID


def test_check_when_the_proof_comes_again_then_refused():
    """P1: `jti` once; RFC 9449 §11.1: to prevent replay, remember jti values for the time window."""
    store = ProofsInMemory()
    proof = REQUEST.proof()
    check(proof, store=store)
    assert fault_of(proof, store=store) is Fault.USED
    # Of an ECDSA signature anyone can make a second one: it is the same proof.
    again = sign(APP_KEY, *(_decoded(part) for part in proof.split(".")[:2]))
    assert again != proof
    assert fault_of(again, store=store) is Fault.USED
    check(REQUEST.proof(), store=store)


def _decoded(part: str) -> bytes:
    from app.oauth.header import decoded

    return decoded(part.encode())


@pytest.mark.parametrize("iat", [-60, 0, 0.5, 30])
def test_check_when_it_is_remembered_then_for_as_long_as_any_host_would_take_it(iat: float):
    """P2: what is forgotten could be used again, by a host whose clock is slow, too."""
    store = ProofsInMemory()
    check(REQUEST.proof(claims={"iat": NOW + iat}), store=store)
    ((jkt, digest, expires_at, now),) = store.asked
    assert (jkt, now) == (APP_KEY.thumbprint(), NOW)
    assert set(digest) <= set(string.ascii_letters + string.digits + "-_")
    assert len(digest) == 43
    assert 0 <= expires_at - (NOW + iat + 60) - CLOCK_MARGIN_SECONDS < 1


@pytest.mark.parametrize(
    "changes", [{"htm": "POST"}, {"htu": "https://x.example/"}, {"ath": "x"}, {"iat": 0}, {"jti": ""}]
)
def test_check_when_anything_is_wrong_then_the_store_is_not_asked(changes: dict[str, object]):
    """P1: Cheapest first; the replay store is asked last: nobody fills it with what is no proof."""
    store = ProofsInMemory()
    fault_of(REQUEST.proof(claims=changes), store=store)
    fault_of(REQUEST.proof(OTHER_KEY, {"jwk": public_jwk(APP_KEY)}), store=store)
    assert store.asked == []


def test_check_when_an_app_comes_again_then_its_key_is_not_parsed_anew(monkeypatch: pytest.MonkeyPatch):
    """P1: a known client costs one signature check and one store write; and no refusal is remembered."""
    from app.oauth.dpop import proof as dpop_proof

    parsed = []
    read_public_key = dpop_proof.read_public_key
    monkeypatch.setattr(dpop_proof, "read_public_key", lambda *given: parsed.append(given) or read_public_key(*given))
    proofs = DpopProofs(ProofsInMemory())

    def come(field: str) -> None:
        proofs.check(PresentedProof(field, "GET", REQUEST.url), TOKEN, APP_KEY.thumbprint(), now=NOW)

    for _ in range(3):
        come(REQUEST.proof())
    assert len(parsed) == 1
    for _ in range(2):
        with pytest.raises(InvalidProof):
            come(REQUEST.proof(header={"jwk": {"kty": "EC"}}))
    assert len(parsed) == 3


@pytest.mark.parametrize("nonce", [DELETED, None, "", "made-up", "é", 1, ["x"]])
def test_check_when_nonces_are_demanded_and_there_is_none_of_ours_then_use_dpop_nonce(nonce: object):
    """P3: RFC 9449 §4.3: if the server provided a nonce value to the client, the nonce claim matches it."""
    with pytest.raises(InvalidToken) as refused:
        check(REQUEST.proof(claims={"nonce": nonce}), nonces=NONCES)
    assert refused.value.reason is Reason.USE_DPOP_NONCE


@pytest.mark.parametrize("iat", [NOW, 0, NOW - 90 * 86_400, NOW + 3600, -1.5])
def test_check_when_the_nonce_is_ours_then_iat_is_any_number(iat: float):
    """P1 says the window holds without a nonce: with one, a phone whose clock is wrong is let in."""
    store = ProofsInMemory()
    check(REQUEST.proof(claims={"nonce": NONCES.current(NOW), "iat": iat}), nonces=NONCES, store=store)
    ends = (NOW // WINDOW_SECONDS + 2) * WINDOW_SECONDS
    assert store.asked[0][2] == ends + CLOCK_MARGIN_SECONDS


@pytest.mark.parametrize("iat", [DELETED, "now", True, NOW * 1000])
def test_check_when_the_nonce_is_ours_and_iat_is_no_time_then_refused(iat: object):
    field = REQUEST.proof(claims={"nonce": NONCES.current(NOW), "iat": iat})
    assert fault_of(field, nonces=NONCES) is Fault.CLAIMS


def test_check_when_nonces_are_off_then_a_nonce_is_not_looked_at():
    """P3: DPOP_NONCE=off."""
    check(REQUEST.proof(claims={"nonce": "whatever"}))


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_fault_when_written_then_it_fits_into_error_description(fault: Fault):
    """RFC 6750 §3: error_description MUST NOT include characters outside of %x20-21 / %x23-5B / %x5D-7E."""
    assert all(" " <= character <= "~" and character not in '"\\' for character in fault.value)
    assert fault.value.endswith(".")
    assert len({other.value for other in Fault}) == len(Fault)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_NAMES = ("typ", "alg", "jwk", "kid", "htm", "htu", "ath", "iat", "jti", "nonce")


@given(
    header=st.dictionaries(st.sampled_from(_NAMES), _JSON), claims=st.dictionaries(st.sampled_from(_NAMES), _JSON)
)  # fmt: skip
def test_check_whatever_the_proof_holds_then_it_passes_or_says_why(header: dict[str, Any], claims: dict[str, Any]):
    """T14: Nothing that a token can hold gives a 500; nor a proof."""
    outcome = outcome_of(lambda: check(REQUEST.proof(header=header, claims=claims), nonces=NONCES))
    assert outcome in (None, Reason.INVALID_DPOP_PROOF, Reason.USE_DPOP_NONCE)


@given(
    st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,9}\.[A-Za-z0-9_-]{0,9}\.[A-Za-z0-9_-]{0,9}", fullmatch=True)
)
def test_check_whatever_the_field_is_then_it_says_what_is_wrong(field: str):
    assert fault_of(field) in set(Fault)


@pytest.mark.parametrize("iat", [253_402_300_799, -253_402_300_799])
def test_check_when_the_nonce_is_ours_and_iat_is_the_last_second_of_a_datetime_then_it_passes(iat: int):
    """RFC 9449 §11.1: with a nonce of ours `iat` has to be a number; the numbers are those that tokens may hold."""
    check(REQUEST.proof(claims={"iat": iat, "nonce": NONCES.current(NOW)}), nonces=NONCES)
    beyond = REQUEST.proof(claims={"iat": iat + (1 if iat > 0 else -1), "nonce": NONCES.current(NOW)})
    assert fault_of(beyond, nonces=NONCES) is Fault.CLAIMS


def test_check_when_the_token_is_half_a_surrogate_then_the_proof_is_for_another():
    """T14: no text in the place of a token gives a 500."""
    field = REQUEST.proof()
    assert fault_of(field, Request("\ud800")) is Fault.OTHER_TOKEN


def test_check_when_blanks_surround_the_proof_then_they_alone_are_taken_off():
    """RFC 9110 §5.5: optional whitespace is a space or a tab, and nothing else of a field is ignored."""
    check(f" \t{REQUEST.proof()}\t ")
    for stray in ("\n", "\x0b", "X"):
        for field in (stray + REQUEST.proof(), REQUEST.proof() + stray):
            assert fault_of(field) in {Fault.MALFORMED, Fault.SIGNATURE}


def test_check_when_the_field_is_as_long_as_allowed_then_it_is_read():
    """P1: bounded before it is parsed: 8192 bytes are read, one more is too large."""
    assert fault_of("a" * 8192) is Fault.MALFORMED
    assert fault_of("a" * 8193) is Fault.TOO_LARGE


def test_headers_when_made_up_then_only_so_many_are_remembered():
    """P1, V3: what is remembered is bounded: whoever makes headers up makes these forgotten."""
    assert DpopProofs(ProofsInMemory())._header.cache_info().maxsize == 1024
