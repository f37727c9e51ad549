"""Make real DPoP proofs: a valid baseline for one request and one token, and one change per test.

Takes   a SigningKey of the app, the token, the request; what to change (`DELETED` takes a member out)
Gives   proofs as an app would send them, or broken in exactly the way that was asked for; tokens bound to the key
Raises  nothing of its own
Not     any check of what is asked for: a test may make nonsense
Source  RFC 9449 §4.2, §6.1, §7.1
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from tests.support.tokens import DELETED, NOW, SigningKey, changed, ec_key, ed_key, mint, rsa_key, segment, sign

URL: Final = "https://api.example/v1/me"

APP_KEY: Final = ec_key("ES256", "app")
OTHER_KEY: Final = ec_key("ES256", "other-app")
KEYS: Final[Mapping[str, SigningKey]] = {
    "ES256": APP_KEY,
    "EdDSA": ed_key("app-ed"),
    "RS256": rsa_key("app-rsa"),
    "PS256": rsa_key("app-pss", "PS256"),
}
"""One key for each algorithm that proofs may use."""


def public_jwk(key: SigningKey, **changes: Any) -> dict[str, Any]:
    """The key as a proof carries it: its material alone."""
    return key.jwk(**({"kid": DELETED, "use": DELETED, "alg": DELETED} | changes))


def bound_token(key: SigningKey = APP_KEY, **claims: Any) -> str:
    """A good token of the tenant's that is bound to the app's key."""
    return mint(rsa_key(), None, {"cnf": {"jkt": key.thumbprint()}, **claims})


def token_hash(token: str) -> str:
    """`ath` (RFC 9449 §4.2)."""
    return segment(hashlib.sha256(token.encode()).digest())


@dataclass(frozen=True)
class Request:
    """What a proof is made for."""

    token: str
    method: str = "GET"
    url: str = URL
    now: float = NOW

    def proof(
        self,
        key: SigningKey = APP_KEY,
        header: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A proof by the key, with these changes."""
        return sign(key, json.dumps(self.header(key, header)).encode(), json.dumps(self.claims(claims)).encode())

    def header(self, key: SigningKey = APP_KEY, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The valid header, changed."""
        return changed({"typ": "dpop+jwt", "alg": key.alg, "jwk": public_jwk(key)}, changes)

    def claims(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The valid claims, changed."""
        good = {
            "jti": secrets.token_urlsafe(16),
            "htm": self.method,
            "htu": self.url,
            "iat": int(self.now),
            "ath": token_hash(self.token),
        }
        return changed(good, changes)


@dataclass
class ProofsInMemory:
    """A ProofStore of one process that keeps everything, and what it was asked."""

    asked: list[tuple[str, str, int, float]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def remember(self, jkt: str, jti_digest: str, *, expires_at: int, now: float) -> bool:
        """Tell whether this proof is new, and remember it."""
        with self._lock:
            is_new = (jkt, jti_digest) not in {entry[:2] for entry in self.asked}
            self.asked.append((jkt, jti_digest, expires_at, now))
            return is_new
