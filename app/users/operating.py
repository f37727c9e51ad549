"""What the operator sees and sets of a user; each use is written down beside its effect, in the same transaction.

Takes   session: inside Database.transact, for looking too;  identity;  Use: whose command it is, and when
Gives   show, history, set_roles, set_attributes, follow_tenant
Raises  ValidationFailed, AccountMissing, AccountDeleted
Not     the user's own members (profiles.py): nobody sets those for the user
Source  docs/contracts/user-data.md §2, U11, U13; RFC 7396; GDPR art. 5(2), 15

In the grace before a deletion the operator may still act: its user may cancel, and must not come back with a role that
was to be withdrawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.users import account as accounts
from app.users.errors import AccountDeleted, AccountMissing, Fault, ValidationFailed
from app.users.facts import MAX_ROLE_LENGTH, MAX_ROLES
from app.users.identity import Identity
from app.users.merge_patch import merge
from app.users.models import Account, OperatorChange
from app.users.profiles import Profile, is_same, of_account, write_members
from app.users.standing import is_erased, is_over
from app.users.validation import MAX_ATTRIBUTES_BYTES, attributes_fault, is_clean

MAX_OPERATOR_LENGTH = 255
Member = Literal["roles", "app_attributes"]
_OPERATOR = "operator"
_TENANT = "tenant"
_ACTIONS: Mapping[Member, str] = {"roles": "set-roles", "app_attributes": "set-attributes"}


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a command: the id that it is kept under (a UUIDv7), the operator's name, and when; aware, UTC."""

    id: str
    operator: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """A user's account as it stands in the database, in its grace too."""

    tenant: str
    profile: Profile
    head: int
    live: int
    stored_bytes: int
    purge_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a member. `changed`: devices will see it in the change feed, by the profile's seq."""

    before: Any
    after: Any
    source_before: str
    source: str
    changed: bool
    made: bool
    seen: Seen


@dataclass(frozen=True, slots=True)
class Entry:
    """One use that was written down; before and after are null where it only looked."""

    use: Use
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def show(session: Session, identity: Identity, use: Use) -> Seen:
    """Look at the account."""
    account = _held(session, identity, use)
    _write_down(session, account, use, "show")
    return _seen(account)


def history(session: Session, identity: Identity, use: Use) -> list[Entry]:
    """List the uses, the oldest first and this one last."""
    _write_down(session, _held(session, identity, use), use, "history")
    mine = select(OperatorChange).where(OperatorChange.user_key == identity.user_key)
    return [
        Entry(Use(row.id, row.operator, row.changed_at), row.action, _read(row.before), _read(row.after))
        for row in session.scalars(mine.order_by(OperatorChange.changed_at, OperatorChange.id))
    ]


def set_roles(
    session: Session, identity: Identity, roles: Sequence[str], use: Use, *, may_make: bool = False
) -> Outcome:
    """Set the roles; tokens no longer change them (U11)."""
    wanted = _checked_roles(roles)
    return _set(session, identity, "roles", lambda _before: wanted, use, may_make=may_make)


def set_attributes(  # noqa: PLR0913 - the session, who, what, by whom, and how
    session: Session,
    identity: Identity,
    document: Any,
    use: Use,
    *,
    replace: bool = False,
    may_make: bool = False,
    max_bytes: int = MAX_ATTRIBUTES_BYTES,
) -> Outcome:
    """Merge the document into app_attributes (RFC 7396), or put it in their place; tokens no longer change them."""

    def wanted(before: Any) -> Any:
        return _checked_attributes(document if replace else merge(before, document), max_bytes)

    # Before the merge, which follows no nesting that could not be stored anyway.
    _checked_attributes(document, max_bytes)
    return _set(session, identity, "app_attributes", wanted, use, may_make=may_make)


