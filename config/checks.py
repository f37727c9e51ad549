"""What settings must not say, each fault as (NAME, sentence).

Takes   parsed values
Gives   a list of problems, empty where all is well
Raises  nothing
Not     parsing (settings.py), reachability (the key source's log and /readyz)
Source  docs/design.md "Settings"; RFC 8725 §3.1, RFC 8414 §2, RFC 9728 §1.2
"""

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

# NOTE: `none` and every HS* are left out on purpose: a public key must never serve as an HMAC secret (RFC 8725 §3.1).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
MAX_SKEW_SECONDS = 120
MIN_KEY_CHARACTERS = 32
MIN_LOGIN_AGE_SECONDS = 60
# A merge follows a patch no deeper (app/users/merge_patch.py): what PUT takes, PATCH must be able to change.
MAX_JSON_DEPTH = 64
Problems = Iterator[tuple[str, str]]


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine: 127.0.0.0/8, ::1 or localhost."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tenant_problems(issuers: tuple[str, ...], audiences: tuple[str, ...]) -> Problems:
    """Yield what is wrong with the issuer(s) and the audience(s)."""
    if not issuers:
        yield "TENANT_ISSUER", "is required: your tenant's issuer URL, exactly (or set AUTH0_DOMAIN)"
    if not audiences:
        yield "API_AUDIENCE", "is required: the API identifier that the tenant puts into `aud`"
    if len(set(issuers)) < len(issuers):
        yield "TENANT_ISSUER", "names one issuer twice"
    for issuer in issuers:
        yield from _issuer_problems(issuer)
        if issuer in audiences:
            yield "API_AUDIENCE", "must not be the issuer itself: every token of the tenant would be accepted"
        if issuer.removesuffix("/") + "/userinfo" in audiences:
            yield "API_AUDIENCE", "must not be the tenant's own /userinfo: register an API at the tenant"
    if not all(_is_plain(audience) for audience in audiences):
        yield "API_AUDIENCE", "must be printable ASCII without spaces"


def _issuer_problems(issuer: str) -> Problems:
    parts = _split(issuer)
    if parts is None or parts.scheme not in {"https", "http"} or not parts.hostname or not _is_plain(issuer):
        yield "TENANT_ISSUER", "must be an absolute https URL, such as https://example.eu.auth0.com/"
    elif parts.query or parts.fragment or parts.username is not None:
        yield "TENANT_ISSUER", "must have neither query, fragment nor user"
    elif "//" in parts.path:
        yield "TENANT_ISSUER", "must not have // after its host (AUTH0_DOMAIN is a host alone: example.eu.auth0.com)"
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        yield "TENANT_ISSUER", "must be https: plain http is taken from a loopback address only"


def policy_problems(algorithms: tuple[str, ...], profile: str, skew_seconds: int) -> Problems:
    """Yield what is wrong with the token policy."""
    if not algorithms:
        yield "TOKEN_ALGORITHMS", "must name at least one algorithm"
    for algorithm in algorithms:
        if algorithm not in ALGORITHMS:
            yield "TOKEN_ALGORITHMS", f"may hold {', '.join(ALGORITHMS)}; `none` and HS* are never accepted"
            break
    if profile not in {"any", "rfc9068"}:
        yield "TOKEN_PROFILE", "must be `any` or `rfc9068`"
    if skew_seconds > MAX_SKEW_SECONDS:
        yield "CLOCK_SKEW_SECONDS", f"must be at most {MAX_SKEW_SECONDS}: more would keep expired tokens alive"


def key_problems(
    ttl_range_seconds: tuple[float, float], jwks_file: str | None, origins: tuple[str, ...], issuer_count: int
) -> Problems:
    """Yield what is wrong with the settings of the key cache."""
    if ttl_range_seconds[0] > ttl_range_seconds[1]:
        yield "JWKS_MIN_TTL_SECONDS", "must not be greater than JWKS_MAX_TTL_SECONDS"
    if jwks_file is not None and issuer_count > 1:
        yield "JWKS_FILE", "serves a single issuer; TENANT_ISSUER names several"
    if jwks_file is not None and not (Path(jwks_file).is_file() and os.access(jwks_file, os.R_OK)):
        yield "JWKS_FILE", "must be the path of a file that can be read"
    for origin in origins:
        parts = _split(origin)
        secure = parts is not None and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
        )
        if parts is None or not secure or not parts.hostname or parts.path not in {"", "/"} or parts.query:
            yield "JWKS_ALLOWED_ORIGINS", "must hold origins such as https://keys.example.com, without a path"


def step_up_problems(max_age_seconds: int | None, acr: str | None) -> Problems:
    """Yield what is wrong with the login that is asked for before an account is deleted."""
    if max_age_seconds is not None and max_age_seconds < MIN_LOGIN_AGE_SECONDS:
        yield (
            "DELETION_MAX_AGE_SECONDS",
            f"must be at least {MIN_LOGIN_AGE_SECONDS}: a login takes a moment to come back",
        )
    # It stands in a challenge, and one acr never equals two words.
    if acr is not None and (not _is_plain(acr) or '"' in acr or "\\" in acr):
        yield "DELETION_ACR", "must be one acr value in printable ASCII, without spaces and quotes"


