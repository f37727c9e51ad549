"""How far a device has read: a text that it keeps and sends back.

Takes   the four numbers and words of it, and what the device was not told of: other collections, the profile, …
Gives   Cursor, frozen; encoded() and decoded(), each the other's inverse
Raises  BadCursor: for every text that encoded() does not make
Not     whether it still leads on (changes.py). It is no secret and gives no right: the user is always the token's
Source  docs/contracts/user-data.md §7; RFC 4648 §5
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass

from app.records.errors import BadCursor

# The epoch of a user who has no account yet.
NO_EPOCH = "-"
_MAX_LENGTH = 4096
_NUMBER = r"(0|[1-9][0-9]{0,18})"
_FORM = re.compile(
    rf"v1\|(-|[0-9a-f]{{8}})\|{_NUMBER}\|{_NUMBER}(?:\|{_NUMBER})?(?:\|([a-z][a-z0-9_,-]*))?(?:\|!([a-z,]+))?"
)
_LARGEST_SEQ = 2**63 - 1
# What a token may have no scope for, beside the records.
HIDEABLE = frozenset({"email", "preferences", "profile"})


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to `since` has been read, by a device that began when `purged_at_start` had been purged.

    Three more stand only where they are needed. `first_head`: the device is in its first sync, and has no use for what
    was deleted before it began, at this number. `collections`: it was limited to these, and knows nothing of others.
    `hidden`: its token had no scope for these, so it knows nothing of them up to `since`.
    """

    epoch: str
    since: int
    purged_at_start: int
    first_head: int | None = None
    collections: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()


def encoded(cursor: Cursor) -> str:
    """Write the cursor."""
    words = ["v1", cursor.epoch, str(cursor.since), str(cursor.purged_at_start)]
    if cursor.first_head is not None:
        words.append(str(cursor.first_head))
    if cursor.collections is not None:
        words.append(",".join(sorted(cursor.collections)))
    if cursor.hidden:
        words.append("!" + ",".join(sorted(cursor.hidden)))
    return urlsafe_b64encode("|".join(words).encode("ascii")).decode("ascii").rstrip("=")


def decoded(text: str) -> Cursor:
    """Read a cursor that was given out."""
    form = None if len(text) > _MAX_LENGTH else _FORM.fullmatch(_plain(text))
    if form is None:
        raise BadCursor
    since, purged_at_start, first_head = int(form[2]), int(form[3]), None if form[4] is None else int(form[4])
    collections = None if form[5] is None else frozenset(form[5].split(","))
    hidden = frozenset() if form[6] is None else HIDEABLE.intersection(form[6].split(","))
    cursor = Cursor(form[1], since, purged_at_start, first_head, collections, hidden)
    # There is one way only to write each of them: ETag and cursor are compared as texts.
    if max(since, purged_at_start, first_head or 0) > _LARGEST_SEQ or encoded(cursor) != text:
        raise BadCursor
    return cursor


def _plain(text: str) -> str:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (Error, ValueError):
        return ""
