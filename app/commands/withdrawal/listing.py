"""Show what is revoked: 80 columns for people, everything for programs.

Takes   Entries
Gives   table(), as_json();  meant(): the values that a shortened one of the table may mean;  utc()
Raises  nothing
Not     reading the entries (app/stores/revocations.py)
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from app.commands.screen import cells, printable, wrapped
from app.oauth.revocation.entry import Kind
from app.stores.revocations import Entry

_COLUMNS = 80
_TITLES = ("KIND", "VALUE", "ENDS", "WRITTEN")
_VALUE_CELLS = 26
_INDENT = 8
_MARK = "…"


def table(entries: list[Entry]) -> str:
    """Write a line for each entry, and indented below it what else there is to say."""
    if not entries:
        return "nothing is revoked"
    return "\n".join([_line(*_TITLES), *(line for entry in entries for line in _lines(entry))])


def as_json(entries: list[Entry]) -> str:
    """Write all that is stored."""
    documents = [
        {
            "kind": entry.revocation.kind,
            "value": entry.revocation.value,
            "last_second": entry.revocation.last_second,
            "expires_at": entry.revocation.expires_at,
            "note": entry.revocation.note,
            "created_at": int(entry.created_at.timestamp()),
        }
        for entry in entries
    ]
    return json.dumps(documents, indent=2)


def meant(entries: list[Entry], kind: Kind, shown: str) -> list[str]:
    """Return the values that the table shows like this."""
    held = [entry.revocation for entry in entries]
    return [one.value for one in held if one.kind == kind and _short(one.value) == shown]


def utc(second: int) -> str:
    """Write a second since the epoch as `flask revoke` does."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lines(entry: Entry) -> Iterator[str]:
    held = entry.revocation
    ends = "when lifted" if held.expires_at is None else utc(held.expires_at)
    yield _line(held.kind, _short(held.value), ends, utc(int(entry.created_at.timestamp())))
    issued = "" if held.last_second is None else f"tokens issued up to {utc(held.last_second)}"
    more = "; ".join(filter(None, [issued, held.note]))
    if more:
        yield from (" " * _INDENT + line.lstrip() for line in wrapped(more, _COLUMNS, _INDENT))


def _line(kind: str, value: str, ends: str, written: str) -> str:
    return f"{kind:<{_INDENT}}{value}{' ' * (_VALUE_CELLS - cells(value))}  {ends:<20}  {written}"


def _short(value: str) -> str:
    """Leave the middle of a long value out: `lift` takes what is left."""
    text = printable(value)
    if cells(text) <= _VALUE_CELLS:
        return text
    # Letters of other scripts may take two cells each.
    room = (_VALUE_CELLS if text.isascii() else _VALUE_CELLS // 2) - len(_MARK)
    tail = room // 3
    return f"{text[: room - tail]}{_MARK}{text[-tail:]}"
