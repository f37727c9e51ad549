"""The key cache's rules, at moments that the test chooses: a real issuer over HTTP, a clock that is moved by hand."""

import itertools
import logging
from collections.abc import Iterator

import pytest

from app.oauth.errors import InvalidToken, KeysUnavailable
from app.oauth.keys.cache import CachedKeySource
from app.oauth.keys.download import Download, KeyDownload
from app.oauth.keys.lifetimes import HeldKeys, Lifetimes
from app.oauth.keys.unknown import UnknownKeys
from app.oauth.reasons import Reason
from tests.support.issuer import (
    DISCOVERY,
    DOWN,
    JWKS,
    KEYLESS,
    MALFORMED,
    OVERSIZED,
    TRUNCATED,
    UNAVAILABLE,
    Fault,
    Issuer,
)
from tests.support.tokens import ec_key, new_rsa_key, rsa_key

OLD, NEW = rsa_key("old"), rsa_key("new")


class Clock:
    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(OLD) as running:
        yield running


@pytest.fixture
def source(issuer: Issuer, clock: Clock) -> CachedKeySource:
    """Not started: nothing happens but what the test asks for."""
    return source_of(issuer, clock)


def source_of(issuer: Issuer, clock: Clock, **lifetimes: float) -> CachedKeySource:
    download = KeyDownload(issuer.url, ("RS256", "ES256"))
    return CachedKeySource(issuer.url, download, Lifetimes(**lifetimes), clock=clock, jitter=lambda: 1.0)


def fetches(issuer: Issuer) -> int:
    return issuer.requests[DISCOVERY]


def is_unknown(source: CachedKeySource, kid: str | None, alg: str = "RS256") -> None:
    with pytest.raises(InvalidToken) as caught:
        source.find(kid, alg)
    assert caught.value.reason is Reason.UNKNOWN_KEY


def is_our_fault(source: CachedKeySource, kid: str | None = "old", alg: str = "RS256") -> int:
    with pytest.raises(KeysUnavailable) as caught:
        source.find(kid, alg)
    return caught.value.retry_after_seconds


# Holding


def test_find_when_nothing_is_held_fetches_once_and_holds(issuer: Issuer, source: CachedKeySource):
    """K3: a cold start is the only time that a request for a good key pays for a fetch."""
    with pytest.raises(KeysUnavailable) as caught:
        source.current()
    assert caught.value.retry_after_seconds == 1
    assert source.userinfo_endpoint() is None
    key = source.find("old", "RS256")
    assert key.thumbprint == OLD.thumbprint()
    assert source.find("old", "RS256") is key
    assert source.find(None, "RS256") is key
    assert source.current().holds(key)
    assert source.userinfo_endpoint() == f"{issuer.origin}/userinfo"
    assert issuer.requests == {DISCOVERY: 1, JWKS: 1}
    assert source.issuer == issuer.url


def test_unknown_when_no_set_is_held_then_not_counted_for_nobody_knows_the_name(
    issuer: Issuer, clock: Clock, source: CachedKeySource
):
    """An outage past its grace looked like a flood of made-up names: PosternUnknownKeys fired beside the truth."""
    issuer.down()
    with pytest.raises(KeysUnavailable):
        source.find("old", "RS256")
    assert source.state().unknown_looked_up == 0
    issuer.up()
    clock.pass_seconds(60)
    source.find("old", "RS256")
    assert source.state().unknown_looked_up == 0
    with pytest.raises(InvalidToken):
        source.find("made-up", "RS256")
    assert source.state().unknown_looked_up == 1


def test_state_tells_what_is_held(issuer: Issuer, clock: Clock, source: CachedKeySource):
    """K10: "`/readyz` is 503 until keys are held for the first time"."""
    issuer.rotate(OLD, new_rsa_key(bits=1024))
    before = source.state()
    assert (before.ever_held, before.held, before.fresh, before.stale) == (False, False, False, False)
    assert (before.age_seconds, before.last_error, before.kids, before.fetches) == (None, None, (), 0)
    source.find("old", "RS256")
    clock.pass_seconds(600)
    fresh = source.state()
    assert (fresh.ever_held, fresh.held, fresh.fresh, fresh.stale) == (True, True, True, False)
    assert (fresh.age_seconds, fresh.kids, fresh.skipped) == (600.0, ("old",), {"rsa_size": 1})
    clock.pass_seconds(3600)
    stale = source.state()
    assert (stale.ever_held, stale.held, stale.fresh, stale.stale) == (True, True, False, True)
    clock.pass_seconds(0.1)
    gone = source.state()
    assert (gone.ever_held, gone.held, gone.fresh, gone.stale) == (True, False, False, False)
    assert (gone.fetches, gone.failures) == (1, 0)


