"""Look at the tenant as the API does: discovery, the issuer's exact name, the keys, the clock.

Takes   an issuer, the settings
Gives   Findings: ok, warn or fail, with what to do;  in the end the keys of each issuer that has usable ones
Raises  nothing
Not     logging in, tokens, whether workers hold and trust these keys (rotation.py)
Source  OpenID Connect Discovery 1.0 §4.3; RFC 9110 §5.6.7, §6.6.1; RFC 9111 §5.1; docs/contracts/tokens.md K1, K2, T15
"""

import json
import time
from collections.abc import Generator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from app import fetch
from app.commands.diagnosis.keys import download_of, left_out, names
from app.commands.diagnosis.words import quoted, short, slight_difference
from app.commands.screen import Finding, duration
from app.oauth.keys.discovery import DiscoveryRejected, document_url, read
from app.oauth.keys.download import DownloadFailed
from app.oauth.keys.jwks import KeySet, KeySetRejected, parse_key_set
from config.settings import Settings

Findings = Generator[Finding, None, KeySet | None]

_OK = 200
_NOTICED_SECONDS = 5
_CAUSES = {
    "address": "TENANT_ISSUER must be https, or a loopback address",
    "unreachable": "is the name right, does this machine resolve it, and may it get out to port 443? No proxy is used",
    "tls": "the certificate is not trusted: is something between here and the tenant, or are the CA certificates old?",
    "timeout": "the tenant, or the way to it, is slow: raise JWKS_TIMEOUT_SECONDS if that is usual",
    "broken": "the answer is no HTTP: is this the address of a tenant?",
    "oversized": "the answer is too large to be a discovery document: is this the address of a tenant?",
    "encoding": "something on the way compresses what was asked for as it is",
    "content_type": "the answer is no JSON: is this the address of a tenant, or of a network's login page?",
}


def examine(settings: Settings) -> Generator[Finding, None, dict[str, KeySet]]:
    """Look at each issuer; return the keys that were found."""
    if settings.jwks_file is not None:
        in_file = yield from _file(settings, settings.jwks_file)
        return {} if in_file is None else dict.fromkeys(settings.tenant_issuers, in_file)
    published = {}
    for issuer in settings.tenant_issuers:
        keys = yield from _issuer(issuer, settings)
        if keys is not None:
            published[issuer] = keys
    return published


def _issuer(issuer: str, settings: Settings) -> Findings:
    url = document_url(issuer)
    begun_at = time.monotonic()
    try:
        response = fetch.get(url, timeout_seconds=settings.jwks_timeout_seconds, accepted_types=("application/json",))
    except fetch.FetchFailed as failure:
        yield Finding("discovery", "fail", f"{url}: {short(failure)}", _CAUSES.get(failure.why))
        return None
    took = f"{(time.monotonic() - begun_at) * 1000:.0f} ms"
    if response.status != _OK:
        advice = "TENANT_ISSUER must be the issuer alone: the tenant's address, without a path of its own making"
        yield Finding("discovery", "fail", f"{url} answers {response.status}", advice)
        yield _clock(response, settings)
        return None
    secured = "certificate verified" if url.startswith("https") else "plain http on this machine"
    yield Finding("discovery", "ok", f"{url} in {took}, {secured}")
    yield _clock(response, settings)
    exact = _exact(response.body, issuer, settings)
    yield exact
    return (yield from _keys(issuer, settings)) if exact.outcome == "ok" else None


def _exact(document: bytes, issuer: str, settings: Settings) -> Finding:
    try:
        read(document, issuer, settings.jwks_allowed_origins)
    except DiscoveryRejected as rejected:
        if rejected.why == "issuer_mismatch":
            return _mismatch(document, issuer)
        advice = None
        if rejected.why == "jwks_uri":
            advice = "name the origin of the tenant's keys in JWKS_ALLOWED_ORIGINS if it is the tenant's"
        return Finding("issuer", "fail", f"the discovery document of {issuer} is not usable: {rejected}", advice)
    return Finding("issuer", "ok", f"the tenant calls itself {issuer}, exactly as TENANT_ISSUER does")


