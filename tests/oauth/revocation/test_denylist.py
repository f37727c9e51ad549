"""The watch: what it knows, when it looks, and that nothing ends it: neither an error, nor a fork, nor an outage."""

import gc
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.commands.db import upgrade
from app.db import Database
from app.oauth.revocation.entry import of_key
from app.oauth.revocation.rules import NOTHING_REVOKED, Denylist
from app.oauth.revocation.watch import DenylistWatch, RevocationsUnavailable, Snapshot
from app.stores.revocations import Revocations
from tests.support.gateway import Gateway
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30.0
NOW = 1_800_000_000
LIST = Denylist(keys=frozenset({"kid"}))


class Memory:
    """A store in memory whose every call the test decides."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(0, NOTHING_REVOKED)
        self.fault: BaseException | None = None
        self.drop_fault: Exception | None = None
        self.ended = 0
        self.asked: list[int | None] = []
        self.drops = 0
        self.forgotten = self.closed = 0
        self.before: Callable[[], None] = lambda: None

    def newer_than(self, version: int | None, *, now: float) -> Snapshot | None:
        assert now == NOW or abs(now - time.time()) < PATIENCE_SECONDS
        self.asked.append(version)
        self.before()
        if self.fault is not None:
            raise self.fault
        return None if version == self.snapshot.version else self.snapshot

    def drop_ended(self, *, now: float) -> int:
        assert now == NOW or abs(now - time.time()) < PATIENCE_SECONDS
        self.drops += 1
        if self.drop_fault is not None:
            raise self.drop_fault
        return self.ended

    def forget_connections(self) -> None:
        self.forgotten += 1

    def close(self) -> None:
        self.closed += 1


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(store: Memory, clock: Clock) -> DenylistWatch:
    """A watch that nobody started."""
    return DenylistWatch(store, clock=clock, now=lambda: NOW)


@pytest.fixture
def start() -> Iterator[Callable[[DenylistWatch], DenylistWatch]]:
    """Start watches, and stop them whatever the test does."""
    started: list[DenylistWatch] = []

    def begin(watch: DenylistWatch) -> DenylistWatch:
        started.append(watch)
        watch.start()
        return watch

    yield begin
    for watch in started:
        watch.stop()


def quick(store: Memory) -> DenylistWatch:
    return DenylistWatch(store, interval_seconds=0.01)


def watchers() -> int:
    return sum(thread.name == "postern-denylist" for thread in threading.enumerate())


# Without a thread


def test_current_when_never_started_then_looks_itself_every_2_s(watch: DenylistWatch, store: Memory, clock: Clock):
    """T24: "seen by every worker within 5 s", also by a process that never called start()."""
    assert watch.current() is NOTHING_REVOKED
    assert watch.current() is NOTHING_REVOKED
    assert store.asked == [None]
    store.snapshot = Snapshot(1, LIST)
    clock.seconds += 1.9
    assert watch.current() is NOTHING_REVOKED
    clock.seconds += 0.1
    assert watch.current() is LIST
    assert store.asked == [None, 0]


def test_current_when_another_request_looks_then_does_not_wait_for_it(
    watch: DenylistWatch, store: Memory, clock: Clock
):
    watch.current()
    clock.seconds += 5
    reached, released = threading.Event(), threading.Event()
    store.before = lambda: (reached.set(), released.wait(PATIENCE_SECONDS))
    store.snapshot = Snapshot(1, LIST)
    with ThreadPoolExecutor(1) as other:
        looking = other.submit(watch.current)
        assert reached.wait(PATIENCE_SECONDS)
        clock.seconds += 5
        assert watch.current() is NOTHING_REVOKED
        released.set()
        assert looking.result(PATIENCE_SECONDS) is LIST


def test_current_when_nothing_was_ever_read_then_all_wait_for_the_first_look(watch: DenylistWatch, store: Memory):
    store.snapshot = Snapshot(1, LIST)
    barrier = threading.Barrier(16)

    def ask() -> Denylist:
        barrier.wait(PATIENCE_SECONDS)
        return watch.current()

    with ThreadPoolExecutor(16) as threads:
        found = [asked.result(PATIENCE_SECONDS) for asked in [threads.submit(ask) for _ in range(16)]]
    assert all(one is LIST for one in found)
    assert store.asked == [None]


def test_current_when_a_look_ended_while_it_waited_then_does_not_look_again(store: Memory):
    asked = threading.Event()

    def clock() -> float:
        if threading.current_thread() is not threading.main_thread():
            asked.set()
        return 100.0

    watch = DenylistWatch(store, clock=clock, now=lambda: NOW)
    store.snapshot = Snapshot(1, LIST)
    with ThreadPoolExecutor(1) as other:
        with watch._turn:
            waiting = other.submit(watch.current)
            assert asked.wait(PATIENCE_SECONDS)
            time.sleep(0.1)
            watch._look()
        assert waiting.result(PATIENCE_SECONDS) is LIST
    assert store.asked == [None]


def test_stop_when_never_started_then_what_is_held_serves_and_the_store_is_closed(
    watch: DenylistWatch, store: Memory, clock: Clock
):
    store.snapshot = Snapshot(1, LIST)
    watch.current()
    watch.stop()
    clock.seconds += 100
    assert watch.current() is LIST
    assert (store.closed, len(store.asked)) == (1, 1)


# An outage


@pytest.mark.parametrize("fault", [RevocationsUnavailable("gone"), ZeroDivisionError("a bug")])
def test_look_when_the_store_is_down_then_what_is_known_stays_and_the_log_tells_beginning_and_end_once(
    watch: DenylistWatch, store: Memory, clock: Clock, caplog: pytest.LogCaptureFixture, fault: Exception
):
    """T24: the API goes on with what it knows."""
    caplog.set_level(logging.INFO)
    store.snapshot = Snapshot(1, LIST)
    watch.look()
    store.fault = fault
    for _ in range(3):
        clock.seconds += 2
        watch.look()
    assert watch.current() is LIST
    state = watch.state()
    assert (state.ever_loaded, state.age_seconds) == (True, 6)
    assert state.error in {"gone", "unexpected ZeroDivisionError"}
    assert [record.getMessage() for record in caplog.records] == [
        f"the revocations cannot be read: {state.error}; the API goes on with what it knows"
    ]
    store.fault = None
    store.snapshot = Snapshot(2, NOTHING_REVOKED)
    watch.look()
    watch.look()
    assert watch.current() is NOTHING_REVOKED
    assert [record.getMessage() for record in caplog.records][1:] == [
        "the revocations can be read again, after 3 failed looks"
    ]
    assert watch.state().error is None


def test_state_when_nothing_could_ever_be_read_then_says_so(watch: DenylistWatch, store: Memory):
    store.fault = RevocationsUnavailable("gone")
    state = watch.state()
    assert (state.ever_loaded, state.age_seconds, state.error) == (False, None, "gone")


def test_state_when_a_look_hangs_then_told_by_its_age(store: Memory, clock: Clock):
    """A look that hangs raises nothing: /readyz tells it all the same."""
    watch = DenylistWatch(store, clock=clock)
    watch.look()
    reached, released = threading.Event(), threading.Event()
    store.before = lambda: (reached.set(), released.wait(PATIENCE_SECONDS))
    with ThreadPoolExecutor(1) as other:
        clock.seconds += 2
        looking = other.submit(watch.look)
        assert reached.wait(PATIENCE_SECONDS)
        clock.seconds += 5
        assert watch.state().error is None
        clock.seconds += 0.1
        assert watch.state().error == "the store does not answer"
        released.set()
        looking.result(PATIENCE_SECONDS)


# With its thread


def test_start_looks_at_once_and_then_again_and_again(store: Memory, start):
    """T24: no request is needed for it."""
    store.snapshot = Snapshot(1, LIST)
    watch = start(quick(store))
    assert watch.current() is LIST
    store.snapshot = Snapshot(2, NOTHING_REVOKED)
    wait_until(lambda: watch.current() is NOTHING_REVOKED)
    assert store.asked[0] is None
    assert watchers() == 1
    watch.start()
    assert watchers() == 1
    watch.stop()
    assert watchers() == 0


def test_current_when_started_then_takes_no_lock_and_waits_for_no_look(store: Memory, start):
    """T24: no lock and no I/O on a request's path, whatever the store does."""
    watch = start(quick(store))
    reached, released = threading.Event(), threading.Event()
    store.before = lambda: (reached.set(), released.wait(PATIENCE_SECONDS))
    assert reached.wait(PATIENCE_SECONDS)
    with watch._lock, ThreadPoolExecutor(1) as other:
        assert watch._turn.locked()
        assert other.submit(watch.current).result(PATIENCE_SECONDS) is NOTHING_REVOKED
        assert other.submit(watch.state).result(PATIENCE_SECONDS).ever_loaded
    released.set()


