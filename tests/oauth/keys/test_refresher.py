"""The background thread: begun once, woken, ended, and never ended by an error."""

import threading
from collections.abc import Iterator

import pytest

from app.oauth.keys.refresher import Refresher

PATIENCE_SECONDS = 30.0


class Work:
    """What is refreshed: due at once for so many times, then not for an hour."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self.error = error
        self.done = 0
        self.finished = threading.Event()

    def refresh(self) -> None:
        self.done += 1
        self.left -= 1
        if self.left == 0:
            self.finished.set()
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def due_in_seconds(self) -> float:
        return 0.0 if self.left else 3600.0


@pytest.fixture
def refreshers() -> Iterator[list[Refresher]]:
    begun: list[Refresher] = []
    yield begun
    for refresher in begun:
        refresher.stop()


def test_refresher_when_an_error_comes_goes_on(refreshers: list[Refresher], caplog: pytest.LogCaptureFixture):
    """K4: a dead refresher would be noticed when the keys are too old."""
    work = Work(2, ZeroDivisionError())
    refreshers.append(refresher := Refresher(work.refresh, work.due_in_seconds, "https://tenant.example/"))
    assert refresher.claim()
    refresher.spawn()
    assert work.finished.wait(PATIENCE_SECONDS)
    assert work.done == 2
    assert "the refresh of the keys of https://tenant.example/ goes on after an error" in caplog.text


def test_refresher_when_woken_looks_anew(refreshers: list[Refresher]):
    """K4: a fetch may have brought a shorter lifetime than it sleeps for."""
    work = Work(1)
    refreshers.append(refresher := Refresher(work.refresh, work.due_in_seconds, "x"))
    refresher.claim()
    refresher.spawn()
    assert work.finished.wait(PATIENCE_SECONDS)
    work.finished.clear()
    work.left = 1
    refresher.wake()
    assert work.finished.wait(PATIENCE_SECONDS)
    assert work.done == 2


def test_claim_when_it_runs_already_is_refused(refreshers: list[Refresher]):
    refresher = Refresher(lambda: None, lambda: 3600.0, "x")
    assert [refresher.claim(), refresher.claim()] == [True, False]
    refresher.stop()
    assert refresher.claim()
