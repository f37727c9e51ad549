"""`flask db …`: migrations are a step of their own, never taken when the API starts.

Takes   url: the database's
Gives   the click group `db`: upgrade, downgrade, current, check, revision; the first two as functions too;
        restored (restored.py)
Raises  the functions: DatabaseUnavailable, DatabaseBusy, alembic's CommandError;
        the commands: click.ClickException, one sentence and exit code 1, without the URL, which may hold a password
Not     the steps themselves (migrations/versions), how each is run (migrations/env.py)
Source  docs/contracts/user-data.md §7; docs/design.md "Doors"; PostgreSQL §9.28.10, §20.11
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from app.commands.migrations import migrations
from app.commands.restored import restored_command
from app.db import Database, DatabaseBusy, DatabaseUnavailable, named_faults

# Any number will do, if every release takes the same one.
_ADVISORY_LOCK = 7_640_891_576
_WAIT_SECONDS = 60.0
_DDL_LOCK_SECONDS = 5.0


def upgrade(url: str, revision: str = "head", *, wait_seconds: float = _WAIT_SECONDS) -> str:
    """Apply what is missing, and say where the database stands; makes the folder of a SQLite file."""
    _make_folder(url)
    return _migrate(url, lambda config: command.upgrade(config, revision), wait_seconds)


def downgrade(url: str, revision: str, *, wait_seconds: float = _WAIT_SECONDS) -> str:
    """Take migrations back, down to `revision`, and say where the database stands."""
    return _migrate(url, lambda config: command.downgrade(config, revision), wait_seconds)


def db_group(url: str, *, wait_seconds: float = _WAIT_SECONDS) -> click.Group:
    """Make the commands for one database; one migration runs at a time, another waits `wait_seconds` for it."""
    group = click.Group("db", help="Bring the database to the newest schema, or back.")

    @group.command("upgrade")
    @click.argument("revision", default="head")
    def _upgrade(revision: str) -> None:
        """Apply the migrations that are missing, all of them or up to REVISION."""
        with _named_for_people():
            click.echo(upgrade(url, revision, wait_seconds=wait_seconds))

    @group.command("downgrade")
    @click.argument("revision")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def _downgrade(revision: str, *, yes: bool) -> None:
        """Take migrations back to REVISION ("base": all of them). What their tables hold is lost."""
        if not yes:
            click.confirm(f"Go back to {revision}? What was stored since then is lost.", abort=True)
        with _named_for_people():
            click.echo(downgrade(url, revision, wait_seconds=wait_seconds))

    @group.command()
    def current() -> None:
        """Say which migration the database has, and which is the newest."""
        with _named_for_people(), named_faults(writing=True), _connected(url) as connection:
            click.echo(_standing(connection, migrations()))

    @group.command()
    def check() -> None:
        """Fail unless every migration is applied and the tables are those of the models."""
        with _named_for_people():
            click.echo(_migrate(url, command.check, wait_seconds))

    @group.command()
    @click.argument("message")
    def revision(message: str) -> None:
        """Write the next migration from the difference between the models and the database."""

        def write(config: Config) -> None:
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")

        with _named_for_people():
            click.echo(_migrate(url, write, wait_seconds))

    group.add_command(restored_command(url))
    return group


def _migrate(url: str, work: Callable[[Config], None], wait_seconds: float) -> str:
    with named_faults(writing=True), _migrating(url, wait_seconds) as connection:
        config = migrations()
        config.attributes["connection"] = connection
        work(config)
        return _standing(connection, config)


@contextmanager
def _named_for_people() -> Iterator[None]:
    try:
        yield
    except DatabaseBusy as fault:
        raise click.ClickException("another migration, or a long transaction, holds the lock: try again") from fault
    except DatabaseUnavailable as fault:
        raise click.ClickException(f"the database in DATABASE_URL cannot be used: {fault}") from fault
    except CommandError as fault:
        raise click.ClickException(str(fault)) from fault


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    database = Database(url)
    try:
        with database.engine.connect() as connection:
            yield connection
    finally:
        database.dispose()


@contextmanager
def _migrating(url: str, wait_seconds: float) -> Iterator[Connection]:
    """Open the connection that migrates, alone: PostgreSQL by an advisory lock, SQLite by its one write lock.

    NOTE the advisory lock belongs to the session: it ends with the connection, however the migration ends.
    A pooler that shares sessions between clients would break that: migrate on PostgreSQL itself.
    """
    with _connected(url) as connection:
        if connection.dialect.name == "sqlite":
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 - for mypy: a connection that is open has one
            driver.execute(f"PRAGMA busy_timeout = {round(wait_seconds * 1000)}")
        else:
            # A migration may take its time; only its waiting is bounded.
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql(f"SET lock_timeout = {round(wait_seconds * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})")
            # DDL that waits for a long transaction makes every later request wait behind it: rather give up.
            connection.exec_driver_sql(f"SET lock_timeout = {round(_DDL_LOCK_SECONDS * 1000)}")
            connection.commit()
        yield connection


def _standing(connection: Connection, config: Config) -> str:
    applied = MigrationContext.configure(connection).get_current_heads()
    newest = ScriptDirectory.from_config(config).get_current_head()
    connection.rollback()
    return f"applied: {', '.join(applied) or 'nothing'}; newest: {newest}"


def _make_folder(url: str) -> None:
    """Make the folder of the SQLite file: on a fresh checkout there is no var/ yet."""
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite":
        Path(path.partition("?")[0]).parent.mkdir(parents=True, exist_ok=True)
