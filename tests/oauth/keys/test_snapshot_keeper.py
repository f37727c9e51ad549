"""The copy as one process keeps it: written behind everybody's back, told once when that does not work."""

import logging
import threading
from pathlib import Path

import pytest

import app.oauth.keys.snapshot_keeper as room
from app.oauth.keys.download import Download
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.snapshot import KeySnapshot, Snapshot
from app.oauth.keys.snapshot_keeper import SnapshotKeeper
from tests.support.tokens import ISSUER, key_set, rsa_key
from tests.support.waiting import wait_until

NOW = 1_800_000_000.0
PATIENCE_SECONDS = 30.0


def download_of(kid: str = "rsa-1") -> Download:
    document = key_set(rsa_key(kid))
    return Download(parse_key_set(document, ("RS256",)), 15, None, document)


@pytest.fixture
def file(tmp_path: Path) -> KeySnapshot:
    return KeySnapshot(tmp_path / "keys", ISSUER, ("RS256",))


@pytest.fixture
def keeper(file: KeySnapshot) -> SnapshotKeeper:
    return SnapshotKeeper(file, wall=lambda: NOW)


def kept(file: KeySnapshot) -> tuple[tuple[str, ...], float]:
    snapshot = file.read(now=NOW)
    assert snapshot is not None
    return snapshot.download.keys.kids(), snapshot.begun_at


class SlowDisk:
    """Holds every write up until it is let go on, and counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.let_go, self.writes = threading.Event(), threading.Event(), 0
        write = KeySnapshot.write

        def slowly(file: KeySnapshot, snapshot: Snapshot, *, now: float) -> bool:
            self.writes += 1
            self.reached.set()
            self.let_go.wait(PATIENCE_SECONDS)
            return write(file, snapshot, now=now)

        monkeypatch.setattr(KeySnapshot, "write", slowly)


def test_keeper_when_nothing_is_there_tells_nothing(keeper: SnapshotKeeper, caplog: pytest.LogCaptureFixture):
    keeper.finish()
    assert keeper.load() is None
    assert keeper.age_seconds() is None
    assert caplog.records == []


def test_offer_writes_and_load_reads_with_the_age_of_the_fetch(file: KeySnapshot, keeper: SnapshotKeeper):
    """K8: the bound is "counted from the original fetch", so the wall-clock time of its beginning is kept."""
    keeper.offer(download_of(), 2.5)
    keeper.finish()
    assert kept(file) == (("rsa-1",), NOW - 2.5)
    assert keeper.age_seconds() == 2.5
    later = SnapshotKeeper(file, wall=lambda: NOW + 100.0)
    assert later.age_seconds() is None
    copied = later.load()
    assert copied is not None
    assert copied[1] == 102.5
    assert later.age_seconds() == 102.5


def test_load_when_the_copy_is_from_a_moment_ahead_counts_it_as_new(file: KeySnapshot, keeper: SnapshotKeeper):
    keeper.offer(download_of(), -20.0)
    keeper.finish()
    copied = keeper.load()
    assert copied is not None
    assert copied[1] == 0.0


def test_load_when_the_copy_cannot_be_believed_warns_once(
    file: KeySnapshot, keeper: SnapshotKeeper, caplog: pytest.LogCaptureFixture
):
    keeper.offer(download_of(), 0.0)
    keeper.finish()
    file.path.chmod(0o666)
    assert keeper.load() is None
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage() == (
        f"the copy of the keys of {ISSUER} is ignored: others_may_write: the file has mode 666"
    )


def test_load_when_an_error_is_unexpected_goes_on_without_the_copy(
    keeper: SnapshotKeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """K8 is there to help a start, and must never be what prevents one."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(KeySnapshot, "read", broken)
    assert keeper.load() is None
    assert "ignored after an unexpected error" in caplog.text


