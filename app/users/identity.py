"""Who the user is: the tenant's first name and the subject, and the key that every row is found by.

Takes   tenant: the FIRST configured issuer, whatever name of the tenant the token came from (T11);  subject: `sub`
Gives   Identity, frozen;  user_key, computed: no table to look it up in, no index across shards
Raises  UnusableIdentity
Not     the token that proves it (app/oauth)
Source  docs/contracts/user-data.md §7; docs/contracts/tokens.md T11, T16; RFC 9562 §5.5
"""

import re
from dataclasses import dataclass
from uuid import UUID, uuid5

from app.users.errors import UnusableIdentity

# NOTE never change it: every user's key is derived from it.
_NAMESPACE = UUID("76b3b6c9-f9a3-4ba2-ab94-ca320a9e91fa")
_MAX_SUBJECT_LENGTH = 255
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Identity:
    """One user of one tenant."""

    tenant: str
    subject: str

    def __post_init__(self) -> None:
        """Refuse what no token that passed can hold; the second guard before the database (T14, T16)."""
        for name in (self.tenant, self.subject):
            if not name or _UNSTORABLE.search(name):
                raise UnusableIdentity("empty, or not storable")
        if len(self.subject) > _MAX_SUBJECT_LENGTH:
            raise UnusableIdentity("subject too long")

    @property
    def user_key(self) -> str:
        """The key that leads every primary key: the same on every worker, host and day."""
        return str(uuid5(_NAMESPACE, f"{self.tenant}|{self.subject}"))