def follow_tenant(session: Session, identity: Identity, member: Member, use: Use) -> Outcome:
    """Let the next token set the member again; until one does, it stays as it is."""
    account = _held(session, identity, use)
    before = of_account(account)
    sources = {name: source for name, source in before.sources.items() if name != member}
    return _told(session, account, use, member=member, before=before, sources=sources)


def _set(  # noqa: PLR0913 - the same, and the member
    session: Session,
    identity: Identity,
    member: Member,
    wanted: Callable[[Any], Any],
    use: Use,
    *,
    may_make: bool,
) -> Outcome:
    account = accounts.hold(session, identity.user_key, numbers=1)
    made = account is None
    if account is None:
        if not may_make:
            raise AccountDeleted if is_erased(session, identity.user_key) else AccountMissing
        account = accounts.hold_or_make(session, identity, use.at, numbers=1)
    if is_over(account, use.at):
        raise AccountDeleted
    before = of_account(account)
    value = wanted(before.members[member])
    if is_same(value, before.members[member]):
        accounts.give_back(account)
    else:
        write_members(account, {member: value}, use.at)
    sources = {**before.sources, member: _OPERATOR}
    return _told(session, account, use, member=member, before=before, sources=sources, made=made)


def _told(  # noqa: PLR0913 - what there is to tell
    session: Session,
    account: Account,
    use: Use,
    *,
    member: Member,
    before: Profile,
    sources: Mapping[str, str],
    made: bool = False,
) -> Outcome:
    account.sources = _text(sources)
    session.flush()
    seen = _seen(account)
    was, now = before.members[member], seen.profile.members[member]
    source_before, source = before.sources.get(member, _TENANT), sources.get(member, _TENANT)
    told = ({member: was, "source": source_before}, {member: now, "source": source})
    _write_down(session, account, use, _ACTIONS[member], told)
    return Outcome(was, now, source_before, source, changed=not is_same(was, now), made=made, seen=seen)


def _held(session: Session, identity: Identity, use: Use) -> Account:
    """Lock the row of an account that is not over: what is written down of it must not outlive it."""
    account = accounts.hold(session, identity.user_key)
    if account is None:
        raise AccountDeleted if is_erased(session, identity.user_key) else AccountMissing
    if is_over(account, use.at):
        raise AccountDeleted
    return account


def _write_down(
    session: Session, account: Account, use: Use, action: str, told: Sequence[Mapping[str, Any]] = ()
) -> None:
    before, after = map(_text, told) if told else (None, None)
    row = {"operator": use.operator, "action": action, "before": before, "after": after}
    session.add(OperatorChange(user_key=account.user_key, id=use.id, changed_at=use.at, **row))
    session.flush()


def _seen(account: Account) -> Seen:
    return Seen(
        tenant=account.iss,
        profile=of_account(account),
        head=account.seq,
        live=account.live,
        stored_bytes=account.stored_bytes,
        purge_at=account.purge_at,
    )


def _checked_roles(roles: Sequence[str]) -> list[str]:
    """The same rules as for the roles in a token (facts.py)."""
    faults: list[Fault] = [
        {"pointer": f"/roles/{number}", "detail": f"Must have 1 to {MAX_ROLE_LENGTH} printable characters."}
        for number, role in enumerate(roles)
        if not is_clean(role, MAX_ROLE_LENGTH)
    ]
    if len(roles) > MAX_ROLES:
        faults = [{"pointer": "/roles", "detail": f"Must not be more than {MAX_ROLES}."}]
    if faults:
        raise ValidationFailed(faults)
    return list(dict.fromkeys(roles))


def _checked_attributes(value: Any, max_bytes: int) -> Any:
    fault = attributes_fault(value, max_bytes)
    if fault is not None:
        raise ValidationFailed([{"pointer": "/app_attributes", "detail": fault}])
    return value


def _text(document: Mapping[str, Any]) -> str:
    return orjson.dumps(document).decode()


def _read(text: str | None) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = None if text is None else orjson.loads(text)
    return found