def test_offer_when_the_disk_is_slow_returns_at_once_and_writes_only_the_newest_of_those_that_wait(
    file: KeySnapshot, keeper: SnapshotKeeper, monkeypatch: pytest.MonkeyPatch
):
    """K8: the write delays neither a request nor the next fetch, and a hanging disk piles nothing up."""
    disk = SlowDisk(monkeypatch)
    keeper.offer(download_of("first"), 50.0)
    assert disk.reached.wait(PATIENCE_SECONDS)
    for number in range(40):
        keeper.offer(download_of("second"), 49.0 - number)
    assert sum(thread.name == "postern-snapshot" for thread in threading.enumerate()) == 1
    disk.let_go.set()
    keeper.finish()
    assert kept(file) == (("second",), NOW - 10.0)
    assert disk.writes == 2


def test_finish_when_the_disk_hangs_does_not_wait_for_it(keeper: SnapshotKeeper, monkeypatch: pytest.MonkeyPatch):
    """A worker can be stopped all the same."""
    disk = SlowDisk(monkeypatch)
    monkeypatch.setattr(room, "_FINISH_SECONDS", 0.01)
    keeper.offer(download_of(), 0.0)
    assert disk.reached.wait(PATIENCE_SECONDS)
    keeper.finish()
    assert not disk.let_go.is_set()
    disk.let_go.set()
    wait_until(lambda: keeper.age_seconds() is not None)


def test_offer_when_the_folder_cannot_be_written_warns_once_for_the_outage(
    file: KeySnapshot, keeper: SnapshotKeeper, caplog: pytest.LogCaptureFixture
):
    """K8: "An unwritable folder: one warning for the outage, never a failure of a fetch"."""
    file.directory.write_text("a file stands where the folder should")
    for _ in range(3):
        keeper.offer(download_of(), 0.0)
        keeper.finish()
    assert keeper.age_seconds() is None
    file.directory.unlink()
    for _ in range(2):
        keeper.offer(download_of(), 0.0)
        keeper.finish()
    start, end = [record.getMessage() for record in caplog.records]
    assert start == f"the keys of {ISSUER} cannot be kept on disk: unwritable: FileExistsError"
    assert end == f"the keys of {ISSUER} can be kept on disk again"
    assert kept(file) == (("rsa-1",), NOW)


def test_offer_when_an_error_is_unexpected_logs_it_and_writes_the_next(
    file: KeySnapshot, keeper: SnapshotKeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object, **__: object) -> bool:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(KeySnapshot, "write", broken)
        keeper.offer(download_of(), 0.0)
        keeper.finish()
    assert "unexpected: ZeroDivisionError" in caplog.text
    keeper.offer(download_of(), 0.0)
    keeper.finish()
    assert kept(file) == (("rsa-1",), NOW)


def test_offer_when_no_thread_can_be_had_warns_and_goes_on(
    file: KeySnapshot, keeper: SnapshotKeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        keeper.offer(download_of(), 0.0)
    assert f"the keys of {ISSUER} cannot be kept on disk: no_thread" in caplog.text
    keeper.offer(download_of(), 0.0)
    keeper.finish()
    assert kept(file) == (("rsa-1",), NOW)


def test_keeper_when_forked_within_a_write_writes_with_a_thread_of_its_own(
    file: KeySnapshot, keeper: SnapshotKeeper, monkeypatch: pytest.MonkeyPatch
):
    """K9: the parent's thread is not in the child, and a lock that it held would never be given back."""
    disk = SlowDisk(monkeypatch)
    keeper.offer(download_of("parents"), 2.0)
    assert disk.reached.wait(PATIENCE_SECONDS)
    parents = keeper._writer
    with keeper._lock:
        keeper.belong_to_this_process()
        keeper.offer(download_of("childs"), 1.0)
    childs = keeper._writer
    disk.let_go.set()
    for writer in (parents, childs):
        assert writer is not None
        writer.join(PATIENCE_SECONDS)
    assert parents is not childs
    assert kept(file) == (("childs",), NOW - 1.0)