def test_the_thread_survives_every_error(store: Memory, start, monkeypatch, caplog: pytest.LogCaptureFixture):
    watch = start(quick(store))
    for fault in (RevocationsUnavailable("gone"), RuntimeError("a bug"), KeyError(), RecursionError(), MemoryError()):
        store.fault = fault
        count = len(store.asked)
        wait_until(lambda count=count: len(store.asked) > count + 1)
    store.fault = None
    broken = threading.Event()
    look = watch.look

    def break_once() -> None:
        monkeypatch.setattr(watch, "look", look)
        broken.set()
        raise ZeroDivisionError

    monkeypatch.setattr(watch, "look", break_once)
    assert broken.wait(PATIENCE_SECONDS)
    store.snapshot = Snapshot(9, LIST)
    wait_until(lambda: watch.current() is LIST)
    assert "goes on after an error" in caplog.text


def test_tidy_when_an_hour_has_passed_then_ended_entries_are_dropped(
    watch: DenylistWatch, store: Memory, clock: Clock, caplog: pytest.LogCaptureFixture
):
    """T24: entries leave the table by themselves, once an hour and at the start."""
    caplog.set_level(logging.INFO)
    watch._tidy()
    clock.seconds += 3599
    watch._tidy()
    assert (store.drops, caplog.text) == (1, "")
    clock.seconds += 1
    store.ended = 7
    watch._tidy()
    assert "7 revocations have ended" in caplog.text
    clock.seconds += 3600
    store.drop_fault = RevocationsUnavailable("the server takes no writes")
    watch._tidy()
    assert "stay for now: the server takes no writes" in caplog.text
    clock.seconds += 3600
    store.fault = RevocationsUnavailable("gone")
    watch.look()
    watch._tidy()
    assert store.drops == 3


