"""Remember used DPoP proofs in Valkey or Redis, for hosts that want no write to the database with each request.

Takes   url: valkey://, valkeys://, redis://, rediss:// or unix://; thumbprint, digest and times of one proof
Gives   ValkeyProofStore, a ProofStore
Raises  TypeError, ValueError for a URL that the client cannot take; TooManyProofs;
        ProofsUnavailable for a server that is down, slow, not writable, or full of live proofs
Not     what a good proof is (app/oauth/dpop/check.py); a cluster of servers
Source  docs/contracts/tokens.md P2; Valkey "EVAL", "Scripting: atomicity of scripts"

One script asks and remembers in one round trip, and the server runs one script at a time. The proofs of a key are a
sorted set by their end; how many there are in all is counted by slices of time, whose counters expire with them. Times
of expiry are sent as seconds to live: the server's clock may be another.
"""

from math import ceil
from typing import Any, Final

import valkey
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

from app.oauth.dpop.faults import ProofsUnavailable, TooManyProofs

MAX_PROOFS_PER_KEY: Final = 2_000
MAX_PROOFS: Final = 1_000_000
TIMEOUT_SECONDS: Final = 1.0
_SLICE_SECONDS: Final = 30
# The counters of so many slices are added up; a proof lives for 150 s at most (dpop/check.py, dpop/nonces.py).
_SLICES: Final = 8
# The braces put all keys into one slot, where a cluster is behind the address after all.
_PREFIX: Final = "{postern:proofs}:"
_NEW, _USED, _TOO_MANY, _FULL = 1, 0, 2, 3

# ZADD is the first command that writes: a script that has written is let through when the memory is full.
_SCRIPT: Final = """
local now, expires_at, per_key, in_all = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf') >= per_key then return 2 end
local live = 0
for index = 3, #KEYS do live = live + tonumber(redis.call('GET', KEYS[index]) or '0') end
if live >= in_all then return 3 end
redis.call('ZADD', KEYS[1], expires_at, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('INCR', KEYS[2])
for index = 1, 2 do
  if redis.call('TTL', KEYS[index]) < tonumber(ARGV[5 + index]) then
    redis.call('EXPIRE', KEYS[index], ARGV[5 + index])
  end
end
return 1
"""


class ValkeyProofStore:
    """The used proofs on one server; safe to share between threads, and between a process and its forks."""

    def __init__(
        self,
        url: str,
        *,
        max_per_key: int = MAX_PROOFS_PER_KEY,
        max_proofs: int = MAX_PROOFS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Take the address and the two bounds; no connection is opened before the first use."""
        self._max_per_key = max_per_key
        self._max_proofs = max_proofs
        self._client: Any = valkey.Valkey.from_url(
            url,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            # NOTE none: an answer that was lost may have been a yes, and asked again it would call the proof used.
            # The pool looks whether the server has closed a connection before it hands it out.
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._client.register_script(_SCRIPT)
        # Made and thrown away: an option of the URL that the client does not know is a fault of the start, not of each
        # request.
        pool = self._client.connection_pool
        pool.connection_class(**pool.connection_kwargs)

    def remember(self, jkt: str, jti_digest: str, *, expires_at: int, now: float) -> bool:
        """Tell whether this proof is new, and remember it."""
        seconds_to_live = max(1, ceil(expires_at - now))
        slices = range(int(now) // _SLICE_SECONDS, int(now) // _SLICE_SECONDS + _SLICES)
        ends_in = expires_at // _SLICE_SECONDS
        keys = [_PREFIX + jkt, *(f"{_PREFIX}live:{number}" for number in (ends_in, *slices))]
        slice_to_live = seconds_to_live + _SLICE_SECONDS
        arguments: list[str | int] = [
            jti_digest, int(now), expires_at, self._max_per_key, self._max_proofs, seconds_to_live, slice_to_live,
        ]  # fmt: skip
        try:
            outcome = self._script(keys=keys, args=arguments)
        except ValkeyError as fault:
            raise ProofsUnavailable("the shared store cannot remember a proof") from fault
        if outcome == _TOO_MANY:
            raise TooManyProofs
        if outcome == _FULL:
            raise ProofsUnavailable("the shared store is full of live proofs")
        return bool(outcome == _NEW)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
