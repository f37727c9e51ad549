"""Fetch one issuer's keys once: discovery, then the key set, under one deadline.

Takes   issuer, the algorithms this API accepts, the origins that may hold keys, the bounds
Gives   Download: the usable keys, how long the issuer says they keep, its userinfo address, the document itself
Raises  DownloadFailed(why) and nothing else that an issuer could cause
Not     keeping, refreshing, backing off (cache.py); odd keys (jwks.py); redirects: 3xx is a failure like 500
Source  OpenID Connect Discovery 1.0 §4; RFC 7517 §5, §8.5.1; RFC 9111 §5.2.2; docs/contracts/tokens.md K1, K2, K4
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.request import parse_http_list

from app import fetch
from app.oauth.keys.discovery import DiscoveryRejected, discover
from app.oauth.keys.jwks import MAX_DOCUMENT_BYTES, KeySet, KeySetRejected, parse_key_set

_OK = 200
_MAX_AGE_DIGITS = 10


class DownloadFailed(Exception):  # noqa: N818 - named by what happened
    """No key set came; `why` is a fixed word, `detail` is for the log only."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(f"{why}: {detail}" if detail else why)
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Download:
    """What one successful fetch brought."""

    keys: KeySet
    max_age_seconds: int | None
    """What Cache-Control says; None where it says nothing."""
    userinfo_endpoint: str | None
    document: bytes = field(repr=False)
    """The key set as the issuer published it: what is kept on disk is read by tomorrow's rules, not by today's."""


@dataclass(frozen=True, slots=True)
class KeyDownload:
    """How to get one issuer's keys; call it to do so."""

    issuer: str
    algorithms: tuple[str, ...]
    allowed_origins: tuple[str, ...] = ()
    timeout_seconds: float = 5.0
    """For discovery and key set together."""
    connect_timeout_seconds: float = 2.0
    clock: Callable[[], float] = time.monotonic

    def __call__(self) -> Download:
        """Fetch, check and return the keys."""
        try:
            return self._download()
        except (fetch.FetchFailed, DiscoveryRejected) as failure:
            raise DownloadFailed(failure.why, failure.detail) from failure
        except KeySetRejected as rejected:
            raise DownloadFailed(rejected.why) from rejected

    def _download(self) -> Download:
        deadline = self.clock() + self.timeout_seconds
        metadata = discover(
            self.issuer,
            timeout_seconds=self.timeout_seconds,
            connect_timeout_seconds=self.connect_timeout_seconds,
            allowed_origins=self.allowed_origins,
        )
        remaining_seconds = deadline - self.clock()
        if remaining_seconds <= 0:
            raise DownloadFailed("timeout", "discovery took all the time there was")
        response = fetch.get(
            metadata.jwks_uri,
            timeout_seconds=remaining_seconds,
            connect_timeout_seconds=self.connect_timeout_seconds,
            max_bytes=MAX_DOCUMENT_BYTES,
            accepted_types=("application/jwk-set+json", "application/json"),
        )
        if response.status != _OK:
            raise DownloadFailed("status", f"status {response.status}")
        return Download(
            keys=parse_key_set(response.body, self.algorithms),
            max_age_seconds=max_age_seconds(response.headers.get("cache-control", "")),
            userinfo_endpoint=metadata.userinfo_endpoint,
            document=response.body,
        )


def max_age_seconds(cache_control: str) -> int | None:
    """Read Cache-Control: the shortest `max-age`; 0 for `no-store` and `no-cache`; None where it says neither."""
    ages: list[int] = []
    for directive in parse_http_list(cache_control):
        name, _, value = directive.strip().partition("=")
        argument = value.strip().strip('"')
        if name.strip().lower() in {"no-store", "no-cache"}:
            ages.append(0)
        # NOTE digits of ASCII, and few of them: int() would also take "+1", "1_0", Arabic digits and a megabyte.
        elif name.strip().lower() == "max-age" and argument.isascii() and argument.isdigit():
            ages.append(int(argument[:_MAX_AGE_DIGITS]))
    return min(ages, default=None)