# A real database


def test_watch_when_the_database_goes_and_comes_back_then_knows_what_was_revoked_meanwhile(postgresql_url, start):
    """T24: "seen by every worker within 5 s", as soon as the database answers again."""
    upgrade(postgresql_url)
    database = Database(postgresql_url)
    revocations = Revocations(database)
    with Gateway(postgresql_url) as gateway:
        watch = start(DenylistWatch(Revocations.for_watch(gateway.url), interval_seconds=0.05))
        revocations.add(of_key("first"), at=datetime.now(UTC))
        wait_until(lambda: watch.current().keys == {"first"})
        gateway.close()
        wait_until(lambda: watch.state().error is not None)
        revocations.add(of_key("second"), at=datetime.now(UTC))
        assert watch.current().keys == {"first"}
        assert watch.state().ever_loaded
        gateway.open()
        wait_until(lambda: watch.current().keys == {"first", "second"})
        assert watch.state().error is None
        watch.stop()
    database.dispose()


def test_watch_when_the_database_hangs_and_goes_on_then_so_does_the_watch(postgresql_url, start):
    upgrade(postgresql_url)
    database = Database(postgresql_url)
    with Gateway(postgresql_url) as gateway:
        watch = start(DenylistWatch(Revocations.for_watch(gateway.url), interval_seconds=0.05))
        gateway.hang()
        Revocations(database).add(of_key("kid"), at=datetime.now(UTC))
        assert watch.current() is NOTHING_REVOKED
        gateway.flow()
        wait_until(lambda: watch.current().keys == {"kid"})
        watch.stop()
    database.dispose()


