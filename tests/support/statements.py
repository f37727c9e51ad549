"""The statements that a database is sent, with their parameters.

Takes   a Database
Gives   statements_in(database): a list that fills while the block runs
Raises  nothing
Not     what begins, ends or prepares a transaction; what the driver asks for itself
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from app.db import Database

Captured = list[tuple[str, Any]]
_OF_THE_DRIVER = re.compile(r"PRAGMA|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|SELECT pg_catalog|SHOW|SET")


@contextmanager
def statements_in(database: Database) -> Iterator[Captured]:
    """Listen; of a statement that is sent with many rows, the first row stands for all."""
    captured: Captured = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not _OF_THE_DRIVER.match(statement):
            captured.append((statement, parameters[0] if many else parameters))

    event.listen(database.engine, "before_cursor_execute", listen)
    try:
        yield captured
    finally:
        event.remove(database.engine, "before_cursor_execute", listen)
