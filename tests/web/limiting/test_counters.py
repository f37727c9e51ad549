"""Counts are exact whatever threads do, and do not grow for ever: in this process and in a real Valkey."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import valkey

from app.web.limiting.counters import MAX_KEYS, Counters, CountersState, ProcessCounters
from app.web.limiting.limiter import Limiter
from app.web.limiting.shared_counters import SharedCounters

THREADS, EACH, LIMIT = 8, 40, 100
NOW = 1_800_000_000.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class NaiveCounters(ProcessCounters):
    """Reads and writes without a lock, as a dictionary invites to."""

    def add(self, key: str) -> int:
        count = self._young.get(key, 0)
        time.sleep(0)
        self._young[key] = count + 1
        return count + 1


class NaiveSharedCounters(SharedCounters):
    """Reads and writes in two commands."""

    def add(self, key: str) -> int:
        client = valkey.Valkey(connection_pool=self._pool)
        count = int(client.get(key) or 0)
        client.set(key, count + 1)
        return count + 1


def let_through(*workers: Counters) -> int:
    """How many of many simultaneous requests of one user pass a limit that several workers share."""
    limiters = [Limiter(worker, requests=LIMIT, writes=0, failures=0, realm="x") for worker in workers]
    start, passed = threading.Barrier(THREADS), [0] * THREADS

    def ask(number: int) -> None:
        limiter = limiters[number % len(limiters)]
        start.wait(30)
        for _ in range(EACH):
            standing = limiter.request("ada", is_write=False, now=NOW)
            passed[number] += standing is not None and standing.exceeded is None

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(passed)


@pytest.fixture
def shared(valkey_url: str) -> Iterator[Callable[..., SharedCounters]]:
    opened: list[SharedCounters] = []

    def make(cls: type[SharedCounters] = SharedCounters) -> SharedCounters:
        # Patient: what is asked here is whether the count is exact, not what happens on a busy machine.
        opened.append(cls(valkey_url, timeout_seconds=20))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_counters_when_threads_race_then_exactly_the_limit_is_let_through():
    """§5; the naive counters beside it let more through: this test would see it."""
    assert let_through(ProcessCounters()) == LIMIT
    assert let_through(NaiveCounters()) > LIMIT


def test_counters_when_threads_race_for_new_names_then_none_is_counted_twice(monkeypatch: pytest.MonkeyPatch):
    """The first count of a name looks at more than one place: without the lock some of these are lost."""
    counters, start, names = ProcessCounters(), threading.Barrier(THREADS), [f"user {n}" for n in range(2000)]
    monkeypatch.setattr(counters, "_clock", lambda: time.sleep(0) or 0.0)

    def ask() -> None:
        start.wait(30)
        for name in names:
            counters.add(name)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {counters.add(name) for name in names} == {THREADS + 1}


def test_shared_counters_when_workers_race_then_exactly_the_limit_is_let_through(
    shared: Callable[..., SharedCounters],
):
    """§5: workers and hosts share the count; the naive counters beside it let more through."""
    assert let_through(shared(), shared()) == LIMIT
    assert let_through(shared(NaiveSharedCounters), shared(NaiveSharedCounters)) > LIMIT


def test_shared_counters_when_a_window_is_over_then_the_store_forgets_it(valkey_url: str):
    with closing(SharedCounters(valkey_url)) as counters, valkey.Valkey.from_url(valkey_url) as client:
        assert [counters.add("a"), counters.add("a"), counters.add("b")] == [1, 2, 1]
        keys = client.keys()
        assert len(keys) == 2
        assert all(0 < client.ttl(key) <= 60 for key in keys)


def test_counters_when_a_window_lasts_then_nothing_of_it_is_forgotten():
    clock = Clock()
    counters = ProcessCounters(clock=clock)
    clock.now += 59
    assert counters.add("ada") == 1
    clock.now += 59.9
    assert counters.add("ada") == 2


def test_counters_when_nobody_comes_again_then_the_count_goes():
    clock = Clock()
    counters = ProcessCounters(clock=clock)
    for minute in range(10):
        for user in range(100):
            counters.add(f"{minute}:{user}")
        clock.now += 60
    assert len(counters) == 200


def test_counters_when_made_up_names_flood_them_then_they_stay_small_and_know_the_busy():
    """Past the bound whoever comes seldom is forgotten; who is at work stays counted."""
    counters = ProcessCounters(max_keys=100, clock=Clock())
    for number in range(5000):
        counters.add(f"made up {number}")
        if number % 50 == 0:
            last = counters.add("busy")
    assert len(counters) <= 200
    assert last == 100
    assert MAX_KEYS >= 10_000


def test_counters_when_asked_then_they_say_that_they_are_of_one_process():
    counters = ProcessCounters()
    counters.close()
    assert counters.state() == CountersState(shared=False, error=None)
