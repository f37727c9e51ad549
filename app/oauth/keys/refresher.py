"""Run one thread that refreshes in the background: in this process, and anew in a child that it forks.

Takes   refresh: what to do;  due_in_seconds: how long until it is to be done;  what: whose keys, for the log
Gives   Refresher: claim(), spawn(), wake(), stop(), resume()
Raises  nothing: an error of `refresh` is logged, and the thread goes on
Not     what is refreshed, when, and what is done about a failure (cache.py)
Source  docs/contracts/tokens.md K4, K9
"""

import logging
import os
import threading
import weakref
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Refresher:
    """The background work of one source."""

    _thread: threading.Thread | None

    def __init__(self, refresh: Callable[[], None], due_in_seconds: Callable[[], float], what: str) -> None:
        self._refresh = refresh
        self._due_in_seconds = due_in_seconds
        self._what = what
        self._runs = False
        self.must_resume = False
        """Whether this is a forked child that has not yet begun a thread of its own: read before each use."""
        self._belong_to_this_process()

    def claim(self) -> bool:
        """Tell whether the caller is the one who starts."""
        if self.must_resume:
            self.resume()
        with self._lock:
            runs, self._runs = self._runs, True
        return not runs

    def spawn(self) -> None:
        """Begin the thread."""
        thread = threading.Thread(target=self._keep_fresh, name="postern-keys", daemon=True)
        self._thread = thread
        thread.start()

    def wake(self) -> None:
        """Have the thread look anew at how long it may sleep."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread, and wait for its end."""
        self._runs = self.must_resume = False
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def resume(self) -> None:
        """Begin the thread in a forked child, once."""
        with self._lock:
            if self.must_resume:
                self.must_resume = False
                self.spawn()

    def after_fork(self) -> None:
        """Leave the parent's thread and lock behind."""
        self._belong_to_this_process()
        self.must_resume = self._runs

    def _belong_to_this_process(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread = None

    def _keep_fresh(self) -> None:
        while self._runs:
            try:
                delay_seconds = self._due_in_seconds()
                if delay_seconds <= 0:
                    self._refresh()
                    continue
            except Exception:  # noqa: BLE001 - a dead refresher would be noticed when the keys are too old
                _log.exception("the refresh of the keys of %s goes on after an error", self._what)
                delay_seconds = 1.0
            # Cleared after the wait, never before it: a call to stop in between would be slept through.
            self._wake.wait(delay_seconds)
            self._wake.clear()


def call_after_fork(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    """Have the method called in every forked child, before anything else of it runs, while its object is alive."""

    # A hook cannot be taken back; it holds nothing but this reference, so the object can still be collected.
    def call() -> None:
        alive = method()
        if alive is not None:
            alive()

    os.register_at_fork(after_in_child=call)