@pytest.mark.parametrize(
    ("cache_control", "fresh_seconds"),
    [(None, 600), ("max-age=15", 300), ("no-store", 300), ("max-age=450", 450), ("max-age=86400", 900)],
)
def test_freshness_is_the_servers_within_our_bounds(
    issuer: Issuer, clock: Clock, source: CachedKeySource, cache_control: str | None, fresh_seconds: float
):
    """K4: "Fresh for the server's `max-age` (600 without one) clamped to […]"."""
    issuer.cache_control = cache_control
    source.find("old", "RS256")
    clock.pass_seconds(fresh_seconds)
    assert source.state().fresh
    clock.pass_seconds(0.1)
    assert not source.state().fresh


# Failures


@pytest.mark.parametrize(
    "fault",
    [DOWN, UNAVAILABLE, MALFORMED, OVERSIZED, KEYLESS, TRUNCATED, Fault(body=b""), Fault(status=302)],
)
@pytest.mark.parametrize("where", ["discovery", "jwks"])
def test_a_bad_answer_never_replaces_a_good_set(issuer: Issuer, source: CachedKeySource, fault: Fault, where: str):
    """K5: "A failed, empty, malformed, oversized, truncated or keyless answer never replaces a good set."""
    key = source.find("old", "RS256")
    setattr(issuer, where, fault)
    source._holder.refresh()
    assert source.find("old", "RS256") is key
    assert source.current().holds(key)
    assert source.state().failures == 1


def test_a_good_set_without_a_key_drops_that_key(issuer: Issuer, clock: Clock, source: CachedKeySource):
    """K5: "A good set that lacks a key drops that key."""
    key = source.find("old", "RS256")
    issuer.rotate(NEW)
    source._holder.refresh()
    assert not source.current().holds(key)
    is_unknown(source, "old")


def test_the_last_good_set_serves_through_an_outage_then_ends(issuer: Issuer, clock: Clock, source: CachedKeySource):
    """K6: "the last good set serves for `JWKS_MAX_STALE_SECONDS` past its freshness, then 503"."""
    key = source.find("old", "RS256")
    issuer.down()
    clock.pass_seconds(600 + 3600)
    source._holder.refresh()
    assert source.find("old", "RS256") is key
    assert source.current().holds(key)
    clock.pass_seconds(0.1)
    with pytest.raises(KeysUnavailable):
        source.current()
    is_our_fault(source)


def test_failures_back_off_from_the_last_attempt(issuer: Issuer, clock: Clock, source: CachedKeySource):
    """K6: "Failures back off 1 → 30 s with jitter, counted from the last ATTEMPT."""
    issuer.down()
    for attempt, wait_seconds in enumerate((2, 4, 8, 16, 30, 30), start=1):
        assert is_our_fault(source) == wait_seconds
        with pytest.raises(KeysUnavailable) as caught:
            source.current()
        assert caught.value.retry_after_seconds == wait_seconds
        clock.pass_seconds(wait_seconds - 0.5)
        assert is_our_fault(source) == 1
        assert fetches(issuer) == attempt
        clock.pass_seconds(0.5)
    issuer.up()
    source.find("old", "RS256")
    assert source.state().failures == 0
    assert source.state().last_error is None


def test_an_outage_is_told_at_its_start_and_at_its_end(
    issuer: Issuer, source: CachedKeySource, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="app.oauth")
    issuer.discovery = UNAVAILABLE
    for _ in range(3):
        source._holder.refresh()
    issuer.up()
    source._holder.refresh()
    source._holder.refresh()
    start, end = [record.getMessage() for record in caplog.records]
    assert start == f"the keys of {issuer.url} cannot be fetched: discovery_status (status 503)"
    assert end == f"the keys of {issuer.url} can be fetched again, after 3 failed attempts"


def test_an_issuer_mismatch_is_an_error_by_name_even_during_an_outage(
    issuer: Issuer, source: CachedKeySource, caplog: pytest.LogCaptureFixture
):
    """K1: "a mismatch is an error in the log and in `/readyz`, by name"."""
    issuer.down()
    source._holder.refresh()
    issuer.up()
    issuer.metadata = {"issuer": "https://other.example/"}
    source._holder.refresh()
    source._holder.refresh()
    assert source.state().last_error == "issuer_mismatch"
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "issuer_mismatch" in error
    assert repr(issuer.url) in error
    assert "'https://other.example/'" in error


