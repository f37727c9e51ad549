"""The tenant's time and lifetimes, which /_dev can turn.

Takes   an offset in seconds; lifetimes by name
Gives   now(): whole seconds since the epoch (UTC), shifted
Raises  ValueError for an unknown lifetime or one that is no whole number from 0
Not     the machine's clock, which stays right in the Date header
Source  D14, D16
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace


@dataclass(frozen=True)
class Lifetimes:
    """How long things live, in seconds; None means: as the registry says."""

    access_token_seconds: int | None = None
    id_token_seconds: int = 36000
    code_seconds: int = 60
    refresh_idle_seconds: int = 1_296_000
    refresh_absolute_seconds: int = 2_592_000
    refresh_leeway_seconds: int | None = None

    def changed(self, wanted: Mapping[str, object]) -> "Lifetimes":
        """Return lifetimes with some of them replaced; null puts one back to its default."""
        defaults = asdict(Lifetimes())
        known = {field.name for field in fields(self)}
        if unknown := set(wanted) - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        for name, value in wanted.items():
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ValueError(f"{name} must be a whole number of seconds from 0, or null")
        return replace(self, **{n: defaults[n] if v is None else v for n, v in wanted.items()})  # type: ignore[arg-type]  # the loop above has checked every value


class Clock:
    """Time as the tenant sees it."""

    def __init__(self) -> None:
        self.offset_seconds = 0
        self.lifetimes = Lifetimes()

    def now(self) -> int:
        """Return the shifted time."""
        return int(time.time()) + self.offset_seconds
