"""The user's profile: found, kept in step with the tenant, patched by its user.

Takes   session, then identity: every statement is filtered by it;  now: aware, UTC
Gives   Profile, frozen
Raises  FieldReadOnly, ValidationFailed, AccountMissing, AccountDeleted, AccountDeletionScheduled; whatever the
        caller's check raises
Not     transactions: the caller opens and commits them (Database.read, Database.transact); HTTP; scopes
Source  docs/contracts/user-data.md §3, §7, U1, U2, U10–U14
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.orm import Session

from app.users import account as accounts
from app.users.errors import ValidationFailed
from app.users.facts import TenantFacts, facts_from_claims
from app.users.identity import Identity
from app.users.merge_patch import MergeTooDeep, merge
from app.users.models import Account
from app.users.timestamps import rfc3339
from app.users.validation import EDITABLE, MAX_ATTRIBUTES_BYTES, TEXTS, checked, refuse_read_only

__all__ = [
    "Profile",
    "TenantFacts",
    "as_document",
    "changes_anything",
    "facts_from_claims",
    "find",
    "is_same",
    "observe",
    "of_account",
    "patch",
    "write_members",
]

_USER = "user"
_JSON_MEMBERS = ("roles", "app_attributes", "attributes")
_MEMBERS = (*TEXTS, "email", "email_verified", *_JSON_MEMBERS)
_EMAIL_MEMBERS = frozenset({"email", "email_verified"})


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile as stored. `members` are those of §3 by name; `seq` is that of the profile's last change (U13)."""

    subject: str
    members: Mapping[str, Any]
    sources: Mapping[str, str]
    seq: int
    told_at: int | None
    userinfo_checked_at: datetime | None
    state: str
    created_at: datetime
    updated_at: datetime


def find(session: Session, identity: Identity, now: datetime) -> Profile | None:
    """Read the profile, or None where the user has no account yet."""
    found = accounts.find(session, identity, now)
    return None if found is None else of_account(found)


def changes_anything(profile: Profile, facts: TenantFacts) -> bool:
    """Tell whether observing the facts would write, so that a read costs no write unless something changed (U11)."""
    return not profile.seq or bool(_news(profile, facts))


def observe(session: Session, identity: Identity, facts: TenantFacts, now: datetime) -> Profile:
    """Take over what the tenant says, under the lock; the account is made if this is its first use (U10).

    What the user or the operator has set stays; email and email_verified always follow. Facts older than those
    taken over last change nothing: two devices with tokens of different age would else write in turns for ever.
    """
    account = accounts.lock_or_make(session, identity, now)
    news = _news(of_account(account), facts)
    if not news and account.profile_seq:
        accounts.give_back(account)
    else:
        write_members(account, news, now)
        account.told_at = account.told_at if facts.told_at is None else facts.told_at
    session.flush()
    return of_account(account)


def patch(  # noqa: PLR0913 - the session, who, what, on which condition, when, and a limit
    session: Session,
    identity: Identity,
    document: Any,
    if_match_check: Callable[[Profile], None],
    now: datetime,
    *,
    max_attributes_bytes: int = MAX_ATTRIBUTES_BYTES,
) -> Profile:
    """Merge the document into the profile under the user's lock (RFC 7396, U14).

    The check sees the profile as it is under the lock, and raises what the caller wants if it is not the expected
    one. A member that is named is the user's from then on, even with null or with the value it had: the tenant no
    longer changes it. A patch that changes no value takes no seq and leaves the ETag.
    """
    refuse_read_only(document)
    account = accounts.lock(session, identity, now)
    before = of_account(account)
    # What could never be stored is refused before the version is compared (tokens.md T30: 422 before 412).
    after = checked(_merged(before, document), max_attributes_bytes)
    if_match_check(before)
    changed = {name: value for name, value in after.items() if not is_same(value, before.members[name])}
    if changed:
        write_members(account, changed, now)
    else:
        accounts.give_back(account)
    account.sources = _json({**before.sources, **dict.fromkeys(document, _USER)})
    session.flush()
    return of_account(account)


def as_document(profile: Profile, *, with_email: bool) -> dict[str, Any]:
    """Write the profile in the shape and order of §3; the form without the e-mail has an ETag of its own (U13)."""
    shown = {name: value for name, value in profile.members.items() if with_email or name not in _EMAIL_MEMBERS}
    return {
        "sub": profile.subject,
        **shown,
        "etag": f'"{profile.seq}"' if with_email else f'"{profile.seq}-p"',
        "seq": profile.seq,
        "created_at": rfc3339(profile.created_at),
        "updated_at": rfc3339(profile.updated_at),
    }


def of_account(account: Account) -> Profile:
    """Read the profile out of the account's row, whatever its standing."""
    members = {name: getattr(account, name) for name in _MEMBERS}
    members |= {name: orjson.loads(members[name]) for name in _JSON_MEMBERS}
    return Profile(
        subject=account.sub,
        members=members,
        sources=orjson.loads(account.sources),
        seq=account.profile_seq,
        told_at=account.told_at,
        userinfo_checked_at=account.userinfo_checked_at,
        state=account.state,
        created_at=account.created_at,
        updated_at=account.updated_at,
    )


def _news(profile: Profile, facts: TenantFacts) -> dict[str, Any]:
    """Which members the facts would change, with their new values."""
    if facts.told_at is not None and profile.told_at is not None and facts.told_at < profile.told_at:
        return {}
    told = {name: value for name, value in facts.told.items() if name not in profile.sources}
    if "email_verified" not in told and told.get("email", profile.members["email"]) != profile.members["email"]:
        # A new address is not verified by what was known of the old one.
        told["email_verified"] = None
    return {name: value for name, value in told.items() if not is_same(value, profile.members[name])}


def _merged(profile: Profile, document: Mapping[str, Any]) -> dict[str, Any]:
    """Merge; a text that was removed is null, removed attributes are none, an unknown null is still unknown (U12)."""
    current = {name: profile.members[name] for name in EDITABLE}
    try:
        merged = merge(current, document)
    except MergeTooDeep as error:
        raise ValidationFailed([{"pointer": "", "detail": "Must not be nested so deep."}]) from error
    empty: dict[str, Any] = {**dict.fromkeys((*TEXTS, *document)), "attributes": {}}
    return {**empty, **merged}


def write_members(account: Account, members: Mapping[str, Any], now: datetime) -> None:
    """Change members of a row that is locked, under the number raised for it; who set them, the caller says."""
    for name, value in members.items():
        setattr(account, name, _json(value) if name in _JSON_MEMBERS else value)
    account.profile_seq = account.seq
    account.updated_at = now


def is_same(left: Any, right: Any) -> bool:
    """Compare as JSON: Python takes 1, 1.0 and true for equal."""
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
