"""The gate that every advisory is tried at."""

from collections.abc import Iterator

import pytest

from tests.advisories.gate import ALL_KEYS, Gate, settings_with
from tests.support.api import running


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """One API for all tests of this folder: none of them leaves anything behind in it."""
    with running(settings_with(tmp_path_factory.mktemp("advisories"), *ALL_KEYS)) as api:
        yield Gate(api, *ALL_KEYS)
