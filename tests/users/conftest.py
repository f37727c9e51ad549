"""What the tests of the users domain share."""

import pytest

from app.db import Database


@pytest.fixture
def database(any_database: Database) -> Database:
    """Here each test runs on SQLite, on PostgreSQL and on PostgreSQL in partitions (§7)."""
    return any_database
