"""What the routes work with: made once by the factory, found through the application.

Takes   the current Flask application
Gives   Runtime; runtime(), the current one
Raises  nothing
Not     how its parts are made (app/factory.py)
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from flask import current_app

from app.db import Database
from app.oauth.access_token import AccessToken
from app.oauth.keys.source import KeySource, start_all
from app.oauth.revocation.watch import DenylistWatch
from app.oauth.verifier import Verifier
from app.records.terms import Terms
from app.users.identity import Identity
from app.web.limiting.limiter import Limiter
from app.web.readiness import Readiness
from config.drain import Drain
from config.lines import LINES
from config.settings import Settings


class Once:
    """Lets one caller in each process do what is done once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._claimed_by: int | None = None

    def claim(self) -> bool:
        """Tell whether the caller is the first in this process."""
        with self._lock:
            is_first = self._claimed_by != os.getpid()
            self._claimed_by = os.getpid()
            return is_first


class Background(Protocol):
    """Work that a worker does beside its requests."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End."""
        ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of one application, and the two moments of its life in a worker."""

    settings: Settings
    database: Database
    key_sources: Mapping[str, KeySource]
    verifier: Verifier
    denylist: DenylistWatch
    terms: Terms
    drain: Drain
    metrics: Background | None = None
    limiter: Limiter | None = None
    closing: tuple[Callable[[], None], ...] = ()
    """What closes connections that only some settings open."""
    once: Once = field(default_factory=Once)
    readiness: Readiness = field(default_factory=Readiness)

    def start(self) -> None:
        """Begin in a worker of one's own (K9), once: new connections, the keys fetched and from now on kept fresh."""
        if not self.once.claim():
            return
        LINES.gather()
        self.database.dispose_after_fork()
        self.denylist.start()
        start_all(self.key_sources.values())
        if self.metrics is not None:
            self.metrics.start()

    def stop(self) -> None:
        """Stop the refreshers and close the database's connections."""
        if self.metrics is not None:
            self.metrics.stop()
        for source in self.key_sources.values():
            source.stop()
        self.denylist.stop()
        self.database.dispose()
        for close in self.closing:
            close()
        LINES.no_longer_gather()

    def identity_of(self, token: AccessToken) -> Identity:
        """Key the user by the FIRST issuer, so that a move to a custom domain loses nobody's data (T11)."""
        return Identity(self.settings.tenant_issuers[0], token.subject)


def runtime() -> Runtime:
    """Return the current application's parts."""
    found: Runtime = current_app.extensions["postern"]
    return found
