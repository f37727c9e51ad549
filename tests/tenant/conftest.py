"""A development tenant for the tests: one shared where nothing is turned, a fresh one where something is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tenant import Browser, NativeApp, RunningTenant, running_tenant


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTenant]:
    """Shared: its faults, clock, lifetimes and keys stay as they are."""
    with running_tenant(tmp_path_factory.mktemp("tenant")) as running:
        yield running


@pytest.fixture
def fresh_tenant(tmp_path: Path) -> Iterator[RunningTenant]:
    """One test's own."""
    with running_tenant(tmp_path / "tenant") as running:
        yield running


@pytest.fixture
def app(tenant: RunningTenant) -> NativeApp:
    return NativeApp(tenant)


@pytest.fixture
def browser(tenant: RunningTenant) -> Iterator[Browser]:
    with Browser(tenant) as opened:
        yield opened
