"""The API for the tests of the web rooms, with three routes beside its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g

from app.commands.db import upgrade
from app.web import policy
from tests.support.api import Api, running, settings_for


@pytest.fixture
def migrated(tmp_path: Path) -> str:
    """The URL of a SQLite database that has the newest schema."""
    url = f"sqlite:///{tmp_path / 'postern.db'}"
    upgrade(url)
    return url


@pytest.fixture
def api(tmp_path: Path, migrated: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API on a migrated database."""
    collect = policy.policies_of

    def with_examples(app: Flask, *known: Any) -> dict[str, policy.RoutePolicy]:
        _add_examples(app)
        return collect(app, *known)

    monkeypatch.setattr(policy, "policies_of", with_examples)
    with running(settings_for(tmp_path, migrated)) as running_api:
        yield running_api


def _add_examples(app: Flask) -> None:
    @app.get("/optional")
    @policy.optional_token
    def optional() -> dict[str, str | None]:
        return {"sub": g.access_token.subject if g.access_token else None}

    @app.get("/all")
    @policy.require_scopes("read:profile", "read:email")
    def all_of_them() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/any")
    @policy.require_any_scope("read:profile", "read:email")
    def any_of_them() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/permission")
    @policy.require_permissions("reports:read")
    @policy.require_scopes("read:profile")
    def permission() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/broken")
    @policy.public
    def broken() -> None:
        raise RuntimeError("a secret that must not leave")
