"""The tenant's log, in Auth0's event codes: it says why something was refused.

Takes   events: a code, a sentence, who and from where
Gives   the last 1000 events, newest first, for /_dev/log; one line each on standard error unless quiet
Raises  nothing
Not     tokens, codes, passwords: none is ever written here
Source  D15; Auth0's "Log Event Type Codes"
"""

import sys
import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from flask import has_request_context, request

KEPT = 1000

# The codes used here: s login · f failed login or authorization · fu unknown user · fp wrong password · ssa, fsa silent
# authentication · seacft, feacft code exchanged or not · sertft, fertft refresh token exchanged or not · ferrt a used
# refresh token came back · seccft, feccft client credentials · srrt refresh token revoked · slo, flo logout ·
# sapi something was turned at /_dev


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    date: str
    type: str
    description: str
    client_id: str | None
    user_id: str | None
    ip: str | None


class EventLog:
    """The last events, in memory."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=KEPT)

    def write(self, code: str, description: str, *, client_id: str | None = None, user_id: str | None = None) -> None:
        """Add an event."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ip = request.remote_addr if has_request_context() else None
        with self._lock:
            self._events.appendleft(Event(moment, code, description, client_id, user_id, ip))
        if not self._quiet:
            who = " ".join(part for part in (client_id, user_id) if part)
            # repr() of the sentence: part of it may come from a request, and a line break would forge a log line.
            print(f"tenant {moment[11:19]} {code:<7} {description!r} {who}".rstrip(), file=sys.stderr, flush=True)

    def newest(self, limit: int, code: str | None) -> list[dict[str, object]]:
        """Return events, newest first, as JSON-able objects; `code` keeps one kind."""
        with self._lock:
            return [asdict(event) for event in self._events if code in (None, event.type)][:limit]

    def clear(self) -> None:
        """Forget every event."""
        with self._lock:
            self._events.clear()
