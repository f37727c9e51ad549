"""Names whose minute has just begun: no test of a limit runs into the next one.

Takes   how the application names whom it counts
Gives   settled(realm, name_of, candidates): the first candidate that has most of its minute left
Raises  StopIteration where none has
Not     a patched clock
"""

import time
from collections.abc import Callable, Iterable

from app.web.limiting.counters import ProcessCounters
from app.web.limiting.limiter import Limiter
from tests.support import tokens

_ENOUGH_SECONDS = 45


def settled(realm: str, name_of: Callable[[str], str], candidates: Iterable[str]) -> str:
    """Return a candidate that is counted in one window for three quarters of a minute from now."""
    limiter = Limiter(ProcessCounters(), requests=1, writes=1, failures=1, realm=realm)
    return next(one for one in candidates if limiter._place(name_of(one), time.time())[1] > _ENOUGH_SECONDS)


def settled_user(realm: str = tokens.AUDIENCE, tenant: str = tokens.ISSUER, *, prefix: str = "auth0|") -> str:
    """Return such a user's subject."""
    return settled(realm, lambda subject: f"{tenant}|user|{subject}", (f"{prefix}{n}" for n in range(1000)))


def settled_client(realm: str = tokens.AUDIENCE, tenant: str = tokens.ISSUER) -> str:
    """Return such an application's client id."""
    return settled(realm, lambda client: f"{tenant}|client|{client}", (f"service{n}" for n in range(1000)))


def settled_address(realm: str = tokens.AUDIENCE, *, network: str = "203.0.113") -> str:
    """Return such an address."""
    return settled(realm, lambda address: f"address|{address}", (f"{network}.{n}" for n in range(256)))