def test_odd_keys_are_told_once_until_they_change(
    issuer: Issuer, source: CachedKeySource, caplog: pytest.LogCaptureFixture
):
    """T13: "is skipped and counted"."""
    issuer.rotate(OLD, new_rsa_key(bits=1024))
    source._holder.refresh()
    source._holder.refresh()
    issuer.rotate(OLD, NEW.jwk(use="enc"))
    source._holder.refresh()
    issuer.rotate(OLD)
    source._holder.refresh()
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"some keys of {issuer.url} cannot be used: {skipped}" for skipped in ({"rsa_size": 1}, {"use": 1})]


def test_an_unexpected_error_counts_as_an_outage(clock: Clock, caplog: pytest.LogCaptureFixture):
    """T27: "Our fault is never the user's."""

    def broken() -> Download:
        raise ZeroDivisionError

    source = CachedKeySource("https://tenant.example/", broken, clock=clock, jitter=lambda: 0.0)
    assert is_our_fault(source) == 1
    assert source.state().last_error == "unexpected"
    assert "unexpected error" in caplog.text


def test_a_worker_that_is_ended_within_a_fetch_leaves_nobody_waiting(clock: Clock):
    """Gunicorn ends a worker's thread with SystemExit: the next request must not wait for that fetch."""
    downloads = iter([SystemExit(), source_download()])

    def download() -> Download:
        outcome = next(downloads)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    source = CachedKeySource("https://tenant.example/", download, clock=clock)
    with pytest.raises(SystemExit):
        source.find("old", "RS256")
    assert source.find("old", "RS256").kid == "old"


def source_download() -> Download:
    with Issuer(OLD) as issuer:
        return KeyDownload(issuer.url, ("RS256",))()


def test_keys_too_old_on_arrival_are_our_fault(issuer: Issuer, clock: Clock):
    """Nothing waits or fetches for ever where the lifetimes are shorter than the fetch."""
    source = source_of(issuer, clock, min_ttl_seconds=0.0, max_ttl_seconds=0.0, max_stale_seconds=0.0)
    issuer.on_request = lambda _path: clock.pass_seconds(1.0)
    assert is_our_fault(source) == 1
    assert fetches(issuer) == 3


# Unknown keys


class NaiveSource(CachedKeySource):
    """The control: the rule that took a young fetch for a proof, whenever the name was first seen."""

    def _proves_unknown(self, held: HeldKeys, first_seen: float) -> bool:
        return held.begun_at >= first_seen or self._clock() - held.begun_at < self._lifetimes.cooldown_seconds


def test_an_unknown_kid_when_the_last_fetch_is_young_is_our_fault_for_the_rest_of_the_cooldown(
    issuer: Issuer, clock: Clock, source: CachedKeySource
):
    """T27: "only if a fetch that succeeded, begun after that `kid` was first seen, lacks it too […] 503"."""
    source.find("old", "RS256")
    clock.pass_seconds(1.0)
    assert is_our_fault(source, "made-up") == 4
    clock.pass_seconds(3.9)
    assert is_our_fault(source, "made-up") == 1
    assert fetches(issuer) == 1
    clock.pass_seconds(0.1)
    is_unknown(source, "made-up")
    assert fetches(issuer) == 2


@pytest.mark.parametrize("rule", [CachedKeySource, NaiveSource])
def test_a_key_that_is_published_right_after_a_fetch_is_never_called_unknown(
    issuer: Issuer, clock: Clock, rule: type[CachedKeySource]
):
    """T27: somebody who makes names up can choose the moment of a fetch, but not get anybody logged out by it."""
    source = rule(issuer.url, KeyDownload(issuer.url, ("RS256",)), clock=clock, jitter=lambda: 1.0)
    source.find("old", "RS256")
    clock.pass_seconds(60.0)
    is_unknown(source, "made-up")
    issuer.rotate(NEW)
    clock.pass_seconds(0.5)
    if rule is NaiveSource:
        is_unknown(source, "new")
        return
    wait_seconds = is_our_fault(source, "new")
    assert wait_seconds == 10
    clock.pass_seconds(wait_seconds)
    assert source.find("new", "RS256").kid == "new"


def test_a_dropped_key_when_nobody_floods_is_refused_at_once_or_after_the_cooldown(
    issuer: Issuer, clock: Clock, source: CachedKeySource
):
    """K5: "A good set that lacks a key drops that key."; T27: its app learns it by the next fetch, and is told when."""
    source.find("old", "RS256")
    issuer.rotate(NEW)
    clock.pass_seconds(480.0)
    source._holder.refresh()
    clock.pass_seconds(2.0)
    wait_seconds = is_our_fault(source, "old")
    assert wait_seconds == 3
    clock.pass_seconds(wait_seconds)
    is_unknown(source, "old")
    clock.pass_seconds(50.0)
    # Remembered for the other apps that hold its tokens: the same fetch proves it to them all.
    is_unknown(source, "old")
    assert fetches(issuer) == 3
    clock.pass_seconds(10.0)
    is_unknown(source, "old")
    assert fetches(issuer) == 4


