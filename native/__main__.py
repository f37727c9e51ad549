"""The commands: click, and nothing else.

Takes   flags and environment variables (`NATIVE_…`)
Gives   answers on stdout, all else on stderr; the exit codes of errors.py
Not     the work behind the commands: login.py, session.py, api.py
Source  docs/contracts/tenant-and-native.md, clauses N1 to N6
"""

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from native import show
from native.api import Api
from native.errors import LoginNeeded, Unavailable
from native.folder import Folder
from native.login import login as log_in
from native.options import CONNECTION, LOGIN, RAW, with_settings
from native.session import Session
from native.settings import Settings
from native.store import Tokens
from native.sync import in_step


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="Exit codes: 1 refused, 2 usage, 3 log in first, 4 login failed, 5 try later, 6 scope missing, 7 step-up.",
)
def main() -> None:
    """A small native app: log in through the browser, call the API, log out."""


@main.command()
@with_settings(CONNECTION, LOGIN)
def login(settings: Settings, *, no_browser: bool) -> None:
    """Log in through the system browser."""
    tokens = _log_in(settings, no_browser=no_browser)
    show.say(f"Logged in as {tokens.name or tokens.subject or 'somebody'}, {_until(tokens)}.")
    show.say(f"Granted: {' '.join(tokens.scope)}")
    if tokens.refresh_token is None:
        show.say(
            "No refresh token was granted, so this session ends with its access token. Certified issuers need:",
            settings.command("login", prompt="consent"),
        )


@main.command()
@with_settings(CONNECTION, LOGIN)
@RAW
def whoami(settings: Settings, *, raw: bool, no_browser: bool) -> None:
    """Show what the API reads in your token."""
    _show_object(_call(settings, "GET", "/v1/whoami", no_browser=no_browser), "Who the API says you are", raw=raw)


@main.command()
@with_settings(CONNECTION, LOGIN)
@RAW
def me(settings: Settings, *, raw: bool, no_browser: bool) -> None:
    """Show your profile."""
    _show_object(_call(settings, "GET", "/v1/me", no_browser=no_browser), "Your profile", raw=raw)


@main.command()
@click.argument("method", metavar="METHOD")
@click.argument("path", metavar="PATH")
@click.option("--data", help="A JSON body; - reads it from stdin.")
@with_settings(CONNECTION, LOGIN)
@RAW
def call(  # noqa: PLR0913 - one per argument and option of the command line
    settings: Settings, method: str, path: str, data: str | None, *, raw: bool, no_browser: bool
) -> None:
    """Call the API: METHOD is GET, PUT …; PATH begins with a slash."""
    content = None if data is None else (sys.stdin.read() if data == "-" else data).encode()
    show.body(_call(settings, method, path, content, no_browser=no_browser), raw=raw)


@main.command()
@with_settings(CONNECTION, LOGIN)
def token(settings: Settings, *, no_browser: bool) -> None:
    """Print an access token and nothing else; at a terminal it logs you in first."""
    try:
        value = Session(settings).access_token()
    except LoginNeeded:
        if not (no_browser or _someone_is_there()):
            raise
        value = _log_in(settings, no_browser=no_browser).access_token
    click.echo(value, color=False)


@main.command()
@with_settings(CONNECTION)
def refresh(settings: Settings) -> None:
    """Renew the access token now."""
    session = Session(settings)
    session.renew(session.tokens().access_token)
    show.say(f"Renewed, {_until(session.tokens())}.")


@main.command()
@with_settings(CONNECTION)
def logout(settings: Settings) -> None:
    """Forget the session, and revoke it at the issuer."""
    try:
        revoked = Session(settings).end()
    except Unavailable as error:
        show.say(f"Logged out on this machine; the issuer has not heard of it. {error.message}")
        return
    show.say("Logged out." if revoked else "Logged out on this machine; the issuer revokes nothing.")


@main.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@with_settings(CONNECTION)
def sync(settings: Settings, directory: Path) -> None:
    """Keep a folder of JSON files, DIR/<collection>/<id>.json, in step with your records."""
    session = Session(settings)
    owner = f"{session.tokens().subject} {settings.issuer} {settings.api.rstrip('/')}"
    with show.progress() as progress:
        tally = in_step(Api(session, say=show.say), Folder(directory), owner, say=show.say, progress=progress)
    show.say(
        f"In step: {tally.sent} sent, {tally.received} received, {tally.removed} removed, "
        f"{tally.conflicts} kept beside each other, {tally.left_alone} left alone."
    )


def _log_in(settings: Settings, *, no_browser: bool) -> Tokens:
    with _stdout_for_us_alone():
        if no_browser:
            return log_in(settings, paste=_paste)
        show.say("Opening your browser. If none appears, use --no-browser.")
        return log_in(settings, open_url=webbrowser.open)


def _call(settings: Settings, method: str, path: str, content: bytes | None = None, *, no_browser: bool) -> bytes:
    def step_up(stronger: Settings) -> None:
        show.say("The API wants you to log in again for this.")
        _log_in(stronger, no_browser=no_browser)

    possible = no_browser or _someone_is_there()
    api = Api(Session(settings), step_up=step_up if possible else None, say=show.say)
    return api.call(method, path, body=content).content


def _show_object(content: bytes, title: str, *, raw: bool) -> None:
    members = show.json_object(content)
    if raw or members is None:
        show.body(content, raw=raw)
    else:
        show.table(members, title)


def _paste(url: str) -> str:
    show.say("Open this address in a browser, log in, and paste the address it ends at (an error page is fine):")
    click.echo(url, err=True)
    return str(click.prompt("Redirect", err=True, prompt_suffix=": "))


def _someone_is_there() -> bool:
    """Whether a person can answer; stdout may be a pipe, as in `$(native token)`."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _until(tokens: Tokens) -> str:
    if tokens.expires_at is None:
        return "for as long as the issuer likes"
    return f"until {datetime.fromtimestamp(tokens.expires_at, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"


@contextmanager
def _stdout_for_us_alone() -> Iterator[None]:
    """Keep the browser off our stdout: it would write into a token, and hold the pipe of `$(…)` open while it lives."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)


if __name__ == "__main__":
    main(prog_name="python -m native")
