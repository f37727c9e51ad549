"""One process at a time.

Takes   path: the lock's file, made if it is not there and never removed;  timeout_seconds
Gives   a context in which no other process (and no other thread) holds the same lock
Raises  Unavailable when the lock does not come free in time
Not     Windows, which has no flock; the kernel frees the lock of a process that dies
Source  flock(2)
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from native.errors import Unavailable

_STEP_SECONDS = 0.05


@contextmanager
def exclusive(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock while the block runs."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_seconds
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                raise Unavailable("Another process keeps the session locked.", f"Is one hanging? {path}")
            time.sleep(_STEP_SECONDS)
        yield
    finally:
        os.close(descriptor)  # frees the lock


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
