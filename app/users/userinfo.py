"""The tenant's /userinfo: asked at most once for each account and day, never inside a transaction.

Takes   endpoint: from the issuer's own discovery;  the token's text, and the subject that it was verified for
Gives   the document, or None
Raises  nothing: without it, the profile has nulls (U10)
Not     whether the token may be shown there (its audience, its binding: the web knows the token);
        what is taken from the document (facts.py)
Source  OpenID Connect Core §5.3; docs/contracts/user-data.md U10
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from app import fetch as outgoing
from app.users.identity import Identity
from app.users.models import Account
from app.users.profiles import Profile

_INTERVAL = timedelta(days=1)
_MAX_BYTES = 65_536
_OK = 200
log = logging.getLogger("postern.users.userinfo")


def due(profile: Profile | None, now: datetime) -> bool:
    """Tell, without a write, whether it is worth trying to reserve the day's request."""
    last = None if profile is None else profile.userinfo_checked_at
    return last is None or now - last >= _INTERVAL


def reserve(session: Session, identity: Identity, now: datetime) -> bool:
    """Take the day's request for this account: of all workers that try, one gets True, and then asks.

    Taken before the answer is known, so a tenant that is down is asked once a day too, not by every request.
    """
    unasked = or_(Account.userinfo_checked_at.is_(None), Account.userinfo_checked_at <= now - _INTERVAL)
    statement = (
        update(Account)
        .where(Account.user_key == identity.user_key, unasked)
        .values(userinfo_checked_at=now)
        .returning(Account.user_key)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(statement) is not None


def fetch(endpoint: str, access_token: str, subject: str, *, timeout_seconds: float = 2.0) -> Mapping[str, Any] | None:
    """Ask the tenant; the log says why there is no document, and never holds the token."""
    try:
        response = outgoing.get(
            endpoint,
            timeout_seconds=timeout_seconds,
            connect_timeout_seconds=timeout_seconds,
            max_bytes=_MAX_BYTES,
            headers={"Authorization": f"Bearer {access_token}"},
            accepted_types=("application/json",),
        )
    except outgoing.FetchFailed as failure:
        log.warning("no userinfo: %s", failure.why)
        return None
    if response.status != _OK:
        log.warning("no userinfo: status %d", response.status)
        return None
    try:
        document = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        log.warning("no userinfo: not JSON")
        return None
    # NOTE OpenID Connect Core §5.3.2: if the two subjects are not the same, the values MUST NOT be used.
    if not isinstance(document, dict) or document.get("sub") != subject:
        log.warning("no userinfo: it speaks of somebody else")
        return None
    return document
