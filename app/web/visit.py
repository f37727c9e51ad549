"""What happens to the account when its user comes by: made at first use, kept in step with the tenant.

Takes   the verified access token and its text
Gives   the user's Profile
Raises  DatabaseUnavailable, DatabaseBusy: only where there is no profile to answer with yet;
        AccountDeleted, AccountDeletionScheduled; begin_anew: AccountExists
Not     which source wins for which member (app/users/profiles.py), how an account ends (app/users/deletion.py)
Source  docs/contracts/user-data.md U10, U11, U16
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from app.db import DatabaseBusy, DatabaseUnavailable
from app.oauth.access_token import AccessToken
from app.users import deletion, userinfo
from app.users.facts import TenantFacts, facts_from_claims
from app.users.identity import Identity
from app.users.profiles import Profile, changes_anything, find, observe
from app.web.runtime import Runtime


def profile_of(parts: Runtime, token: AccessToken, token_text: str) -> Profile:
    """Return the profile; writes only where there is something new: a read costs no write (U11)."""
    identity, now = parts.identity_of(token), datetime.now(UTC)
    facts = _facts(parts, token.claims)
    with parts.database.read() as session:
        profile = find(session, identity, now)
    if profile is None:
        profile = _take_over(parts, identity, facts, now)
    # From here on there is an answer: what cannot be written now waits for the next visit, and the read succeeds.
    with suppress(DatabaseBusy, DatabaseUnavailable):
        if changes_anything(profile, facts):
            profile = _take_over(parts, identity, facts, now)
        profile = _completed(parts, token, token_text, profile, now)
    return profile


def begin_anew(session: Session, parts: Runtime, token: AccessToken, now: datetime) -> Profile:
    """Make the account because its user says so, whatever was erased before; inside the caller's transaction.

    The tenant's /userinfo is left for the first GET: the answer is that of the transaction, for each retry the same.
    """
    identity = parts.identity_of(token)
    deletion.begin_anew(session, identity, now)
    return observe(session, identity, _facts(parts, token.claims), now)


def _completed(parts: Runtime, token: AccessToken, token_text: str, profile: Profile, now: datetime) -> Profile:
    """Add what the tenant tells at its /userinfo, if it is time to ask there."""
    endpoint = _userinfo_endpoint(parts, token)
    if endpoint is None or not userinfo.due(profile, now):
        return profile
    return _ask_tenant(parts, parts.identity_of(token), endpoint, token_text, now) or profile


def _userinfo_endpoint(parts: Runtime, token: AccessToken) -> str | None:
    """The address to ask, only where the token was issued for it too, and never for a bound token (U10)."""
    endpoint = parts.key_sources[token.issuer].userinfo_endpoint()
    return endpoint if token.cnf is None and endpoint in token.audience else None


def _ask_tenant(parts: Runtime, identity: Identity, endpoint: str, token_text: str, now: datetime) -> Profile | None:
    """Ask outside any transaction: a slow tenant must not hold a lock of ours."""
    if not parts.database.transact(lambda session: userinfo.reserve(session, identity, now)):
        return None
    told = userinfo.fetch(endpoint, token_text, identity.subject)
    if told is None:
        return None
    # Without an age: it tells no roles, and must not make those of tokens issued before it look old.
    return _take_over(parts, identity, replace(_facts(parts, told), told_at=None), now)


def _facts(parts: Runtime, told: Mapping[str, Any]) -> TenantFacts:
    settings = parts.settings
    return facts_from_claims(
        told,
        settings.roles_claim,
        settings.attributes_claim,
        max_attributes_bytes=settings.max_attributes_bytes,
    )


def _take_over(parts: Runtime, identity: Identity, facts: TenantFacts, now: datetime) -> Profile:
    return parts.database.transact(lambda session: observe(session, identity, facts, now))
