"""Make access tokens, opaque tokens and ID tokens, and read back what /userinfo is shown.

Takes   an Order: who gives what to which application for which API
Gives   signed (JWS) or encrypted (opaque, five-part JWE) tokens
Raises  TokenRefusedError for a token that is not ours, too old, or not for /userinfo
Not     whether the order is allowed (grants.py); revocation (userinfo.py)
Source  D4, D5, D14; RFC 9068 §2; OpenID Connect Core §2, §3.1.3.6; Auth0 "Access Token Profiles"
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from tenant.context import Tenant
from tenant.keys import SigningKey
from tenant.registry import Api, User

OPAQUE_LIFETIME_SECONDS = 86400
LONG_PAST_SECONDS = 3600
_LAX_JWE = JWERegistry(strict_check_header=False)
_LAX_JWS = JWSRegistry(strict_check_header=False)


class TokenRefusedError(Exception):
    """The token does not open /userinfo."""


@dataclass(frozen=True)
class Order:
    """What a token shall say. `user` is None for an application that acts for itself."""

    client_id: str
    subject: str
    user: User | None
    api: Api | None
    scope: str
    auth_time: int | None = None
    sid: str | None = None


def access_token(tenant: Tenant, order: Order) -> tuple[str, int]:
    """Return an access token and the seconds it lives; without an API it is opaque, good for /userinfo only."""
    lifetime = lifetime_seconds(tenant, order)
    claims = access_claims(tenant, order, lifetime)
    if order.api is None:
        return _opaque(tenant, claims), lifetime
    header, key = access_header(order.api), tenant.keys.get("current")
    key = _spoil(tenant, claims, lifetime, key)
    return sign(key, header, claims), lifetime


def lifetime_seconds(tenant: Tenant, order: Order) -> int:
    """Return how long an access token lives: /_dev/lifetimes, else the registry."""
    turned = tenant.clock.lifetimes.access_token_seconds
    if turned is not None:
        return turned
    return order.api.token_lifetime_seconds if order.api else OPAQUE_LIFETIME_SECONDS


def access_header(api: Api) -> dict[str, Any]:
    """Return the header's members but `kid`."""
    return {"alg": "RS256", "typ": "at+jwt" if api.dialect == "rfc9068" else "JWT"}


def access_claims(tenant: Tenant, order: Order, lifetime: int) -> dict[str, Any]:
    """Return the claims in the API's dialect."""
    now, api = tenant.clock.now(), order.api
    claims: dict[str, Any] = _custom_claims(tenant, order) | {"iss": tenant.issuer, "sub": order.subject}
    claims["aud"] = _audience(tenant, order)
    claims |= {"iat": now, "exp": now + lifetime}
    if order.scope:
        claims["scope"] = order.scope
    if api is not None and api.dialect == "rfc9068":
        claims |= {"client_id": order.client_id, "jti": secrets.token_urlsafe(16)}
        if order.auth_time is not None:
            claims["auth_time"] = order.auth_time
    else:
        claims["azp"] = order.client_id
        if order.user is None and order.subject.endswith("@clients"):
            claims["gty"] = "client-credentials"
    if api is not None and api.rbac:
        allowed = order.user.permissions if order.user else tuple(order.scope.split())
        claims["permissions"] = [name for name in allowed if name in api.scopes]
    return claims


