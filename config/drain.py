"""Leave the balancer before the last request: what SIGTERM means to a worker.

Takes   how long to drain;  whether the master reloads at the moment
Gives   Drain: begin(…) in the worker;  reload_begun(), for the master's hook
Raises  nothing
Not     the answer of /readyz (app/web/health.py), the end of the worker (gunicorn)
Source  gunicorn "Signal Handling"; docs/operating.md "Stop and reload"

SIGTERM to the master stops everything: the workers take requests on for DRAIN_SECONDS while /readyz says no, so that
the balancer sends no new ones to a port that is about to close. At a SIGHUP new workers serve on the same port; the
old ones have nobody to warn.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable

# Shared by the master and all its workers; the clock is that of the machine.
_RELOADED_AT = multiprocessing.RawValue("d", float("-inf"))


def reload_begun() -> None:
    """Note, in the master, that the workers that are stopped next have successors already."""
    _RELOADED_AT.value = time.monotonic()


class Drain:
    """What one worker is doing about its end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._made_at = time.monotonic()
        self.has_begun = False

    def begin(self, stop: Callable[[], None]) -> None:
        """Call `stop` when it is time; at once in a reload. Runs in a signal handler: it neither waits nor locks."""
        if self.has_begun:
            return
        # A worker that is younger than the last reload is one of the successors: its end is that of the whole.
        is_reload = _RELOADED_AT.value > self._made_at
        if is_reload or not self._seconds:
            stop()
            return
        self.has_begun = True
        timer = threading.Timer(self._seconds, stop)
        timer.daemon = True
        timer.start()
