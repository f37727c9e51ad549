"""Ask whether anybody bears the name that was just revoked: a slip of the pen refuses nobody, and looks as if it did.

Takes   the name of a key or a user, the settings, the database
Gives   doubts_about_key(), doubts_about_user(): sentences, none where the name is known
Raises  nothing: the revocation is stored by then, and stands
Not     the revocation (app/commands/revoke.py)
Source  docs/contracts/tokens.md T24, K11
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from app.commands.diagnosis.keys import look
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.oauth.keys.jwks import KeySet, KeySetRejected
from app.users import account
from app.users.errors import AccountDeleted, AccountDeletionScheduled
from app.users.identity import Identity
from config.settings import Settings

_SHOWN_KEYS = 8


def doubts_about_key(name: str, settings: Settings) -> Iterator[str]:
    """Look for the key at every issuer, each within JWKS_TIMEOUT_SECONDS."""
    doubts = []
    for issuer in settings.tenant_issuers:
        try:
            published = look(issuer, settings, offline=False, now=time.time())
        except (OSError, KeySetRejected):
            doubts.append("JWKS_FILE cannot be used, so nobody knows whether a key of that name is published")
            continue
        if published.keys is None:
            doubts.append(f"whether {issuer} publishes a key of that name is not known: {published.origin}")
        elif any(name in (key.kid, key.thumbprint) for key in published.keys.keys):
            return
        else:
            doubts.append(
                f"no key of that name is published by {issuer} now ({published.origin}): look at the spelling; "
                f"published are {_names(published.keys)}"
            )
    yield from doubts


def doubts_about_user(subject: str, settings: Settings, database: Database) -> Iterator[str]:
    """Look for the user's account; a database that fails now has nothing to say."""
    try:
        with database.read() as session:
            found = account.find(session, Identity(settings.tenant_issuers[0], subject), datetime.now(UTC))
    except AccountDeleted:
        found = None
    except (AccountDeletionScheduled, DatabaseUnavailable, DatabaseBusy):
        return
    if found is None:
        yield "no account of this subject is stored here: look at the spelling"


def _names(keys: KeySet) -> str:
    names = [key.kid or key.thumbprint for key in keys.keys]
    return ", ".join([*names[:_SHOWN_KEYS], *(["…"] if len(names) > _SHOWN_KEYS else [])])
