"""What the tests of the sync routes share: real tokens, and every kind of database in turn."""

import pytest


@pytest.fixture
def migrated(any_database_url: str) -> str:
    """Here each test runs on SQLite, on PostgreSQL and on PostgreSQL in partitions (§7)."""
    return any_database_url
