"""`flask purge`: erase what is due. Run it daily, or hourly: it is safe beside traffic and beside another purge.

Takes   url: the database's
Gives   the click command `purge`, which prints counts;  purge_accounts(database, now) as a function too
Raises  the function: DatabaseUnavailable;  the command: click.ClickException, one sentence and exit code 1
Not     what erasing is (app/users/erasure.py); a purge that is late changes no answer: requests go by the clock
Source  docs/contracts/user-data.md U16, §7
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import click

import app.records.models
import app.stores.idempotency_models  # noqa: F401 - imported for its effect: erasing finds the tables of every room
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.users import erasure

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Purged:
    """What one purge did. `left`: somebody else held the user's lock for too long; the next purge takes them."""

    accounts: int = 0
    left: int = 0


def purge_accounts(database: Database, now: datetime, batch: int = _BATCH) -> Purged:
    """Erase every account whose grace has passed, each in a transaction of its own."""
    accounts, left, last = 0, 0, ""
    while True:
        with database.read() as session:
            keys = erasure.due(session, now, batch, last)
        if not keys:
            return Purged(accounts, left)
        for key in keys:
            try:
                accounts += database.transact(partial(erasure.purge, user_key=key, now=now))
            except DatabaseBusy:
                left += 1
        last = keys[-1]


def purge_command(url: str) -> click.Command:
    """Make the command for one database."""

    @click.command("purge")
    def purge() -> None:
        """Erase the accounts whose grace has passed."""
        database = Database(url)
        try:
            done = purge_accounts(database, datetime.now(UTC))
        except DatabaseUnavailable as fault:
            raise click.ClickException(f"the database in DATABASE_URL cannot be used: {fault}") from fault
        finally:
            database.dispose()
        click.echo(f"accounts erased: {done.accounts}; left for the next purge: {done.left}")

    return purge
