"""What the routes work with: made once by the factory, found through the application.

Takes   the current Flask application
Gives   Runtime; runtime(), the current one
Raises  nothing
Not     how its parts are made (app/factory.py)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flask import current_app

from app.db import Database
from app.oauth.access_token import AccessToken
from app.oauth.keys.source import KeySource, start_all
from app.oauth.revocation.watch import DenylistWatch
from app.oauth.verifier import Verifier
from app.records.terms import Terms
from app.users.identity import Identity
from config.drain import Drain
from config.settings import Settings


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

    def start(self) -> None:
        """Begin in a worker of one's own (K9): new connections, the keys fetched and from now on kept fresh."""
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

    def identity_of(self, token: AccessToken) -> Identity:
        """Key the user by the FIRST issuer, so that a move to a custom domain loses nobody's data (T11)."""
        return Identity(self.settings.tenant_issuers[0], token.subject)


def runtime() -> Runtime:
    """Return the current application's parts."""
    found: Runtime = current_app.extensions["postern"]
    return found
