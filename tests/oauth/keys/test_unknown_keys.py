"""The budget: what made-up names may cost, and how long they can hold up a real one."""

from hypothesis import given
from hypothesis import strategies as st

from app.oauth.keys.unknown import UnknownKeys


def name(number: int) -> tuple[str, str]:
    return f"made-up-{number}", "RS256"


def test_first_seen_remembers_for_a_minute():
    """K7: "then it is remembered as unknown (32 768 names, 60 s)"."""
    unknown = UnknownKeys()
    assert unknown.first_seen(name(1), 100.0) == 100.0
    assert unknown.first_seen(name(1), 159.9) == 100.0
    assert unknown.first_seen(name(1), 160.0) == 160.0
    assert len(unknown) == 1


def test_first_seen_when_its_bound_of_others_came_since_has_forgotten():
    """K7: "32 768 names": enough for what one worker can refuse in a step, and an end for whoever sends more."""
    unknown = UnknownKeys()
    for number in range(40_000):
        unknown.first_seen(name(number), 100.0)
    assert len(unknown) == 32_768
    assert unknown.first_seen(name(40_000 - 32_768), 101.0) == 100.0
    assert unknown.first_seen(name(0), 101.0) == 101.0


def test_memory_when_the_flood_is_over_is_given_back():
    unknown = UnknownKeys()
    for number in range(1000):
        unknown.first_seen(name(number), 100.0 + number / 100)
    unknown.first_seen(("k", "RS256"), 165.0)
    assert len(unknown) == 500
    unknown.first_seen(("k", "RS256"), 170.0)
    assert len(unknown) == 1


def test_first_seen_when_a_name_comes_again_after_its_minute_counts_it_among_the_newest():
    """K7: the oldest sight goes first, and a name that was forgotten is a new sight."""
    unknown = UnknownKeys(max_entries=2)
    unknown.first_seen(name(1), 100.0)
    unknown.first_seen(name(2), 110.0)
    unknown.first_seen(name(1), 165.0)
    unknown.first_seen(name(3), 166.0)
    assert unknown.first_seen(name(1), 167.0) == 165.0


def test_first_seen_tells_the_same_kid_of_two_algorithms_apart():
    unknown = UnknownKeys()
    unknown.first_seen(("k", "RS256"), 100.0)
    assert unknown.first_seen(("k", "ES256"), 101.0) == 101.0


def test_wait_when_a_fetch_was_in_vain_is_one_step():
    """K7: "within one step of that budget": 60 s / 6."""
    unknown = UnknownKeys()
    assert unknown.wait_seconds(100.0) == 0
    unknown.spend(100.0)
    assert unknown.wait_seconds(101.0) == 9.0
    assert unknown.wait_seconds(110.0) == 0


def test_wait_when_the_fetch_found_its_name_is_none_until_the_minute_is_full():
    """A tenant that rotates twice in a row is no storm; six fetches a minute stay the limit."""
    unknown = UnknownKeys()
    for second in range(6):
        unknown.first_seen(name(second), 100.0 + second)
        assert unknown.wait_seconds(100.0 + second) == 0
        unknown.spend(100.0 + second)
        unknown.found(name(second))
    assert len(unknown) == 0
    assert unknown.wait_seconds(106.0) == 54.0
    assert unknown.wait_seconds(160.0) == 0


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.booleans()), max_size=60))
def test_spending_whenever_allowed_never_exceeds_six_in_a_minute(steps: list[tuple[float, bool]]):
    """K7: "At most 6 such fetches a minute per issuer"."""
    unknown, now, spent = UnknownKeys(), 0.0, []
    for delay, found in steps:
        now += delay
        if unknown.wait_seconds(now) == 0:
            unknown.spend(now)
            spent.append(now)
            if found:
                unknown.found(name(0))
    assert all(later - earlier >= 60 for earlier, later in zip(spent, spent[6:], strict=False))
