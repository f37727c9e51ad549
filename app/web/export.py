"""GET /v1/me/export: all that is stored of the user, as one file of JSON lines.

Takes   the verified access token
Gives   200 application/x-ndjson, with its length; 429 once EXPORTS_PER_DAY are used up
Raises  what the domain raises: problems.py answers it
Not     what stands in it (app/records/export.py, app/stores/kept_of_user.py), the count (app/users/exports.py)
Source  docs/contracts/user-data.md §2, §3, U16; RFC 6266; RFC 9110 §8.6, §9.3.2

NOTE: written whole, to a file that has no name, before the first byte is sent. The snapshot, its connection and its
vacuum horizon are then held for as long as the database needs, and not for as long as a client likes; a fault of the
database is an honest 503; and the length is known, so that every HTTP client notices an answer that was cut.
"""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, TypeVar

import structlog
from flask import Response, request

from app.db import DatabaseBusy, DatabaseUnavailable
from app.records.export import export
from app.stores import kept_of_user
from app.users import account, exports
from app.users.exports import ExportsUsedUp
from app.users.identity import Identity
from app.web.answers import NO_STORE
from app.web.auth import access_token
from app.web.openapi import Blueprint
from app.web.policy import require_scopes
from app.web.problems import RETRY_AFTER_SECONDS, WebProblem
from app.web.runtime import Runtime, runtime

CONTENT_TYPE = "application/x-ndjson"
# What is larger goes to the disk: most users' data never do.
_IN_MEMORY_BYTES = 1_048_576
_PIECE_BYTES = 65_536
# Slower than any phone network that works: a client that holds a thread for longer does not read.
_SLOWEST_BYTES_PER_SECOND = 32_768
_PATIENCE_SECONDS = 60.0
_T = TypeVar("_T")
_LINES = {"type": "string", "format": "binary"}

log = structlog.get_logger("postern.export")
blueprint = Blueprint("export", __name__, description="All that is stored of the user")


@blueprint.get("/v1/me/export")
@blueprint.describes(
    "exportAccount", "Download all that is stored of the user: lines of JSON, of which the last one is the footer.",
    _LINES, media_types=(CONTENT_TYPE,),
    problems=("account_deletion_scheduled", "busy", "account_deleted", "rate_limited", "unavailable"),
)  # fmt: skip
@require_scopes("export:account")
def export_account() -> Response:
    """Send everything, the e-mail too: the scope is the user's consent to the whole."""
    parts, now = runtime(), datetime.now(UTC)
    identity = parts.identity_of(access_token())
    fields = {**NO_STORE, "Content-Disposition": f'attachment; filename="postern-export-{now:%Y-%m-%d}.ndjson"'}
    if request.method == "HEAD":
        # Not counted: a download manager asks first, and would use up the day's exports without having one.
        with parts.database.read() as session:
            account.find(session, identity, now)
            _unless_used_up(partial(exports.look, session, identity, parts.settings.exports_per_day, now))
        # No list: of an empty one the length would be told, 0, which is not the length that a GET would have.
        return Response(iter(()), 200, fields, content_type=CONTENT_TYPE)
    file, size = _counted(parts, identity, now)
    answer = Response(_pieces(file, size), 200, {**fields, "Content-Length": str(size)}, content_type=CONTENT_TYPE)
    # Where the client is gone before the first piece, nobody begins to read the file.
    answer.call_on_close(file.close)
    return answer


def _counted(parts: Runtime, identity: Identity, now: datetime) -> tuple[IO[bytes], int]:
    """Write the export if there is one left today; one that fails on this side is not counted."""
    per_day = parts.settings.exports_per_day
    begin = partial(exports.begin, identity=identity, per_day=per_day, now=now)
    started_at = _unless_used_up(partial(parts.database.transact, begin))
    try:
        return _written(parts, identity, now)
    except BaseException:
        if started_at is not None:
            with suppress(DatabaseBusy, DatabaseUnavailable):
                parts.database.transact(partial(exports.give_back, identity=identity, started_at=started_at))
        raise


def _unless_used_up(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except ExportsUsedUp as refused:
        detail = f"The limit is {refused.limit} in 24 hours: Retry-After says when the next export may be made."
        fields = {"Retry-After": str(refused.retry_after_seconds)}
        raise WebProblem("rate_limited", fields=fields, detail=detail) from None


def _written(parts: Runtime, identity: Identity, now: datetime) -> tuple[IO[bytes], int]:
    # Closed once it has been sent or given up.
    file = SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
    try:
        with parts.database.read() as session:
            for line in export(session, identity, now, kept_of_user.documents(session, identity)):
                file.write(line)
        size = file.tell()
        file.seek(0)
    except OSError as fault:
        file.close()
        log.error("an export cannot be written", cause=type(fault).__name__)  # noqa: TRY400 - a full disk is no bug
        raise WebProblem("unavailable", fields={"Retry-After": str(RETRY_AFTER_SECONDS)}) from fault
    except BaseException:
        file.close()
        raise
    return file, size


def _pieces(file: IO[bytes], size: int, clock: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """Send the file, or give up on a client that reads too slowly: a thread of the worker waits for it."""
    deadline = clock() + _PATIENCE_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
    with file:
        while piece := file.read(_PIECE_BYTES):
            if clock() > deadline:
                log.warning("an export was cut: its reader is too slow")
                raise ConnectionResetError(errno.ECONNRESET, "the export took too long")
            yield piece
