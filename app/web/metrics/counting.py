"""Count each request, and look every few seconds at what is a state: keys, cache, denylist, pool.

Takes   Metrics, the runtime;  each request's route, method, status, seconds, token and code
Gives   Counting: request(…) in the request's thread;  look(), in the background
Raises  nothing
Not     the metrics' names (registry.py)
Source  docs/operating.md "Metrics"
"""

import base64
from functools import cache, lru_cache
from math import inf

import orjson
from prometheus_client import Counter

from app.oauth.keys.source import KeyState
from app.oauth.reasons import Reason
from app.web.catalogue import PROBLEMS
from app.web.metrics.registry import Metrics
from app.web.request_log import Served
from app.web.runtime import Runtime

_OF_TOKENS = frozenset(reason.code for reason in Reason)
_UNKNOWN = "unknown"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ISSUERS_REMEMBERED = 512
_SERVER_ERROR = 500
# What has never happened is older than any threshold; a gauge that nobody sets is 0, or missing, and says "just now".
_NEVER = inf


class Counting:
    """What one process counts. The children of the metrics are looked up once each: a look-up costs a lock."""

    def __init__(self, metrics: Metrics, parts: Runtime) -> None:
        self._metrics, self._parts = metrics, parts
        self._issuers = parts.settings.tenant_issuers
        self._requests = cache(metrics.requests.labels)
        self._tokens = cache(metrics.tokens.labels)
        self._problems = cache(metrics.problems.labels)
        self._claimed = lru_cache(_ISSUERS_REMEMBERED)(self._issuer_in)
        self._before: dict[object, int] = {}
        self._keeps_copies = parts.settings.jwks_file is None and parts.settings.jwks_snapshot_dir is not None
        for problem in PROBLEMS.values():
            if problem.status >= _SERVER_ERROR:
                # There from the start: of a series that appears with its first error, no rate shows that error.
                self._problems(problem.code)

    def request(self, served: Served) -> None:
        """Count one request."""
        code, issuer = served.code, served.issuer
        method = served.method if served.method in _METHODS else "-"
        self._requests(method, served.route, str(served.status)).observe(served.seconds)
        if code is not None:
            self._problems(code).inc()
        if code in _OF_TOKENS:
            self._tokens(code, issuer or self._claimed_issuer(served.credentials)).inc()
        elif issuer is not None:
            self._tokens("accepted", issuer).inc()

    def look(self) -> None:
        """Look at the states."""
        metrics, parts = self._metrics, self._parts
        cache_state = parts.verifier.cache_state()
        self._add(metrics.cache_hits, cache_state.hits)
        self._add(metrics.cache_misses, cache_state.misses)
        metrics.cache_size.set(cache_state.entries)
        for source in parts.key_sources.values():
            self._look_at_keys(source.state())
        revoked = parts.denylist.state()
        metrics.denylist_entries.set(revoked.entries)
        metrics.denylist_age.set(_NEVER if revoked.age_seconds is None else revoked.age_seconds)
        used, opened, limit = parts.database.connections()
        metrics.pool_used.set(used)
        metrics.pool_open.set(opened)
        metrics.pool_limit.set(limit)
        metrics.limits_alone.set(int(parts.limiter is not None and parts.limiter.state().error is not None))
        metrics.draining.set(int(parts.drain.has_begun))

    def _look_at_keys(self, state: KeyState) -> None:
        metrics, issuer = self._metrics, state.issuer
        metrics.keys_usable.labels(issuer).set(int(state.held))
        metrics.keys_stale.labels(issuer).set(int(state.stale))
        metrics.key_count.labels(issuer).set(len(state.kids))
        if state.age_seconds is not None:
            metrics.key_age.labels(issuer).set(state.age_seconds)
        if state.snapshot_age_seconds is not None:
            metrics.snapshot_age.labels(issuer).set(state.snapshot_age_seconds)
        elif self._keeps_copies:
            metrics.snapshot_age.labels(issuer).set(_NEVER)
        self._add(metrics.key_fetches.labels(issuer, "success"), state.fetches - state.fetches_failed)
        self._add(metrics.key_fetches.labels(issuer, "failure"), state.fetches_failed)
        self._add(metrics.unknown_keys.labels(issuer), state.unknown_looked_up)

    def _add(self, counter: Counter, now: int) -> None:
        """Add what has come since the last look to a counter."""
        before = self._before.get(counter, 0)
        counter.inc(max(0, now - before))
        self._before[counter] = now

    def _claimed_issuer(self, credentials: str | None) -> str:
        """Which tenant a refused token says it is from: one of ours, or unknown. Nothing is decided by it."""
        if len(self._issuers) == 1 or credentials is None:
            return self._issuers[0] if len(self._issuers) == 1 else _UNKNOWN
        return self._claimed(credentials)

    def _issuer_in(self, credentials: str) -> str:
        try:
            payload = credentials.split(".")[1]
            claimed = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"]
        except Exception:  # noqa: BLE001 - anything at all may stand there
            return _UNKNOWN
        return claimed if claimed in self._issuers else _UNKNOWN
