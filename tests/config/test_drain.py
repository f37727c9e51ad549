"""What SIGTERM means to a worker: a drain where everything stops, none where a successor serves."""

import threading

from config import drain
from config.drain import Drain


def begun(of: Drain) -> threading.Event:
    stopped = threading.Event()
    of.begin(stopped.set)
    return stopped


def test_drain_when_all_stops_then_the_worker_goes_on_for_a_while():
    worker = Drain(0.2)
    stopped = begun(worker)
    assert worker.has_begun
    assert not stopped.is_set()
    assert stopped.wait(30)


def test_drain_when_a_reload_has_begun_since_then_the_worker_stops_at_once():
    worker = Drain(60)
    drain.reload_begun()
    assert begun(worker).is_set()
    assert not worker.has_begun


def test_drain_when_all_stops_soon_after_a_reload_then_the_successor_drains_too():
    """For a minute after a reload SIGTERM was taken for another one: requests failed."""
    drain.reload_begun()
    worker = Drain(0.2)
    stopped = begun(worker)
    assert worker.has_begun
    assert not stopped.is_set()
    assert stopped.wait(30)


def test_drain_when_it_has_begun_then_a_second_signal_changes_nothing():
    worker = Drain(0.2)
    begun(worker)
    assert not begun(worker).wait(0.5)


def test_drain_when_there_is_none_then_the_worker_stops_at_once():
    assert begun(Drain(0)).is_set()
