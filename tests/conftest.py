"""Fixtures that every test room may use."""

from collections.abc import Iterator

import hypothesis
import pytest

import config.settings
from config.lines import LINES

# A busy machine is no fault of the code: no deadline for an example, and none for making one.
hypothesis.settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared-machine")

pytest_plugins = ["tests.support.databases", "tests.support.valkey"]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never depends on what the developer's shell has set."""
    for name in config.settings.Settings.__dataclass_fields__:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name.upper() + "_FILE", raising=False)
    for name in ("TENANT_ISSUER", "API_AUDIENCE", "AUTH0_DOMAIN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _lines_are_written_at_once() -> Iterator[None]:
    """An application that a test has started lets lines wait, and has no worker's end that would stop it."""
    yield
    LINES.no_longer_gather()
