"""What the tests of the records domain share."""

import pytest

from app.db import Database
from tests.support.records import Store


@pytest.fixture
def store(database: Database) -> Store:
    """Ada's data, on each kind of database in turn."""
    return Store(database)
