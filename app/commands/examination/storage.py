"""Look at what the API keeps: the database and its schema, the revocations, the shared store, the keys on disk.

Takes   the settings, now: seconds since the epoch (UTC)
Gives   Findings: ok, warn or fail, with what to do
Raises  nothing
Not     any change: no file is made, no migration applied, nothing written
Source  docs/contracts/tokens.md K8, P2, T24; docs/contracts/user-data.md §7
"""

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import valkey
from sqlalchemy import Connection, text
from valkey.backoff import NoBackoff
from valkey.exceptions import ValkeyError
from valkey.retry import Retry

from app import schema_version
from app.commands.diagnosis.keys import snapshot_of
from app.commands.reading import revocations_of, why_unusable
from app.commands.screen import Finding, duration
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.oauth.keys.snapshot import SnapshotFailed
from config.settings import Settings

_NOTICED_SECONDS = 5
_WAIT_SECONDS = 3.0
_UPGRADE = "run: flask --app wsgi db upgrade"


def examine(settings: Settings, now: float) -> Iterator[Finding]:
    """Look at everything that is kept."""
    yield from _database(settings.database_url)
    yield _revocations(settings, now)
    yield _shared_store(settings)
    yield from _snapshots(settings, now)


def _database(url: str) -> Iterator[Finding]:
    wrong = why_unusable(url)
    if wrong is not None:
        yield Finding("database", "fail", f"SQLite: {wrong}")
        return
    database = Database(
        url,
        pool_size=1,
        pool_timeout_seconds=_WAIT_SECONDS,
        lock_timeout_seconds=_WAIT_SECONDS,
        statement_timeout_seconds=_WAIT_SECONDS,
    )
    try:
        with database.read() as session:
            connection = session.connection()
            yield _server(connection)
            yield _migrations(connection)
    except (DatabaseUnavailable, DatabaseBusy) as fault:
        yield Finding(
            "database", "fail", f"{_address(url)}: {fault}", "look at DATABASE_URL, and whether the server runs"
        )
    finally:
        database.dispose()


def _server(connection: Connection) -> Finding:
    if connection.dialect.name == "sqlite":
        version = connection.scalar(text("SELECT sqlite_version()"))
        return Finding("database", "ok", f"SQLite {version}: one host alone; PostgreSQL serves more")
    version = connection.scalar(text("SHOW server_version"))
    there: datetime = connection.scalar(text("SELECT clock_timestamp()")) or datetime.now(UTC)
    off_seconds = abs((datetime.now(UTC) - there).total_seconds())
    said = f"PostgreSQL {version}; its clock differs from this machine's by {duration(off_seconds)}"
    if off_seconds > _NOTICED_SECONDS:
        return Finding("database", "warn", said, "let both keep their time by NTP")
    return Finding("database", "ok", said)


def _migrations(connection: Connection) -> Finding:
    applied = schema_version.applied_to(connection)
    there = schema_version.revisions(schema_version.MIGRATIONS)
    newest, known = there.heads, there.known
    if not applied:
        return Finding("migrations", "fail", "none is applied: the tables are not there", _UPGRADE)
    if applied == newest:
        return Finding("migrations", "ok", f"at the newest ({', '.join(sorted(applied))})")
    if not applied <= known:
        said = f"{', '.join(sorted(applied))}, which this code does not know: the database is newer than the code"
        return Finding(
            "migrations", "warn", said, "that is well while a release is rolled out; else deploy the newer code"
        )
    behind = f"at {', '.join(sorted(applied))}, the newest is {', '.join(sorted(newest))}"
    return Finding("migrations", "fail", behind, _UPGRADE)


def _revocations(settings: Settings, now: float) -> Finding:
    denylist, why_not = revocations_of(settings.database_url, now=now)
    if why_not is not None or denylist is None:
        advice = "until they can be read, a worker that starts refuses nobody by revocation"
        return Finding("revocations", "fail", f"they cannot be read: {why_not}", advice)
    counts = {
        "token": len(denylist.tokens),
        "user": len(denylist.users),
        "app": len(denylist.clients),
        "key": len(denylist.keys),
    }
    counted = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())
    return Finding("revocations", "ok", f"readable; revoked: {counted}")


def _shared_store(settings: Settings) -> Finding:
    url = settings.shared_store_url
    if url is None:
        text_ = "SHARED_STORE_URL is not set: the database keeps the used DPoP proofs, one write for each such request"
        return Finding("store", "ok", text_)
    client: Any = valkey.Valkey.from_url(
        url, socket_connect_timeout=_WAIT_SECONDS, socket_timeout=_WAIT_SECONDS, retry=Retry(NoBackoff(), 0)
    )
    begun_at = time.monotonic()
    try:
        client.ping()
        took = f"{(time.monotonic() - begun_at) * 1000:.0f} ms"
        told: dict[str, Any] = _told(client)
    except ValkeyError as fault:
        # NOTE by its kind alone: a library's text may repeat the address, which may hold a password.
        why = f"{_address(url)} does not answer: {type(fault).__name__}"
        return Finding("store", "fail", why, "requests with DPoP proofs are answered 503 until it does")
    finally:
        client.close()
    name = "Valkey" if "valkey_version" in told else "Redis" if told else "the server"
    version = told.get("valkey_version", told.get("redis_version", "(which does not tell its version)"))
    return Finding("store", "ok", f"{name} {version} answers PING in {took}")


def _told(client: Any) -> dict[str, Any]:
    """Ask the server what it is; an account that may not ask may still keep proofs."""
    try:
        return dict(client.info("server"))
    except ValkeyError:
        return {}


def _snapshots(settings: Settings, now: float) -> Iterator[Finding]:
    if settings.jwks_file is not None:
        return
    if settings.jwks_snapshot_dir is None:
        said = "JWKS_SNAPSHOT_DIR is empty: a worker that starts while the tenant is down answers 503"
        yield Finding("snapshot", "warn", said, "name a folder that outlives a restart")
        return
    folder = Path(settings.jwks_snapshot_dir)
    wrong = _unwritable(folder)
    if wrong is not None:
        yield Finding(
            "snapshot", "fail", f"JWKS_SNAPSHOT_DIR ({folder}): {wrong}", "name a folder of the API's own user"
        )
        return
    for issuer in settings.tenant_issuers:
        yield _snapshot(issuer, settings, now, folder)


def _snapshot(issuer: str, settings: Settings, now: float, folder: Path) -> Finding:
    file = snapshot_of(issuer, settings)
    try:
        held = None if file is None else file.read(now=now)
    except SnapshotFailed as failure:
        return Finding(
            "snapshot", "warn", f"the copy of the keys of {issuer} is not usable: {failure}", "it will be replaced"
        )
    if held is None:
        return Finding("snapshot", "ok", f"{folder} can be written; no copy of the keys of {issuer} yet")
    return Finding(
        "snapshot", "ok", f"the keys of {issuer} of {duration(max(0.0, now - held.begun_at))} ago are kept there"
    )


def _unwritable(folder: Path) -> str | None:
    """Say why the copy could not be written; a folder that is not there will be made."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        return f"{there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return "it cannot be written by this user"
    if there == folder.absolute() and there.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users may write there, and with that put keys of their own into it"
    return None


def _address(url: str) -> str:
    """Return host and name of an address, without its user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
