"""`flask revoke …`: refuse a token, a user, a client or a key from now on, everywhere, within 5 s.

Takes   database: where the revocations and the accounts are;  settings: the tenant's names, how long a token can live
Gives   the click group `revoke`: token, user, client, key, list, lift
Raises  click.UsageError, exit status 2, for what no token can bear;  click.ClickException, exit status 1, one
        sentence, where the database cannot be used or there is nothing to lift
Not     the tenant: it goes on issuing tokens, and refresh tokens stay good there until they are revoked there
Source  docs/contracts/tokens.md T24, K11

A token is read from standard input and never printed: as an argument it would stay in the shell's history and stand in
the list of processes.
"""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from app.commands.diagnosis.hidden_input import read_text
from app.commands.diagnosis.pasted import NothingToJudge, read
from app.commands.screen import printable
from app.commands.withdrawal.listing import as_json as as_json_text
from app.commands.withdrawal.listing import meant, table, utc
from app.commands.withdrawal.spelling import doubts_about_key, doubts_about_user
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason
from app.oauth.revocation.entry import (
    KINDS,
    Identified,
    Kind,
    Revocation,
    UnusableName,
    checked,
    identify,
    of_client,
    of_key,
    of_token,
    of_user,
)
from app.oauth.revocation.watch import OBEYED_WITHIN_SECONDS
from app.stores.revocation_models import MAX_NOTE_LENGTH
from app.stores.revocations import Revocations
from config.settings import Settings

_OBEYED = f"every worker obeys within {OBEYED_WITHIN_SECONDS} s"
# How every JWT begins: `{"` in base64url. The name of a user, an app or a key has no two dots after that.
_TOKEN = re.compile(r"\s*(?:bearer\s+|dpop\s+)?eyJ[^.\s]*\.[^.\s]*\.", re.IGNORECASE)
# NOTE: not repeated. What was given may be a token.
_NO_ARGUMENT = (
    "a token does not belong on the command line, and is now in your shell's history: revoke it by standard input. "
    "Run `flask --app wsgi revoke token` without arguments and paste it."
)
_OTHER_TOKENS = {
    Reason.ID_TOKEN_USED: "an ID token",
    Reason.WRONG_TYPE: "no access token but another kind of JWT",
}


