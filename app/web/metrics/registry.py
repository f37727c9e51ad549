"""Every metric of this API, with its closed set of labels: no user input becomes a label.

Takes   whether several processes share the counts (PROMETHEUS_MULTIPROC_DIR, set before this room is imported)
Gives   Metrics: one object for an application; NAMES, for the documents' test
Raises  nothing
Not     when they are counted (counting.py), where they are read (server.py)
Source  Prometheus "Metric and label naming"; prometheus_client "Multiprocess Mode"
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

from app.web.metrics.mapped import ReservedFile

# From a cached token's fraction of a millisecond to the statement time-out.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class _Process:
    """This process's id, asked for once: the library asks the kernel at each count, three times for a request."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def __call__(self) -> int:
        return self._id

    def _renew(self) -> None:
        self._id = os.getpid()


if values.ValueClass is not values.MutexValue:
    values.MmapedDict = ReservedFile  # type: ignore[attr-defined]
    values.ValueClass = values.MultiProcessValue(_Process())  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one application. Gauges say of several workers the worst, or the sum where things add up."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Histogram(
            "postern_http_request_seconds", "Requests: how many, and how long each took",
            ("method", "route", "status"), buckets=_BUCKETS, registry=own,
        )  # fmt: skip
        self.tokens = Counter(
            "postern_tokens_total", "Tokens looked at, by what came of it: accepted, or the problem's code",
            ("code", "issuer"), registry=own,
        )  # fmt: skip
        self.problems = Counter("postern_problems_total", "Refusals and faults by code", ("code",), registry=own)
        self.cache_hits = Counter("postern_token_cache_hits_total", "Tokens verified before", registry=own)
        self.cache_misses = Counter("postern_token_cache_misses_total", "Tokens verified anew", registry=own)
        self.cache_size = _gauge(own, "postern_token_cache_entries", "Tokens remembered, all workers", "livesum")
        self.key_age = _gauge(own, "postern_keys_age_seconds", "Since the fetch of the held keys", "livemax", "issuer")
        self.keys_usable = _gauge(own, "postern_keys_usable", "1: tokens can be verified", "livemin", "issuer")
        self.keys_stale = _gauge(
            own, "postern_keys_stale", "1: the tenant is not reachable, the last good keys serve", "livemax", "issuer"
        )
        self.key_count = _gauge(own, "postern_keys_held", "Keys in the held set", "livemin", "issuer")
        self.key_fetches = Counter(
            "postern_key_fetches_total", "Fetches of the keys", ("issuer", "outcome"), registry=own
        )
        self.unknown_keys = Counter(
            "postern_unknown_kid_lookups_total", "Look-ups of a key that is not held", ("issuer",), registry=own
        )
        self.snapshot_age = _gauge(
            own, "postern_keys_snapshot_age_seconds", "Age of the copy of the keys on disk", "livemax", "issuer"
        )
        self.denylist_entries = _gauge(own, "postern_denylist_entries", "Revocations in force", "livemax")
        self.denylist_age = _gauge(
            own, "postern_denylist_age_seconds", "Since what is revoked was last seen to be the newest", "livemax"
        )
        self.pool_used = _gauge(own, "postern_database_connections_used", "Database connections in use", "livesum")
        self.pool_open = _gauge(own, "postern_database_connections_open", "Database connections open", "livesum")
        self.pool_limit = _gauge(own, "postern_database_connections_limit", "Database connections at most", "livesum")
        self.limits_alone = _gauge(
            own,
            "postern_limits_counted_alone",
            "Workers that count for themselves: the shared store is away",
            "livesum",
        )
        self.draining = _gauge(own, "postern_workers_draining", "Workers that are about to stop", "livesum")


def _gauge(registry: CollectorRegistry, name: str, says: str, mode: str, *labels: str) -> Gauge:
    return Gauge(name, says, labels, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]
