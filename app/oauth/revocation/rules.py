"""Decide whether a token that is otherwise good has been revoked.

Takes   a Denylist: what the operator has revoked;  AccessToken;  the key that verified it
Gives   the Reason of the refusal, or None
Raises  nothing
Not     where the entries are kept and how they get here (watch.py, app/stores), any other check of the token
Source  docs/contracts/tokens.md T24, K11
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.oauth.access_token import AccessToken
from app.oauth.keys.jwks import VerificationKey
from app.oauth.reasons import Reason


@dataclass(frozen=True, slots=True)
class Denylist:
    """Everything that is revoked at one moment; never changed, replaced as a whole, so that reading takes no lock."""

    tokens: frozenset[str] = frozenset()
    """AccessToken.token_id of each."""
    users: Mapping[str, int] = field(default_factory=dict)
    """By subject, the last second (since the epoch, UTC) whose tokens are refused."""
    clients: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    """Each a `kid` or an RFC 7638 thumbprint."""

    def __len__(self) -> int:
        return len(self.tokens) + len(self.users) + len(self.clients) + len(self.keys)

    def distrusts(self, key: VerificationKey) -> bool:
        """Tell whether the key counts no more, by whichever name it is published (K11)."""
        return bool(self.keys) and (key.kid in self.keys or key.thumbprint in self.keys)

    def revokes(self, token: AccessToken) -> Reason | None:
        """Return why this token is revoked, by itself, its user or its client; None if it is not."""
        last_second = self.users.get(token.subject)
        if token.token_id in self.tokens or (last_second is not None and (token.issued_at or 0) <= last_second):
            return Reason.TOKEN_REVOKED
        # NOTE no 401: an app that answers it with a login would be refused again, and again.
        return Reason.CLIENT_REVOKED if token.client_id in self.clients else None

    def refusal(self, token: AccessToken, key: VerificationKey) -> Reason | None:
        """Return why this token is refused; None if it is not."""
        return Reason.KEY_DISTRUSTED if self.distrusts(key) else self.revokes(token)


NOTHING_REVOKED = Denylist()


class DenylistSource(Protocol):
    """What the verifier asks at each request."""

    def current(self) -> Denylist:
        """Return what is revoked, as far as this process knows: no lock, no wait, no error."""
        ...


class NothingRevoked:
    """A source without entries, for a verifier without a store."""

    def current(self) -> Denylist:
        """Return the empty list."""
        return NOTHING_REVOKED
