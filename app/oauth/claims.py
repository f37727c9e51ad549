"""Decide whether decoded claims are an access token for this API.

Takes   claims: dict of JSON values from strict_json, signature already checked
        policy: TokenPolicy;  typ: the header's, as header.py normalises it;  now: seconds since the epoch (UTC)
Gives   AccessToken, frozen; scopes is a frozenset[str], never None
Raises  InvalidToken(reason) and nothing else, whatever the claims contain; the first fault in the order of §2 names it
Not     typ and alg (header.py), signature (verifier.py), scopes (scopes.py), revocation
Source  RFC 9068 §2.2, §4; RFC 7519 §4.1; RFC 8725 §3.11; docs/contracts/tokens.md T14 to T19, T23

The steps of `check` are public because `flask explain-token` asks them one by one, each as the API itself does.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

from app.oauth.access_token import AccessToken, Kind
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason
from app.oauth.repeated import set_of, shared, words_of

T = TypeVar("T")

# `none` and HS* are not here and so can never be configured (T7).
SUPPORTED_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
MAX_SKEW_SECONDS: Final = 120
MAX_NAME_LENGTH: Final = 255

# The end of the year 9999: no later time can be a datetime. An `exp` in milliseconds is caught here, too.
_LAST_SECOND: Final = 253_402_300_799

# What `token_use` (Cognito), `token_type` and `typ` (Keycloak) say of access tokens and of ID tokens.
_KIND_CLAIMS: Final = ("token_use", "token_type", "typ")
_ACCESS_WORDS: Final = frozenset(
    {"access", "access_token", "bearer", "dpop", "jwt", "at+jwt", "urn:ietf:params:oauth:token-type:access_token"}
)
_ID_WORDS: Final = frozenset({"id", "id_token"})
_PROFILE_CLAIMS: Final = frozenset({"client_id", "iat", "jti"})
# A SHA-256 in base64url (RFC 7638 §3, RFC 9449 §6.1).
_JKT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """What this API accepts as an access token; built once from the settings.

    `issuers` are names of one tenant (T11). `acr_claim` and `auth_time_claim` name the claims in which a tenant says
    these things otherwise; the standard ones are read where those are absent.
    """

    issuers: tuple[str, ...]
    audiences: frozenset[str]
    algorithms: tuple[str, ...] = ("RS256",)
    profile: Literal["any", "rfc9068"] = "any"
    scope_claim: str = "scope"
    clock_skew_seconds: int = 30
    max_token_bytes: int = 16_384
    acr_claim: str | None = None
    auth_time_claim: str | None = None

    def __post_init__(self) -> None:
        """Refuse a policy that would let anything in, even if the settings did not."""
        if not self.issuers or not all(self.issuers) or not self.audiences or not all(self.audiences):
            raise ValueError("a token policy needs an issuer and an audience")
        if not self.algorithms or not set(self.algorithms) <= set(SUPPORTED_ALGORITHMS):
            raise ValueError(f"algorithms must be some of {', '.join(SUPPORTED_ALGORITHMS)}")
        if not 0 <= self.clock_skew_seconds <= MAX_SKEW_SECONDS:
            raise ValueError(f"the clock skew must be 0 to {MAX_SKEW_SECONDS} seconds")


class NotYetValid(InvalidToken):
    """An `nbf` or `iat` in the future: a tenant does not do this, so it is probably OUR clock; the verifier logs it."""

    def __init__(self, ahead_seconds: float) -> None:
        super().__init__(Reason.TOKEN_NOT_YET_VALID)
        self.ahead_seconds = ahead_seconds


def check(  # noqa: PLR0913 - what the header says stands beside the claims, each by its name
    claims: Mapping[str, Any],
    policy: TokenPolicy,
    *,
    typ: str | None,
    now: float,
    kid: str | None = None,
    signing_input: bytes = b"",
) -> AccessToken:
    """Turn claims of any dialect into the one AccessToken, or refuse them.

    `signing_input` names a token that has no `jti` (T24): of an ECDSA token anyone can make a second signature.
    """
    issuer = issuer_of(claims, policy)
    refuse_other_tokens(claims, policy, typ)
    audience = audience_of(claims, policy)
    expires_at, issued_at = times_of(claims, policy, now)
    subject = required_text(claims, "sub")
    scopes = scopes_of(claims, policy)
    permissions = set_of(strings_of(claims.get("permissions", [])))
    client_id = client_id_of(claims)
    jti = text_of(claims, "jti")
    if policy.profile == "rfc9068":
        require_profile(claims)
    return AccessToken(
        issuer=issuer,
        subject=subject,
        client_id=client_id,
        kind=kind_of(claims, subject, client_id),
        scopes=scopes,
        permissions=permissions,
        audience=audience,
        expires_at=expires_at,
        issued_at=issued_at,
        org_id=text_of(claims, "org_id"),
        jti=jti,
        auth_time=told(number_of, claims, name_of(claims, policy.auth_time_claim, "auth_time")),
        acr=told(text_of, claims, name_of(claims, policy.acr_claim, "acr")),
        amr=told(texts_of, claims, "amr") or (),
        cnf=claims.get("cnf"),
        # NOTE: null is no absence. What cannot be understood must not make a bound token a plain one (T19).
        bound_to=thumbprint_of(claims["cnf"]) if "cnf" in claims else None,
        token_id=jti or f"sha256:{sha256(signing_input).hexdigest()}",
        key_id=kid,
        claims=MappingProxyType(shared(claims)),
    )


def issuer_of(claims: Mapping[str, Any], policy: TokenPolicy) -> str:
    """Return the configured issuer that `iss` equals exactly; before the signature it only chooses the keys (T11)."""
    if "iss" not in claims:
        raise InvalidToken(Reason.MISSING_CLAIM)
    issuer = claims["iss"]
    if type(issuer) is not str or issuer not in policy.issuers:
        raise InvalidToken(Reason.WRONG_ISSUER)
    return issuer


def refuse_expired(expires_at: float, policy: TokenPolicy, now: float) -> None:
    """Refuse on or after `exp`, with the skew; also asked for a token that was verified before (V2)."""
    if now - policy.clock_skew_seconds >= expires_at:
        raise InvalidToken(Reason.TOKEN_EXPIRED)


def refuse_other_tokens(claims: Mapping[str, Any], policy: TokenPolicy, typ: str | None) -> None:
    """Refuse what the tenant signed for another purpose (T17).

    What a token says of itself comes first: a logout token has `sid` and a refresh token may have `nonce`, and neither
    is an ID token.
    """
    for name in _KIND_CLAIMS:
        if name in claims:
            word = claims[name].lower() if type(claims[name]) is str else ""
            if word in _ID_WORDS:
                raise InvalidToken(Reason.ID_TOKEN_USED)
            if word not in _ACCESS_WORDS:
                raise InvalidToken(Reason.WRONG_TYPE)
    if "events" in claims:
        raise InvalidToken(Reason.WRONG_TYPE)
    azp = claims.get("azp")
    if (
        ("nonce" in claims and typ != "at+jwt")
        or "at_hash" in claims
        or "c_hash" in claims
        or ("sid" in claims and "scope" not in claims and policy.scope_claim not in claims)
        or (azp is not None and claims.get("aud") in (azp, [azp]))
    ):
        raise InvalidToken(Reason.ID_TOKEN_USED)


def audience_of(claims: Mapping[str, Any], policy: TokenPolicy) -> tuple[str, ...]:
    """Return `aud` as a tuple, if it names this API."""
    if "aud" not in claims:
        raise InvalidToken(Reason.MISSING_CLAIM)
    value = claims["aud"]
    audience = (value,) if type(value) is str else strings_of(value)
    if policy.audiences.isdisjoint(audience):
        raise InvalidToken(Reason.WRONG_AUDIENCE)
    return audience


def times_of(claims: Mapping[str, Any], policy: TokenPolicy, now: float) -> tuple[int | float, int | None]:
    """Check `exp`, then `nbf`, then `iat`; give (exp, iat in whole seconds)."""
    expires_at = number_of(claims, "exp")
    if expires_at is None:
        raise InvalidToken(Reason.MISSING_CLAIM)
    refuse_expired(expires_at, policy, now)
    latest = now + policy.clock_skew_seconds
    not_before = number_of(claims, "nbf")
    if not_before is not None and not_before > latest:
        # Tenants that send it send the `iat` once more: the same slow clock, seen one claim earlier.
        raise NotYetValid(not_before - now)
    issued_at = number_of(claims, "iat")
    if issued_at is None:
        return expires_at, None
    if issued_at > latest:
        raise NotYetValid(issued_at - now)
    return expires_at, int(issued_at)


def scopes_of(claims: Mapping[str, Any], policy: TokenPolicy) -> frozenset[str]:
    """Return the scopes, none if the claim is absent (T16)."""
    value = claims.get(policy.scope_claim, "")
    if type(value) is str:
        return words_of(value)
    if policy.scope_claim == "scope":
        raise InvalidToken(Reason.MALFORMED_CLAIMS)
    return set_of(strings_of(value))


def client_id_of(claims: Mapping[str, Any]) -> str | None:
    """Return the app, by whichever of its two names the tenant says it; both and different is a refusal (T18)."""
    client_id, azp = text_of(claims, "client_id"), text_of(claims, "azp")
    if client_id is not None and azp is not None and client_id != azp:
        raise InvalidToken(Reason.MALFORMED_CLAIMS)
    return azp if client_id is None else client_id


def kind_of(claims: Mapping[str, Any], subject: str, client_id: str | None) -> Kind:
    """Tell for whom the token speaks (T18)."""
    if claims.get("gty") == "client-credentials" or subject.endswith("@clients") or subject == client_id:
        return "client"
    return "anonymous" if subject.startswith("anon@") else "user"


def thumbprint_of(cnf: Any) -> str:
    """Return the one confirmation that this API can check (RFC 9449 §6.1); any other, or one beside it, is refused."""
    jkt = cnf.get("jkt") if type(cnf) is dict and len(cnf) == 1 else None
    if type(jkt) is not str or _JKT.fullmatch(jkt) is None:
        # A bound token never passes as a plain one, whatever it is bound by (T19).
        raise InvalidToken(Reason.PROOF_REQUIRED)
    return jkt


def require_profile(claims: Mapping[str, Any]) -> None:
    """Demand what RFC 9068 §2.2 demands beyond T15."""
    if not claims.keys() >= _PROFILE_CLAIMS:
        raise InvalidToken(Reason.MISSING_CLAIM)


def name_of(claims: Mapping[str, Any], configured: str | None, standard: str) -> str:
    """Return the configured name of a claim where the token has it, else the standard one (T23)."""
    return configured if configured is not None and configured in claims else standard


def told(read: Callable[[Mapping[str, Any], str], T | None], claims: Mapping[str, Any], name: str) -> T | None:
    """Return what a claim tells of the login, None if it is absent or cannot be understood (T23).

    Nothing is granted by the absence: who asks for a recent login gets none. A slip in what a tenant adds to its
    tokens then costs the step-up alone, and not every request of every user.
    """
    try:
        return read(claims, name)
    except InvalidToken:
        return None


def required_text(claims: Mapping[str, Any], name: str) -> str:
    """Return a name of something that must be there."""
    value = text_of(claims, name)
    if value is None:
        raise InvalidToken(Reason.MISSING_CLAIM)
    return value


def text_of(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a name of something, None if absent: it will be a database key or stand in a log, so no control in it."""
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not str or not 0 < len(value) <= MAX_NAME_LENGTH:
        raise InvalidToken(Reason.MALFORMED_CLAIMS)
    if not value.isprintable() and any(ord(character) < ord(" ") or character == "\x7f" for character in value):
        raise InvalidToken(Reason.MALFORMED_CLAIMS)
    return value


def number_of(claims: Mapping[str, Any], name: str) -> int | float | None:
    """Return a time, None if absent; True is an int to Python and no number here, NaN fails every comparison."""
    if name not in claims:
        return None
    value = claims[name]
    if type(value) not in (int, float) or not -_LAST_SECOND <= value <= _LAST_SECOND:
        raise InvalidToken(Reason.MALFORMED_CLAIMS)
    number: int | float = value
    return number


def texts_of(claims: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Return an array of strings, None if absent."""
    return strings_of(claims[name]) if name in claims else None


def strings_of(value: Any) -> tuple[str, ...]:
    """Return an array of strings as a tuple."""
    if type(value) is not list or not all(type(entry) is str for entry in value):
        raise InvalidToken(Reason.MALFORMED_CLAIMS)
    return tuple(value)
