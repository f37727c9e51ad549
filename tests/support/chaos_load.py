"""A steady load of good requests: one user's devices that write, poll and look, until they are told to stop.

Takes   the API's URL, a Signer, the user's name
Gives   Load: start(), stop();  its Tally, and the Toll of its writes
Raises  what a device has raised
Not     what goes wrong meanwhile (prove/chaos_faults.py), what of it may be (chaos_judge.py)
Source  docs/contracts/user-data.md U5, §7; docs/contracts/tokens.md P2
"""

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any, Final

from app.db import Database
from app.users.identity import Identity
from tests.support.chaos_devices import Crew, Device, Tally
from tests.support.chaos_stack import Signer
from tests.support.http_writers import Ledger, Writer, first_record
from tests.support.proofs import APP_KEY, Request
from tests.support.reckoning import Toll, reckoned
from tests.support.sync_client import Follower, NoAnswer

_WRITERS: Final = 3
_PAUSE_SECONDS: Final = 0.12
_PATIENCE_SECONDS: Final = 120
_SETTLING_SECONDS: Final = 1


class Load:
    """Three writers, two readers, a device that looks, one whose tokens are all new, and one with bound tokens."""

    def __init__(self, url: str, issuer: str, signer: Signer, name: str) -> None:
        self._url, self._signer, self.subject = url, signer, f"auth0|{name}"
        self.identity = Identity(issuer, self.subject)
        # A commit whose connection broke is told as "later": who asks again may find his own record.
        self.ledger, self.tally = Ledger(unknown=1), Tally()
        self._crew, self._reading = Crew(), Crew()
        self._writers = [
            Writer(self._device(), f"w{number}", self.ledger, keyed=True, patient=True) for number in range(_WRITERS)
        ]
        self._readers = [
            Follower(self._device(), limit=50, conditional=True),
            Follower(self._device(), limit=20, collections=frozenset({"tasks"})),
        ]

    def start(self) -> None:
        """Make the account and let all devices go."""
        first_record(self._writers[0].client, self.ledger)
        for writer in self._writers:
            self._crew.start(writer.turn)
        for reader in self._readers:
            self._reading.start(reader.poll)
        self._crew.start(self._looking(self._device(), "/v1/collections/notes/records/first"))
        self._crew.start(self._looking(self._device(lambda: self._signer.token(self.subject)), "/v1/whoami"))
        bound = {"cnf": {"jkt": APP_KEY.thumbprint()}}
        bound_device = BoundDevice(
            self._url, lambda: self._signer.token(self.subject, **bound), self.tally, pause_seconds=_PAUSE_SECONDS
        )
        self._crew.start(self._looking(bound_device, "/v1/whoami"))

    def stop(self) -> None:
        """Let the writers finish what they have begun, and the readers read to the end."""
        self._crew.end(_PATIENCE_SECONDS)
        # What a worker has sent that is dead now may still be on its way into the database.
        time.sleep(_SETTLING_SECONDS)
        self._reading.end(_PATIENCE_SECONDS)
        for reader in self._readers:
            while reader.poll():
                pass

    def toll(self, database_url: str) -> Toll:
        """Hold what was acknowledged, told and stored against each other."""
        database = Database(database_url)
        try:
            return reckoned(self.identity, self.ledger, [(reader, True) for reader in self._readers], database)
        finally:
            database.dispose()

    def _device(self, token: Callable[[], str] | None = None) -> Device:
        return Device(
            self._url, token or (lambda: self._signer.held(self.subject)), self.tally, pause_seconds=_PAUSE_SECONDS
        )

    def _looking(self, device: Device, path: str) -> Callable[[], object]:
        def look() -> None:
            try:
                device.send("GET", path)
            except NoAnswer:
                # The tally has it.
                return

        return look


class BoundDevice(Device):
    """Each request bears a proof of its own (RFC 9449)."""

    def _begin(
        self, connection: HTTPConnection, method: str, path: str, document: Any, fields: Mapping[str, str]
    ) -> None:
        proof = Request(self._token, method, self._address.geturl() + path, time.time()).proof()
        given = {**fields, "Authorization": f"DPoP {self._token}", "DPoP": proof}
        connection.request(method, path, None if document is None else json.dumps(document), given)
