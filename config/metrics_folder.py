"""The folder in which the workers of one gunicorn count together: made, kept, and removed by the master.

Takes   where the folders are made, or the operator's own folder (PROMETHEUS_MULTIPROC_DIR)
Gives   MetricsFolder: make(), before each fork;  remove();  sweep(parent), of masters that were killed
Raises  OSError: no folder, or no room in it
Not     the files in it (metrics_files.py), what is done without it (metrics_master.py)
Source  flock(2): a lock lasts as long as a process that has the file open, and ends with the last one
"""

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from config.metrics_files import reserve

PREFIX = "postern-metrics-"
# What one worker's files take when it starts: five, of 64 KiB each.
ROOM_BYTES = 5 * 65536
_YOUNG_SECONDS = 60
_OF_A_MASTER = re.compile(rf"{PREFIX}(\d+)-.*")
_OF_A_WORKER = re.compile(r".*_(\d+)\.db")


class MetricsFolder:
    """One folder, of our own or the operator's. Ours is locked, so that nobody takes it for a dead one's."""

    def __init__(self, parent: str | None, given: str | None) -> None:
        self.parent = Path(parent or tempfile.gettempdir())
        self.is_ours = given is None
        self.path = None if given is None else Path(given)
        self._lock = -1
        self._made_by = os.getpid()

    def make(self) -> bool:
        """Make the folder if it is not there, and see that a worker can count in it; True if it had been there once."""
        had_it, made = self._lock >= 0, False
        if self.path is None:
            self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=self.parent))
            made = True
        elif not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True)
            made = True
        if self.is_ours and not _is_own(self.path):
            # Its name was to be seen: in a folder that is open to all, somebody else may have made it.
            raise PermissionError(errno.EPERM, "it belongs to somebody else", str(self.path))
        if made or not had_it:
            self._hold(self.path)
        with tempfile.TemporaryFile(dir=self.path) as probe:
            reserve(probe.fileno(), ROOM_BYTES)
        return made and had_it

    def remove(self) -> None:
        """Remove the folder, if it is ours and this is the process that made it."""
        if self.is_ours and self.path is not None and self._made_by == os.getpid():
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _hold(self, path: Path) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        if self.is_ours:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sweep(parent: Path, now: float) -> list[Path]:
    """Remove the folders of masters that could not (SIGKILL); return which. `now`: epoch seconds."""
    removed = []
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if _is_own(folder) and _is_abandoned(folder, now):
                shutil.rmtree(folder)
                removed.append(folder)
    return removed


def _is_abandoned(folder: Path, now: float) -> bool:
    """Nobody holds it any more, be it in another container; and it is not one that is being made at this moment."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_young = now - os.fstat(lock).st_mtime < _YOUNG_SECONDS
        named = _OF_A_MASTER.fullmatch(folder.name)
        if named is not None:
            return not is_young or not _lives(int(named[1]))
        # Of a version that named and locked nothing.
        names = (_OF_A_WORKER.fullmatch(file.name) for file in folder.iterdir())
        workers = [int(form[1]) for form in names if form is not None]
        return not is_young and not any(map(_lives, workers))
    finally:
        os.close(lock)


def _is_own(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
