"""Lines of requests are written a moment later and together; nothing is lost, mixed up or written twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from config import lines
from config.lines import Lines
from tests.support.waiting import wait_until


class Written:
    """Standard error that remembers each write, and can be made to wait or to fail."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.fault: Exception | None = None

    def write(self, text: str) -> None:
        self.may_go_on.wait(10)
        if self.fault is not None:
            raise self.fault
        self.writes.append(text)

    def flush(self) -> None:
        pass


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    found = Written()
    # Of this room alone: pytest puts its own back between a fixture and the test.
    monkeypatch.setattr(lines, "sys", SimpleNamespace(stderr=found))
    return found


@pytest.fixture
def gathering() -> Iterator[Lines]:
    found = Lines()
    found.gather()
    yield found
    found.no_longer_gather()


def test_line_when_nothing_gathers_then_written_at_once(written: Written):
    found = Lines()
    found.later("one\n")
    assert written.writes == ["one\n"]
    found.gather()
    found.no_longer_gather()
    found.later("two\n")
    assert written.writes == ["one\n", "two\n"]


def test_lines_when_they_are_gathered_then_written_together(written: Written, gathering: Lines):
    expected = "".join(f"{number}\n" for number in range(100))
    for number in range(100):
        gathering.later(f"{number}\n")
    wait_until(lambda: "".join(written.writes) == expected)
    assert len(written.writes) < 20


def test_line_when_it_is_urgent_then_at_once_and_after_what_was_gathered(
    written: Written, gathering: Lines, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lines, "PAUSE_SECONDS", 5)
    # The thread is in its pause, of either length, when the next two come.
    gathering.later("one\n")
    gathering.later("two\n")
    gathering.write("three\n")
    assert "".join(written.writes) == "one\ntwo\nthree\n"
    monkeypatch.undo()


def test_lines_when_many_threads_write_both_ways_then_each_once_and_whole(written: Written, gathering: Lines):
    def write(thread: int) -> None:
        for number in range(500):
            tell = gathering.write if number % 50 == 0 else gathering.later
            tell(f"{thread} {number}\n")

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gathering.no_longer_gather()
    found = "".join(written.writes).splitlines()
    assert sorted(found) == sorted(f"{thread} {number}" for thread in range(8) for number in range(500))
    # Of one thread they are in their order.
    assert [line for line in found if line.startswith("3 ")] == [f"3 {number}" for number in range(500)]


def test_lines_when_nobody_takes_them_then_so_many_are_kept_and_then_requests_wait(
    written: Written, gathering: Lines, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lines, "MAX_GATHERED", 3)
    written.may_go_on.clear()
    done = threading.Event()

    def tell() -> None:
        for number in range(50):
            gathering.later(f"{number}\n")
        done.set()

    threading.Thread(target=tell).start()
    assert not done.wait(0.3)
    written.may_go_on.set()
    assert done.wait(10)
    gathering.no_longer_gather()
    assert "".join(written.writes) == "".join(f"{number}\n" for number in range(50))


def test_line_when_it_is_urgent_and_nobody_takes_it_then_one_thread_waits_and_no_other(
    written: Written, gathering: Lines, monkeypatch: pytest.MonkeyPatch
):
    """A warning of each thread would stop the API; the one that writes waits for all."""
    monkeypatch.setattr(lines, "PATIENCE_SECONDS", 0.05)
    written.may_go_on.clear()
    held = threading.Thread(target=gathering.write, args=("first\n",))
    held.start()
    wait_until(lambda: gathering._is_writing)
    for number in range(5):
        gathering.write(f"{number}\n")
    gathering.no_longer_gather()
    assert written.writes == []
    written.may_go_on.set()
    held.join(10)
    assert "".join(written.writes) == "first\n0\n1\n2\n3\n4\n"


def test_line_when_it_was_left_at_the_last_moment_then_the_thread_writes_it(written: Written, gathering: Lines):
    """Whoever wrote has looked for the last time: without a word to the thread it would wait for the next line."""
    gathering._leave("left\n")
    wait_until(lambda: written.writes == ["left\n"])


def test_line_when_it_comes_in_the_midst_of_another_then_after_it(written: Written, monkeypatch: pytest.MonkeyPatch):
    """A finaliser that logs, or a signal: the stream itself would refuse it."""
    found, write = Lines(), written.write

    def write_and_finalise(text: str) -> None:
        if text == "outer\n":
            found.write("inner\n")
        write(text)

    monkeypatch.setattr(written, "write", write_and_finalise)
    found.write("outer\n")
    assert written.writes == ["outer\n", "inner\n"]


FAULTS = [OSError(28, "No space left on device"), ValueError("I/O operation on closed file"), RuntimeError("reentrant")]


@pytest.mark.parametrize("fault", FAULTS)
def test_line_when_it_cannot_be_written_then_the_request_does_not_hear_of_it(
    written: Written, gathering: Lines, fault: Exception
):
    written.fault = fault
    gathering.write("lost\n")
    gathering.later("lost too\n")
    time.sleep(3 * lines.PAUSE_SECONDS)
    written.fault = None
    gathering.later("one\n")
    wait_until(lambda: written.writes == ["one\n"])


def test_lines_when_the_process_ends_or_is_told_to_then_none_is_left(tmp_path: Path):
    """SIGTERM is answered as gunicorn does it: by SystemExit; and a fork writes nothing that its parent has."""
    program = """
import os, signal, sys
from config.lines import LINES
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
LINES.gather()
for number in range(100):
    LINES.later(f"{number}\\n")
if os.fork() == 0:
    LINES.later("child\\n")
    os._exit(0)
os.wait()
if sys.argv[1] == "told":
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
"""
    for way in ("ends", "told"):
        with (tmp_path / way).open("wb") as log:
            assert subprocess.run([sys.executable, "-c", program, way], stderr=log, check=False).returncode == 0
        found = (tmp_path / way).read_text().splitlines()
        assert sorted(found) == sorted([*(str(number) for number in range(100)), "child"])


def test_line_when_a_signal_comes_while_one_is_written_then_no_deadlock(written: Written):
    found = Lines()
    before = signal.signal(signal.SIGUSR2, lambda *_: found.write("of the signal\n"))
    try:
        written.may_go_on.clear()
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR2)).start()
        threading.Timer(0.3, written.may_go_on.set).start()
        found.write("of the thread\n")
        wait_until(lambda: len(written.writes) == 2)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_log_when_a_request_is_told_of_then_later_and_a_fault_at_once(written: Written, gathering: Lines, monkeypatch):
    from config import log

    monkeypatch.setattr(log, "LINES", gathering)
    sink = log._Written()
    sink.info('{"event": "request"}')
    sink.error('{"event": "unexpected"}')
    assert [json.loads(line)["event"] for line in "".join(written.writes).splitlines()] == ["request", "unexpected"]
