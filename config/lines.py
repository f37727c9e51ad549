"""Write the log's lines to standard error: what is urgent at once, those of requests together, a moment later.

Takes   lines, from any thread
Gives   LINES: write() at once, later() soon; gather() in a worker, until no_longer_gather()
Raises  nothing: of a log that cannot be written nobody can be told
Not     how a line looks (log.py)

A write lets another thread have the interpreter, in the midst of each request: under load that cost a request more than
the check of its token (docs/decisions.md). What is gathered is lost if the process is killed within the pause.
"""

import atexit
import os
import sys
import time
from collections import deque
from contextlib import suppress
from threading import Event, RLock, Thread
from typing import Final

PAUSE_SECONDS: Final = 0.02
# How long an urgent line waits for its turn before it is left to whoever writes.
PATIENCE_SECONDS: Final = 1.0
# Where standard error takes nothing, requests wait for it from here on, as they would without.
MAX_GATHERED: Final = 10_000
_STOP_SECONDS: Final = 1.0


class Lines:
    """Standard error, whatever it is at that moment: tests and gunicorn replace it."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # A signal may come while its thread writes a line, and have one of its own: the lock is that thread's.
        self._writing = RLock()
        self._gathered: deque[str] = deque()
        self._are_there = Event()
        self._is_gathering = self._is_writing = False
        self._writer: Thread | None = None

    def write(self, text: str) -> None:
        """Write it at once, after what is gathered."""
        if not self._writing.acquire(timeout=PATIENCE_SECONDS):
            # Whoever writes waits for standard error: one of us is enough, while there is room.
            if len(self._gathered) < MAX_GATHERED:
                self._leave(text)
                return
            self._writing.acquire()
        try:
            self._gathered.append(text)
            self._write_gathered()
        finally:
            self._writing.release()

    def flush(self) -> None:
        """Do nothing more: nothing is left in between. A stream has this."""

    def later(self, text: str) -> None:
        """Write it soon; at once where nothing gathers."""
        if not self._is_gathering or len(self._gathered) >= MAX_GATHERED:
            self.write(text)
            return
        self._leave(text)

    def gather(self) -> None:
        """Begin in a worker of one's own; a second call changes nothing."""
        with self._writing:
            if not self._is_gathering:
                self._is_gathering = True
                self._writer = Thread(target=self._write_again_and_again, name="postern-log", daemon=True)
                self._writer.start()

    def no_longer_gather(self) -> None:
        """Write what is left, and each line at once from now on."""
        self._is_gathering = False
        self._are_there.set()
        if self._writer is not None:
            self._writer.join(_STOP_SECONDS)
        self.write("")

    def _leave(self, text: str) -> None:
        self._gathered.append(text)
        if not self._are_there.is_set():
            self._are_there.set()

    def _write_again_and_again(self) -> None:
        while self._is_gathering:
            self._are_there.wait()
            time.sleep(PAUSE_SECONDS)
            # Before they are taken: whoever adds one afterwards says so again.
            self._are_there.clear()
            self.write("")

    def _write_gathered(self) -> None:
        if self._is_writing:
            # A signal, or a finaliser, in the midst of it: it is written by the second look below.
            return
        self._is_writing = True
        try:
            self._put(self._taken())
            self._put(self._taken())
        finally:
            self._is_writing = False

    def _taken(self) -> str:
        # No more than are there now: under load there is always one more.
        return "".join([self._gathered.popleft() for _ in range(len(self._gathered))])

    @staticmethod
    def _put(text: str) -> None:
        if text:
            # A full disk, a stream that is closed; whatever it is, the thread that writes must live on.
            with suppress(Exception):
                # One write for each line and its end: lines of two threads must not mix.
                sys.stderr.write(text)
                sys.stderr.flush()


LINES = Lines()
# Servers other than ours do not say when a worker ends.
atexit.register(LINES.no_longer_gather)
