"""The flags of the commands, and the environment variables that stand for them.

Takes   a click command whose first argument is Settings
Gives   decorators: CONNECTION (every command), LOGIN (those that may log in), RAW; with_settings joins them
Not     checking the values (settings.py); what the commands do (__main__.py)
Source  the contract's clause N2
"""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from native import settings as defaults
from native import show
from native.errors import NativeError
from native.settings import Settings

Command = Callable[..., None]

CONNECTION = (
    click.option("--issuer", envvar="NATIVE_ISSUER", default=defaults.DEFAULT_ISSUER, help="The OpenID provider."),
    click.option("--client-id", envvar="NATIVE_CLIENT_ID", default=defaults.DEFAULT_CLIENT_ID),
    click.option("--api", envvar="NATIVE_API", default=defaults.DEFAULT_API, help="Where the API is."),
    click.option(
        "--state-dir",
        envvar="NATIVE_STATE_DIR",
        type=click.Path(path_type=Path, file_okay=False),
        default=defaults.default_state_dir,
        show_default="the system's folder for state",
        help="Where tokens live when no keyring is used.",
    ),
    click.option("--store", envvar="NATIVE_STORE", type=click.Choice(["auto", "file", "keyring"]), default="auto"),
    click.option(
        "--timeout",
        "http_timeout_seconds",
        envvar="NATIVE_TIMEOUT",
        type=click.FloatRange(min=0, min_open=True),
        default=10,
        help="Seconds to wait for an answer.",
    ),
)
LOGIN = (
    click.option("--audience", envvar="NATIVE_AUDIENCE", help="[default: what the API's metadata says, or its URL]"),
    click.option("--resource", envvar="NATIVE_RESOURCE", help="RFC 8707, for issuers that know it."),
    click.option("--scope", envvar="NATIVE_SCOPE", help="[default: what the app needs every day]"),
    click.option("--prompt", help="For example consent, or login."),
    click.option("--max-age", "max_age_seconds", type=click.IntRange(min=0), help="Seconds since the last password."),
    click.option("--acr", help="Authentication classes wanted (acr_values)."),
    click.option(
        "--callback",
        envvar="NATIVE_CALLBACK",
        default=defaults.DEFAULT_CALLBACK,
        help="With a port, for issuers that compare it: http://127.0.0.1:8484/callback",
    ),
    click.option("--no-browser", is_flag=True, help="Print the address; paste the redirect back."),
    click.option(
        "--login-timeout",
        "login_timeout_seconds",
        envvar="NATIVELOGIN_TIMEOUT",
        type=click.FloatRange(min=0, min_open=True),
        default=300,
        help="Seconds to wait for the login.",
    ),
)
RAW = click.option("--json", "raw", is_flag=True, help="The API's JSON as it came.")


def with_settings(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Callable[..., None]], Command]:
    """Hand the options of these groups to the command as one Settings; errors become exit codes."""

    def decorate(command: Callable[..., None]) -> Command:
        @wraps(command)
        def run(**given: Any) -> None:
            names = Settings.__dataclass_fields__
            told = {name: value for name, value in given.items() if name in names}
            rest = {name: value for name, value in given.items() if name not in names}
            try:
                command(Settings(**told), **rest)
            except NativeError as error:
                show.fail(error)
                sys.exit(error.exit_code)
            except OSError as error:  # the state folder cannot be written, or the disk is full
                show.fail(NativeError(f"{error.strerror}: {error.filename}"))
                sys.exit(NativeError.exit_code)

        decorated: Command = run
        for option in reversed([option for group in groups for option in group]):
            decorated = option(decorated)
        return decorated

    return decorate
