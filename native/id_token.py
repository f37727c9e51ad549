"""Decide whether an ID token is ours, from this issuer, for this login.

Takes   token: the compact JWS;  key_set: the issuer's JWKS document;  expected: what this login asked for
        access_token: the one that came with it;  now: seconds since the epoch (UTC)
Gives   the claims
Raises  LoginFailed, and nothing else whatever the token holds
Not     fetching the keys; reading an access token: that is the API's business, never a client's
Source  OpenID Connect Core §3.1.3.7 (validation), §3.1.3.8 (at_hash), §10.1 (kid), §5.5.1.1 (auth_time)
"""

import hashlib
import hmac
import warnings
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from native.errors import LoginFailed

# NOTE: written out, because the header must never choose: `none` and HS256 are what a forger would write.
ALGORITHMS = {"RS256": hashlib.sha256, "ES256": hashlib.sha256, "PS256": hashlib.sha256, "EdDSA": hashlib.sha512}
LEEWAY_SECONDS = 60
MAX_AGE_OF_IAT_SECONDS = 600  # the token was made for this login, a moment ago; AppAuth draws the same line
MIN_RSA_BITS = 2048

# RFC 7515 §4: unknown header members are ignored, so the check for them is off.
_REGISTRY = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)


@dataclass(frozen=True)
class Expected:
    """What the ID token has to say."""

    issuer: str
    client_id: str
    nonce: str
    max_age_seconds: int | None = None


def verify(token: str, key_set: dict[str, Any], *, expected: Expected, access_token: str, now: float) -> dict[str, Any]:
    """The claims of a token whose signature, addressee, time and binding to this login hold."""
    try:
        with warnings.catch_warnings():
            # RFC 9864 deprecates the name EdDSA, not the algorithm; issuers still use it.
            warnings.simplefilter("ignore", SecurityWarning)
            decoded = jwt.decode(token, _usable(key_set), registry=_REGISTRY)
        _check_claims(decoded.claims, expected, int(now))
    except ExpiredTokenError as error:
        raise _refused("it has expired; check this machine's clock") from error
    except (JoseError, ValueError, TypeError, OverflowError) as error:
        raise _refused(str(error)) from error
    _check_binding(decoded.header["alg"], decoded.claims, access_token)
    return decoded.claims


def _usable(key_set: dict[str, Any]) -> KeySet:
    """The keys that may verify; an odd one never spoils the set (RFC 7517 §5)."""
    usable: list[RSAKey | ECKey | OKPKey] = []
    for jwk in key_set.get("keys") or ():
        if not isinstance(jwk, dict) or jwk.get("kty") not in {"RSA", "EC", "OKP"} or jwk.get("use", "sig") != "sig":
            continue
        try:
            key = import_key(jwk)
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(key, RSAKey) and key.raw_value.key_size < MIN_RSA_BITS:
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            usable.append(key)
    return KeySet(list(usable))


def _check_claims(claims: dict[str, Any], expected: Expected, now: int) -> None:
    jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": expected.issuer},
        sub={"essential": True},
        aud={"essential": True, "value": expected.client_id},
        exp={"essential": True},
        iat={"essential": True},
    ).validate(claims)
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
        raise _refused("it has several audiences and no azp")
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise _refused("it was made for another client (azp)")
    if now - claims["iat"] > MAX_AGE_OF_IAT_SECONDS:
        raise _refused("it was made long ago (iat); check this machine's clock")
    if not _same(claims.get("nonce"), expected.nonce):
        raise _refused("it belongs to another login (nonce)")
    if expected.max_age_seconds is not None:
        moment = claims.get("auth_time")
        if not isinstance(moment, int | float) or isinstance(moment, bool):
            raise _refused("it does not say when the user logged in (auth_time)")
        if now - moment > expected.max_age_seconds + LEEWAY_SECONDS:
            raise _refused("the login is older than was asked for (auth_time)")


def _check_binding(algorithm: str, claims: dict[str, Any], access_token: str) -> None:
    if "at_hash" not in claims:  # OPTIONAL in the code flow
        return
    digest = ALGORITHMS[algorithm](access_token.encode()).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not _same(claims["at_hash"], half):
        raise _refused("it came with another access token (at_hash)")


def _same(value: object, wanted: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode("utf-8", "surrogatepass"), wanted.encode())


def _refused(why: str) -> LoginFailed:
    return LoginFailed(f"The ID token is refused: {why}.", "Log in again.")