# Forks

FORKING = """
import os, sys, threading, warnings
from datetime import UTC, datetime
from app.db import Database
from app.oauth.revocation.watch import DenylistWatch
from app.oauth.revocation.entry import of_key
from app.stores.revocations import Revocations

# From 3.12 on, Python warns of every fork beside threads: that it goes well all the same is what is tested here.
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
url, scene = sys.argv[1:]
watch = DenylistWatch(Revocations.for_watch(url), interval_seconds=0.05)
if scene != "unstarted":
    watch.start()
else:
    watch.current()
if scene == "locks-held":
    held = threading.Event()
    def hold():
        with watch._lock, watch._turn:
            held.set()
            threading.Event().wait()
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
child = os.fork()
if child == 0:
    code = 1
    try:
        if scene == "naive":
            # What the hook undoes: the child believes that its parent's thread looks.
            watch._is_unattended = False
        if scene == "start-again":
            watch.start()
        database = Database(url)
        Revocations(database).add(of_key("kid"), at=datetime.now(UTC))
        wait = threading.Event()
        for _ in range(200 if scene == "naive" else 3000):
            if watch.current().keys:
                code = 0
                break
            wait.wait(0.01)
        names = [thread.name for thread in threading.enumerate()].count("postern-denylist")
        assert names == (0 if scene in {"naive", "unstarted"} else 1), names
    finally:
        os._exit(code)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if scene not in {"locks-held", "naive"}:
    # The parent's own connection was not shared: it goes on.
    wait = threading.Event()
    while not watch.current().keys:
        wait.wait(0.01)
    watch.stop()
sys.stdout.flush()
os._exit(code)
"""


def fork(url: str, scene: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING, url, scene],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("scene", ["started", "unstarted", "locks-held", "start-again"])
def test_a_forked_child_watches_for_itself(postgresql_url, scene: str):
    """K9: "Fork-safe […]; a forked child […] starts its own refresher.", and leaves the parent's connection alone."""
    upgrade(postgresql_url)
    assert fork(postgresql_url, scene) == (0, "")


def test_a_forked_child_without_the_hook_never_learns_of_a_revocation(postgresql_url):
    """The control of the test above."""
    upgrade(postgresql_url)
    assert fork(postgresql_url, "naive") == (1, "")


def test_the_fork_hook_gives_the_child_its_own_locks_and_thread(store: Memory, start, monkeypatch):
    """K9, step by step in one process: what runs in a child between the fork and its first request."""
    hooks: list[Callable[[], None]] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "register_at_fork", lambda *, after_in_child: hooks.append(after_in_child))
        watch = start(quick(store))
    parents_thread, parents_wake = watch._thread, watch._wake
    with watch._lock, watch._turn:
        hooks[0]()
        assert not watch._lock.locked()
        assert not watch._turn.locked()
    assert (watch._thread, store.forgotten) == (None, 1)
    with ThreadPoolExecutor(8) as threads:
        for used in [threads.submit(watch.current) for _ in range(64)]:
            used.result(PATIENCE_SECONDS)
    assert watchers() == 2
    watch.stop()
    # The parent's thread, which a real child would not have, sees that it is over.
    parents_wake.set()
    parents_thread.join()
    hooks[0]()
    assert watch.current() is NOTHING_REVOKED
    assert watchers() == 0


def test_the_fork_hook_of_a_collected_watch_does_nothing(monkeypatch, store: Memory):
    hooks: list[Callable[[], None]] = []
    monkeypatch.setattr(os, "register_at_fork", lambda *, after_in_child: hooks.append(after_in_child))
    watch = quick(store)
    alive = weakref.ref(watch)
    del watch
    gc.collect()
    assert alive() is None
    hooks[0]()
    assert store.forgotten == 0
