"""What the user domain refuses. No HTTP: the web rooms decide how each is answered.

Takes   pointers and sentences that hold no value of the caller's
Gives   exceptions with stable names
Raises  nothing
Not     the database's own faults (app/db.py)
Source  docs/contracts/user-data.md §4, U12, U14, U16; RFC 6901
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict


class Fault(TypedDict):
    """One member that must change, by its JSON pointer."""

    pointer: str
    detail: str


class UsersError(Exception):
    """The parent of the domain's refusals."""


class FieldReadOnly(UsersError):  # noqa: N818 - the name of the problem code
    """The patch names members that are not the user's; all of them are listed."""

    def __init__(self, pointers: Sequence[str]) -> None:
        super().__init__("read-only members")
        self.pointers = tuple(pointers)

    @property
    def pointer(self) -> str:
        """The first of the members."""
        return self.pointers[0]


class ValidationFailed(UsersError):  # noqa: N818 - the name of the problem code
    """The merged document is not acceptable; every fault found is listed."""

    def __init__(self, errors: Sequence[Fault]) -> None:
        super().__init__("not acceptable")
        self.errors = tuple(errors)


class AccountMissing(UsersError):  # noqa: N818 - says what is the case
    """There is no account yet: `profiles.observe` makes it, in the same transaction if need be."""


class AccountExists(UsersError):  # noqa: N818 - says what is the case
    """A new account was asked for, and there is one."""


class AccountDeleted(UsersError):  # noqa: N818 - the name of the problem code
    """The account was erased, or is due to be: only the user's own wish makes a new one (U16)."""


class AccountDeletionScheduled(UsersError):  # noqa: N818 - the name of the problem code
    """The account is in the grace before its deletion: its data are not to be had until that is cancelled (U16)."""

    def __init__(self, requested_at: datetime, purge_at: datetime) -> None:
        super().__init__("deletion scheduled")
        self.requested_at = requested_at
        self.purge_at = purge_at


class UnusableIdentity(UsersError, ValueError):  # noqa: N818 - says what is the case
    """The tenant's name for the user cannot be kept: empty, too long, or not text that a database takes."""
