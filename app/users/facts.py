"""What the tenant says of its user, made safe to store.

Takes   the claims of a verified token, or the document of /userinfo: any JSON at all may stand in them
Gives   TenantFacts, frozen: only members that are told and well formed
Raises  nothing: a member of a wrong type or size is as good as not told (U10, T14)
Not     which member wins over which (profiles.py)
Source  docs/contracts/user-data.md U10, U11; OpenID Connect Core §5.1
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.users.validation import MAX_ATTRIBUTES_BYTES, MAX_LENGTHS, TEXTS, attributes_fault, is_clean, is_text

MAX_ROLES = 100
MAX_ROLE_LENGTH = 128
_MAX_SECONDS = 2**53


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """The members that the tenant has told, and when (seconds since the epoch); None: nobody can say when."""

    told: Mapping[str, Any]
    told_at: int | None = None


def facts_from_claims(
    claims: Mapping[str, Any],
    roles_claim: str | None = None,
    attributes_claim: str | None = None,
    *,
    told_at: int | None = None,
    max_attributes_bytes: int = MAX_ATTRIBUTES_BYTES,
) -> TenantFacts:
    """Pick what is well formed; a token says when it was told by `iat`, for /userinfo the caller does.

    Both named claims are the operator's word, put into the token at the tenant: so the attributes become
    `app_attributes`, which no user can patch. In `attributes` a user could give himself another plan.
    """
    told = {name: claims[name] for name in TEXTS if is_text(name, claims.get(name))}
    if is_clean(claims.get("email"), MAX_LENGTHS["email"]):
        told["email"] = claims["email"]
    if isinstance(claims.get("email_verified"), bool):
        told["email_verified"] = claims["email_verified"]
    roles = None if roles_claim is None else claims.get(roles_claim)
    if _are_roles(roles):
        told["roles"] = list(dict.fromkeys(roles or ()))
    attributes = None if attributes_claim is None else claims.get(attributes_claim)
    if attributes_fault(attributes, max_attributes_bytes) is None:
        told["app_attributes"] = attributes
    return TenantFacts(told, _seconds(claims.get("iat")) if told_at is None else told_at)


def _are_roles(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) <= MAX_ROLES and all(is_clean(role, MAX_ROLE_LENGTH) for role in value)
    )


def _seconds(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_SECONDS:
        return None
    return int(value)
