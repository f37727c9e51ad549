"""A device as a test plays it: HTTP with a token, and the change feed followed as the contract says.

Takes   the API's URL, a token
Gives   Client: send(), one request, by any worker;  Follower: polls, and keeps a copy of what it was told
Raises  NoAnswer: the connection broke, and nobody knows whether the request was carried out
Not     what is written (http_race.py)
Source  docs/contracts/user-data.md §3, §7
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

Key = tuple[str, str]
# A connection stays with the worker that has accepted it: after so many requests a new one is made.
_REQUESTS_PER_CONNECTION = 8
_TIMEOUT_SECONDS = 60
_PAUSE_SECONDS = 0.02


class NoAnswer(Exception):  # noqa: N818 - named by what the device learns: nothing
    """The request may have been carried out or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the names of its fields in lower case."""

    status: int
    fields: Mapping[str, str]
    document: Any

    @property
    def is_retryable(self) -> bool:
        """Tell whether the same request may succeed later: `busy`, `unavailable`."""
        return isinstance(self.document, dict) and self.document.get("retryable") is True

    @property
    def seq(self) -> int:
        """The version that the ETag names."""
        return int(self.fields["etag"].strip('"'))


class Client:
    """One device's way to the API."""

    def __init__(self, url: str, token: str) -> None:
        self._address, self._token = urlsplit(url), token
        self._connection: HTTPConnection | None = None
        self._left = 0

    def send(self, method: str, path: str, document: Any = None, **fields: str) -> Answer:
        """Send one request and read its answer; names of fields with _ for -."""
        connection = self._connected()
        try:
            self._begin(connection, method, path, document, fields)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as fault:
            self.disconnect()
            raise NoAnswer(repr(fault)) from fault
        if response.will_close:
            self.disconnect()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, json.loads(body) if body else None)

    def send_and_go(self, method: str, path: str, document: Any, **fields: str) -> None:
        """Send one request and hang up before the answer, as a phone does in a tunnel."""
        with suppress(OSError, HTTPException):
            self._begin(self._connected(), method, path, document, fields)
        self.disconnect()

    def disconnect(self) -> None:
        """Hang up; the next request makes a new connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connected(self) -> HTTPConnection:
        if self._left <= 0:
            self.disconnect()
        if self._connection is None:
            self._left = random.randint(1, 2 * _REQUESTS_PER_CONNECTION)
            self._connection = HTTPConnection(self._address.hostname or "", self._address.port, _TIMEOUT_SECONDS)
        self._left -= 1
        return self._connection

    def _begin(
        self, connection: HTTPConnection, method: str, path: str, document: Any, fields: Mapping[str, str]
    ) -> None:
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        given["Authorization"] = f"Bearer {self._token}"
        if document is not None:
            given["Content-Type"] = "application/json"
        connection.request(method, path, None if document is None else json.dumps(document), given)


@dataclass(frozen=True, slots=True)
class Told:
    """One version of a record, as a device was told of it; data is None where it was deleted."""

    key: Key
    seq: int
    data: Mapping[str, Any] | None


class Follower:
    """A device that polls GET /v1/changes and applies what it is told.

    `seen` is the last number of each record; `disordered` counts what did not come after the one before it, `resyncs`
    how often the API said 410.
    """

    def __init__(
        self, client: Client, *, limit: int, collections: frozenset[str] | None = None, conditional: bool = False
    ) -> None:
        self.client, self.collections = client, collections
        self._limit, self._conditional = limit, conditional
        self.cursor: str | None = None
        self.told: list[Told] = []
        self.seen: dict[Key, int] = {}
        self.copy: dict[Key, Any] = {}
        self.pages = self.unmodified = self.disordered = self.resyncs = 0
        self._last = 0

    def poll(self) -> bool:
        """Ask once and apply the page; tell whether there is more, to be asked for at once."""
        answer = persisted(self._ask)
        if answer.status == 304:
            self.unmodified += 1
            return False
        if answer.status == 410:
            self.resyncs += 1
            self.cursor, self.copy, self._last = None, {}, 0
            return True
        assert answer.status == 200, answer
        self.pages += 1
        for change in answer.document["changes"]:
            self._apply(change)
        self.cursor = answer.document["cursor"]
        has_more: bool = answer.document["has_more"]
        return has_more

    def wants(self, key: Key) -> bool:
        """Tell whether a record is one that this device asks for."""
        return self.collections is None or key[0] in self.collections

    def _ask(self) -> Answer:
        query: dict[str, Any] = {"limit": self._limit}
        if self.cursor is not None:
            query["cursor"] = self.cursor
        if self.collections is not None:
            query["collections"] = ",".join(sorted(self.collections))
        fields = {"If_None_Match": f'"{self.cursor}"'} if self._conditional and self.cursor else {}
        return self.client.send("GET", f"/v1/changes?{urlencode(query)}", **fields)

    def _apply(self, change: Mapping[str, Any]) -> None:
        key = change["collection"], change["id"]
        told = Told(key, change["seq"], None if change.get("deleted") else change["data"])
        self.disordered += told.seq <= self._last
        self._last = told.seq
        self.told.append(told)
        self.seen[key] = max(told.seq, self.seen.get(key, 0))
        if told.data is None:
            self.copy.pop(key, None)
        else:
            self.copy[key] = told.data


def persisted(ask: Callable[[], Answer]) -> Answer:
    """Ask until there is an answer that is no "later": for requests that may be sent as often as one likes."""
    while True:
        try:
            answer = ask()
        except NoAnswer:
            continue
        if not answer.is_retryable:
            return answer
        time.sleep(_PAUSE_SECONDS)
