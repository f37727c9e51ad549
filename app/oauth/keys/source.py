"""Where the verifier gets an issuer's keys from, and the source that never fetches.

Takes   kid and alg of a token's header
Gives   KeySource: the Protocol; KeyState: what /readyz and the logs say of one; StaticKeySource: keys from a file;
        start_all(): several, side by side
Raises  InvalidToken(UNKNOWN_KEY) if the issuer has no such key, KeysUnavailable if we cannot know
Not     fetching and keeping (cache.py), parsing (jwks.py), signatures (verifier.py)
Source  docs/contracts/tokens.md T27, K1, K10
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from app.oauth.errors import InvalidToken
from app.oauth.keys.jwks import KeySet, VerificationKey
from app.oauth.reasons import Reason


@dataclass(frozen=True, slots=True)
class KeyState:
    """What one source knows at one moment; for people and probes, never for a decision about a token."""

    issuer: str
    ever_held: bool
    held: bool
    """A set inside its staleness bound is there: tokens can be verified."""
    fresh: bool
    stale: bool
    """Held, but past its freshness: the issuer cannot be reached, the last good set serves."""
    age_seconds: float | None
    last_error: str | None
    """Why the last attempt failed; None after a success."""
    kids: tuple[str, ...]
    skipped: dict[str, int]
    fetches: int
    """Attempts so far in this process."""
    failures: int
    """Attempts that failed since the last success."""
    fetches_failed: int = 0
    """Attempts that failed, so far in this process."""
    unknown_looked_up: int = 0
    """Look-ups of a key that the held set lacks, so far in this process; without a set in use there are none."""
    from_snapshot: bool = False
    """What is held comes from the copy on disk (K8): no fetch has succeeded in this process yet."""
    snapshot_age_seconds: float | None = None
    """How old the copy on disk is, as this process has last read or written it; None without one."""


class KeySource(Protocol):
    """The keys of one issuer."""

    @property
    def issuer(self) -> str:
        """The issuer, exactly as configured."""
        ...

    def find(self, kid: str | None, alg: str) -> VerificationKey:
        """Return the key; may fetch. Raises InvalidToken(UNKNOWN_KEY) or KeysUnavailable."""
        ...

    def current(self) -> KeySet:
        """Return the held set without a lock and without a fetch. Raises KeysUnavailable."""
        ...

    def start(self) -> None:
        """Fetch once, then keep the set fresh in the background. Never raises for an unreachable issuer."""
        ...

    def stop(self) -> None:
        """End the background work."""
        ...

    def state(self) -> KeyState:
        """Tell what is held."""
        ...

    def userinfo_endpoint(self) -> str | None:
        """Return the issuer's userinfo address, if discovery has told one of the issuer's own origin."""
        ...


def start_all(sources: Collection[KeySource]) -> None:
    """Start them side by side: two names of a tenant that is down must not delay a worker one after the other."""
    with ThreadPoolExecutor(max(1, len(sources)), thread_name_prefix="postern-start") as threads:
        for started in [threads.submit(source.start) for source in sources]:
            started.result()


class StaticKeySource:
    """A key set that was read once (JWKS_FILE): nothing is fetched, nothing expires, nothing is discovered."""

    def __init__(self, issuer: str, keys: KeySet) -> None:
        self._issuer = issuer
        self._keys = keys

    @property
    def issuer(self) -> str:
        """The issuer, exactly as configured."""
        return self._issuer

    def find(self, kid: str | None, alg: str) -> VerificationKey:
        """Return the key, or refuse: the file is the whole truth, so a key that it lacks is unknown."""
        key = self._keys.find(kid, alg)
        if key is None:
            raise InvalidToken(Reason.UNKNOWN_KEY)
        return key

    def current(self) -> KeySet:
        """Return the set of the file."""
        return self._keys

    def start(self) -> None:
        """Do nothing: the keys are here already."""

    def stop(self) -> None:
        """Do nothing: no work goes on."""

    def state(self) -> KeyState:
        """Tell that the set is here, fresh for ever."""
        return KeyState(
            issuer=self._issuer,
            ever_held=True,
            held=True,
            fresh=True,
            stale=False,
            age_seconds=None,
            last_error=None,
            kids=self._keys.kids(),
            skipped=dict(self._keys.skipped),
            fetches=0,
            failures=0,
        )

    def userinfo_endpoint(self) -> str | None:
        """Return None: without discovery there is no address to trust."""
        return None