class _Group(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; click would repeat a token that stands in its place."""
        if _TOKEN.match(args[0]):
            raise click.UsageError(_NO_ARGUMENT)
        return super().resolve_command(ctx, args)


def revoke_group(database: Database, settings: Settings) -> click.Group:
    """Make the commands for one API."""
    revocations = Revocations(database)
    group = _Group("revoke", help="Refuse a token, a user, an app or a key from now on, on every host.")
    longest_seconds = settings.token_max_lifetime_seconds + settings.clock_skew_seconds

    @group.command("token")
    @click.argument("unwanted", nargs=-1, metavar="")
    @click.option("--jti", metavar="ID", help="The token's id, where the token itself is not at hand.")
    @_note
    def token(unwanted: tuple[str, ...], jti: str | None, note: str) -> None:
        """Revoke one token, read from standard input (or named by --jti) and never printed.

        At a terminal, paste it at the prompt; a tenant's whole token response will do, too.
        """
        if unwanted:
            raise click.UsageError(_NO_ARGUMENT)
        now = int(time.time())
        if jti is not None:
            found = Identified(_name("--jti", jti), None, None)
        else:
            found = _identified(_token_from_stdin(), settings)
            if found.issuer not in settings.tenant_issuers:
                click.echo("note: this token is of another issuer, whose tokens this API refuses anyway", err=True)
        expires_at = now + settings.token_max_lifetime_seconds if found.expires_at is None else found.expires_at
        name = _name("the token's id", found.token_id)
        wanted = of_token(name, expires_at=expires_at, skew_seconds=settings.clock_skew_seconds, note=note)
        if wanted.expires_at is not None and wanted.expires_at <= now:
            click.echo(
                f'token "{printable(name)}" expired at {utc(int(expires_at))} and is refused without a revocation'
            )
        else:
            _add(revocations, wanted)

    @group.command("user")
    @click.argument("subject")
    @click.option("--before", metavar="TIME", help="Tokens issued up to then, as 2026-11-21T10:00:00Z; default: now.")
    @_note
    def user(subject: str, before: str | None, note: str) -> None:
        """Revoke every token of SUBJECT (`sub`) that was issued up to now, or up to --before.

        The app gets a new one with its refresh token: to keep the user out, block the user at the tenant first.
        """
        now = int(time.time())
        last_second = now if before is None else _second(before, now)
        name = _name("SUBJECT", subject)
        _add(revocations, of_user(name, last_second=last_second, now=now, longest_seconds=longest_seconds, note=note))
        _warn(doubts_about_user(name, settings, database))

    @group.command("client")
    @click.argument("client_id")
    @_note
    def client(client_id: str, note: str) -> None:
        """Revoke every token issued to the app CLIENT_ID (`client_id` or `azp`), until it is lifted.

        The app is told that it is withdrawn, not to log in again: that would not help.
        """
        _add(revocations, of_client(_name("CLIENT_ID", client_id), note=note))

    @group.command("key")
    @click.argument("kid")
    @_note
    def key(kid: str, note: str) -> None:
        """Distrust the signing key KID, its `kid` or its RFC 7638 thumbprint, until it is lifted."""
        _add(revocations, of_key(_name("KID", kid), note=note))
        _warn(doubts_about_key(kid, settings))

    _add_review(group, revocations)
    return group


def _add_review(group: click.Group, revocations: Revocations) -> None:
    """Add the commands that look at what was revoked, and take it back."""

    @group.command("list")
    @click.option("--json", "as_json", is_flag=True, help="For programs.")
    def listed(*, as_json: bool) -> None:
        """Show what is revoked."""
        with _named_for_people():
            entries = revocations.entries(now=time.time())
        click.echo(as_json_text(entries) if as_json else table(entries))

    @group.command("lift")
    @click.argument("kind", type=click.Choice(KINDS))
    @click.argument("value")
    def lift(kind: Kind, value: str) -> None:
        """Accept again what was revoked: KIND and VALUE as `flask revoke list` shows them, shortened or whole."""
        name = _name("VALUE", value)
        with _named_for_people():
            is_lifted = revocations.lift(kind, name)
            if not is_lifted:
                found = meant(revocations.entries(now=time.time()), kind, name)
                if len(found) > 1:
                    raise click.ClickException(
                        f"{len(found)} entries are shown so: give the whole value, from `flask revoke list --json`"
                    )
                is_lifted = bool(found) and revocations.lift(kind, found[0])
        if not is_lifted:
            raise click.ClickException(f'no {kind} "{printable(value)}" is revoked: see `flask revoke list`')
        click.echo(f'lifted {kind} "{printable(value)}": {_OBEYED}')


def _checked_note(_context: click.Context, _option: click.Parameter, note: str) -> str:
    if _TOKEN.match(note):
        raise click.UsageError(_NO_ARGUMENT)
    if len(note) > MAX_NOTE_LENGTH:
        raise click.BadParameter(f"it is longer than {MAX_NOTE_LENGTH} characters")
    return note and _name("--note", note)


_note = click.option("--note", default="", callback=_checked_note, help="Why, for those who read the list.")


def _name(what: str, value: str) -> str:
    if _TOKEN.match(value):
        raise click.UsageError(_NO_ARGUMENT)
    try:
        return checked(value)
    except UnusableName as fault:
        raise click.UsageError(f"{what} cannot be used: {fault}") from None


def _second(before: str, now: int) -> int:
    """Read the time; it needs a zone, or an operator's clock on the wall would decide what is refused."""
    try:
        moment = datetime.fromisoformat(before)
    except ValueError:
        raise click.UsageError("--before is not a time such as 2026-11-21T10:00:00Z") from None
    if moment.tzinfo is None:
        raise click.UsageError("--before needs a time zone: a Z at its end, or an offset such as +01:00")
    second = int(moment.timestamp())
    if not 0 <= second <= now:
        raise click.UsageError("--before lies in the future, or before 1970: no token is from then")
    return second


def _token_from_stdin() -> str:
    try:
        pasted = read(read_text())
    except NothingToJudge as fault:
        raise click.UsageError(str(fault)) from None
    for note in pasted.notes:
        click.echo(f"note: {note}", err=True)
    return pasted.field_value.partition(" ")[2].strip()


def _identified(token: str, settings: Settings) -> Identified:
    # Every algorithm and profile: what is revoked stays so if the settings are changed.
    policy = TokenPolicy(
        issuers=settings.tenant_issuers,
        audiences=frozenset(settings.api_audiences),
        algorithms=SUPPORTED_ALGORITHMS,
        scope_claim=settings.scope_claim,
        max_token_bytes=settings.max_token_bytes,
    )
    try:
        return identify(token, policy)
    except InvalidToken as refused:
        if refused.reason in _OTHER_TOKENS:
            what = _OTHER_TOKENS[refused.reason]
            raise click.UsageError(f"this is {what}, which the API refuses anyway: paste the access token") from None
        raise click.UsageError(
            f"this is no token that the API would ever take ({refused.reason.code}): there is nothing to revoke"
        ) from None


def _add(revocations: Revocations, wanted: Revocation) -> None:
    with _named_for_people():
        entry = revocations.add(wanted, at=datetime.now(UTC))
    click.echo(f'revoked {entry.kind} "{printable(entry.value)}": {_refused(entry)}, {_until(entry)}; {_OBEYED}')


def _refused(entry: Revocation) -> str:
    if entry.kind == "user":
        return f"tokens issued up to {utc(entry.last_second or 0)}"
    return {"token": "this token", "client": "all its tokens", "key": "all that it signed"}[entry.kind]


def _until(entry: Revocation) -> str:
    return "until lifted" if entry.expires_at is None else f"until {utc(entry.expires_at)}"


def _warn(doubts: Iterable[str]) -> None:
    for doubt in doubts:
        click.echo(f"warning: {printable(doubt)}", err=True)


@contextmanager
def _named_for_people() -> Iterator[None]:
    try:
        yield
    except DatabaseBusy as fault:
        raise click.ClickException(
            "another change of the revocations, or a migration, holds the lock: try again"
        ) from fault
    except DatabaseUnavailable as fault:
        raise click.ClickException(f"the database in DATABASE_URL cannot be used: {fault}") from fault