def _mismatch(document: bytes, issuer: str) -> Finding:
    stated: Any = json.loads(document).get("issuer")
    text = f"the tenant calls itself {quoted(stated)}, TENANT_ISSUER is {quoted(issuer)}"
    if type(stated) is not str:
        return Finding("issuer", "fail", text, "is this the address of a tenant?")
    by_what = slight_difference(stated, issuer)
    if by_what is not None:
        text = f"{text}: they differ only {by_what}"
    advice = f"set TENANT_ISSUER={stated}"
    if by_what is None:
        advice += " if that is your tenant; every token says it so"
    return Finding("issuer", "fail", text, advice)


def _keys(issuer: str, settings: Settings) -> Findings:
    begun_at = time.monotonic()
    try:
        keys = download_of(issuer, settings)().keys
    except DownloadFailed as failure:
        advice = _CAUSES.get(failure.why)
        if failure.why == "no_usable_key":
            advice = (
                f"no key is usable for TOKEN_ALGORITHMS={','.join(settings.token_algorithms)}: does the tenant sign so?"
            )
        yield Finding("keys", "fail", f"the keys of {issuer} cannot be used: {short(failure)}", advice)
        return None
    yield _of_set(keys, settings, f"fetched in {(time.monotonic() - begun_at) * 1000:.0f} ms")
    return keys


def _file(settings: Settings, path: str) -> Findings:
    try:
        keys = parse_key_set(Path(path).read_bytes(), settings.token_algorithms)
    except (OSError, KeySetRejected) as fault:
        yield Finding("keys", "fail", f"JWKS_FILE cannot be used: {fault}", "put the tenant's key set there")
        return None
    yield _of_set(keys, settings, "from JWKS_FILE: the tenant is never asked, and a rotation needs a new file")
    return keys


def _of_set(keys: KeySet, settings: Settings, origin: str) -> Finding:
    text = f"{len(keys.keys)} usable: {names(keys)}; {origin}"
    skipped = left_out(keys)
    if skipped:
        text += f"; left out: {skipped}"
    there = frozenset[str]().union(*(key.algorithms for key in keys.keys))
    missing = [algorithm for algorithm in settings.token_algorithms if algorithm not in there]
    if missing:
        advice = f"the tenant has no key for {', '.join(missing)}: take it out of TOKEN_ALGORITHMS"
        return Finding("keys", "warn", text, advice)
    return Finding("keys", "ok", text)


def _clock(response: fetch.Response, settings: Settings) -> Finding:
    """Hold this machine's clock against the tenant's Date field; `Age` is how long a cache has kept the answer."""
    try:
        stated = parsedate_to_datetime(response.headers["date"]).timestamp()
        age = response.headers.get("age", "0")
        stated += int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0  # noqa: PLR2004 - years
    except (KeyError, ValueError, OverflowError):
        return Finding("clock", "warn", "the tenant sends no usable Date field", "compare the clock by another way")
    ahead_seconds = response.received_at - stated
    # The field has whole seconds: up to one of them is no difference.
    off_seconds = max(0.0, abs(ahead_seconds) - 1)
    text = f"this machine is {duration(abs(ahead_seconds))} {'ahead of' if ahead_seconds > 0 else 'behind'} the tenant"
    advice = "let this machine keep its time by NTP: tokens would be refused as expired, or as not yet valid"
    if off_seconds > settings.clock_skew_seconds:
        return Finding("clock", "fail", f"{text}, CLOCK_SKEW_SECONDS is {settings.clock_skew_seconds}", advice)
    if off_seconds > _NOTICED_SECONDS:
        return Finding("clock", "warn", text, advice)
    return Finding("clock", "ok", f"this machine and the tenant agree within {_NOTICED_SECONDS} s")
