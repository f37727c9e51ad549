"""Which migrations there are, and which of them a database has: what /readyz asks, without alembic.

Takes   a connection;  the folder of the migrations
Gives   is_current(); applied_to() and revisions(), for those who say more about it
Raises  ValueError for a migration that does not say which it is; what the database raises
Not     applying them (app/commands/db.py): alembic and its templates take 9 MB in each worker that has imported them
Source  alembic "Tutorial", the head of a migration script; docs/style.md rule 17
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

MIGRATIONS: Final = Path(__file__).resolve().parents[1] / "migrations"
_TABLE: Final = "alembic_version"
# As our own template writes them (migrations/script.py.mako): one line each.
_REVISION: Final = re.compile(r"""^revision = (["'])([^"'\n]+)\1$""", re.MULTILINE)
_BEFORE: Final = re.compile(r"""^down_revision = (?:None|(["'])([^"'\n]+)\1)$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Revisions:
    """The migrations of a folder by their names; a head is one that no other follows."""

    known: frozenset[str]
    heads: frozenset[str]


def is_current(connection: Connection) -> bool:
    """Tell whether every migration that this code knows is applied; one that it does not know is a newer one.

    While a release is rolled out, old workers serve on a migrated schema, and must not call themselves unready.
    """
    applied = applied_to(connection)
    there = revisions(MIGRATIONS)
    return bool(applied) and (applied == there.heads or not applied <= there.known)


def applied_to(connection: Connection) -> frozenset[str]:
    """Return the heads that the database has; none where nothing was ever applied."""
    if not inspect(connection).has_table(_TABLE):
        return frozenset()
    return frozenset(connection.scalars(text(f"SELECT version_num FROM {_TABLE}")))  # noqa: S608 - a constant


@lru_cache(4)
def revisions(folder: Path) -> Revisions:
    """Read each migration's own two lines; they stay the same for as long as this process runs."""
    found = [_revision(path) for path in sorted((folder / "versions").glob("*.py"))]
    known = frozenset(name for name, _ in found)
    return Revisions(known, known - {before for _, before in found})


def _revision(path: Path) -> tuple[str, str | None]:
    """Return the name of a migration and of the one before it."""
    script = path.read_text(encoding="utf-8")
    name, before = _REVISION.search(script), _BEFORE.search(script)
    if name is None or before is None:
        raise ValueError(f"{path.name} does not say its revision and down_revision in a line each")
    return name[2], before[2]
