"""`flask db restored`: to be run once, after a backup was restored and before the API serves again.

Takes   url: the database's
Gives   the click command `restored`, which prints a count;  renew_accounts(database, now) as a function too
Raises  the function: DatabaseUnavailable, DatabaseBusy;
        the command: click.ClickException, one sentence and exit code 1
Not     what it does to an account (app/users/restoration.py), the restoring itself (docs/operating.md)
Source  docs/contracts/user-data.md §7 "Cursor"
"""

from datetime import UTC, datetime
from functools import partial

import click

from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.users import restoration

_BATCH = 500


def renew_accounts(database: Database, now: datetime, batch: int = _BATCH) -> int:
    """Begin a new life for every account, some of them in each transaction; returns how many."""
    renewed, last = 0, ""
    while True:
        with database.read() as session:
            keys = restoration.keys_after(session, last, batch)
        if not keys:
            return renewed
        renewed += database.transact(partial(restoration.renew, keys=keys, now=now))
        last = keys[-1]


def restored_command(url: str) -> click.Command:
    """Make the command for one database."""

    @click.command("restored")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def restored(*, yes: bool) -> None:
        """Make every device sync anew, after a backup was restored."""
        if not yes:
            click.confirm("Every device of every user will read everything again. Was a backup restored?", abort=True)
        database = Database(url)
        try:
            renewed = renew_accounts(database, datetime.now(UTC))
        except DatabaseBusy as fault:
            raise click.ClickException("somebody writes for too long: stop the API, and run this again") from fault
        except DatabaseUnavailable as fault:
            raise click.ClickException(f"the database in DATABASE_URL cannot be used: {fault}") from fault
        finally:
            database.dispose()
        click.echo(f"accounts renewed: {renewed}; their devices will sync from the beginning")

    return restored
