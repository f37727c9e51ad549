"""`flask purge`: erase and forget what is due. Run it daily: it is safe beside traffic and beside another purge.

Takes   settings: the database's URL, how long tombstones and answers are kept
Gives   the click command `purge`, which prints counts;  purge_everything(…) and its four parts as functions too
Raises  the functions: DatabaseUnavailable;  the command: click.ClickException, one sentence and exit code 1
Not     what erasing is (app/users/erasure.py); a purge that is late changes no answer: requests go by the clock
Source  docs/contracts/user-data.md U5, U16, §7

Every transaction is short, and takes a portion that does not grow with what there is; memory holds one portion's keys.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import click

import app.records.models
import app.stores.idempotency_models  # noqa: F401 - imported for its effect: erasing finds the tables of every room
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.records import tombstones
from app.stores import idempotency
from app.users import erasure, exports
from config.settings import Settings

_BATCH = 100
_ROWS = 1_000
# Exports count for a day. The second one is for a host whose clock is slow.
_EXPORTS_KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Purged:
    """What one purge did. `left`: how often somebody else held a lock for too long; the next purge takes the rest."""

    accounts: int = 0
    tombstones: int = 0
    answers: int = 0
    exports: int = 0
    left: int = 0

    def __add__(self, other: "Purged") -> "Purged":
        """Add up what two parts did."""
        return Purged(
            self.accounts + other.accounts,
            self.tombstones + other.tombstones,
            self.answers + other.answers,
            self.exports + other.exports,
            self.left + other.left,
        )


def purge_everything(database: Database, settings: Settings, now: datetime) -> Purged:
    """Do all parts; the accounts first, for what goes with them need not be purged on its own."""
    done = purge_accounts(database, now)
    done += purge_tombstones(database, now - timedelta(days=settings.tombstone_days))
    done += purge_answers(database, now - timedelta(hours=settings.idempotency_hours))
    return done + purge_exports(database, now - _EXPORTS_KEPT)


def purge_accounts(database: Database, now: datetime, batch: int = _BATCH) -> Purged:
    """Erase every account whose grace has passed, each in a transaction of its own."""
    accounts, left, last = 0, 0, ""
    while True:
        with database.read() as session:
            keys = erasure.due(session, now, batch, last)
        if not keys:
            return Purged(accounts, left=left)
        for key in keys:
            try:
                accounts += database.transact(partial(erasure.purge, user_key=key, now=now))
            except DatabaseBusy:
                left += 1
        last = keys[-1]


def purge_tombstones(
    database: Database, before: datetime, batch: int = _BATCH, portion: int = tombstones.PORTION
) -> Purged:
    """Delete tombstones from `before` or earlier, user by user, each portion under the user's lock."""
    done, last = Purged(), ""
    while True:
        with database.read() as session:
            owners = tombstones.owners(session, before, batch, last)
        if not owners:
            return done
        for key in (key for key, is_old in owners.items() if is_old):
            done += _purge_tombstones_of(database, key, before, portion)
        last = max(owners)


def purge_answers(database: Database, before: datetime, rows: int = _ROWS) -> Purged:
    """Delete the answers that were kept for their Idempotency-Key from `before` or earlier."""
    answers, last = 0, None
    try:
        while portion := database.transact(partial(idempotency.purge, before=before, after=last, limit=rows)):
            answers, last = answers + portion.count, portion.last
    except DatabaseBusy:
        return Purged(answers=answers, left=1)
    return Purged(answers=answers)


def purge_exports(database: Database, before: datetime, rows: int = _ROWS) -> Purged:
    """Forget the exports that were begun at `before` or earlier."""
    forgotten, last = 0, ""
    try:
        while keys := database.transact(partial(exports.purge, before=before, after=last, limit=rows)):
            forgotten, last = forgotten + len(keys), max(keys)
    except DatabaseBusy:
        return Purged(exports=forgotten, left=1)
    return Purged(exports=forgotten)


def purge_command(settings: Settings) -> click.Command:
    """Make the command for the settings of this environment."""

    @click.command("purge")
    def purge() -> None:
        """Erase and forget what is due: accounts, tombstones, answers kept for their key, exports counted."""
        database = Database(settings.database_url)
        try:
            done = purge_everything(database, settings, datetime.now(UTC))
        except DatabaseUnavailable as fault:
            raise click.ClickException(f"the database in DATABASE_URL cannot be used: {fault}") from fault
        finally:
            database.dispose()
        click.echo(f"accounts erased: {done.accounts}")
        click.echo(f"tombstones deleted: {done.tombstones}")
        click.echo(f"answers kept for an Idempotency-Key deleted: {done.answers}")
        click.echo(f"exports no longer counted: {done.exports}")
        click.echo(f"busy, left for the next purge: {done.left}")

    return purge


def _purge_tombstones_of(database: Database, user_key: str, before: datetime, portion: int) -> Purged:
    gone, count = 0, portion
    try:
        while count >= portion:
            work = partial(tombstones.purge, user_key=user_key, before=before, limit=portion)
            count = database.transact(work)
            gone += count
    except DatabaseBusy:
        return Purged(tombstones=gone, left=1)
    return Purged(tombstones=gone)
