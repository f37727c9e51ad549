"""The key cache among threads and processes: a real issuer, real threads, the real clock, real forks."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.oauth.errors import InvalidToken, KeysUnavailable
from app.oauth.keys.cache import CachedKeySource
from app.oauth.keys.download import Download, KeyDownload
from app.oauth.keys.jwks import VerificationKey
from app.oauth.keys.lifetimes import Lifetimes
from tests.support.issuer import DISCOVERY, JWKS, SILENT, Issuer
from tests.support.tokens import rsa_key
from tests.support.waiting import wait_until

OLD, NEW = rsa_key("old"), rsa_key("new")
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30.0


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(OLD) as running:
        yield running


@pytest.fixture
def start() -> Iterator[Callable[[CachedKeySource], CachedKeySource]]:
    """Start sources, and stop them whatever the test does."""
    started: list[CachedKeySource] = []

    def begin(source: CachedKeySource) -> CachedKeySource:
        started.append(source)
        source.start()
        return source

    yield begin
    for source in started:
        source.stop()


def source_of(issuer: Issuer, **lifetimes: float) -> CachedKeySource:
    return CachedKeySource(issuer.url, KeyDownload(issuer.url, ("RS256",)), Lifetimes(**lifetimes))


def short_lived(issuer: Issuer) -> CachedKeySource:
    return source_of(issuer, min_ttl_seconds=0.1, max_ttl_seconds=0.1)


def refreshers() -> int:
    return sum(thread.name == "postern-keys" for thread in threading.enumerate())


class Gate:
    """Holds the issuer's answers back until it is opened."""

    def __init__(self, issuer: Issuer, path: str = JWKS) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        self._path = path
        issuer.on_request = self._pass

    def _pass(self, path: str) -> None:
        if path == self._path:
            self.reached.set()
            self._open.wait(PATIENCE_SECONDS)

    def open(self) -> None:
        self._open.set()


# One fetch at a time


def at_once(find: Callable[[], VerificationKey], count: int = 64) -> list[str | None]:
    """Have so many threads ask at the same moment."""
    barrier = threading.Barrier(count)

    def ask() -> str | None:
        barrier.wait(PATIENCE_SECONDS)
        return find().kid

    with ThreadPoolExecutor(count) as threads:
        return [asked.result() for asked in [threads.submit(ask) for _ in range(count)]]


def test_64_first_requests_at_once_cause_one_fetch(issuer: Issuer):
    """K3: "One fetch at a time per issuer and process"."""
    source = source_of(issuer)
    assert at_once(lambda: source.find("old", "RS256")) == ["old"] * 64
    assert issuer.requests == {DISCOVERY: 1, JWKS: 1}


def test_64_first_requests_at_once_without_the_cache_cause_more_fetches(issuer: Issuer):
    """The control of the test above: the same harness sees it when each request fetches for itself."""
    download = KeyDownload(issuer.url, ("RS256",), timeout_seconds=PATIENCE_SECONDS)
    held: list[Download] = []

    def naive() -> VerificationKey:
        if not held:
            held.append(download())
        key = held[0].keys.find("old", "RS256")
        assert key is not None
        return key

    assert at_once(naive) == ["old"] * 64
    assert issuer.requests[JWKS] > 1


def test_64_sights_of_a_rotated_key_at_once_cause_one_fetch(issuer: Issuer):
    """K7, K3: a rotation is one fetch, however many phones hold the new key's tokens."""
    source = source_of(issuer, cooldown_seconds=0.0)
    source.find("old", "RS256")
    issuer.rotate(OLD, NEW)
    assert at_once(lambda: source.find("new", "RS256")) == ["new"] * 64
    assert issuer.requests == {DISCOVERY: 2, JWKS: 2}


def test_good_requests_during_a_storm_of_made_up_kids_never_fail(issuer: Issuer):
    """K7: "made-up kids neither storm the tenant […]": from many threads, with the real clock."""
    source = source_of(issuer, cooldown_seconds=0.0)
    source.find("old", "RS256")
    outcomes: list[str] = []

    def storm(thread: int) -> None:
        for number in range(250):
            try:
                source.find(f"made-up-{thread}-{number}", "RS256")
            except (InvalidToken, KeysUnavailable) as error:
                outcomes.append(type(error).__name__)
            assert source.find("old", "RS256").kid == "old"

    with ThreadPoolExecutor(8) as threads:
        for stormed in [threads.submit(storm, thread) for thread in range(8)]:
            stormed.result()
    assert len(outcomes) == 2000
    assert set(outcomes) <= {"InvalidToken", "KeysUnavailable"}
    assert issuer.requests[JWKS] - 1 <= 6