@pytest.mark.parametrize(("max_entries", "answers"), [(32_768, [503, 401]), (128, [503, 503, 503, 503])])
def test_a_dropped_key_during_a_flood_is_refused_after_one_step(
    issuer: Issuer, clock: Clock, source: CachedKeySource, max_entries: int, answers: list[int]
):
    """K7: its app waits for one step and has its answer; with a short memory the flood would keep it waiting."""
    source._unknown = UnknownKeys(max_entries=max_entries)
    source.find("old", "RS256")
    issuer.rotate(NEW)
    clock.pass_seconds(480.0)
    source._holder.refresh()
    clock.pass_seconds(5.0)
    made_up = (f"made-up-{number}" for number in itertools.count())
    told: list[int] = []
    waits: list[int] = []
    for _ in answers:
        flood(source, clock, made_up, 0.5)
        try:
            source.find("old", "RS256")
        except InvalidToken:
            told.append(401)
        except KeysUnavailable as unavailable:
            told.append(503)
            waits.append(unavailable.retry_after_seconds)
            flood(source, clock, made_up, waits[-1])
    assert told == answers
    assert max(waits) <= 10


def flood(source: CachedKeySource, clock: Clock, names: Iterator[str], seconds: float) -> None:
    """Ask for a hundred made-up names each second."""
    for _ in range(int(seconds * 100)):
        with pytest.raises((InvalidToken, KeysUnavailable)):
            source.find(next(names), "RS256")
        clock.pass_seconds(0.01)


def test_an_unknown_kid_at_a_cold_start_is_refused_by_that_very_fetch(issuer: Issuer, clock: Clock):
    """T27: "begun after that `kid` was first seen", however long it took."""
    source = source_of(issuer, clock, cooldown_seconds=0.5)
    issuer.on_request = lambda _path: clock.pass_seconds(2.0)
    is_unknown(source, "made-up")
    assert fetches(issuer) == 1


def test_an_unknown_kid_when_first_seen_fetches_and_finds_a_rotation(
    issuer: Issuer, clock: Clock, source: CachedKeySource
):
    """K7: "the first sight of a new `kid` may fetch if the last attempt is `JWKS_COOLDOWN_SECONDS` old"."""
    source.find("old", "RS256")
    issuer.rotate(OLD, NEW)
    clock.pass_seconds(5.0)
    assert source.find("new", "RS256").thumbprint == NEW.thumbprint()
    assert source.find("old", "RS256").kid == "old"
    assert fetches(issuer) == 2


def test_an_unknown_kid_when_that_fetch_lacks_it_is_remembered_for_a_minute(
    issuer: Issuer, clock: Clock, source: CachedKeySource
):
    """K7: "then it is remembered as unknown (32 768 names, 60 s)"."""
    source.find("old", "RS256")
    clock.pass_seconds(100.0)
    for _ in range(60):
        is_unknown(source, "made-up")
        clock.pass_seconds(0.99)
    assert fetches(issuer) == 2
    clock.pass_seconds(1.0)
    is_unknown(source, "made-up")
    assert fetches(issuer) == 3


def test_a_token_without_kid_follows_the_same_rules(issuer: Issuer, clock: Clock, source: CachedKeySource):
    """T10: "accepted only while the issuer publishes exactly one usable key for its algorithm"."""
    source.find(None, "RS256")
    issuer.rotate(OLD, NEW)
    clock.pass_seconds(5.0)
    is_unknown(source, None, "ES256")
    assert fetches(issuer) == 2
    is_unknown(source, None)
    issuer.rotate(NEW, ec_key())
    clock.pass_seconds(60.0)
    assert source.find(None, "ES256").kid == ec_key().kid


def test_an_unknown_kid_when_the_fetch_fails_is_our_fault(issuer: Issuer, clock: Clock, source: CachedKeySource):
    """T27: "where that fetch failed or the budget is spent: 503"; a phone reads 401 as "log the user out"."""
    source.find("old", "RS256")
    issuer.rotate(OLD, NEW)
    issuer.down()
    clock.pass_seconds(5.0)
    assert is_our_fault(source, "new") == 2
    assert fetches(issuer) == 2
    for _ in range(10):
        assert is_our_fault(source, "new") == 10
        assert is_our_fault(source, "made-up") == 10
    assert fetches(issuer) == 2
    assert source.find("old", "RS256").kid == "old"
    issuer.up()
    clock.pass_seconds(10.0)
    assert source.find("new", "RS256").kid == "new"
    assert fetches(issuer) == 3


