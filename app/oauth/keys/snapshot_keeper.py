"""Read the copy of the keys once, at the start, and write it in the background whenever a fetch brought a set.

Takes   KeySnapshot, the file;  wall: seconds since the epoch (UTC);  ages in seconds, never moments of another clock
Gives   SnapshotKeeper: load(), offer(), finish(), age_seconds()
Raises  nothing: a copy that cannot be read is as good as none, one that cannot be written harms no fetch
Not     the file itself (snapshot.py), whether a set is too old (cache.py)
Source  docs/contracts/tokens.md K8, K9
"""

import logging
import threading
import time
from collections.abc import Callable

from app.oauth.keys.download import Download
from app.oauth.keys.snapshot import KeySnapshot, Snapshot, SnapshotFailed

_log = logging.getLogger(__name__)

_FINISH_SECONDS = 5.0


class SnapshotKeeper:
    """The copy of one issuer's keys, as one process sees it."""

    _pending: Snapshot | None
    _writer: threading.Thread | None

    def __init__(self, file: KeySnapshot, *, wall: Callable[[], float] = time.time) -> None:
        self._file = file
        self._wall = wall
        self._begun_at: float | None = None
        self._is_failing = False
        self.belong_to_this_process()

    def load(self) -> tuple[Download, float] | None:
        """Return what the copy holds, and how many seconds ago its fetch began."""
        now = self._wall()
        try:
            snapshot = self._file.read(now=now)
        except SnapshotFailed as failure:
            _log.warning("the copy of the keys of %s is ignored: %s", self._file.issuer, failure)
            return None
        except Exception:  # noqa: BLE001 - a start that fails because of the copy would be an outage of our own
            _log.exception("the copy of the keys of %s is ignored after an unexpected error", self._file.issuer)
            return None
        if snapshot is None:
            return None
        self._begun_at = snapshot.begun_at
        # A little ahead is a clock that was corrected meanwhile; a fetch cannot have begun after now.
        return snapshot.download, max(0.0, now - snapshot.begun_at)

    def offer(self, download: Download, age_seconds: float) -> None:
        """Have the set written by a thread of its own: a slow disk must delay neither requests nor the next fetch."""
        with self._lock:
            # Of several that wait only the newest is worth a write.
            self._pending = Snapshot(download, self._wall() - age_seconds)
            if self._writer is not None:
                return
            self._writer = threading.Thread(target=self._write_pending, name="postern-snapshot", daemon=True)
            try:
                self._writer.start()
            except RuntimeError:
                self._writer = None
                self._failed(SnapshotFailed("no_thread"))

    def finish(self) -> None:
        """Wait for the write under way, but not for a disk that hangs."""
        writer = self._writer
        if writer is not None:
            writer.join(_FINISH_SECONDS)

    def age_seconds(self) -> float | None:
        """Return how old the copy is that this process has read or written last; None without one."""
        return None if self._begun_at is None else self._wall() - self._begun_at

    def belong_to_this_process(self) -> None:
        """Forget the thread, and the lock that it may have held, of the process that this one was forked from."""
        self._lock = threading.Lock()
        self._pending = None
        self._writer = None

    def _write_pending(self) -> None:
        while True:
            with self._lock:
                snapshot, self._pending = self._pending, None
                if snapshot is None:
                    self._writer = None
                    return
            try:
                self._file.write(snapshot, now=self._wall())
            except SnapshotFailed as failure:
                self._failed(failure)
            except Exception as error:  # noqa: BLE001 - the thread goes on: a dead one would write nothing ever again
                _log.exception("the copy of the keys of %s ended in an unexpected error", self._file.issuer)
                self._failed(SnapshotFailed("unexpected", type(error).__name__))
            else:
                self._succeeded(snapshot)

    def _succeeded(self, snapshot: Snapshot) -> None:
        self._begun_at = snapshot.begun_at
        if self._is_failing:
            self._is_failing = False
            _log.warning("the keys of %s can be kept on disk again", self._file.issuer)

    def _failed(self, failure: SnapshotFailed) -> None:
        if not self._is_failing:
            # Once for an outage of the disk, not once for each fetch.
            self._is_failing = True
            _log.warning("the keys of %s cannot be kept on disk: %s", self._file.issuer, failure)
