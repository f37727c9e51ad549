"""What can be told from the settings alone, and whether apps reach the API where it says.

Takes   Settings
Gives   Findings: ok, warn or fail, with what to do
Raises  nothing
Not     settings that do not parse: without them there is no command (config/settings.py names them all)
Source  docs/contracts/tokens.md T4, P3; docs/design.md "Settings"; nginx, ngx_http_core_module
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from app import fetch
from app.commands.diagnosis.words import short
from app.commands.screen import Finding
from config.checks import is_loopback
from config.connection import MAX_FIELD_BYTES
from config.settings import Settings

_FETCH_SECONDS = 3.0
_OK = 200
# "Authorization: Bearer " and the end of the line, rounded up.
_AROUND_A_TOKEN = 64


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything of this room."""
    issuers, audiences = ", ".join(settings.tenant_issuers), ", ".join(settings.api_audiences)
    yield Finding("settings", "ok", f"they parse; tenant {issuers}, audience {audiences}")
    yield _audience(settings)
    yield _host(settings)
    yield _log(settings)
    yield _header_fields(settings)
    yield _public_url(settings)
    yield _livez(settings)
    yield _dpop(settings)


def _audience(settings: Settings) -> Finding:
    public_url, audiences = settings.public_url, settings.api_audiences
    if public_url in audiences:
        return Finding("audience", "ok", f"API_AUDIENCE is PUBLIC_URL ({public_url})")
    near = next((name for name in audiences if name.rstrip("/") == public_url.rstrip("/")), None)
    text = f"API_AUDIENCE is {', '.join(audiences)}, PUBLIC_URL is {public_url}"
    if near is not None:
        return Finding("audience", "warn", f"{text}: they differ only by a trailing slash", "make them equal")
    return Finding(
        "audience", "warn", text, "recommended: one name for both, so that apps find the audience (RFC 9728)"
    )


def _host(settings: Settings) -> Finding:
    if is_loopback(settings.host):
        return Finding(
            "host", "ok", f"listens on {settings.host}:{settings.port}: reached through a proxy of this machine"
        )
    text = f"listens on {settings.host}:{settings.port}, in the clear"
    if settings.database_url.startswith("sqlite"):
        return Finding("host", "warn", f"{text}, with SQLite", "SQLite serves one host: use PostgreSQL for more")
    return Finding("host", "ok", f"{text}: a proxy that ends TLS belongs in front of it")


def _log(settings: Settings) -> Finding:
    text = f"LOG_FORMAT={settings.log_format}, LOG_LEVEL={settings.log_level}"
    if settings.log_level == "debug":
        return Finding("log", "warn", text, "debug writes what libraries say, too: use info in production")
    if settings.log_format == "console" and not is_loopback(settings.host):
        return Finding("log", "warn", text, "LOG_FORMAT=json is what a log collector reads")
    return Finding("log", "ok", text)


def _header_fields(settings: Settings) -> Finding:
    longest = MAX_FIELD_BYTES - _AROUND_A_TOKEN
    if settings.max_token_bytes > longest:
        return Finding(
            "headers",
            "fail",
            f"MAX_TOKEN_BYTES is {settings.max_token_bytes}, gunicorn takes fields of {MAX_FIELD_BYTES} bytes",
            f"set MAX_TOKEN_BYTES to at most {longest}: a longer token would be answered 431 before the API sees it",
        )
    kilobytes = max(8, 1 << ((settings.max_token_bytes + _AROUND_A_TOKEN - 1) // 1024).bit_length())
    return Finding(
        "headers",
        "ok",
        f"tokens of {settings.max_token_bytes} bytes pass gunicorn ({MAX_FIELD_BYTES}); a proxy must let them pass, "
        f"too: nginx takes 8 KiB by default and answers 400 in HTML; set large_client_header_buffers 4 {kilobytes}k",
    )


def _public_url(settings: Settings) -> Finding:
    parts = urlsplit(settings.public_url)
    if parts.scheme == "https":
        return Finding("proxy", "ok", f"apps use {settings.public_url}; X-Forwarded-* and Host are never believed")
    if is_loopback(parts.hostname) and is_loopback(settings.host):
        return Finding("proxy", "ok", f"PUBLIC_URL is {settings.public_url}: for this machine alone")
    return Finding(
        "proxy",
        "warn",
        f"PUBLIC_URL is {settings.public_url}, HOST is {settings.host}: tokens would travel in the clear",
        "set PUBLIC_URL to the https address that apps use, and let a proxy end TLS",
    )


def _livez(settings: Settings) -> Finding:
    url = f"{settings.public_url.rstrip('/')}/livez"
    advice = "is the API running, and does the proxy lead to it? From inside a network this may be as it should"
    try:
        response = fetch.get(url, timeout_seconds=_FETCH_SECONDS, accepted_types=("application/json",))
    except fetch.FetchFailed as failure:
        return Finding("livez", "warn", f"{url} cannot be reached from here: {short(failure)}", advice)
    if response.status != _OK:
        return Finding("livez", "warn", f"{url} answers {response.status}", advice)
    return Finding("livez", "ok", f"{url} answers")


def _dpop(settings: Settings) -> Finding:
    meanings = {
        "off": "tokens that are bound to a key are refused",
        "allowed": "bound tokens need their proof, others pass as Bearer",
        "required": "only bound tokens are accepted",
    }
    text = f"DPOP_MODE={settings.dpop_mode}: {meanings[settings.dpop_mode]}; DPOP_NONCE={settings.dpop_nonce}"
    if settings.dpop_nonce == "required":
        return Finding(
            "dpop", "ok", f"{text}, with a key of its own (the same on all hosts, or phones are asked twice)"
        )
    if settings.dpop_nonce_key is not None:
        return Finding(
            "dpop", "warn", f"{text}, and DPOP_NONCE_KEY is set", "it is used with DPOP_NONCE=required alone"
        )
    return Finding("dpop", "ok", text)