def test_an_unknown_kid_when_an_earlier_fetch_failed_is_not_taken_for_proven(
    issuer: Issuer, clock: Clock, source: CachedKeySource
):
    """T27: the remembered name alone proves nothing: only a fetch that succeeded does."""
    source.find("old", "RS256")
    clock.pass_seconds(5.0)
    issuer.down()
    is_our_fault(source, "new")
    clock.pass_seconds(3.0)
    issuer.up()
    issuer.rotate(NEW)
    is_our_fault(source, "new")
    source._holder.refresh()
    assert source.find("new", "RS256").kid == "new"


def test_an_unknown_kid_when_the_cooldown_after_a_failure_runs_is_our_fault(issuer: Issuer, clock: Clock):
    """K7: "if the last attempt is `JWKS_COOLDOWN_SECONDS` old": any attempt, the background's too."""
    source = source_of(issuer, clock, cooldown_seconds=20.0)
    source.find("old", "RS256")
    clock.pass_seconds(100.0)
    issuer.down()
    source._holder.refresh()
    clock.pass_seconds(5.0)
    assert is_our_fault(source, "new") == 15
    assert fetches(issuer) == 2


def test_an_unknown_kid_when_the_budget_is_spent_is_our_fault_for_one_step(
    issuer: Issuer, clock: Clock, source: CachedKeySource
):
    """K7: "At most 6 such fetches a minute"; T27: "or the budget is spent: 503"."""
    source.find("old", "RS256")
    clock.pass_seconds(60.0)
    is_unknown(source, "made-up")
    clock.pass_seconds(5.0)
    issuer.rotate(OLD, NEW)
    assert is_our_fault(source, "new") == 5
    clock.pass_seconds(5.0)
    assert source.find("new", "RS256").kid == "new"
    issuer.rotate(NEW, rsa_key("third"))
    clock.pass_seconds(5.0)
    assert source.find("third", "RS256").kid == "third"


def test_two_thousand_made_up_kids_cost_no_more_than_the_budget(issuer: Issuer, clock: Clock, source: CachedKeySource):
    """K7: "made-up kids neither storm the tenant nor keep a real rotation from being seen within one step"."""
    source.find("old", "RS256")
    clock.pass_seconds(60.0)
    begun, refused, ours = clock.now, 0, 0
    for number in range(2000):
        try:
            source.find(f"made-up-{number}", "RS256")
        except InvalidToken:
            refused += 1
        except KeysUnavailable:
            ours += 1
        assert source.find("old", "RS256").kid == "old"
        clock.pass_seconds(0.03)
    assert clock.now - begun == pytest.approx(60.0)
    assert fetches(issuer) - 1 == 6
    assert (refused > 0, ours > 0, refused + ours) == (True, True, 2000)
    issuer.rotate(OLD, NEW)
    rotated, waited = clock.now, 0.0
    for number in range(10_000):
        with pytest.raises((InvalidToken, KeysUnavailable)):
            source.find(f"other-{number}", "RS256")
        if source._holder.held is not None and source._holder.held.keys.find("new", "RS256"):
            break
        clock.pass_seconds(0.03)
        waited = clock.now - rotated
    assert waited <= 10.1
    assert source.find("new", "RS256").kid == "new"
    assert fetches(issuer) - 1 == 7


def test_a_landing_between_look_and_lock_is_seen(
    issuer: Issuer, clock: Clock, source: CachedKeySource, monkeypatch: pytest.MonkeyPatch
):
    """A request that saw no key, and then finds the set renewed, looks again instead of fetching."""
    source.find("old", "RS256")
    issuer.rotate(NEW)
    clock.pass_seconds(5.0)
    board = source._board

    def board_after_a_landing(name: tuple[str | None, str], now: float):
        source._holder.refresh()
        return board(name, now)

    monkeypatch.setattr(source, "_board", board_after_a_landing)
    assert source.find("new", "RS256").kid == "new"
    assert fetches(issuer) == 2


# Several


def test_one_issuer_down_does_not_harm_the_other(issuer: Issuer, clock: Clock):
    """T11: "each with its own key set"."""
    with Issuer(NEW, path="/custom") as other:
        first, second = source_of(issuer, clock), source_of(other, clock)
        issuer.down()
        is_our_fault(first)
        assert second.find("new", "RS256").kid == "new"
        is_unknown(second, "old")
