"""What a traceback in the log must not hold."""

from pathlib import Path

import pytest

from tests.support.api import Api, running, settings_for


def test_log_when_for_people_and_something_breaks_then_no_variable_is_shown(
    tmp_path: Path, migrated: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """T25: never a token; log.py: no room puts a token, a claim's value or a body into the log.

    With rich installed, structlog's own choice printed the variables of every frame: claims, settings, passwords.
    """

    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("app.web.visit.find", broken)
    with running(settings_for(tmp_path, migrated, log_format="console")) as api:
        answer = _get_me(api)
    log = capsys.readouterr().err
    assert (answer, "RuntimeError: boom" in log) == (500, True)
    for secret in ("secret@example.org", "eyJ", api.subject, migrated):
        assert secret not in log


def _get_me(api: Api) -> int:
    token = api.token(email="secret@example.org")
    return api.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code
