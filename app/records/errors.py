"""What the records domain refuses. No HTTP: `code` is the problem's name, the web rooms answer it.

Takes   numbers, and what is stored now
Gives   exceptions with stable codes; ValidationFailed is the users' own, so that it is answered in one way
Raises  nothing
Not     the account's standing (app/users/errors.py), the database's own faults (app/db.py)
Source  docs/contracts/user-data.md §4
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from app.users.errors import Fault, ValidationFailed

__all__ = [
    "BadCursor",
    "BadFilter",
    "BadPageToken",
    "Conflict",
    "CursorExpired",
    "Fault",
    "Gone",
    "NotApplied",
    "NotFound",
    "PayloadTooLarge",
    "PreconditionFailed",
    "PreconditionRequired",
    "QuotaExceeded",
    "RecordsError",
    "ValidationFailed",
]


class RecordsError(Exception):
    """The parent of the domain's refusals."""

    code: ClassVar[str]


class NotFound(RecordsError):  # noqa: N818 - the name of the problem code, as all below
    """There never was such a record, or its tombstone has been purged."""

    code = "not_found"


class Gone(RecordsError):  # noqa: N818
    """The record was deleted; `seq` is that of the deletion."""

    code = "gone"

    def __init__(self, seq: int) -> None:
        super().__init__("deleted")
        self.seq = seq


class PreconditionFailed(RecordsError):  # noqa: N818
    """It is not the version that the caller expects; `current` is what is stored (a tombstone too), None if nothing."""

    code = "precondition_failed"

    def __init__(self, current: Any) -> None:
        super().__init__("another version")
        self.current = current


class PreconditionRequired(RecordsError):  # noqa: N818
    """The collection takes no write that does not say which version it expects."""

    code = "precondition_required"


class QuotaExceeded(RecordsError):  # noqa: N818
    """The write would pass a limit: `quota` is records, collections or bytes, as usage names them."""

    code = "quota_exceeded"

    def __init__(self, quota: str, limit: int) -> None:
        super().__init__(f"more than {limit} {quota}")
        self.quota = quota
        self.limit = limit


class PayloadTooLarge(RecordsError):  # noqa: N818
    """One record, the preferences, or the list of operations is larger than `limit`; `unit` says of what."""

    code = "payload_too_large"

    def __init__(self, limit: int, unit: str = "bytes") -> None:
        super().__init__(f"more than {limit} {unit}")
        self.limit = limit
        self.unit = unit


class BadFilter(RecordsError):  # noqa: N818
    """The list of collections holds what can be none."""

    code = "bad_request"


class BadPageToken(RecordsError):  # noqa: N818
    """The page token was not given out for this collection."""

    code = "bad_page_token"


class BadCursor(RecordsError):  # noqa: N818
    """The cursor was never given out."""

    code = "bad_cursor"


class CursorExpired(RecordsError):  # noqa: N818
    """What the cursor leads on from is no longer known: the device must sync anew, from no cursor."""

    code = "cursor_expired"


class NotApplied(RecordsError):  # noqa: N818
    """The operation would have succeeded, and another one of its batch did not."""

    code = "conflict"


class Conflict(RecordsError):  # noqa: N818
    """An all-or-nothing batch was refused: nothing is written. `results` holds a refusal for each operation."""

    code = "conflict"

    def __init__(self, results: Sequence[Exception]) -> None:
        super().__init__("refused as a whole")
        self.results = tuple(results)
