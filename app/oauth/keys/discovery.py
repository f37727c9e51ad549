"""Find out where an issuer publishes its keys.

Takes   issuer: the configured URL, exact;  allowed_origins: origins beside its own that may hold its keys
Gives   Metadata(jwks_uri, userinfo_endpoint), both checked against the issuer's origin
Raises  DiscoveryRejected(why) for a document that cannot be this issuer's; FetchFailed as app.fetch says
Not     the keys (download.py); the members for log-in clients: endpoints, grants, algorithms for ID tokens.
        A tenant with an odd one of those still has good keys, so Authlib's whole validate() is not run
Source  OpenID Connect Discovery 1.0 §3, §4.1, §4.3; docs/contracts/tokens.md K1, K2
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from authlib.oidc.discovery import OpenIDProviderMetadata

from app import fetch

_PATH = "/.well-known/openid-configuration"
_OK = 200
_DEFAULT_PORTS = {"https": 443, "http": 80}
_SHOWN_CHARACTERS = 200


class DiscoveryRejected(Exception):  # noqa: N818 - named by what happened to the document
    """The document is not, or cannot be, this issuer's; `detail` is for the log and names what it said."""

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(f"{why}: {detail}")
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Metadata:
    """What this API needs of the issuer's discovery document."""

    jwks_uri: str
    userinfo_endpoint: str | None


def discover(
    issuer: str,
    *,
    timeout_seconds: float,
    connect_timeout_seconds: float = 2.0,
    allowed_origins: Collection[str] = (),
) -> Metadata:
    """Fetch and check the issuer's discovery document."""
    response = fetch.get(
        document_url(issuer),
        timeout_seconds=timeout_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
        accepted_types=("application/json",),
    )
    if response.status != _OK:
        raise DiscoveryRejected("discovery_status", f"status {response.status}")
    return read(response.body, issuer, allowed_origins)


def document_url(issuer: str) -> str:
    """Return where the issuer's document stands (K1)."""
    # NOTE one slash, as the specification says: Authlib's get_well_known_url would take them all.
    return issuer.removesuffix("/") + _PATH


def read(document: bytes, issuer: str, allowed_origins: Collection[str] = ()) -> Metadata:
    """Check a discovery document against the issuer that it was asked of."""
    members = _members(document)
    stated = members.get("issuer")
    if stated != issuer:
        raise DiscoveryRejected(
            "issuer_mismatch", f"configured {issuer!r}, the document says {repr(stated)[:_SHOWN_CHARACTERS]}"
        )
    jwks_uri = members.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise DiscoveryRejected("jwks_uri", "missing, or not a string")
    metadata = OpenIDProviderMetadata(members)
    try:
        # Both let plain http pass for a loopback host, and for nothing else (K2).
        metadata.validate_issuer()
        metadata.validate_jwks_uri()  # type: ignore[no-untyped-call]  # the stubs leave this one open
    except ValueError as error:
        raise DiscoveryRejected("metadata", str(error)) from error
    own = origin(issuer)
    if own is None:
        raise DiscoveryRejected("metadata", "the configured issuer has no origin")
    if origin(jwks_uri) not in {own, *map(origin, allowed_origins)} - {None}:
        raise DiscoveryRejected("jwks_uri", f"{jwks_uri[:_SHOWN_CHARACTERS]!r} is of another origin than the issuer's")
    userinfo = members.get("userinfo_endpoint")
    # The user's token is sent there: another origin is not believed, whatever JWKS_ALLOWED_ORIGINS says.
    trusted = isinstance(userinfo, str) and origin(userinfo) == own
    return Metadata(jwks_uri=jwks_uri, userinfo_endpoint=userinfo if trusted else None)


def origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port (RFC 6454); None for what has no origin, or names a user."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port


def _members(document: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(document)
    except ValueError as error:
        raise DiscoveryRejected("discovery_malformed", "not JSON") from error
    if not isinstance(members, dict):
        raise DiscoveryRejected("discovery_malformed", "not an object")
    return members
