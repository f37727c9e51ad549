"""The one principal that every dialect of access token becomes.

Takes   verified claims, from claims.check
Gives   AccessToken, frozen: it is shared by all requests that bring the same token
Raises  nothing
Not     any check: an AccessToken is made by claims.check alone, and trusted only from verifier.verify
Source  RFC 9068 §2.2; RFC 9470 §5; docs/contracts/tokens.md T18
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["user", "client", "anonymous"]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Who calls, through which app, and what the tenant lets them do.

    Times are seconds since the epoch. `issuer` is the token's own name of the tenant, which is not what a user's
    identity is keyed by (T11). `token_id` is the `jti`, or where there is none `sha256:` and the hexadecimal SHA-256
    of the signing input: what a denylist knows the token by (T24). `bound_to` is the thumbprint of the key that the
    holder has to prove (RFC 9449 §6.1), None for a bearer token: only the verifier lets a bound token pass (T19).
    """

    issuer: str
    subject: str
    client_id: str | None
    kind: Kind
    scopes: frozenset[str]
    permissions: frozenset[str]
    audience: tuple[str, ...]
    expires_at: int | float
    issued_at: int | None = None
    org_id: str | None = None
    jti: str | None = None
    auth_time: int | float | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    cnf: Mapping[str, Any] | None = None
    bound_to: str | None = None
    token_id: str = ""
    key_id: str | None = None
    # Out of repr: the claims may hold an address or a name, and a repr ends up in logs.
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