# Waiting


def test_a_cache_hit_does_not_wait_for_a_fetch(issuer: Issuer):
    """K3: "A cache hit takes no lock and never waits for a fetch."."""
    source = source_of(issuer)
    key = source.find("old", "RS256")
    gate = Gate(issuer)
    fetching = threading.Thread(target=source._holder.refresh)
    fetching.start()
    assert gate.reached.wait(PATIENCE_SECONDS)
    assert source.find("old", "RS256") is key
    assert source.current().holds(key)
    assert source.state().held
    gate.open()
    fetching.join()
    assert issuer.requests[JWKS] == 2


def test_a_cache_hit_takes_no_lock(issuer: Issuer):
    """K3: the lock is held by somebody else for the whole time."""
    source = source_of(issuer)
    key = source.find("old", "RS256")
    with source._holder.lock, ThreadPoolExecutor(1) as other:
        assert other.submit(source.find, "old", "RS256").result(PATIENCE_SECONDS) is key
        assert other.submit(source.current).result(PATIENCE_SECONDS).holds(key)
        assert other.submit(source.state).result(PATIENCE_SECONDS).held


def test_who_waits_for_a_fetch_waits_with_a_deadline(issuer: Issuer):
    """K3: "whoever must wait for it waits with a deadline"."""
    source = source_of(issuer, wait_seconds=0.1)
    gate = Gate(issuer)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(source.find, "old", "RS256")
        assert gate.reached.wait(PATIENCE_SECONDS)
        with pytest.raises(KeysUnavailable) as caught:
            source.find("old", "RS256")
        gate.open()
        assert first.result().kid == "old"
    assert caught.value.retry_after_seconds == 1


def test_who_waits_for_a_fetch_that_fails_is_told_our_fault(issuer: Issuer):
    source = CachedKeySource(
        issuer.url, KeyDownload(issuer.url, ("RS256",), timeout_seconds=0.5), Lifetimes(wait_seconds=PATIENCE_SECONDS)
    )
    issuer.jwks = SILENT
    with ThreadPoolExecutor(8) as threads:
        for asked in [threads.submit(source.find, "old", "RS256") for _ in range(8)]:
            with pytest.raises(KeysUnavailable):
                asked.result()
    assert issuer.requests == {DISCOVERY: 1, JWKS: 1}
    assert source.state().last_error == "timeout"


def test_an_unknown_kid_during_a_slow_refresh_waits_for_it(issuer: Issuer):
    """T27: the fetch under way may bring the key; the refresh began before, so it alone would prove nothing."""
    source = source_of(issuer, wait_seconds=PATIENCE_SECONDS, cooldown_seconds=0.0)
    source.find("old", "RS256")
    gate = Gate(issuer)
    with ThreadPoolExecutor(2) as threads:
        refreshing = threads.submit(source._holder.refresh)
        assert gate.reached.wait(PATIENCE_SECONDS)
        issuer.rotate(OLD, NEW)
        asked = threads.submit(source.find, "new", "RS256")
        made_up = threads.submit(source._holder.refresh)
        gate.open()
        assert asked.result().kid == "new"
        refreshing.result()
        made_up.result()


def test_a_refresh_joins_the_fetch_under_way(issuer: Issuer):
    """K3: "One fetch at a time"."""
    source = source_of(issuer, wait_seconds=PATIENCE_SECONDS)
    gate = Gate(issuer)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(source._holder.refresh)
        assert gate.reached.wait(PATIENCE_SECONDS)
        second = threads.submit(source._holder.refresh)
        gate.open()
        first.result()
        second.result()
    assert issuer.requests[JWKS] in {1, 2}
    assert source.state().fetches == issuer.requests[JWKS]


# The refresher


def test_start_fetches_and_keeps_fresh(issuer: Issuer, start: Callable[[CachedKeySource], CachedKeySource]):
    """K9: "Keys are fetched at worker start."; K4: "a request pays for a fetch only on a cold start"."""
    source = start(short_lived(issuer))
    assert source.current().kids() == ("old",)
    issuer.rotate(NEW)
    wait_until(lambda: source.current().kids() == ("new",))
    wait_until(lambda: issuer.requests[JWKS] >= 4)
    wait_until(lambda: source.state().fresh)


def test_start_twice_runs_one_refresher(issuer: Issuer, start: Callable[[CachedKeySource], CachedKeySource]):
    source = start(source_of(issuer))
    source.start()
    assert refreshers() == 1
    assert issuer.requests[JWKS] == 1
    source.stop()
    assert refreshers() == 0
    assert source.find("old", "RS256").kid == "old"


