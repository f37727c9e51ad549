"""Remember verified tokens by digest, so that the second request of a token costs no RSA operation.

Takes   digest: SHA-256 of the token's exact bytes;  VerifiedToken
Gives   the same VerifiedToken, or None;  CacheState
Raises  nothing
Not     whether a remembered token is still good: the verifier asks that each time (V2). Refusals are not kept
Source  docs/contracts/tokens.md V1, V3, V4
"""

from dataclasses import dataclass
from threading import Lock

from cachetools import LRUCache

from app.oauth.access_token import AccessToken
from app.oauth.keys.jwks import VerificationKey


@dataclass(frozen=True, slots=True)
class CacheState:
    """What one process's cache has done so far, and how many tokens it remembers."""

    hits: int = 0
    misses: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature and claims were good, and the key that verified it; not the token itself (V4)."""

    token: AccessToken
    key: VerificationKey
    size_bytes: int


class TokenCache:
    """A least-recently-used cache with two bounds; safe to share between threads."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        """Bound the cache; 0 of either turns it off."""
        self._max_entries = max_entries
        self._entries: LRUCache[bytes, VerifiedToken] = LRUCache(max_bytes, getsizeof=lambda entry: entry.size_bytes)
        # A look-up reorders the entries, so reads need the lock too. It is never held across anything that waits.
        self._lock = Lock()
        self._hits = self._misses = 0

    def get(self, digest: bytes) -> VerifiedToken | None:
        """Return what is remembered and count it as used."""
        with self._lock:
            found: VerifiedToken | None = self._entries.get(digest)
            if found is None:
                self._misses += 1
            else:
                self._hits += 1
            return found

    def put(self, digest: bytes, entry: VerifiedToken) -> None:
        """Remember an entry; the least recently used ones make room. One that is larger than the cache is not kept."""
        with self._lock:
            if entry.size_bytes > self._entries.maxsize:
                return
            self._entries[digest] = entry
            while len(self._entries) > self._max_entries:
                self._entries.popitem()

    def forget(self, digest: bytes) -> None:
        """Drop an entry that is good no more."""
        with self._lock:
            self._entries.pop(digest, None)

    def state(self) -> CacheState:
        """Tell what it has done so far."""
        with self._lock:
            return CacheState(self._hits, self._misses, len(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
