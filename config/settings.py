"""Read the environment once, into one frozen object; refuse to start on anything doubtful.

Takes   the process environment; every name also as NAME_FILE (the path of a file with the value: a mounted secret)
Gives   Settings, frozen
Raises  SettingsError, which names every problem at once and shows no value of a secret
Not     gunicorn's own switches (gunicorn_conf.py)
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast
from urllib.parse import urlsplit

from environs import EnvValidationError, FileAwareEnv

from config.checks import (
    database_problems,
    key_problems,
    limit_problems,
    log_problems,
    policy_problems,
    proof_problems,
    proxy_problems,
    step_up_problems,
    store_problems,
    tenant_problems,
    url_problems,
)

T = TypeVar("T")

DEVELOPMENT_DATABASE = "sqlite:///var/postern.db"
# Names in the environment that no field of Settings bears.
_OTHER_NAMES = ("TENANT_ISSUER", "AUTH0_DOMAIN", "API_AUDIENCE")
_LAST_PORT = 65_535
_LONGEST_GRACE_DAYS = 30
_LONGEST_DRAIN_SECONDS = 20


class SettingsError(Exception):
    """What is wrong with the environment, one line for each setting."""

    def __init__(self, problems: dict[str, list[str]]) -> None:
        self.problems = problems
        lines = [f"  {name}: {text}" for name, texts in sorted(problems.items()) for text in texts]
        super().__init__("the settings are not usable:\n" + "\n".join(lines))


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Every setting of the API; README.md and docs/settings.md say what each means."""

    tenant_issuers: tuple[str, ...]
    api_audiences: tuple[str, ...]
    token_algorithms: tuple[str, ...] = ("RS256",)
    token_profile: Literal["any", "rfc9068"] = "any"  # noqa: S105 - a profile's name, not a password
    scope_claim: str = "scope"
    roles_claim: str | None = None
    attributes_claim: str | None = None
    acr_claim: str | None = None
    auth_time_claim: str | None = None
    clock_skew_seconds: int = 30
    max_token_bytes: int = 16_384
    token_cache_size: int = 10_000
    jwks_min_ttl_seconds: float = 300
    jwks_max_ttl_seconds: float = 900
    jwks_max_stale_seconds: float = 3600
    jwks_cooldown_seconds: float = 5
    jwks_timeout_seconds: float = 5
    jwks_allowed_origins: tuple[str, ...] = ()
    jwks_file: str | None = None
    jwks_snapshot_dir: str | None = "var/keys"
    token_max_lifetime_seconds: int = 2_592_000
    dpop_mode: Literal["off", "allowed", "required"] = "allowed"
    dpop_nonce: Literal["off", "required"] = "off"
    dpop_nonce_key: str | None = field(default=None, repr=False)
    shared_store_url: str | None = field(default=None, repr=False)
    deletion_max_age_seconds: int | None = None
    deletion_acr: str | None = None
    account_deletion_grace_days: int = 14
    public_url: str = "http://127.0.0.1:8000"
    docs: bool = True
    docs_client_id: str | None = None
    database_url: str = DEVELOPMENT_DATABASE
    allow_sqlite: bool = False
    max_body_bytes: int = 1_048_576
    max_json_depth: int = 32
    max_attributes_bytes: int = 16_384
    max_preferences_bytes: int = 16_384
    max_record_bytes: int = 65_536
    max_batch_bytes: int = 2_097_152
    max_batch_operations: int = 100
    max_answer_bytes: int = 4_194_304
    max_collections: int = 64
    max_records_per_collection: int = 10_000
    max_bytes_per_user: int = 52_428_800
    page_size_default: int = 100
    page_size_max: int = 500
    tombstone_days: int = 90
    idempotency_hours: int = 24
    exports_per_day: int = 2
    rate_limit_requests_per_minute: int = 600
    rate_limit_writes_per_minute: int = 120
    rate_limit_failures_per_minute: int = 60
    trusted_proxies: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    web_concurrency: int = 1
    web_threads: int = 8
    log_format: Literal["console", "json"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_hash_key: str | None = field(default=None, repr=False)
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    drain_seconds: float = 5

    def __post_init__(self) -> None:
        """Refuse a combination that could not be meant, however the object was made."""
        problems: dict[str, list[str]] = {}
        for found in (
            tenant_problems(self.tenant_issuers, self.api_audiences),
            policy_problems(self.token_algorithms, self.token_profile, self.clock_skew_seconds),
            key_problems(
                (self.jwks_min_ttl_seconds, self.jwks_max_ttl_seconds),
                self.jwks_file,
                self.jwks_allowed_origins,
                len(self.tenant_issuers),
            ),
            proof_problems(self.dpop_mode, self.dpop_nonce, self.dpop_nonce_key),
            step_up_problems(self.deletion_max_age_seconds, self.deletion_acr),
            url_problems(self.public_url),
            log_problems(self.log_format, self.log_level, self.log_hash_key),
            database_problems(self.database_url, self.host, allow_sqlite=self.allow_sqlite),
            store_problems(self.shared_store_url),
            limit_problems(
                self.page_size_default,
                self.page_size_max,
                self.max_record_bytes,
                self.max_answer_bytes,
                self.max_json_depth,
            ),
            proxy_problems(self.trusted_proxies),
            self._range_problems(),
        ):
            for name, text in found:
                problems.setdefault(name, []).append(text)
        if problems:
            raise SettingsError(problems)

    @property
    def realm(self) -> str:
        """The protection space that challenges name (RFC 9110 §11.5): the host of the public URL."""
        return urlsplit(self.public_url).netloc

    def _range_problems(self) -> list[tuple[str, str]]:
        """Numbers that must be positive; where 0 has a meaning (cache off, no tolerance), zero passes."""
        may_be_zero = {"clock_skew_seconds", "token_cache_size", "jwks_cooldown_seconds", "jwks_max_stale_seconds",
                       "account_deletion_grace_days", "tombstone_days", "idempotency_hours",
                       "rate_limit_requests_per_minute", "rate_limit_writes_per_minute",
                       "rate_limit_failures_per_minute", "drain_seconds"}  # fmt: skip
        found = []
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if value < 0 or (value == 0 and member.name not in may_be_zero):
                found.append((member.name.upper(), f"must be greater than zero, not {value:g}"))
        for name, port in (("PORT", self.port), ("METRICS_PORT", self.metrics_port or 0)):
            if port > _LAST_PORT:
                found.append((name, f"must be at most {_LAST_PORT}"))
        if self.metrics_port == self.port:
            found.append(("METRICS_PORT", "must be another port than PORT: metrics are not for the apps"))
        if self.drain_seconds > _LONGEST_DRAIN_SECONDS:
            found.append(("DRAIN_SECONDS", f"must be at most {_LONGEST_DRAIN_SECONDS}"))
        if self.account_deletion_grace_days > _LONGEST_GRACE_DAYS:
            found.append(("ACCOUNT_DELETION_GRACE_DAYS", f"must be at most {_LONGEST_GRACE_DAYS}"))
        return found

    @classmethod
    def from_env(cls) -> Self:
        """Read every setting; raise SettingsError with all problems if one is missing or wrong."""
        unreadable = _unreadable_files([*(member.name.upper() for member in fields(cls)), *_OTHER_NAMES])
        if unreadable:
            raise SettingsError(unreadable)
        env = FileAwareEnv(eager=False, strip_whitespace=True)
        default: dict[str, Any] = {member.name: member.default for member in fields(cls)}
        default["web_concurrency"] = os.cpu_count() or 1
        default["log_format"] = "console" if sys.stderr.isatty() else "json"
        found: dict[str, Any] = {
            "tenant_issuers": _issuers(env),
            "api_audiences": _listed(env, "API_AUDIENCE"),
            "token_algorithms": _listed(env, "TOKEN_ALGORITHMS", "RS256"),
            "jwks_allowed_origins": _listed(env, "JWKS_ALLOWED_ORIGINS"),
            "trusted_proxies": _listed(env, "TRUSTED_PROXIES"),
        }
        for member in fields(cls):
            if member.type in {int, float}:
                read = env.int if member.type is int else env.float
                found[member.name] = read(member.name.upper(), default[member.name])
        for name in ("token_profile", "scope_claim", "dpop_mode", "dpop_nonce", "database_url", "host", "log_format",
                     "log_level", "metrics_host"):  # fmt: skip
            found[name] = env.str(name.upper(), default[name]) or default[name]
        for name in ("roles_claim", "attributes_claim", "acr_claim", "auth_time_claim", "jwks_file", "dpop_nonce_key",
                     "docs_client_id", "shared_store_url", "deletion_acr", "log_hash_key"):  # fmt: skip
            found[name] = env.str(name.upper(), None) or None
        # Unlike the others, an empty one is a value: no copy of the keys on disk.
        found["jwks_snapshot_dir"] = env.str("JWKS_SNAPSHOT_DIR", default["jwks_snapshot_dir"]) or None
        found["deletion_max_age_seconds"] = env.int("DELETION_MAX_AGE_SECONDS", None)
        found["metrics_port"] = env.int("METRICS_PORT", None)
        found["docs"] = env.bool("DOCS", default=True)
        found["allow_sqlite"] = env.bool("ALLOW_SQLITE", default=False)
        port = found["port"] if isinstance(found["port"], int) else default["port"]
        found["public_url"] = env.str("PUBLIC_URL", "") or f"http://127.0.0.1:{port}"
        return cls._sealed(env, found)

    @classmethod
    def from_env_or_exit(cls) -> Self:
        """Read the settings for an entry point."""
        return or_exit(cls.from_env)

    @classmethod
    def _sealed(cls, env: FileAwareEnv, found: dict[str, Any]) -> Self:
        """Join what could not be parsed with what does not fit together, so that one start shows all of it."""
        unparsed: dict[str, list[str]] = {}
        try:
            env.seal()
        except EnvValidationError as fault:
            unparsed = dict(cast("Mapping[str, list[str]]", fault.error_messages))
        usable = {name: value for name, value in found.items() if name.upper() not in unparsed}
        try:
            settings = cls(**usable)
        except SettingsError as fault:
            raise SettingsError(unparsed | fault.problems) from None
        if unparsed:
            raise SettingsError(unparsed)
        return settings


def or_exit(work: Callable[[], T]) -> T:
    """Do the work; where the settings are not usable, an operator sees the problems, not a traceback."""
    try:
        return work()
    except SettingsError as fault:
        raise SystemExit(f"Postern cannot start: {fault}") from None


def _issuers(env: FileAwareEnv) -> tuple[str, ...]:
    """TENANT_ISSUER, exactly as the tenant says it, or AUTH0_DOMAIN, its shorthand."""
    issuers = _listed(env, "TENANT_ISSUER")
    domain = env.str("AUTH0_DOMAIN", "")
    return issuers or ((f"https://{domain}/",) if domain else ())


def _listed(env: FileAwareEnv, name: str, *default: str) -> tuple[str, ...]:
    """Read a list; blanks around its commas mean nothing."""
    return tuple(word.strip() for word in env.list(name, list(default)))


def _unreadable_files(names: Iterable[str]) -> dict[str, list[str]]:
    """Look at every NAME_FILE before environs does, which would end at the first one with a traceback."""
    found = {}
    for name in names:
        path = os.environ.get(f"{name}_FILE")
        if path:
            try:
                Path(path).read_text()
            except (OSError, UnicodeDecodeError):
                found[f"{name}_FILE"] = ["must be the path of a file that can be read"]
    return found
