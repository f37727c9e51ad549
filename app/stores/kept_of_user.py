"""What these rooms keep of a user, for the user's export: which answers are remembered, and a revocation by name.

Takes   session: inside Database.read;  identity
Gives   documents, read chunk by chunk
Raises  nothing of its own
Not     the remembered answers themselves: they repeat what the export shows, or what has been replaced since, and go
        within IDEMPOTENCY_HOURS;  used DPoP proofs: they are kept by the key's thumbprint, and name no user
Source  GDPR art. 15; docs/contracts/user-data.md U5; docs/contracts/tokens.md T24
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.stores.idempotency_models import IdempotencyRow
from app.stores.revocation_models import RevocationRow
from app.users.identity import Identity
from app.users.timestamps import rfc3339

_CHUNK = 500


def documents(session: Session, identity: Identity) -> Iterator[Mapping[str, Any]]:
    """List the revocation of the user's tokens, and the Idempotency-Keys."""
    is_named = (RevocationRow.kind == "user", RevocationRow.value == identity.subject)
    for revocation in session.scalars(select(RevocationRow).where(*is_named)):
        yield {
            "type": "revocation",
            "created_at": rfc3339(revocation.created_at),
            # Seconds since the epoch, as in the tokens that they are compared with.
            "last_second": revocation.last_second,
            "expires_at": revocation.expires_at,
            "note": revocation.note,
        }
    columns = select(IdempotencyRow.key, IdempotencyRow.status, IdempotencyRow.created_at)
    mine = columns.where(IdempotencyRow.user_key == identity.user_key).order_by(IdempotencyRow.key)
    for key, status, created_at in session.execute(mine.execution_options(yield_per=_CHUNK)):
        yield {"type": "idempotency_key", "key": key, "status": status, "created_at": rfc3339(created_at)}
