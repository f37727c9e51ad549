"""Say what an operator revokes: one entry, how two of the same join, and the denylist that all of them make.

Takes   names from an operator;  a token's text;  times in whole seconds since the epoch (UTC)
Gives   Revocation, frozen;  stricter(), denylist_of();  identify(), what a token's text says of itself
Raises  UnusableName for a name that no token can bear;  InvalidToken(reason) for a text that this API refuses anyway
Not     the rule (rules.py), where entries are kept (app/stores/revocations.py); identify() checks no signature
Source  docs/contracts/tokens.md T16, T24, K11
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal, get_args

from app.oauth.claims import MAX_NAME_LENGTH, TokenPolicy, number_of, refuse_other_tokens, text_of
from app.oauth.errors import InvalidToken
from app.oauth.header import parse
from app.oauth.reasons import Reason
from app.oauth.revocation.rules import NOTHING_REVOKED, Denylist
from app.oauth.strict_json import NotStrictJson, parse_object

Kind = Literal["token", "user", "client", "key"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# The end of the year 9999: no later second can be shown as a date.
_LAST_SECOND: Final = 253_402_300_799


class UnusableName(ValueError):  # noqa: N818 - named by what is wrong
    """No token can bear this name, so revoking it would do nothing; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One entry. `expires_at` is the second from which no token needs it any more; None: it stands until lifted."""

    kind: Kind
    value: str
    last_second: int | None = None
    """Of a user: tokens issued at or before this second are refused."""
    expires_at: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Identified:
    """What a token says of itself; nothing of it has been verified."""

    token_id: str
    issuer: Any
    expires_at: int | float | None


def of_token(token_id: str, *, expires_at: float, skew_seconds: int, note: str = "") -> Revocation:
    """Revoke one token until it has expired, the skew included."""
    return Revocation(
        kind="token",
        value=checked(token_id),
        expires_at=min(math.ceil(expires_at) + skew_seconds, _LAST_SECOND),
        note=note,
    )


def of_user(subject: str, *, last_second: int, now: int, longest_seconds: int, note: str = "") -> Revocation:
    """Revoke what was issued to a user up to `last_second`, for as long as a token of that time can live.

    A token without `iat` counts as issued at 0, and may have been issued just now: so the end counts from now.
    """
    return Revocation(
        kind="user",
        value=checked(subject),
        last_second=last_second,
        expires_at=min(max(last_second, now) + longest_seconds, _LAST_SECOND),
        note=note,
    )


def of_client(client_id: str, *, note: str = "") -> Revocation:
    """Revoke everything issued to an app, without an end: the tenant may go on issuing."""
    return Revocation(kind="client", value=checked(client_id), note=note)


def of_key(name: str, *, note: str = "") -> Revocation:
    """Distrust a key, without an end: whoever holds a stolen key writes any `exp` he likes (K11)."""
    return Revocation(kind="key", value=checked(name), note=note)


def checked(name: str) -> str:
    """Return the name unless no token can bear it (T16)."""
    if not name:
        raise UnusableName("it is empty")
    if len(name) > MAX_NAME_LENGTH:
        raise UnusableName(f"it is longer than {MAX_NAME_LENGTH} characters")
    if any(character < " " or character == "\x7f" for character in name):
        raise UnusableName("it holds a control character")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise UnusableName("it is not UTF-8")
    return name


def stricter(held: Revocation, wanted: Revocation) -> Revocation:
    """Join two entries of the same kind and value: whatever one of them refuses stays refused."""
    seconds = [second for second in (held.last_second, wanted.last_second) if second is not None]
    ends = (held.expires_at, wanted.expires_at)
    return Revocation(
        kind=held.kind,
        value=held.value,
        last_second=max(seconds, default=None),
        expires_at=None if None in ends else max(end for end in ends if end is not None),
        note=wanted.note or held.note,
    )


def denylist_of(revocations: Iterable[Revocation]) -> Denylist:
    """Put the entries together; NOTHING_REVOKED itself, which the verifier knows, if there are none."""
    names: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
    users: dict[str, int] = {}
    for revocation in revocations:
        if revocation.kind == "user":
            users[revocation.value] = max(users.get(revocation.value, 0), revocation.last_second or 0)
        else:
            names[revocation.kind].add(revocation.value)
    if not users and not any(names.values()):
        return NOTHING_REVOKED
    return Denylist(
        tokens=frozenset(names["token"]),
        users=users,
        clients=frozenset(names["client"]),
        keys=frozenset(names["key"]),
    )


def identify(token: str, policy: TokenPolicy) -> Identified:
    """Read a token's id, issuer and end, as the verifier would name them (AccessToken.token_id)."""
    header = parse(token, policy)
    try:
        claims = parse_object(header.payload)
    except NotStrictJson:
        raise InvalidToken(Reason.MALFORMED_CLAIMS) from None
    refuse_other_tokens(claims, policy, header.typ)
    return Identified(
        token_id=text_of(claims, "jti") or f"sha256:{sha256(header.signing_input).hexdigest()}",
        issuer=claims.get("iss"),
        expires_at=number_of(claims, "exp"),
    )
