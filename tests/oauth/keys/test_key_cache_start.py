"""A worker's start: from the copy on disk, from the tenant, or from both, whichever can be had."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.oauth.errors import InvalidToken, KeysUnavailable
from app.oauth.keys.cache import CachedKeySource
from app.oauth.keys.download import KeyDownload
from app.oauth.keys.lifetimes import Lifetimes
from app.oauth.keys.snapshot import KeySnapshot
from app.oauth.keys.snapshot_keeper import SnapshotKeeper
from app.oauth.keys.source import KeySource, start_all
from tests.support.issuer import JWKS, SILENT, Issuer
from tests.support.tokens import rsa_key
from tests.support.waiting import wait_until

OLD, NEW = rsa_key("old"), rsa_key("new")
PATIENCE_SECONDS = 30.0


class Host:
    """One host's clocks, the folder that its workers share, and the workers started so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.wall = 1_800_000_000.0
        self.workers: list[CachedKeySource] = []

    def worker(self, issuer: Issuer, algorithms: tuple[str, ...] = ("RS256",), **lifetimes: float) -> CachedKeySource:
        """A new process's source: nothing but the folder is left of those before it, the monotonic clock neither."""
        booted = self.wall - 1000.0 * (1 + len(self.workers))
        file = KeySnapshot(self.directory, issuer.url, algorithms)
        source = CachedKeySource(
            issuer.url,
            KeyDownload(issuer.url, algorithms, timeout_seconds=lifetimes.pop("timeout_seconds", 5.0)),
            Lifetimes(**lifetimes),
            copy=SnapshotKeeper(file, wall=lambda: self.wall),
            clock=lambda: self.wall - booted,
            jitter=lambda: 1.0,
        )
        self.workers.append(source)
        return source

    def pass_seconds(self, seconds: float) -> None:
        self.wall += seconds


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(OLD) as running:
        yield running


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "keys")
    yield made
    for worker in made.workers:
        worker.stop()


def started(source: CachedKeySource) -> CachedKeySource:
    source.start()
    return source


def ended(source: CachedKeySource) -> None:
    source.stop()


def test_start_when_the_tenant_is_down_serves_from_the_copy_until_the_bound(issuer: Issuer, host: Host):
    """K8: "a worker that starts while the tenant is down still answers, inside the same staleness bound"."""
    ended(started(host.worker(issuer)))
    issuer.down()
    host.pass_seconds(4000.0)
    worker = started(host.worker(issuer))
    assert worker.find("old", "RS256").thumbprint == OLD.thumbprint()
    assert worker.find(None, "RS256").kid == "old"
    assert worker.current().kids() == ("old",)
    assert worker.userinfo_endpoint() == f"{issuer.origin}/userinfo"
    state = worker.state()
    assert (state.ever_held, state.held, state.fresh, state.stale) == (True, True, False, True)
    assert (state.from_snapshot, state.age_seconds, state.snapshot_age_seconds) == (True, 4000.0, 4000.0)
    assert (state.last_error, state.failures) == ("unreachable", 1)
    # 600 s fresh and 3600 s stale, counted from the first worker's fetch.
    host.pass_seconds(200.0)
    assert worker.find("old", "RS256").kid == "old"
    host.pass_seconds(0.1)
    with pytest.raises(KeysUnavailable):
        worker.current()
    with pytest.raises(KeysUnavailable):
        worker.find("old", "RS256")


def test_start_when_the_copy_is_too_old_holds_nothing(issuer: Issuer, host: Host, caplog: pytest.LogCaptureFixture):
    """K6, K8: "inside the same staleness bound"; to have been off for a day is no fault, so nobody is warned of it."""
    caplog.set_level(logging.INFO, logger="app.oauth")
    ended(started(host.worker(issuer)))
    issuer.down()
    host.pass_seconds(4200.1)
    worker = started(host.worker(issuer))
    assert not worker.state().ever_held
    assert worker.state().snapshot_age_seconds == pytest.approx(4200.1)
    with pytest.raises(KeysUnavailable):
        worker.find("old", "RS256")
    told = f"the copy of the keys of {issuer.url} is 4200 s old: too old to be used"
    assert [(record.levelno, record.getMessage()) for record in caplog.records if "copy" in record.getMessage()] == [
        (logging.INFO, told)
    ]


def test_start_when_the_copy_is_fresh_does_not_wait_for_the_tenant(issuer: Issuer, host: Host):
    """K8, K9: a deployment during a tenant's bad minute starts at once; the fetch goes on behind it."""
    ended(started(host.worker(issuer)))
    release = threading.Event()
    asked = threading.Event()

    def hang(_path: str) -> None:
        asked.set()
        release.wait(PATIENCE_SECONDS)

    issuer.on_request = hang
    host.pass_seconds(600.0)
    try:
        worker = started(host.worker(issuer, timeout_seconds=PATIENCE_SECONDS))
        assert worker.find("old", "RS256").kid == "old"
        assert worker.state().from_snapshot
        assert asked.wait(PATIENCE_SECONDS)
        issuer.rotate(NEW)
    finally:
        release.set()
    # And a rotation is not missed: no request had to ask for it.
    wait_until(lambda: worker.current().kids() == ("new",))
    assert not worker.state().from_snapshot


