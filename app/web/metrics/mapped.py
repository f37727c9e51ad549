"""The library's mapped file, but with its room taken before it is written to: a full disk is then a fault, not an end.

Takes   the file's name
Gives   ReservedFile, which registry.py puts in the place of the library's own
Raises  OSError where a new series has no room; those that are there count on
Not     who catches it: request_log.py for a request, server.py and the factory for the rest
Source  prometheus_client.mmap_dict; posix_fallocate(3)
"""

import errno
import os
import time
from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict

from config.metrics_files import reserve

_FIRST_BYTES = 65536
# A key, its length, what fills it up to eight bytes, and two numbers.
_ENTRY_BYTES = 28
_PAUSE_SECONDS = 60.0


class ReservedFile(MmapedDict):
    """Without this, writing to a page that a full disk has no room for ends the process by SIGBUS."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's
        self._full_until = 0.0
        if not read_mode:
            file = os.open(filename, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                reserve(file, max(_FIRST_BYTES, os.fstat(file).st_size))
            except OSError:
                # An empty one would spoil every scrape.
                Path(filename).unlink()
                raise
            finally:
                os.close(file)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def read_value(self, key: str) -> Any:
        """Called for each number of a new series. While there is no room, none is begun: it would not be given back."""
        if time.monotonic() < self._full_until:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._fname)
        try:
            return super().read_value(key)  # type: ignore[no-untyped-call]
        except OSError:
            self._full_until = time.monotonic() + _PAUSE_SECONDS
            raise

    def _init_value(self, key: str) -> None:
        needed, capacity = self._used + _ENTRY_BYTES + len(key.encode()), self._capacity
        while needed > capacity:
            capacity *= 2
        if capacity > self._capacity:
            reserve(self._f.fileno(), capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]
