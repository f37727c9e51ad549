"""Read the database for a command that must change nothing, not even by making a file.

Takes   url: the database's;  now: seconds since the epoch (UTC)
Gives   revocations_of(): the Denylist, or why it cannot be read;  why_unusable(): what is wrong with a SQLite file
Raises  nothing
Not     writing (db.py, revoke.py)
Source  docs/contracts/tokens.md T24; SQLite "Database File Format" §1.3: bytes 18 and 19 say whether it is in WAL mode
"""

from pathlib import Path

from app.oauth.revocation.rules import Denylist
from app.oauth.revocation.watch import RevocationsUnavailable
from app.stores.revocations import Revocations

_MAGIC = b"SQLite format 3\x00"
_WAL = b"\x02\x02"
_HEADER_BYTES = 20


def revocations_of(url: str, *, now: float) -> tuple[Denylist | None, str | None]:
    """Return what is revoked, and why nothing could be read."""
    wrong = why_unusable(url)
    if wrong is not None:
        return None, wrong
    revocations = Revocations.for_watch(url)
    try:
        snapshot = revocations.newer_than(None, now=now)
    except RevocationsUnavailable as fault:
        return None, str(fault)
    finally:
        revocations.close()
    return None if snapshot is None else snapshot.denylist, None


def why_unusable(url: str) -> str | None:  # noqa: PLR0911 - one for each state of a file
    """Say why a SQLite file must not be opened: to open it would make it, or turn it into another kind."""
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite":
        return None
    file = Path(path.partition("?")[0])
    try:
        with file.open("rb") as content:
            header = content.read(_HEADER_BYTES)
    except FileNotFoundError:
        return "there is no such file yet: run `flask --app wsgi db upgrade`"
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    if not header:
        return "the file is empty: run `flask --app wsgi db upgrade`"
    if not header.startswith(_MAGIC):
        return "the file is no SQLite database"
    if header[18:20] != _WAL:
        return "the file was not made by Postern: run `flask --app wsgi db upgrade`"
    return None
