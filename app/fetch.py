"""The one way out of the API: a single bounded GET.

Takes   url: https, or http to a loopback address;  the bounds, all of them: time, bytes, types
Gives   Response: status, headers (lower-case names), body; the body of a 200 only, anybody else's is not read
Raises  FetchFailed(why) and nothing else: address, unreachable, tls, timeout, broken, oversized, encoding,
        content_type
Not     redirects, retries, proxy variables, cookies, compression: none is followed, made, read, kept or undone;
        what a status other than 200 means is the caller's business
Source  docs/contracts/tokens.md K2; RFC 9110 §8.3, §12.5.3
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as UrllibTimeout
from urllib3.response import HTTPResponse

_OK = 200
_CHUNK_BYTES = 65_536


class FetchFailed(Exception):  # noqa: N818 - named by what happened
    """No usable answer came; `why` is a fixed word, `detail` is for the log only."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(f"{why}: {detail}" if detail else why)
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that kept to the bounds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float
    """Seconds since the epoch (UTC)."""


def get(  # noqa: PLR0913 - the bounds are said one by one, by name
    url: str,
    *,
    timeout_seconds: float,
    accepted_types: tuple[str, ...],
    connect_timeout_seconds: float = 2.0,
    max_bytes: int = 262_144,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Fetch the address within the deadline, or fail by then.

    The exchange runs in a thread of its own, because no socket option bounds a whole exchange: a time-out counts
    from the last byte (a server may drip one a second, headers included), and a name look-up knows none at all.
    At the deadline the caller goes on, and the connection is cut, which ends the thread.
    """
    exchange = _Exchange(
        _Request(_checked(url), timeout_seconds, connect_timeout_seconds, max_bytes, accepted_types, headers or {})
    )
    try:
        threading.Thread(target=exchange.run, name="postern-fetch", daemon=True).start()
    except RuntimeError as error:
        raise FetchFailed("unreachable", "no thread could be started") from error
    finished = exchange.finished.wait(timeout_seconds)
    exchange.cut()
    if not finished:
        raise FetchFailed("timeout", f"no complete answer within {timeout_seconds} s")
    if exchange.response is None:
        raise exchange.failure
    return exchange.response


def is_loopback(host: str) -> bool:
    """Tell whether the host can only be this machine, by its name alone: nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise FetchFailed("address", "not a URL") from error
    if not host or parts.username is not None or parts.password is not None:
        raise FetchFailed("address", "a host, and no user, is needed")
    # NOTE the last guard of K2, whatever the callers have checked: nothing leaves in the clear.
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise FetchFailed("address", "https is needed")
    return parts


@dataclass(frozen=True, slots=True)
class _Request:
    address: SplitResult
    timeout_seconds: float
    connect_timeout_seconds: float
    max_bytes: int
    accepted_types: tuple[str, ...]
    headers: Mapping[str, str]


class _Exchange:
    """One request and its answer, in its own thread; `cut` ends it from outside."""

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._lock = threading.Lock()
        self._is_cut = False
        self._lifeline: socket.socket | None = None
        self.finished = threading.Event()
        self.response: Response | None = None
        self.failure = FetchFailed("broken")

    def run(self) -> None:
        try:
            self.response = self._exchange()
        except FetchFailed as failure:
            self.failure = failure
        except NewConnectionError as error:
            # Before the time-outs: urllib3 counts a refused connection, and an unknown name, among them.
            self.failure = FetchFailed("unreachable", str(error))
        except (UrllibTimeout, TimeoutError) as error:
            self.failure = FetchFailed("timeout", type(error).__name__)
        except (SSLError, ssl.SSLError) as error:
            self.failure = FetchFailed("tls", str(error))
        except OSError as error:
            self.failure = FetchFailed("unreachable", str(error))
        except Exception as error:  # noqa: BLE001 - the caller waits for an end, and every other end is this one
            self.failure = FetchFailed("broken", type(error).__name__)
        finally:
            self.finished.set()

    def cut(self) -> None:
        """Close the connection under whoever still reads from it; harmless when nobody does."""
        with self._lock:
            self._is_cut = True
            if self._lifeline is not None:
                with suppress(OSError):
                    self._lifeline.shutdown(socket.SHUT_RDWR)
                self._lifeline.close()

    def _hold(self, connected: socket.socket) -> None:
        # A second descriptor of the same connection: shutting it down wakes the reader, TLS or not,
        # and closing it cannot hit a descriptor that the reader has given back meanwhile.
        with self._lock:
            if self._is_cut:
                raise FetchFailed("timeout")
            self._lifeline = socket.fromfd(connected.fileno(), connected.family, connected.type)

    def _exchange(self) -> Response:
        connection = self._connection()
        try:
            # Name look-up aside, this is bounded by the connect time-out: per address, and once for the handshake.
            connection.connect()
            self._hold(connection.sock)
            connection.timeout = self._request.timeout_seconds
            connection.request(
                "GET", self._target(), headers=self._headers(), preload_content=False, decode_content=False
            )
            answer = connection.getresponse()
            try:
                headers = {name.lower(): value for name, value in answer.headers.itermerged()}
                body = self._read(answer, headers) if answer.status == _OK else b""
            finally:
                answer.close()
            return Response(status=answer.status, headers=headers, body=body, received_at=time.time())
        finally:
            connection.close()

    def _target(self) -> str:
        address = self._request.address
        return f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"

    def _headers(self) -> dict[str, str]:
        return {
            "Accept": ", ".join(self._request.accepted_types),
            "User-Agent": "postern",
            **self._request.headers,
            # NOTE identity: a compressed answer of 256 KiB can hold gigabytes.
            "Accept-Encoding": "identity",
            "Connection": "close",
        }

    def _connection(self) -> HTTPConnection:
        host, port = self._request.address.hostname or "", self._request.address.port
        timeout_seconds = min(self._request.connect_timeout_seconds, self._request.timeout_seconds)
        if self._request.address.scheme == "http":
            return HTTPConnection(host, port, timeout=timeout_seconds)
        # NOTE the standard library's defaults, said aloud: the chain and the host name are verified.
        trust = ssl.create_default_context()
        trust.check_hostname = True
        trust.verify_mode = ssl.CERT_REQUIRED
        trust.minimum_version = ssl.TLSVersion.TLSv1_2
        return HTTPSConnection(host, port, timeout=timeout_seconds, ssl_context=trust, cert_reqs="CERT_REQUIRED")

    def _read(self, answer: HTTPResponse, headers: Mapping[str, str]) -> bytes:
        if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise FetchFailed("encoding", "a compressed answer was not asked for")
        if headers.get("content-type", "").partition(";")[0].strip().lower() not in self._request.accepted_types:
            raise FetchFailed("content_type", headers.get("content-type", "none")[:100])
        body = bytearray()
        while chunk := answer.read1(_CHUNK_BYTES, decode_content=False):
            body += chunk
            if len(body) > self._request.max_bytes:
                raise FetchFailed("oversized", f"more than {self._request.max_bytes} bytes")
        return bytes(body)