def sign(key: SigningKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return the signed token; `kid` is the key's unless the header says otherwise."""
    return jwt.encode({"kid": key.kid} | header, claims, key.jwk, registry=_LAX_JWS, default_type=None)


def id_token(tenant: Tenant, order: Order, access: str, nonce: str | None) -> str:
    """Return an ID token for the application."""
    now = tenant.clock.now()
    claims: dict[str, Any] = user_claims(order.user, order.scope) if order.user else {"sub": order.subject}
    claims |= {
        "iss": tenant.issuer,
        "aud": order.client_id,
        "iat": now,
        "exp": now + tenant.clock.lifetimes.id_token_seconds,
        "auth_time": order.auth_time,
        "sid": order.sid,
        "at_hash": _half_hash(access),
    }
    if nonce is not None:
        claims["nonce"] = nonce
    return sign(tenant.keys.get("current"), {"alg": "RS256", "typ": "JWT"}, claims)


def user_claims(user: User, scope: str) -> dict[str, Any]:
    """Return what the scopes `profile` and `email` open, as ID tokens and /userinfo say it."""
    claims: dict[str, Any] = {"sub": user.user_id}
    granted = scope.split()
    if "profile" in granted:
        names = ("name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo")
        claims |= {name: getattr(user, name) for name in names if getattr(user, name) is not None}
    if "email" in granted:
        claims |= {"email": user.email, "email_verified": user.email_verified}
    return claims


def open_for_userinfo(tenant: Tenant, token: str) -> dict[str, Any]:
    """Return the claims of one of our own tokens that is meant for /userinfo."""
    try:
        claims = _open_opaque(tenant, token) if token.count(".") == 4 else _verified(tenant, token)  # noqa: PLR2004 - RFC 7516 §3.1: five parts, four dots
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefusedError("the token is not one of this tenant's") from error
    if claims.get("iss") != tenant.issuer or claims.get("exp", 0) <= tenant.clock.now():
        raise TokenRefusedError("the token has expired or names another issuer")
    audience = claims.get("aud")
    if tenant.userinfo_audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenRefusedError("the token's audience does not hold /userinfo: ask for the scope openid")
    return claims


def signature_verified(tenant: Tenant, token: str) -> dict[str, Any]:
    """Return the claims of a token that we have signed, however old: what an id_token_hint needs."""
    try:
        return _verified(tenant, token)
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefusedError("the token is not one of this tenant's") from error


def _half_hash(access: str) -> str:
    """OpenID Connect Core §3.1.3.6: the left half of the hash that the signature uses."""
    return base64.urlsafe_b64encode(hashlib.sha256(access.encode("ascii")).digest()[:16]).rstrip(b"=").decode()


def _audience(tenant: Tenant, order: Order) -> str | list[str]:
    if order.api is None:
        return tenant.userinfo_audience
    if "openid" in order.scope.split():
        return [order.api.identifier, tenant.userinfo_audience]
    return order.api.identifier


def _custom_claims(tenant: Tenant, order: Order) -> dict[str, Any]:
    names, user = tenant.registry.claims, order.user
    if order.api is None or user is None:
        return {}
    values = {names.roles: list(user.roles), names.attributes: dict(user.app_metadata)}
    if order.auth_time is not None:
        values[names.auth_time] = order.auth_time  # type: ignore[assignment]  # a claim's value is any JSON value
    return {name: value for name, value in values.items() if name}


def _opaque(tenant: Tenant, claims: dict[str, Any]) -> str:
    header = {"alg": "dir", "enc": "A256GCM", "iss": tenant.issuer}
    return jwe.encrypt_compact(header, json.dumps(claims).encode(), tenant.opaque_key, registry=_LAX_JWE)


def _open_opaque(tenant: Tenant, token: str) -> dict[str, Any]:
    plaintext = jwe.decrypt_compact(token, tenant.opaque_key, registry=_LAX_JWE).plaintext
    claims: dict[str, Any] = json.loads(plaintext or b"null")
    return claims


def _verified(tenant: Tenant, token: str) -> dict[str, Any]:
    def choose(signed: Any) -> RSAKey:
        key = tenant.keys.find(signed.headers().get("kid"))
        if key is None:
            raise ValueError("unknown kid")
        return key.jwk

    return dict(jwt.decode(token, choose, algorithms=["RS256"], registry=_LAX_JWS).claims)


def _spoil(tenant: Tenant, claims: dict[str, Any], lifetime: int, key: SigningKey) -> SigningKey:
    """Break the token the way /_dev/faults asks for, and return the key to sign with."""
    fault, now = tenant.faults.take("access_token"), tenant.clock.now()
    if fault == "expired":
        claims |= {"iat": now - LONG_PAST_SECONDS - lifetime, "exp": now - LONG_PAST_SECONDS}
    elif fault == "not_yet_valid":
        claims["nbf"] = now + LONG_PAST_SECONDS
    elif fault == "wrong_audience":
        claims["aud"] = "https://another-api.example"
    elif fault == "wrong_issuer":
        claims["iss"] = "https://another-tenant.example/"
    elif fault == "unknown_kid":
        return tenant.keys.foreign
    return key
