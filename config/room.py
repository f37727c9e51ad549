"""How much the connections of a worker may hold, each and all together.

Takes   bytes that are taken and given back
Gives   Buffers, safe to share between threads; Room
Raises  nothing
Not     what happens where there is none left (connection.py, reception.py)
"""

from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Final

# Half-sent requests of all connections; as much again of answers that are not taken yet.
MAX_BUFFERED_BYTES: Final = 32 * 1024 * 1024


class Buffers:
    """How many bytes all connections of a worker may hold together, one way; safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._lock = Lock()

    def take(self, count: int) -> bool:
        """Take room for so many bytes; they are held even where there is none left, and the answer says so."""
        with self._lock:
            self._left -= count
            return self._left >= 0

    def give(self, count: int) -> None:
        """Give room back."""
        with self._lock:
            self._left += count

    @property
    def are_full(self) -> bool:
        """Whether more is held than there was room for."""
        return self._left < 0


@dataclass(frozen=True)
class Room:
    """What the connections of a worker may hold, each and all together."""

    max_body_bytes: int
    max_unsent_bytes: int
    """What one connection may have unsent before its thread waits: more than any answer but an export."""
    arriving: Buffers = field(default_factory=partial(Buffers, MAX_BUFFERED_BYTES))
    leaving: Buffers = field(default_factory=partial(Buffers, MAX_BUFFERED_BYTES))
