"""Show a user's account, and what operators have done to it: wrapped for people, everything for programs.

Takes   what app/users/operating.py gives;  Screen: how wide it is
Gives   lines for people; documents for programs; words for a member's value
Raises  nothing
Not     reading or changing the account
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from app.commands.screen import Screen, printable
from app.users.operating import Entry, Outcome, Seen
from app.users.profiles import as_document
from app.users.timestamps import rfc3339

_TENANT = "tenant"
# Whom a member comes from where nobody has set it.
_SOURCES = {"attributes": "user"}
_OF_THE_SERVER = frozenset({"sub", "etag", "seq", "created_at", "updated_at"})
_MEMBER_CELLS, _SOURCE_CELLS = 14, 8
_INDENT = 2 + _MEMBER_CELLS + 2 + _SOURCE_CELLS + 2
_CHANGE_INDENT = 10


def account_lines(seen: Seen, screen: Screen) -> Iterator[str]:
    """Write the account: what is set, and by whom; a member that nobody has set is left out."""
    profile = seen.profile
    yield screen.heading(profile.subject)
    yield from screen.paragraph("  tenant", seen.tenant, _INDENT)
    yield from screen.paragraph("  state", state_of(seen), _INDENT)
    yield from screen.paragraph("  made", _utc(profile.created_at), _INDENT)
    yield from screen.paragraph("  changed", f"{_utc(profile.updated_at)}, seq {profile.seq} of {seen.head}", _INDENT)
    yield from screen.paragraph("  records", f"{seen.live}, {seen.stored_bytes} bytes", _INDENT)
    yield ""
    yield f"  {'MEMBER':<{_MEMBER_CELLS}}  {'SET BY':<{_SOURCE_CELLS}}  VALUE"
    for name, value in as_document(profile, with_email=True).items():
        if name in _OF_THE_SERVER or value is None:
            continue
        source = profile.sources.get(name, _SOURCES.get(name, _TENANT))
        label = f"  {name:<{_MEMBER_CELLS}}  {source:<{_SOURCE_CELLS}}"
        yield from screen.paragraph(label, value_words(value), _INDENT)


def account_document(seen: Seen) -> dict[str, Any]:
    """Write all of it for programs."""
    return {
        **as_document(seen.profile, with_email=True),
        "tenant": seen.tenant,
        "state": seen.profile.state,
        "purge_at": None if seen.purge_at is None else rfc3339(seen.purge_at),
        "sources": dict(seen.profile.sources),
        "head": seen.head,
        "records": seen.live,
        "bytes": seen.stored_bytes,
    }


def history_lines(entries: Sequence[Entry], screen: Screen) -> Iterator[str]:
    """Write one line for each use, and below it what was changed."""
    for entry in entries:
        yield from screen.paragraph(f"{_utc(entry.use.at)}  ", f"{entry.action} by {entry.use.operator}", 25)
        for label, document in (("  before", entry.before), ("  after", entry.after)):
            if document is not None:
                yield from screen.paragraph(label, _change_words(document), _CHANGE_INDENT)


def history_document(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Write all of it for programs."""
    return [
        {
            "changed_at": rfc3339(entry.use.at),
            "operator": entry.use.operator,
            "action": entry.action,
            "before": entry.before,
            "after": entry.after,
        }
        for entry in entries
    ]


def outcome_words(member: str, outcome: Outcome) -> str:
    """Say in one sentence what has become of a member."""
    of_whom = f'{member} of "{printable(outcome.seen.profile.subject)}"'
    if outcome.changed:
        values = f"{of_whom}: {value_words(outcome.after)} (before: {value_words(outcome.before)})"
        return f"{values}; seq {outcome.seen.profile.seq}, tokens no longer change them"
    if outcome.source == _TENANT:
        return f"{of_whom}: {value_words(outcome.after)}, until the next token says otherwise"
    since = "" if outcome.source_before == outcome.source else "; tokens no longer change them"
    return f"{of_whom}: {value_words(outcome.after)}, as before{since}"


def outcome_document(member: str, outcome: Outcome) -> dict[str, Any]:
    """The same for programs."""
    return {
        "sub": outcome.seen.profile.subject,
        member: outcome.after,
        "before": outcome.before,
        "source": outcome.source,
        "changed": outcome.changed,
        "seq": outcome.seen.profile.seq,
    }


def state_of(seen: Seen) -> str:
    """Say whether the account is to be erased, and when."""
    return seen.profile.state if seen.purge_at is None else f"{seen.profile.state}: erased {_utc(seen.purge_at)}"


def value_words(value: Any) -> str:
    """Write a member's value on one line."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return ", ".join(value_words(item) for item in value) or "none"
    return printable(json.dumps(value, ensure_ascii=False))


def _change_words(document: Mapping[str, Any]) -> str:
    values = [value_words(value) for name, value in document.items() if name != "source"]
    return f"{'; '.join(values)} (set by the {document.get('source', _TENANT)})"


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
