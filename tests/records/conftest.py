"""What the tests of the records domain share."""

import pytest

from app.db import Database
from tests.support.records import Store


@pytest.fixture
def database(any_database: Database) -> Database:
    """Here each test runs on SQLite, on PostgreSQL and on PostgreSQL in partitions (§7)."""
    return any_database


@pytest.fixture
def store(database: Database) -> Store:
    """Ada's data, on each kind of database in turn."""
    return Store(database)
