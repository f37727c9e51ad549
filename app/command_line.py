"""The commands under `flask --app wsgi`, each imported when it is asked for: a worker that serves needs none of them.

Takes   the application and its parts
Gives   install(): the commands stand in `app.cli`
Raises  nothing
Not     the commands (app/commands); those of Flask and of flask-smorest, which stay as they are
Source  click "Complex Applications", lazily loading subcommands
"""

from collections.abc import Callable, Mapping
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup

from app.db import Database
from app.oauth.claims import TokenPolicy
from app.web.policy import RoutePolicy
from app.web.problem_help import ACTIONS
from config.settings import Settings

Commands = Mapping[str, Callable[[], click.Command]]


class LazyGroup(AppGroup):
    """A group that makes a command at its first use."""

    def __init__(self, makers: Commands, **options: Any) -> None:
        super().__init__(**options)
        self._makers = makers

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all of them; that alone imports none."""
        return sorted({*super().list_commands(ctx), *self._makers})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find one, and make it where it is ours."""
        if cmd_name in self._makers and cmd_name not in self.commands:
            self.add_command(self._makers[cmd_name](), cmd_name)
        return super().get_command(ctx, cmd_name)


def install(
    app: Flask, settings: Settings, database: Database, policy: TokenPolicy, policies: Mapping[str, RoutePolicy]
) -> None:
    """Put the API's commands beside those that are there already."""
    # NOTE: alembic, which `db` needs, and the rest took 12 MB in each worker.
    # ruff: noqa: PLC0415 - to import late is what this room is for

    def db() -> click.Command:
        from app.commands.db import db_group

        return db_group(settings.database_url)

    def doctor() -> click.Command:
        from app.commands.doctor import doctor_command

        return doctor_command(settings)

    def explain_token() -> click.Command:
        from app.commands.explain_token import Explained, explain_token_command

        return explain_token_command(Explained(app, settings, policy, policies, ACTIONS))

    def purge() -> click.Command:
        from app.commands.purge import purge_command

        return purge_command(settings)

    def revoke() -> click.Command:
        from app.commands.revoke import revoke_group

        return revoke_group(database, settings)

    def users() -> click.Command:
        from app.commands.users import users_group

        return users_group(database, settings)

    makers: Commands = {
        "db": db, "doctor": doctor, "explain-token": explain_token, "purge": purge, "revoke": revoke, "users": users,
    }  # fmt: skip
    app.cli = LazyGroup(makers, name=app.cli.name, commands=app.cli.commands)