def test_start_when_the_copy_is_stale_tries_the_tenant_first(issuer: Issuer, host: Host):
    """K8: past its freshness a set is for an outage, and whether there is one is known after the fetch."""
    ended(started(host.worker(issuer)))
    issuer.rotate(NEW)
    host.pass_seconds(600.1)
    worker = started(host.worker(issuer))
    assert worker.current().kids() == ("new",)
    state = worker.state()
    assert (state.from_snapshot, state.fetches) == (False, 1)


def test_find_when_the_copy_lacks_the_kid_fetches(issuer: Issuer, host: Host):
    """T27: the copy's fetch began long before the `kid` was first seen: it proves nothing."""
    ended(started(host.worker(issuer)))
    issuer.down()
    host.pass_seconds(300.0)
    worker = started(host.worker(issuer))
    wait_until(lambda: worker.state().failures == 1)
    with pytest.raises(KeysUnavailable):
        worker.find("new", "RS256")
    issuer.up()
    issuer.rotate(OLD, NEW)
    host.pass_seconds(5.0)
    assert worker.find("new", "RS256").kid == "new"
    host.pass_seconds(1.0)
    with pytest.raises(KeysUnavailable):
        worker.find("made-up", "RS256")
    host.pass_seconds(10.0)
    with pytest.raises(InvalidToken):
        worker.find("made-up", "RS256")


def test_copy_is_written_at_each_fetch_and_ages_with_its_set(issuer: Issuer, host: Host):
    """K8: the copy is of the LAST good set, whoever asked for it."""
    worker = started(host.worker(issuer))
    host.pass_seconds(100.0)
    issuer.rotate(NEW)
    assert worker.find("new", "RS256").kid == "new"
    host.pass_seconds(7.0)
    ended(worker)
    assert worker.state().snapshot_age_seconds == 7.0
    issuer.down()
    after = started(host.worker(issuer))
    assert after.current().kids() == ("new",)
    assert after.state().age_seconds == 7.0


def test_a_failed_fetch_leaves_the_copy(issuer: Issuer, host: Host):
    """K5, K8: a failed answer never replaces a good set, on disk neither."""
    worker = started(host.worker(issuer))
    issuer.down()
    host.pass_seconds(510.0)
    worker._holder.refresh()
    ended(worker)
    assert worker.state().snapshot_age_seconds == 510.0
    assert started(host.worker(issuer)).current().kids() == ("old",)


def test_start_when_keys_are_held_already_keeps_them(issuer: Issuer, host: Host):
    """A request may come before the start is over: what it fetched is younger than any file."""
    ended(started(host.worker(issuer)))
    issuer.rotate(NEW)
    host.pass_seconds(10.0)
    worker = host.worker(issuer)
    assert worker.find("new", "RS256").kid == "new"
    assert started(worker).current().kids() == ("new",)


def test_source_without_a_copy_says_so(issuer: Issuer):
    """JWKS_SNAPSHOT_DIR may be empty: then there is none."""
    source = CachedKeySource(issuer.url, KeyDownload(issuer.url, ("RS256",)))
    source.start()
    source.stop()
    assert (source.state().from_snapshot, source.state().snapshot_age_seconds) == (False, None)


def test_start_when_two_issuers_are_dead_waits_for_both_at_the_same_time(issuer: Issuer, host: Host):
    """K9: two dead names of a tenant do not delay a worker one after the other."""
    with Issuer(NEW) as other:
        both_asked = threading.Barrier(2)

        def meet(path: str) -> None:
            if path == JWKS:
                both_asked.wait(PATIENCE_SECONDS)

        issuer.on_request = other.on_request = meet
        sources = [host.worker(issuer, timeout_seconds=60.0), host.worker(other, timeout_seconds=60.0)]
        # Each answers only once the other one has been asked: one after the other, neither would.
        start_all(sources)
        assert [source.current().kids() for source in sources] == [("old",), ("new",)]
        for source in sources:
            source.stop()


def test_start_when_two_issuers_are_started_one_after_the_other_neither_answers(issuer: Issuer, host: Host):
    """The control of the test above."""
    with Issuer(NEW) as other:
        both_asked = threading.Barrier(2)

        def meet(path: str) -> None:
            if path == JWKS:
                both_asked.wait(0.2)

        issuer.on_request = other.on_request = meet
        for source in (host.worker(issuer), host.worker(other)):
            source.start()
            assert not source.state().held
            source.stop()


def test_start_all_when_there_is_none_does_nothing():
    none: list[KeySource] = []
    start_all(none)


def test_start_when_one_of_two_issuers_is_silent_the_other_serves(issuer: Issuer, host: Host):
    """T11: one name's outage is not the other's."""
    with Issuer(NEW) as other:
        issuer.discovery = SILENT
        sources = [host.worker(issuer, timeout_seconds=0.3), host.worker(other)]
        start_all(sources)
        assert [source.state().held for source in sources] == [False, True]
        for source in sources:
            source.stop()
