"""The keys of each issuer as they can be had right now, and why where they cannot.

Takes   an issuer, the settings
Gives   Published: keys or the failure, in words;  PublishedSource: what a Verifier takes
Raises  look: OSError, KeySetRejected for a JWKS_FILE that has become unusable since the start
Not     the verdict on a token's key (checks.py), keeping anything: each run of the command looks once
Source  docs/contracts/tokens.md T10, T27, K1 to K3, K8
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from app.commands.diagnosis.words import short
from app.commands.screen import duration
from app.oauth.errors import KeysUnavailable
from app.oauth.keys.download import DownloadFailed, KeyDownload
from app.oauth.keys.jwks import KeySet, VerificationKey, parse_key_set
from app.oauth.keys.lifetimes import Lifetimes
from app.oauth.keys.snapshot import KeySnapshot, SnapshotFailed
from app.oauth.keys.source import StaticKeySource
from config.settings import Settings


class NotLooked(Exception):  # noqa: N818 - not an error: nobody has looked
    """The keys were not looked for, because no request may leave."""


@dataclass(frozen=True, slots=True)
class Published:
    """What is known of one issuer's keys."""

    issuer: str
    keys: KeySet | None
    origin: str
    """Where they are from, or why they are not here, in words."""
    is_unreachable: bool = False
    """Looked for, and not to be had: the API would answer 503 unless it still holds some."""


class PublishedSource(StaticKeySource):
    """The key source that these keys make: what a worker would say that has just looked for them."""

    def __init__(self, published: Published) -> None:
        keys = published.keys
        super().__init__(published.issuer, keys if keys is not None else KeySet((), {}, {}, frozenset()))
        self._published = published

    def find(self, kid: str | None, alg: str) -> VerificationKey:
        """Return the key, or say what the API would."""
        if self._published.keys is not None:
            return super().find(kid, alg)
        if self._published.is_unreachable:
            raise KeysUnavailable(1)
        raise NotLooked


def look(issuer: str, settings: Settings, *, offline: bool, now: float) -> Published:
    """Look for the keys once: in JWKS_FILE, at the issuer, then in the copy on disk, as a worker that starts does."""
    if settings.jwks_file is not None:
        keys = parse_key_set(Path(settings.jwks_file).read_bytes(), settings.token_algorithms)
        return Published(issuer, keys, "read from JWKS_FILE")
    if offline:
        return _copy(issuer, settings, now) or Published(issuer, None, "not checked: offline, and no copy on disk")
    begun_at = time.monotonic()
    try:
        keys = download_of(issuer, settings)().keys
    except DownloadFailed as failure:
        why = f"the keys cannot be fetched: {short(failure)}"
        copy = _copy(issuer, settings, now, still_usable=True)
        if copy is None:
            return Published(issuer, None, why, is_unreachable=True)
        return replace(copy, origin=f"{copy.origin}; {why}")
    return Published(issuer, keys, f"fetched in {(time.monotonic() - begun_at) * 1000:.0f} ms")


def download_of(issuer: str, settings: Settings) -> KeyDownload:
    """Return the fetch that the API itself does."""
    return KeyDownload(
        issuer,
        settings.token_algorithms,
        timeout_seconds=settings.jwks_timeout_seconds,
        allowed_origins=settings.jwks_allowed_origins,
    )


def snapshot_of(issuer: str, settings: Settings) -> KeySnapshot | None:
    """Return the copy on disk, if the settings ask for one."""
    if settings.jwks_snapshot_dir is None:
        return None
    return KeySnapshot(Path(settings.jwks_snapshot_dir), issuer, settings.token_algorithms)


def _copy(issuer: str, settings: Settings, now: float, *, still_usable: bool = False) -> Published | None:
    file = snapshot_of(issuer, settings)
    try:
        snapshot = None if file is None else file.read(now=now)
    except SnapshotFailed:
        return None
    if snapshot is None:
        return None
    bounds = Lifetimes(
        min_ttl_seconds=settings.jwks_min_ttl_seconds,
        max_ttl_seconds=settings.jwks_max_ttl_seconds,
        max_stale_seconds=settings.jwks_max_stale_seconds,
    )
    if still_usable and bounds.hold(snapshot.download, snapshot.begun_at).usable_until < now:
        return None
    age = duration(max(0.0, now - snapshot.begun_at))
    return Published(issuer, snapshot.download.keys, f"from the copy on disk, fetched {age} ago")


def names(keys: KeySet) -> str:
    """List the keys with their algorithms."""
    return ", ".join(f"{key.kid or '(without kid)'} ({'/'.join(sorted(key.algorithms))})" for key in keys.keys)


def left_out(keys: KeySet) -> str:
    """Say which keys were skipped, and why; empty if none was."""
    return ", ".join(f"{count} × {why}" for why, count in sorted(keys.skipped.items()))
