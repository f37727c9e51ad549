"""Where a token may stand: T1 to T4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.bearer import credentials_from_header, scheme_of, token_from_header
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason
from tests.support.outcomes import outcome_of

MAX = 16_384


def refusal(value: str, max_token_bytes: int = MAX) -> Reason:
    with pytest.raises(InvalidToken) as refused:
        token_from_header(value, max_token_bytes)
    return refused.value.reason


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("spaces", [" ", "   "])
def test_token_when_scheme_is_bearer_in_any_case_is_found(scheme: str, spaces: str):
    """T1: The scheme is case-insensitive; one or more spaces follow it."""
    assert token_from_header(f"{scheme}{spaces}abc.def.ghi", MAX) == "abc.def.ghi"
    assert credentials_from_header(f"{scheme}{spaces}abc.def.ghi", MAX) == ("Bearer", "abc.def.ghi")


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP", "dPoP"])
@pytest.mark.parametrize("spaces", [" ", "   "])
def test_token_when_scheme_is_dpop_in_any_case_is_found(scheme: str, spaces: str):
    """RFC 9449 §7.1: credentials = "DPoP" 1*SP token68; T1 for this scheme."""
    value = f"{scheme}{spaces}abc.def.ghi"
    assert credentials_from_header(value, MAX) == ("DPoP", "abc.def.ghi")
    assert credentials_from_header(value, MAX, takes_dpop=False) is None


@pytest.mark.parametrize("token", ["a", "a.b.c", "AZaz09-._~+/", "a=", "a==", "X", "X="])
def test_token_when_b64token_is_found(token: str):
    """RFC 6750 §2.1: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" (b64token)."""
    assert token_from_header(f"Bearer {token}", MAX) == token


def test_token_when_surrounded_by_white_space_of_the_field_is_found():
    """RFC 9110 §5.5: a field value does not include leading or trailing whitespace."""
    assert token_from_header(" \tBearer a.b.c \t", MAX) == "a.b.c"


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a.b.c Bearer a.b.c",
        "Bearer a.b.c,Bearer a.b.c",
        "Bearer a.b.c, Bearer d.e.f",
        "Bearer a.b.c, Basic dTpw",
        "Bearer ,",
        "Bearer,a.b.c",
        "Bearer:a.b.c",
        "Bearer: a.b.c",
        "Bearer\ta.b.c",
        "Bearer \ta.b.c",
        'Bearer "a.b.c"',
        "Bearer <a.b.c>",
        "Bearer a.b.c\n",
        "Bearer a.b.c\r\nX: y",
        "Bearer a.b.c\x00",
        "Bearer =",
        "Bearer a=b",
        "Bearer é.b.c",
        "Bearer Bearer a.b.c",
        "Bearer null",
        "Bearer undefined",
        "Bearer a.b.c;",
    ],
)
def test_token_when_malformed_is_400(value: str):
    """T2: `Bearer` with a malformed value (…) is 400 `malformed_authorization`; so it is with `DPoP`."""
    assert refusal(value) is Reason.MALFORMED_AUTHORIZATION
    assert refusal(value.replace("Bearer", "DPoP", 1)) is Reason.MALFORMED_AUTHORIZATION


@pytest.mark.parametrize("value", ["DPoP a.b.c, Bearer a.b.c", "Bearer a.b.c, DPoP a.b.c", "DPoP a.b.c,DPoP a.b.c"])
def test_token_when_both_schemes_are_joined_is_400(value: str):
    """T2: WSGI servers join repeated headers with a comma: refuse on the comma, whatever stands behind it."""
    assert refusal(value) is Reason.MALFORMED_AUTHORIZATION


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "\t",
        "Basic dTpw",
        "Token a.b.c",
        "DPoPs a.b.c",
        "DPoP-x a",
        "Bearerish a.b.c",
        "Bearer-x a",
        "a.b.c",
        "Bear",
    ],
)
def test_token_when_no_bearer_credentials_is_none(value: str | None):
    """T3: No header, an empty one, or another scheme (`Basic`, `Token`) is "no credentials"."""
    assert token_from_header(value, MAX) is None
    assert scheme_of(value) is None


@pytest.mark.parametrize("value", ["DPoP a.b.c", "dpop", "DPoP a b", "DPoP a.b.c, Bearer a.b.c"])
def test_token_when_dpop_is_off_is_another_scheme(value: str):
    """P4: with mode off the DPoP scheme counts as another scheme."""
    assert credentials_from_header(value, MAX, takes_dpop=False) is None


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("Bearer a", "Bearer"),
        (" bearer", "Bearer"),
        ("Bearer a, DPoP b", "Bearer"),
        ("dpop", "DPoP"),
        ("DPoP a b", "DPoP"),
        ("DPoP a, Bearer b", "DPoP"),
        ("Basic a, Bearer b", None),
    ],
)
def test_scheme_when_credentials_are_good_or_bad_is_the_first_one_used(value: str, scheme: str | None):
    """T26: exactly one challenge carries `error`: that of the scheme used."""
    assert scheme_of(value) == scheme


def test_token_when_too_long_is_400_before_it_is_parsed():
    """T4: A token longer than `MAX_TOKEN_BYTES` (16384) is 400 before it is parsed."""
    assert token_from_header("Bearer " + "a" * MAX, MAX) == "a" * MAX
    assert refusal("Bearer " + "a" * (MAX + 1)) is Reason.TOKEN_TOO_LARGE
    assert refusal("Bearer " + "," * (MAX + 1)) is Reason.TOKEN_TOO_LARGE


@given(st.text() | st.from_regex(r"(?i)(bearer|dpop)[ ,:\t]+.*", fullmatch=True))
def test_token_whatever_the_header_is_found_or_refused(value: str | None):
    """T14: Nothing gives a 500; a header is a token, no credentials, or one of two refusals."""
    outcome = outcome_of(lambda: token_from_header(value, 64))
    if isinstance(outcome, Reason):
        assert outcome in (Reason.MALFORMED_AUTHORIZATION, Reason.TOKEN_TOO_LARGE)
        assert value.strip(" \t").lower().startswith(("bearer", "dpop"))
    else:
        assert outcome is None or (outcome.isascii() and 0 < len(outcome) <= 64 and outcome in value)


@pytest.mark.parametrize("letter", ["X", "x"])
def test_token_when_only_blanks_are_taken_off_keeps_every_letter(letter: str):
    """RFC 9110 §5.5, §11.4: spaces and tabs surround a field value, spaces follow the scheme; nothing else goes."""
    assert token_from_header(f"Bearer  {letter}a.b.c{letter} ", MAX) == f"{letter}a.b.c{letter}"
    assert token_from_header(f"{letter}Bearer a.b.c", MAX) is None
    assert scheme_of(f"{letter}Bearer a.b.c") is None
    assert scheme_of(f"{letter}DPoP a.b.c") is None
    assert scheme_of("\t dpop a.b.c") == "DPoP"


@pytest.mark.parametrize("blank", ["\n", "\r", "\x0b", "\u00a0"])
def test_scheme_when_something_else_than_a_blank_stands_before_it_is_none(blank: str):
    """RFC 9110 §5.5: optional whitespace is a space or a tab."""
    assert scheme_of(f"{blank}Bearer a.b.c") is None
    assert token_from_header(f"{blank}Bearer a.b.c", MAX) is None
