"""Remember what /readyz said last, and log when that changes: a balancer asks every second, on every worker.

Takes   the names of the checks that are not ok
Gives   Readiness: tell(unready), once for each answer
Raises  nothing
Not     the checks (health.py); the line of each probe (request_log.py)
"""

from collections.abc import Collection
from threading import Lock

import structlog

_log = structlog.get_logger("postern.readiness")
# A stop is somebody's wish: nothing is wrong.
_WISHED = frozenset({"drain"})


class Readiness:
    """What one worker has said."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._said: frozenset[str] = frozenset()

    def tell(self, unready: Collection[str]) -> None:
        """Log where a not-ready state begins, changes or ends."""
        now = frozenset(unready)
        with self._lock:
            before, self._said = self._said, now
        if now == before:
            return
        if not now:
            _log.info("ready again", before=sorted(before))
        elif now == _WISHED:
            _log.info("not ready: it is about to stop", checks=sorted(now))
        else:
            _log.warning("not ready", checks=sorted(now))
