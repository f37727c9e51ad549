"""Split a token into its three segments and judge its header, before any key is looked for.

Takes   token: str, from anyone;  policy: TokenPolicy
Gives   Header: alg, kid and typ, and the exact bytes that the signature covers
Raises  InvalidToken(reason) and nothing else, whatever the token is
Not     the signature and what it covers (verifier.py, claims.py); `jku`, `jwk`, `x5u`, `x5c` are never read
Source  RFC 7515 §2, §4.1, §5.2; RFC 7516 §3.1; RFC 8725 §3.1, §3.11; RFC 9068 §2.1; docs/contracts/tokens.md T6 to T10
"""

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.oauth.claims import TokenPolicy
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason
from app.oauth.strict_json import parse_object

_JWS_SEGMENTS: Final = 3
_JWE_SEGMENTS: Final = 5
_MAX_KID_LENGTH: Final = 200

_TYPES: Final = {"jwt": "jwt", "at+jwt": "at+jwt", "application/at+jwt": "at+jwt"}
# `crit` and `b64` change what a signature means, `zip` what it covers; this API understands no extension.
EXTENSIONS: Final = frozenset({"crit", "b64", "zip"})

# The standard alphabet's own `+`, `/` and `=` become something that no decoder takes.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/???")
_PADDING: Final = (b"", b"", b"==", b"=")
# By length modulo 4: the last characters that leave no stray bits behind. None is a length that cannot be.
_LAST_CHARACTERS: Final = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    b"",
    b"AQgw",
    b"AEIMQUYcgkosw048",
)


@dataclass(frozen=True, slots=True)
class Header:
    """What may be verified. `typ` is None, `jwt` or `at+jwt`; `payload` is decoded and not yet to be trusted."""

    alg: str
    kid: str | None
    typ: str | None
    signing_input: bytes
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """What an accepted header segment says. `typ` is None, `jwt` or `at+jwt`."""

    alg: str
    typ: str | None
    kid: str | None


def judge(segment: bytes, policy: TokenPolicy) -> Judged:
    """Decode and check one header segment: a pure function of its bytes, so that who calls it may remember it."""
    try:
        members = parse_object(decoded(segment))
    except ValueError:
        raise InvalidToken(Reason.MALFORMED_TOKEN) from None
    return Judged(alg=_algorithm(members, policy), typ=_type(members, policy), kid=_key_id(members))


def parse(token: str, policy: TokenPolicy, judged: Callable[[bytes], Judged] | None = None) -> Header:
    """Split and decode the token and check its header; the first fault in the order of the contract names the code.

    Args:
        token: anything that stood where a token should.
        policy: what is accepted.
        judged: `judge` for this policy, with a memory; a tenant sends the same header in every token.
    """
    if len(token) > policy.max_token_bytes:
        raise InvalidToken(Reason.TOKEN_TOO_LARGE)
    try:
        encoded = token.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidToken(Reason.MALFORMED_TOKEN) from None
    segments = encoded.split(b".")
    if len(segments) != _JWS_SEGMENTS:
        raise InvalidToken(_reason_for_shape(segments))
    try:
        payload, signature = decoded(segments[1]), decoded(segments[2])
    except ValueError:
        raise InvalidToken(Reason.MALFORMED_TOKEN) from None
    found = judge(segments[0], policy) if judged is None else judged(segments[0])
    return Header(
        alg=found.alg,
        typ=found.typ,
        kid=found.kid,
        signing_input=encoded[: -len(segments[2]) - 1],
        payload=payload,
        signature=signature,
    )


def _reason_for_shape(segments: list[bytes]) -> Reason:
    if len(segments) == 1:
        return Reason.OPAQUE_TOKEN
    if len(segments) != _JWE_SEGMENTS:
        return Reason.MALFORMED_TOKEN
    try:
        members = parse_object(decoded(segments[0]))
    except ValueError:
        return Reason.ENCRYPTED_TOKEN
    # What Auth0 issues when the app asked for no audience: encrypted for the tenant's own use.
    return Reason.OPAQUE_TOKEN if members.get("alg") == "dir" else Reason.ENCRYPTED_TOKEN


def decoded(segment: bytes) -> bytes:
    """Decode strict base64url: each content has exactly one spelling, so nobody can respell a signed token."""
    remainder = len(segment) % 4
    if not segment or segment[-1] not in _LAST_CHARACTERS[remainder]:
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(segment.translate(_TO_STANDARD) + _PADDING[remainder], strict_mode=True)


def _algorithm(members: dict[str, Any], policy: TokenPolicy) -> str:
    alg = members.get("alg")
    # NOTE: the type first; `["RS256"]` is not hashable and must not become an error 500.
    if type(alg) is not str or alg not in policy.algorithms:
        raise InvalidToken(Reason.ALGORITHM_REFUSED)
    return alg


def _type(members: dict[str, Any], policy: TokenPolicy) -> str | None:
    typ: str | None = None
    if "typ" in members:
        named = members["typ"]
        typ = _TYPES.get(named.lower()) if type(named) is str else None
        if typ is None:
            raise InvalidToken(Reason.WRONG_TYPE)
    if policy.profile == "rfc9068" and typ != "at+jwt":
        raise InvalidToken(Reason.WRONG_TYPE)
    return typ


def _key_id(members: dict[str, Any]) -> str | None:
    if not EXTENSIONS.isdisjoint(members):
        raise InvalidToken(Reason.MALFORMED_TOKEN)
    if "kid" not in members:
        return None
    kid = members["kid"]
    if type(kid) is not str or not 0 < len(kid) <= _MAX_KID_LENGTH or not (kid.isascii() and kid.isprintable()):
        raise InvalidToken(Reason.MALFORMED_TOKEN)
    return kid
