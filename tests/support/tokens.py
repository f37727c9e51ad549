"""Mint real tokens: real keys, real signatures, a valid baseline and one change per test.

Takes   a SigningKey, and what to change in the baseline's header and claims (`DELETED` takes a member out)
Gives   tokens as a tenant would issue them, or broken in exactly the way that was asked for
Raises  nothing of its own
Not     any check of what is asked for: a test may mint nonsense
Source  RFC 7515 §5.1; RFC 9068 §2; Auth0's documentation of access token profiles
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.jwk import import_key
from jwt.algorithms import get_default_algorithms

NOW: Final = 1_800_000_000
"""The second at which every test happens unless it says otherwise."""
ISSUER: Final = "https://tenant.example/"
AUDIENCE: Final = "https://api.example/"
CLIENT_ID: Final = "nativeAppClientId0123456789abcdef"
SUBJECT: Final = "auth0|5f7c8ec7c33c6c004bbafe82"
LIFETIME_SECONDS: Final = 3600

DELETED: Final = object()
"""As a value among the changes: the member is taken out."""

_CURVES: Final = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class SigningKey:
    """A private key with its `kid` and the algorithm that it signs with."""

    private_key: PrivateKey
    kid: str
    alg: str

    @cached_property
    def _algorithm(self) -> Any:
        return get_default_algorithms()[self.alg]

    def jwk(self, **changes: object) -> dict[str, Any]:
        """The public key as its issuer publishes it; DELETED takes a member out."""
        public: dict[str, Any] = self._algorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        public.pop("key_ops", None)
        return changed({**public, "kid": self.kid, "use": "sig", "alg": self.alg}, changes)

    def thumbprint(self) -> str:
        """The RFC 7638 thumbprint, as joserfc computes it."""
        return import_key(self.jwk()).thumbprint()

    def signature(self, signing_input: bytes) -> bytes:
        """The raw signature over exactly these bytes."""
        signed: bytes = self._algorithm.sign(signing_input, self.private_key)
        return signed


def new_rsa_key(kid: str = "rsa-fresh", alg: str = "RS256", bits: int = 2048) -> SigningKey:
    """A new RSA key; takes about 50 ms, so share `rsa_key` where any key will do."""
    return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=bits), kid, alg)


def rsa_key(kid: str = "rsa-1", alg: str = "RS256") -> SigningKey:
    """The RSA key of that name, generated once in a test process for each (kid, alg)."""
    return _kept(kid, alg)


def ec_key(alg: str = "ES256", kid: str | None = None) -> SigningKey:
    """A P-256 (ES256) or P-384 (ES384) key, generated once in a test process."""
    return _kept(kid or f"ec-{alg}", alg)


def ed_key(kid: str = "ed-1") -> SigningKey:
    """An Ed25519 key (alg EdDSA), generated once in a test process."""
    return _kept(kid, "EdDSA")


@cache
def _kept(kid: str, alg: str) -> SigningKey:
    # One cache behind the three: one that saw defaults would make two keys of `ec_key()` and `ec_key("ES256")`.
    if alg == "EdDSA":
        return SigningKey(ed25519.Ed25519PrivateKey.generate(), kid, alg)
    if alg in _CURVES:
        return SigningKey(ec.generate_private_key(_CURVES[alg]()), kid, alg)
    return new_rsa_key(kid, alg)


def key_set(*keys: SigningKey | Mapping[str, Any]) -> bytes:
    """A JWKS document of these keys (or ready JWKs)."""
    return json.dumps({"keys": [key.jwk() if isinstance(key, SigningKey) else dict(key) for key in keys]}).encode()


_BASE: Final = {
    "iss": ISSUER,
    "sub": SUBJECT,
    "aud": [AUDIENCE, "https://tenant.example/userinfo"],
    "iat": NOW,
    "exp": NOW + LIFETIME_SECONDS,
    "scope": "openid profile read:profile write:preferences",
}
_RBAC: Final = {"permissions": ["read:profile", "write:preferences"]}
_AUTH0: Final = {**_BASE, "azp": CLIENT_ID}
_RFC9068: Final = {**_BASE, "client_id": CLIENT_ID, "jti": "Zk1qXN3sYw0tVbT5m2pLrA"}

DIALECTS: Final[Mapping[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "auth0": ({"typ": "JWT"}, _AUTH0),
    "auth0_rbac": ({"typ": "JWT"}, {**_AUTH0, **_RBAC}),
    "rfc9068": ({"typ": "at+jwt"}, _RFC9068),
    "rfc9068_rbac": ({"typ": "at+jwt"}, {**_RFC9068, **_RBAC}),
}
"""The four dialects that Auth0 can be told to issue: (header, claims)."""


def changed(members: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of the members with the changes made and the DELETED ones gone."""
    merged = {**members, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not DELETED}


def header_of(key: SigningKey, changes: Mapping[str, Any] | None = None, *, dialect: str = "auth0") -> dict[str, Any]:
    """The valid header of that dialect for that key, changed."""
    return changed({"alg": key.alg, **DIALECTS[dialect][0], "kid": key.kid}, changes)


def claims_of(changes: Mapping[str, Any] | None = None, *, dialect: str = "auth0") -> dict[str, Any]:
    """The valid claims of that dialect, changed."""
    return changed(DIALECTS[dialect][1], changes)


def mint(
    key: SigningKey,
    header_changes: Mapping[str, Any] | None = None,
    claims_changes: Mapping[str, Any] | None = None,
    *,
    dialect: str = "auth0",
) -> str:
    """A signed token: the dialect's baseline with these changes."""
    return sign(
        key,
        json.dumps(header_of(key, header_changes, dialect=dialect)).encode(),
        json.dumps(claims_of(claims_changes, dialect=dialect)).encode(),
    )


def sign(key: SigningKey, header: bytes, payload: bytes) -> str:
    """Sign exactly these bytes, whatever they are."""
    signing_input = f"{segment(header)}.{segment(payload)}"
    return f"{signing_input}.{segment(key.signature(signing_input.encode()))}"


def segment(content: bytes) -> str:
    """base64url without padding, as a token's segments are written."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
