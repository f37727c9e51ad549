"""/readyz in the log: once where a state begins, not once for each probe."""

import json
from pathlib import Path

import pytest

from app.commands.db import upgrade
from config.lines import LINES
from tests.support.api import Api, running, settings_for


def lines(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, list[str] | None]]:
    # An application that was started writes them a moment later.
    LINES.write("")
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    ours = [line for line in found if line["event"] == "request" or "ready" in line["event"]]
    return [(line["level"], line["event"], line.get("checks")) for line in ours]


def probe(api: Api, times: int = 2) -> set[int]:
    return {api.anonymous("/readyz").status_code for _ in range(times)}


def test_readyz_when_not_ready_then_one_warning_and_each_probe_is_info(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A probe each second, on each worker, wrote an error each: the log of an outage was of nothing else."""
    database = f"sqlite:///{tmp_path / 'postern.db'}"
    with running(settings_for(tmp_path, database)) as api:
        capsys.readouterr()
        asked = ("info", "request", None)
        assert probe(api) == {503}
        # Nothing is read of what is revoked either until the worker starts.
        assert lines(capsys) == [("warning", "not ready", ["database", "revocations"]), asked, asked]
        upgrade(database)
        assert probe(api) == {503}
        assert lines(capsys) == [("warning", "not ready", ["revocations"]), asked, asked]
        api.app.extensions["postern"].start()
        assert probe(api) == {200}
        assert lines(capsys) == [("info", "ready again", None), asked, asked]
        api.app.extensions["postern"].drain.has_begun = True
        assert probe(api) == {503}
        assert lines(capsys) == [("info", "not ready: it is about to stop", ["drain"]), asked, asked]


def test_readyz_when_it_breaks_then_that_is_an_error(
    tmp_path: Path, migrated: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Only its own 503 is an answer as any other."""

    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("app.web.health._keys", broken)
    with running(settings_for(tmp_path, migrated)) as api:
        capsys.readouterr()
        assert probe(api, 1) == {500}
    assert ("error", "request", None) in lines(capsys)
