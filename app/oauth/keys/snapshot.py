"""Keep the last good key set of an issuer in a file, so that a worker can start while the tenant is down.

Takes   directory, issuer, the algorithms this API accepts;  Snapshot: a download and when its fetch began
        now: seconds since the epoch (UTC)
Gives   KeySnapshot: read(), a Snapshot, parsed as strictly as an answer of the issuer, or None where there is no file;
        write(), in one step, and never an older set over a newer one
Raises  SnapshotFailed(why) for a file or folder that cannot be used; `why` is a fixed word, `detail` is for the log
Not     when to read and to write (snapshot_keeper.py), whether the set is too old (lifetimes.py), secrets: keys of
        an issuer are public. What counts is that nobody else can write them
Source  docs/contracts/tokens.md K8; RFC 7517 §5
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from app.oauth.keys.discovery import origin
from app.oauth.keys.download import Download
from app.oauth.keys.jwks import MAX_DOCUMENT_BYTES, KeySetRejected, parse_key_set

_FORMAT = 1
# As a JSON string a document can take twice its bytes (each quote is escaped); the rest is a few short members.
_MAX_BYTES = 2 * MAX_DOCUMENT_BYTES + 16_384
# Clocks are corrected by seconds; a file from further ahead would serve for as much longer than it may.
_FUTURE_TOLERANCE_SECONDS = 30.0
_LOCK_TRIES = 20
_LOCK_PAUSE_SECONDS = 0.1


class SnapshotFailed(Exception):  # noqa: N818 - named by what happened
    """The copy cannot be read, or not be written."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(f"{why}: {detail}" if detail else why)
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A good answer of the issuer, at some time."""

    download: Download
    begun_at: float
    """When its fetch began, in seconds since the epoch: monotonic clocks begin anew with each start of a machine."""


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """The file of one issuer; workers and hosts that share the folder share it."""

    directory: Path
    issuer: str
    algorithms: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file; named by a digest, for an issuer is no file name."""
        return self.directory / f"{sha256(self.issuer.encode()).hexdigest()[:32]}.json"

    def read(self, *, now: float) -> Snapshot | None:
        """Return the copy, once everything about it is as this room would have written it."""
        try:
            content = self._content()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SnapshotFailed("unreadable", type(error).__name__) from error
        return self._parsed(content, now)

    def write(self, snapshot: Snapshot, *, now: float) -> bool:
        """Replace the file in one step; False where it holds a set as new already."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _require_own(self.directory.stat(), "folder")
            with _alone(self.path.with_suffix(".lock")):
                if self._has_newer(snapshot, now):
                    return False
                _replace(self.path, self._content_of(snapshot))
        except OSError as error:
            raise SnapshotFailed("unwritable", type(error).__name__) from error
        return True

    def _content(self) -> bytes:
        _require_own(self.directory.stat(), "folder")
        # NOTE no link is followed, and a pipe in place of the file cannot hold the start up.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SnapshotFailed("not_a_file")
            _require_own(status, "file")
            if status.st_size > _MAX_BYTES:
                raise SnapshotFailed("oversized", f"{status.st_size} bytes")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(_MAX_BYTES)
        finally:
            os.close(descriptor)

    def _parsed(self, content: bytes, now: float) -> Snapshot:
        try:
            members = orjson.loads(content)
        except ValueError as error:
            raise SnapshotFailed("malformed", "not JSON") from error
        if not isinstance(members, dict) or members.get("format") != _FORMAT:
            raise SnapshotFailed("malformed", "another format")
        if members.get("issuer") != self.issuer:
            raise SnapshotFailed("issuer_mismatch")
        begun_at, document = members.get("begun_at"), members.get("jwks")
        # A bool is an int to Python; JSON has neither NaN nor infinity, and orjson reads neither.
        if not isinstance(begun_at, int | float) or isinstance(begun_at, bool) or not isinstance(document, str):
            raise SnapshotFailed("malformed", "a member of another type")
        if begun_at > now + _FUTURE_TOLERANCE_SECONDS:
            raise SnapshotFailed("future", f"{begun_at - now:.0f} s ahead of this host's clock")
        raw = document.encode()
        try:
            # With the algorithms and the rules of today, whatever they were when the file was written.
            keys = parse_key_set(raw, self.algorithms)
        except KeySetRejected as rejected:
            raise SnapshotFailed(rejected.why) from rejected
        return Snapshot(
            Download(
                keys=keys,
                max_age_seconds=_whole(members.get("max_age_seconds")),
                userinfo_endpoint=self._trusted(members.get("userinfo_endpoint")),
                document=raw,
            ),
            begun_at=float(begun_at),
        )

    def _trusted(self, endpoint: Any) -> str | None:
        # The user's token is sent there: the rule of discovery.py counts for the copy as well.
        own = origin(self.issuer)
        return endpoint if isinstance(endpoint, str) and own is not None and origin(endpoint) == own else None

    def _content_of(self, snapshot: Snapshot) -> bytes:
        return orjson.dumps(
            {
                "format": _FORMAT,
                "issuer": self.issuer,
                "begun_at": snapshot.begun_at,
                "max_age_seconds": snapshot.download.max_age_seconds,
                "userinfo_endpoint": snapshot.download.userinfo_endpoint,
                "jwks": snapshot.download.document.decode(),
            }
        )

    def _has_newer(self, snapshot: Snapshot, now: float) -> bool:
        try:
            there = self.read(now=now)
        except SnapshotFailed:
            # Nobody could start from it: anything is better.
            return False
        return there is not None and there.begun_at >= snapshot.begun_at


def _require_own(status: os.stat_result, what: str) -> None:
    """Refuse what another user may have written: with a key of his own in it, he could sign any token."""
    if status.st_uid not in {os.geteuid(), 0}:
        raise SnapshotFailed("not_ours", f"the {what} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SnapshotFailed("others_may_write", f"the {what} has mode {stat.S_IMODE(status.st_mode):o}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other writers out, of this process and of others; the end of a process ends its lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor)
        yield
    finally:
        # Said aloud: a child that was forked meanwhile has the descriptor too, and would keep the lock with it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return
    raise SnapshotFailed("busy", "another process holds the lock")


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    # What a writer has left that was killed: nobody else writes it now.
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            # Before the rename: after a power cut the name must not stand for an empty file.
            os.fsync(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
