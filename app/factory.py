"""The one composition root: settings become an application, or the start fails.

Takes   Settings
Gives   a Flask application; its parts stand in `app.extensions["postern"]`
Raises  PolicyError for a route without a policy; SettingsError for a setting that a part cannot work with
Not     the fetch of the keys, which waits for the worker (Runtime.start, K9); migrations, a step of their own
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import structlog
from flask import Flask

from app import command_line
from app.db import Database
from app.oauth.claims import TokenPolicy
from app.oauth.dpop import url as dpop_url
from app.oauth.dpop.check import DpopProofs, ProofStore
from app.oauth.dpop.nonces import Nonces
from app.oauth.keys.cache import CachedKeySource
from app.oauth.keys.download import KeyDownload
from app.oauth.keys.jwks import KeySet, KeySetRejected, parse_key_set
from app.oauth.keys.lifetimes import Lifetimes
from app.oauth.keys.snapshot import KeySnapshot
from app.oauth.keys.snapshot_keeper import SnapshotKeeper
from app.oauth.keys.source import KeySource, StaticKeySource
from app.oauth.revocation.watch import DenylistWatch
from app.oauth.token_cache import TokenCache
from app.oauth.verifier import Verifier
from app.records.registry import COLLECTION_RULES
from app.records.terms import Limits, Rule, Terms
from app.stores.proofs_database import DatabaseProofStore
from app.stores.revocations import Revocations
from app.web import (
    auth,
    deletion,
    docs,
    export,
    health,
    index,
    limits,
    log,
    me,
    metadata,
    openapi,
    policy,
    problem_pages,
    problems,
    request_log,
    whoami,
)
from app.web.application import Application
from app.web.client_address import ClientAddress
from app.web.limiting.counters import Counters, ProcessCounters
from app.web.limiting.limiter import Limiter
from app.web.request_log import CountRequest
from app.web.runtime import Background, Runtime
from app.web.scopes import SCOPES
from app.web.sync import batch, changes, overview, preferences, records
from config.drain import Drain
from config.settings import Settings, SettingsError, or_exit

T = TypeVar("T")

# As the cache weighs them, so that 10 000 tokens of 0.9 KB fit: 16 MB where they are of one app, 30 MB if all differ.
_TOKEN_CACHE_BYTES = 80 * 1024 * 1024
_BLUEPRINTS = (
    index, whoami, me, deletion, export, preferences, overview, records, changes, batch, health, metadata,
    problem_pages,
)  # fmt: skip


def app_or_exit() -> Flask:
    """Make the application of this environment, for an entry point: an operator sees what is wrong, no traceback."""
    app = or_exit(lambda: create_app(Settings.from_env()))
    serve = app.wsgi_app

    def begin(environ: Any, start_response: Any) -> Any:
        """Start at the first request, under a server that has no hook for it; from the second on, be out of the way."""
        app.extensions["postern"].start()
        app.wsgi_app = serve  # type: ignore[method-assign]
        return serve(environ, start_response)

    app.wsgi_app = begin  # type: ignore[method-assign]
    return app


def create_app(settings: Settings, rules: Mapping[str, Rule] = COLLECTION_RULES) -> Flask:
    """Put the application together; `rules` are those of single collections, by name."""
    log.configure(settings.log_format, settings.log_level)
    app = Application("app", static_folder=None, template_folder="web/templates")
    # NOTE: werkzeug would answer `/v1//me` with a redirect to an address made from the Host field: a 404 is honest.
    app.url_map.merge_slashes = False
    nonces = None
    if settings.dpop_nonce == "required" and settings.dpop_nonce_key is not None:
        nonces = Nonces(settings.dpop_nonce_key.encode())
    if dpop_url.normalised(settings.public_url) is None:
        # Every proof would be refused for our own slip.
        raise SettingsError({"PUBLIC_URL": ["cannot be compared with the htu of a proof: look at % and at its host"]})
    parts = _parts(settings, nonces, Terms(_limits(settings), rules))
    counting = None
    if settings.metrics_port is not None:
        counting, server = _metrics(settings, parts)
        parts = replace(parts, metrics=server)
    app.extensions["postern"] = parts
    api = openapi.make_api(app)
    for room in _BLUEPRINTS:
        api.register_blueprint(room.blueprint)
    if settings.docs:
        app.register_blueprint(docs.blueprint)
    metadata.install_at_path(app, settings.public_url)
    policies = policy.policies_of(app, SCOPES, settings)
    request_log.install(app, settings.log_hash_key, counting)
    if parts.limiter is not None:
        limits.install(app)
    counted = limits.RequestLimits(parts.limiter, settings.tenant_issuers[0], ClientAddress(settings.trusted_proxies))
    auth.install(app, parts.verifier, policies, settings, nonces=nonces, limits=counted)
    problems.install(app)
    app.extensions["openapi"] = openapi.document(api, app, policies, settings, rules)
    command_line.install(app, settings, parts.database, _token_policy(settings), policies)
    return app


def _parts(settings: Settings, nonces: Nonces | None, terms: Terms) -> Runtime:
    sources = {issuer: _key_source(issuer, settings) for issuer in settings.tenant_issuers}
    cache = TokenCache(settings.token_cache_size, _TOKEN_CACHE_BYTES)
    denylist = DenylistWatch(Revocations.for_watch(settings.database_url))
    database = Database(settings.database_url)
    closing: list[Callable[[], None]] = []
    limiter = _limiter(settings)
    if limiter is not None:
        closing.append(limiter.close)
    verifier = Verifier(
        _token_policy(settings),
        sources,
        cache,
        denylist=denylist,
        proofs=None if settings.dpop_mode == "off" else DpopProofs(_proof_store(settings, database, closing), nonces),
        proof_required=settings.dpop_mode == "required",
    )
    drain = Drain(settings.drain_seconds)
    return Runtime(
        settings, database, sources, verifier, denylist, terms, drain, limiter=limiter, closing=tuple(closing)
    )


def _metrics(settings: Settings, parts: Runtime) -> tuple[CountRequest | None, Background | None]:
    # Here, because the library takes memory in each worker: only who uses it pays.
    from app.web.metrics.counting import Counting  # noqa: PLC0415
    from app.web.metrics.registry import Metrics  # noqa: PLC0415
    from app.web.metrics.server import MetricsServer  # noqa: PLC0415

    try:
        metrics = Metrics()
        counting = Counting(metrics, parts)
    except OSError as fault:
        # The master has looked before the fork; a disk can be full since, or the folder gone.
        structlog.get_logger("postern.metrics").error("this worker counts nothing", reason=str(fault))
        return None, None
    return counting.request, MetricsServer((settings.metrics_host, settings.metrics_port or 0), metrics, counting)


def _limits(settings: Settings) -> Limits:
    return Limits(
        record_bytes=settings.max_record_bytes,
        preferences_bytes=settings.max_preferences_bytes,
        attributes_bytes=settings.max_attributes_bytes,
        json_depth=settings.max_json_depth,
        collections=settings.max_collections,
        records_per_collection=settings.max_records_per_collection,
        bytes_per_user=settings.max_bytes_per_user,
        batch_operations=settings.max_batch_operations,
        page_size_default=settings.page_size_default,
        page_size_max=settings.page_size_max,
        answer_bytes=settings.max_answer_bytes,
    )


def _token_policy(settings: Settings) -> TokenPolicy:
    return TokenPolicy(
        issuers=settings.tenant_issuers,
        audiences=frozenset(settings.api_audiences),
        algorithms=settings.token_algorithms,
        profile=settings.token_profile,
        scope_claim=settings.scope_claim,
        clock_skew_seconds=settings.clock_skew_seconds,
        max_token_bytes=settings.max_token_bytes,
        acr_claim=settings.acr_claim,
        auth_time_claim=settings.auth_time_claim,
    )


def _proof_store(settings: Settings, database: Database, closing: list[Callable[[], None]]) -> ProofStore:
    """Hosts share the database anyway; SHARED_STORE_URL takes the writes of each request off it (P2)."""
    if settings.shared_store_url is not None:
        # Here, because the client takes 4 MB in each worker: only who uses it pays.
        from app.stores.proofs_valkey import ValkeyProofStore  # noqa: PLC0415

        store = _of_shared_store(ValkeyProofStore, settings.shared_store_url)
        closing.append(store.close)
        return store
    return DatabaseProofStore(database)


def _limiter(settings: Settings) -> Limiter | None:
    """Without a shared store each worker counts for itself; None where there is nothing to count."""
    requests, writes = settings.rate_limit_requests_per_minute, settings.rate_limit_writes_per_minute
    failures = settings.rate_limit_failures_per_minute
    if not (requests or writes or failures):
        return None
    counters: Counters = ProcessCounters()
    if settings.shared_store_url is not None:
        # Here, as above: the client takes memory.
        from app.web.limiting.shared_counters import SharedCounters  # noqa: PLC0415

        counters = _of_shared_store(SharedCounters, settings.shared_store_url)
    return Limiter(counters, requests=requests, writes=writes, failures=failures, realm=settings.api_audiences[0])


def _of_shared_store(make: Callable[[str], T], url: str) -> T:
    try:
        return make(url)
    except (TypeError, ValueError):
        # Without the library's words: they repeat the URL, which may hold a password.
        raise SettingsError({"SHARED_STORE_URL": ["names an option that the client does not know"]}) from None


def _key_source(issuer: str, settings: Settings) -> KeySource:
    if settings.jwks_file is not None:
        return StaticKeySource(issuer, _keys_of_file(Path(settings.jwks_file), settings.token_algorithms))
    download = KeyDownload(
        issuer,
        settings.token_algorithms,
        timeout_seconds=settings.jwks_timeout_seconds,
        allowed_origins=settings.jwks_allowed_origins,
    )
    lifetimes = Lifetimes(
        min_ttl_seconds=settings.jwks_min_ttl_seconds,
        max_ttl_seconds=settings.jwks_max_ttl_seconds,
        max_stale_seconds=settings.jwks_max_stale_seconds,
        cooldown_seconds=settings.jwks_cooldown_seconds,
        wait_seconds=settings.jwks_timeout_seconds,
    )
    copy = None
    if settings.jwks_snapshot_dir is not None:
        file = KeySnapshot(Path(settings.jwks_snapshot_dir), issuer, settings.token_algorithms)
        copy = SnapshotKeeper(file)
    return CachedKeySource(issuer, download, lifetimes, copy=copy)


def _keys_of_file(path: Path, algorithms: tuple[str, ...]) -> KeySet:
    try:
        return parse_key_set(path.read_bytes(), algorithms)
    except OSError:
        raise SettingsError({"JWKS_FILE": ["cannot be read"]}) from None
    except KeySetRejected as rejected:
        raise SettingsError({"JWKS_FILE": [f"holds no key set that could verify a token: {rejected.why}"]}) from None
