"""A fresh, migrated database for one proof: SQLite, PostgreSQL, PostgreSQL in eight partitions.

Takes   which kind; a folder
Gives   fresh(…), the URL; PostgreSQL is started for it and stopped afterwards
Raises  what PostgreSQL raises when it does not start
Not     a server of the machine
Source  docs/contracts/user-data.md §7 "Beyond one machine"
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg

from app.commands.db import upgrade
from tests.support.databases import PostgresqlServer, partition

SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"
PARTITIONED: Final = "PostgreSQL, partitioned"
DATABASES: Final = (SQLITE, POSTGRESQL, PARTITIONED)


@contextmanager
def fresh(kind: str, directory: Path, *, synchronous_commit: bool = True) -> Iterator[str]:
    """Make one; with `synchronous_commit`, as in production, what is committed outlives the server's death."""
    if kind == SQLITE:
        url = f"sqlite:///{directory / 'postern.db'}"
        upgrade(url)
        yield url
        return
    # A new name each time: the server's package remembers folders, and would not make a removed one anew.
    with PostgresqlServer(f"proof-{uuid4().hex[:8]}") as server, server.database() as url:
        upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            if kind == PARTITIONED:
                partition(connection)
            if synchronous_commit:
                name = connection.info.dbname
                connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
        yield url