def test_start_when_the_issuer_is_down_goes_on_and_recovers(
    issuer: Issuer, start: Callable[[CachedKeySource], CachedKeySource]
):
    """K6: the background tries again by itself; no request is needed for it."""
    issuer.down()
    source = start(CachedKeySource(issuer.url, KeyDownload(issuer.url, ("RS256",)), Lifetimes(), jitter=lambda: -0.99))
    assert not source.state().ever_held
    wait_until(lambda: source.state().failures >= 3)
    issuer.up()
    wait_until(lambda: source.state().held)


def test_a_shorter_lifetime_learnt_meanwhile_wakes_the_refresher(
    issuer: Issuer, start: Callable[[CachedKeySource], CachedKeySource]
):
    """K4: a fetch for an unknown key may bring a shorter max-age than the refresher sleeps for."""
    issuer.cache_control = "max-age=900"
    source = start(source_of(issuer, min_ttl_seconds=0.1, cooldown_seconds=0.0))
    issuer.cache_control = "max-age=0"
    with pytest.raises(InvalidToken):
        source.find("made-up", "RS256")
    assert issuer.requests[JWKS] == 2
    wait_until(lambda: issuer.requests[JWKS] >= 3)


def test_stop_before_start_is_harmless(issuer: Issuer):
    source_of(issuer).stop()
    assert issuer.requests.total() == 0


# Forks

FORKING = """
import os, sys, threading, warnings
from app.oauth.keys.cache import CachedKeySource
from app.oauth.keys.download import KeyDownload
from app.oauth.keys.lifetimes import Lifetimes

# From 3.12 on, Python warns of every fork beside threads: that it goes well all the same is what is tested here.
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
url, scene = sys.argv[1:]
source = CachedKeySource(url, KeyDownload(url, ("RS256",)), Lifetimes(0.2, 0.2))
if scene != "never-started":
    source.start()
if scene == "lock-held":
    held = threading.Event()
    def hold():
        with source._holder.lock:
            held.set()
            threading.Event().wait()
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
child = os.fork()
if child == 0:
    code = 1
    try:
        names = [thread.name for thread in threading.enumerate()]
        assert "postern-keys" not in names, names
        if scene == "never-started":
            source.start()
        elif scene == "start-again":
            source.start()
        elif scene == "hit":
            assert source.current().kids() == ("old",)
        else:
            assert source.find("old", "RS256").kid == "old"
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("postern-keys") == 1, names
        before = source.state().fetches
        wait = threading.Event()
        for _ in range(3000):
            if source.state().fetches > before + 1 and source.state().fresh:
                code = 0
                break
            wait.wait(0.01)
    finally:
        os._exit(code)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("scene", ["never-started", "hit", "find", "lock-held", "start-again"])
def test_a_forked_child_refreshes_for_itself(issuer: Issuer, scene: str):
    """K9: "Fork-safe […]; a forked child that inherited a cache starts its own refresher."."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING, issuer.url, scene],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("use", ["find", "current", "start"])
def test_the_fork_hook_gives_the_child_its_own_lock_and_refresher(
    issuer: Issuer,
    start: Callable[[CachedKeySource], CachedKeySource],
    monkeypatch: pytest.MonkeyPatch,
    use: str,
):
    """K9, step by step in one process: what runs in a child between the fork and its first request."""
    hooks: list[Callable[[], None]] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "register_at_fork", lambda *, after_in_child: hooks.append(after_in_child))
        source = start(source_of(issuer))
    parents_refresher, parents_wake = source._refresher._thread, source._refresher._wake
    assert parents_refresher is not None
    with source._holder.lock:
        hooks[0]()
        assert not source._holder.lock.locked()
    assert source._refresher._thread is None
    with ThreadPoolExecutor(8) as threads:
        uses = {"find": lambda: source.find("old", "RS256"), "current": source.current, "start": source.start}
        for used in [threads.submit(uses[use]) for _ in range(64)]:
            used.result()
    source._refresher.resume()
    assert refreshers() == 2
    source.stop()
    # The parent's thread, which a real child would not have, sees that it is over.
    parents_wake.set()
    parents_refresher.join()
    assert refreshers() == 0


def test_the_fork_hook_of_a_collected_source_does_nothing(monkeypatch: pytest.MonkeyPatch, issuer: Issuer):
    hooks: list[Callable[[], None]] = []
    monkeypatch.setattr(os, "register_at_fork", lambda *, after_in_child: hooks.append(after_in_child))
    source = source_of(issuer)
    alive = weakref.ref(source)
    del source
    gc.collect()
    assert alive() is None
    hooks[0]()
