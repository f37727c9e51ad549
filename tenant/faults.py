"""Faults on demand: what goes wrong, and for how many requests.

Takes   a JSON object such as {"jwks": "down", "requests": 3}
Gives   take(place): the fault for this request, or None; counted down where a number was given
Raises  ValueError with a sentence for an unknown place or fault
Not     how a fault looks (app.py for the endpoints, tokens.py for the tokens)
Source  D14
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

POSSIBLE: Mapping[str, frozenset[str]] = {
    "jwks": frozenset({"down", "slow", "429", "malformed"}),
    "discovery": frozenset({"down", "slow", "429", "malformed"}),
    "token": frozenset({"500", "429", "slow"}),
    "userinfo": frozenset({"down", "slow", "429"}),
    "outage": frozenset({"true"}),
    "access_token": frozenset({"expired", "not_yet_valid", "wrong_audience", "wrong_issuer", "unknown_kid"}),
}
SLOWEST_SECONDS = 120.0


@dataclass
class Fault:
    """One fault, and for how many more requests it holds (None: until it is cleared)."""

    kind: str
    requests_left: int | None


class Faults:
    """The faults that are on now; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on: dict[str, Fault] = {}
        self.slow_seconds = 3.0

    def turn_on(self, wanted: Mapping[str, object]) -> None:
        """Add faults to those that are on; a place set to null, false or "" is cleared."""
        requests = wanted.get("requests")
        if requests is not None and (not isinstance(requests, int) or isinstance(requests, bool) or requests < 1):
            raise ValueError("requests must be a whole number from 1, or null for `until cleared`")
        slow = wanted.get("slow_seconds", self.slow_seconds)
        if not isinstance(slow, int | float) or isinstance(slow, bool) or not 0 <= slow <= SLOWEST_SECONDS:
            raise ValueError(f"slow_seconds must be a number from 0 to {SLOWEST_SECONDS:.0f}")
        chosen = {place: _kind(place, kind) for place, kind in wanted.items() if place not in _NOT_PLACES}
        with self._lock:
            self.slow_seconds = float(slow)
            for place, kind in chosen.items():
                self._on.pop(place, None)
                if kind is not None:
                    self._on[place] = Fault(kind, requests)

    def clear(self) -> None:
        """Turn every fault off."""
        with self._lock:
            self._on.clear()

    def take(self, place: str) -> str | None:
        """Return the fault of a place, and count this request."""
        with self._lock:
            fault = self._on.get(place)
            if fault is None:
                return None
            if fault.requests_left is not None:
                fault.requests_left -= 1
                if fault.requests_left <= 0:
                    del self._on[place]
            return fault.kind

    def shown(self) -> dict[str, object]:
        """Return what is on, as /_dev shows it."""
        with self._lock:
            return {place: {"fault": one.kind, "requests_left": one.requests_left} for place, one in self._on.items()}


_NOT_PLACES = frozenset({"requests", "slow_seconds"})


def _kind(place: str, kind: object) -> str | None:
    if place not in POSSIBLE:
        raise ValueError(f"unknown place {place!r}; there are {', '.join(sorted(POSSIBLE))}")
    if kind is None or kind is False or kind == "":
        return None
    text = "true" if kind is True else str(kind)
    if text not in POSSIBLE[place]:
        raise ValueError(f"{place} can be {', '.join(sorted(POSSIBLE[place]))}, not {text!r}")
    return text
