"""`flask users …`: see a user's account, set roles and attributes, and read who did so.

Takes   database;  settings: the tenant's first name, the bound of the attributes
Gives   the click group `users`: show, set-roles, set-attributes, history
Raises  click.UsageError, exit status 2, for what cannot be meant or stored;  click.ClickException, exit status 1, one
        sentence, where there is no such account, it was erased, or the database cannot be used
Not     the user's own members: those are the user's;  HTTP: no endpoint lets one user touch another
Source  docs/contracts/user-data.md §2, U11

Each use is written to `operator_changes` in the transaction of its effect, looking as well.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from sqlalchemy.orm import Session

from app.commands.operating import showing
from app.commands.screen import Screen, printable, wrapped
from app.db import Database, DatabaseBusy, DatabaseUnavailable
from app.oauth.strict_json import NotStrictJson, parse
from app.records.names import new_id
from app.users import operating
from app.users.errors import AccountDeleted, AccountMissing, UnusableIdentity, ValidationFailed
from app.users.identity import Identity
from app.users.operating import Member, Outcome, Use
from app.users.validation import MAX_ATTRIBUTES_DEPTH, is_clean
from config.operator import login_name
from config.settings import Settings

T = TypeVar("T")
_MISSING = (
    "no account of this subject is stored here: look at the spelling, or use --new to make it before its user's first "
    "login"
)
_ERASED = "this account was erased, and only its user can begin anew: nothing was changed"


def _operator(_context: click.Context, _option: click.Parameter, given: str | None) -> str:
    name = login_name() if given is None else given
    if name is None:
        raise click.UsageError("the system knows no name for you: give one with --operator")
    if not is_clean(name, operating.MAX_OPERATOR_LENGTH):
        raise click.BadParameter(f"it must have 1 to {operating.MAX_OPERATOR_LENGTH} printable characters")
    return name


_by = click.option(
    "--operator", metavar="NAME", callback=_operator, help="Who you are, for the record; default: your login name."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
_new = click.option("--new", is_flag=True, help="Make the account, if its user has never logged in.")
_follow = click.option("--follow-tenant", is_flag=True, help="Let the next token set them again.")


def users_group(database: Database, settings: Settings) -> click.Group:
    """Make the commands for one API."""
    group = click.Group("users", help="See a user's account, set roles and attributes; each use is recorded.")
    _add_looks(group, database, settings)
    _add_changes(group, database, settings)
    return group


def _add_looks(group: click.Group, database: Database, settings: Settings) -> None:
    @group.command("show", short_help="Show an account.")
    @click.argument("sub")
    @_as_json
    @_by
    def show(sub: str, operator: str, *, as_json: bool) -> None:
        """Show the account of SUB, the subject as the tenant names it."""
        seen = _carry_out(database, settings, sub, operator, operating.show)
        if as_json:
            click.echo(_json(showing.account_document(seen)))
        else:
            _echo(showing.account_lines(seen, Screen.of_process()))

    @group.command("history", short_help="Show what operators have done.")
    @click.argument("sub")
    @_as_json
    @_by
    def history(sub: str, operator: str, *, as_json: bool) -> None:
        """Show what operators have done to the account of SUB, the oldest first; this look is the last."""
        entries = _carry_out(database, settings, sub, operator, operating.history)
        if as_json:
            click.echo(_json(showing.history_document(entries)))
        else:
            _echo(showing.history_lines(entries, Screen.of_process()))


def _add_changes(group: click.Group, database: Database, settings: Settings) -> None:
    @group.command("set-roles", short_help="Give a user roles.")
    @click.argument("sub")
    @click.argument("roles", nargs=-1)
    @click.option("--none", "no_roles", is_flag=True, help="Take all roles away.")
    @_follow
    @_new
    @_as_json
    @_by
    def set_roles(  # noqa: PLR0913 - click's arguments
        sub: str,
        roles: tuple[str, ...],
        operator: str,
        *,
        no_roles: bool,
        follow_tenant: bool,
        new: bool,
        as_json: bool,
    ) -> None:
        """Give SUB these ROLES and no others; tokens no longer change them."""
        _refuse_unless_one("name the roles, or --none, or --follow-tenant", bool(roles), no_roles, follow_tenant)
        if follow_tenant:
            _let_tenant(database, settings, sub, operator, "roles", as_json=as_json)
            return

        def work(session: Session, identity: Identity, use: Use) -> Outcome:
            return operating.set_roles(session, identity, roles, use, may_make=new)

        _tell("roles", _carry_out(database, settings, sub, operator, work), as_json=as_json)

    @group.command("set-attributes", short_help="Merge into the app_attributes.")
    @click.argument("sub")
    @click.argument("document", required=False)
    @click.option("--replace", is_flag=True, help="Put the document in the place of what is there.")
    @_follow
    @_new
    @_as_json
    @_by
    def set_attributes(  # noqa: PLR0913 - click's arguments
        sub: str, document: str | None, operator: str, *, replace: bool, follow_tenant: bool, new: bool, as_json: bool
    ) -> None:
        """Merge DOCUMENT, a JSON object, into the app_attributes of SUB: null takes a member out (RFC 7396).

        With - it is read from standard input. Tokens no longer change them.
        """
        _refuse_unless_one("give a document, or --follow-tenant", document is not None, follow_tenant)
        if document is None:
            _let_tenant(database, settings, sub, operator, "app_attributes", as_json=as_json)
            return
        wanted, bound = _parsed(document), settings.max_attributes_bytes

        def work(session: Session, identity: Identity, use: Use) -> Outcome:
            return operating.set_attributes(
                session, identity, wanted, use, replace=replace, may_make=new, max_bytes=bound
            )

        _tell("app_attributes", _carry_out(database, settings, sub, operator, work), as_json=as_json)


def _let_tenant(  # noqa: PLR0913 - what the commands were given
    database: Database, settings: Settings, sub: str, operator: str, member: Member, *, as_json: bool
) -> None:
    def work(session: Session, identity: Identity, use: Use) -> Outcome:
        return operating.follow_tenant(session, identity, member, use)

    _tell(member, _carry_out(database, settings, sub, operator, work), as_json=as_json)


def _carry_out(
    database: Database, settings: Settings, sub: str, operator: str, work: Callable[[Session, Identity, Use], T]
) -> T:
    try:
        identity = Identity(settings.tenant_issuers[0], sub)
    except UnusableIdentity as fault:
        raise click.UsageError(f"SUB cannot be used: {fault}") from None
    now = datetime.now(UTC)
    use = Use(new_id(now), operator, now)
    with _named_for_people():
        return database.transact(lambda session: work(session, identity, use))


def _tell(member: Member, outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(_json(showing.outcome_document(member, outcome)))
    else:
        click.echo("\n".join(wrapped(showing.outcome_words(member, outcome), Screen.of_process().columns, 2)))
    if outcome.made:
        click.echo("note: this account was made now; its user has not logged in yet", err=True)
    if outcome.seen.purge_at is not None:
        click.echo(f"note: the account is {showing.state_of(outcome.seen)}, unless its user cancels", err=True)


def _parsed(document: str) -> Any:
    content = sys.stdin.buffer.read() if document == "-" else document.encode(errors="surrogateescape")
    try:
        return parse(content, max_bytes=len(content), max_depth=MAX_ATTRIBUTES_DEPTH)
    except NotStrictJson as fault:
        raise click.UsageError(f"the document is not strict JSON: {fault}") from None


def _refuse_unless_one(wish: str, *given: bool) -> None:
    if sum(given) != 1:
        raise click.UsageError(f"{wish}: one of them")


def _json(document: Any) -> str:
    return json.dumps(document, indent=2)


def _echo(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)


@contextmanager
def _named_for_people() -> Iterator[None]:
    try:
        yield
    except ValidationFailed as fault:
        told = "; ".join(f"{printable(error['pointer'])}: {error['detail']}" for error in fault.errors)
        raise click.UsageError(f"this cannot be stored: {told}") from None
    except AccountMissing:
        raise click.ClickException(_MISSING) from None
    except AccountDeleted:
        raise click.ClickException(_ERASED) from None
    except DatabaseBusy as fault:
        raise click.ClickException("another write of this user holds the lock: try again") from fault
    except DatabaseUnavailable as fault:
        raise click.ClickException(f"the database in DATABASE_URL cannot be used: {fault}") from fault