def proof_problems(dpop_mode: str, dpop_nonce: str, nonce_key: str | None) -> Problems:
    """Yield what is wrong with the settings of DPoP."""
    if dpop_mode not in {"off", "allowed", "required"}:
        yield "DPOP_MODE", "must be `off`, `allowed` or `required`"
    if dpop_nonce not in {"off", "required"}:
        yield "DPOP_NONCE", "must be `off` or `required`"
    elif dpop_nonce == "required" and dpop_mode == "off":
        yield "DPOP_NONCE", "is `required` while DPOP_MODE is `off`"
    elif dpop_nonce == "required" and nonce_key is None:
        yield "DPOP_NONCE_KEY", "is needed by DPOP_NONCE=required, the same on all hosts: openssl rand -hex 32"
    if nonce_key is not None and len(nonce_key) < MIN_KEY_CHARACTERS:
        yield "DPOP_NONCE_KEY", f"must have at least {MIN_KEY_CHARACTERS} characters: openssl rand -hex 32"


def store_problems(shared_store_url: str | None) -> Problems:
    """Yield what is wrong with the address of the shared store; never the URL itself, which may hold a password."""
    if shared_store_url is None:
        return
    parts = _split(shared_store_url)
    schemes = {"valkey", "valkeys", "redis", "rediss", "unix"}
    if parts is None or parts.scheme not in schemes or not (parts.hostname or parts.scheme == "unix"):
        yield "SHARED_STORE_URL", "must be a URL such as valkey://host:6379/0 (valkeys:// or rediss:// for TLS)"


def limit_problems(
    page_size_default: int, page_size_max: int, record_bytes: int, answer_bytes: int, json_depth: int
) -> Problems:
    """Yield limits that contradict each other, or that could not be kept."""
    if json_depth > MAX_JSON_DEPTH:
        yield "MAX_JSON_DEPTH", f"must be at most {MAX_JSON_DEPTH}: no patch is merged deeper"
    if page_size_default > page_size_max:
        yield "PAGE_SIZE_DEFAULT", "must not be larger than PAGE_SIZE_MAX"
    if answer_bytes < 2 * record_bytes:
        yield "MAX_ANSWER_BYTES", "must be at least twice MAX_RECORD_BYTES, so that every page has room for a record"


def proxy_problems(trusted_proxies: tuple[str, ...]) -> Problems:
    """Yield what is no address and no network."""
    for proxy in trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            yield "TRUSTED_PROXIES", "must be addresses or networks of proxies, such as 10.0.0.0/8, with commas"


def url_problems(public_url: str) -> Problems:
    """Yield what is wrong with the URL that apps use."""
    parts = _split(public_url)
    # It stands in every challenge, which holds printable ASCII only: a 401 would become a 500.
    if parts is None or parts.scheme not in {"https", "http"} or not parts.hostname or not _is_plain(public_url):
        yield "PUBLIC_URL", "must be an absolute URL in ASCII, such as https://api.example.com"
    elif parts.query or parts.fragment or parts.username or '"' in public_url or "\\" in public_url:
        yield "PUBLIC_URL", "must have neither query, fragment, user nor quotes"


def database_problems(url: str, host: str, *, allow_sqlite: bool) -> Problems:
    """Yield what is wrong with where the data goes; never the URL itself, which holds a password."""
    scheme = url.partition(":")[0]
    if scheme not in {"sqlite", "postgresql", "postgres", "postgresql+psycopg"}:
        yield "DATABASE_URL", "must begin with postgresql:// or sqlite:///"
    elif _split(url) is None:
        yield "DATABASE_URL", "is not a URL: look at its port, and write special characters of the password as %XX"
    elif scheme == "sqlite" and url.partition(":///")[2].partition("?")[0] in {"", ":memory:"}:
        yield "DATABASE_URL", "must name a file after sqlite:///"
    elif scheme == "sqlite" and not is_loopback(host) and not allow_sqlite:
        yield "DATABASE_URL", "is SQLite while HOST is not a loopback address: use PostgreSQL, or say ALLOW_SQLITE=true"


def log_problems(log_format: str, log_level: str, hash_key: str | None) -> Problems:
    """Yield what is wrong with how the log is written."""
    if hash_key is not None and len(hash_key) < MIN_KEY_CHARACTERS:
        yield "LOG_HASH_KEY", f"must have at least {MIN_KEY_CHARACTERS} characters: openssl rand -hex 32"
    if log_format not in {"console", "json"}:
        yield "LOG_FORMAT", "must be `console` or `json`"
    if log_level not in {"debug", "info", "warning", "error"}:
        yield "LOG_LEVEL", "must be `debug`, `info`, `warning` or `error`"


def _is_plain(text: str) -> bool:
    return re.fullmatch(r"[\x21-\x7e]+", text) is not None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is the check: a port that is no number raises
    except ValueError:
        return None
    return parts
