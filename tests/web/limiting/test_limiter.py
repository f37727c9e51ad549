"""When a quota is used up, when it is there again, and what the fields say of it."""

from app.web.limiting.counters import ProcessCounters
from app.web.limiting.limiter import Limiter, Standing

NOW = 1_800_000_000.0


def limiter(requests: int = 5, writes: int = 2, failures: int = 3) -> Limiter:
    return Limiter(ProcessCounters(), requests=requests, writes=writes, failures=failures, realm="https://api.example")


def read(counted: Limiter, name: str = "ada", now: float = NOW) -> Standing:
    standing = counted.request(name, is_write=False, now=now)
    assert standing is not None
    return standing


def write(counted: Limiter, name: str = "ada", now: float = NOW) -> Standing:
    standing = counted.request(name, is_write=True, now=now)
    assert standing is not None
    return standing


def test_requests_when_the_quota_is_reached_then_the_next_one_is_refused():
    """§5: both sides of the limit."""
    counted = limiter(requests=5)
    assert [read(counted).exceeded for _ in range(7)] == [None] * 5 + ["requests"] * 2


def test_writes_when_the_quota_is_reached_then_reads_go_on():
    """§5: both sides of the limit; a write is a request too."""
    counted = limiter(requests=5, writes=2)
    assert [write(counted).exceeded for _ in range(3)] == [None, None, "writes"]
    assert [read(counted).exceeded for _ in range(3)] == [None, None, "requests"]


def test_failures_when_the_quota_is_reached_then_the_next_one_is_refused():
    counted = limiter(failures=3)
    standings = [counted.failure("192.0.2.1", now=NOW) for _ in range(4)]
    assert [standing and standing.exceeded for standing in standings] == [None, None, None, "failures"]


def test_quota_when_another_name_uses_it_up_then_nobody_else_notices():
    counted = limiter(requests=1)
    assert (read(counted).exceeded, read(counted).exceeded) == (None, "requests")
    assert read(counted, "bob").exceeded is None


def test_quota_when_the_minute_is_over_then_all_of_it_is_there_again():
    counted = limiter(requests=1)
    end = NOW + read(counted).renewed_in_seconds
    assert read(counted, now=end - 1.001).exceeded == "requests"
    assert read(counted, now=end).exceeded is None
    assert read(counted, now=end + 59.9).exceeded == "requests"
    assert read(counted, now=end + 60).exceeded is None


def test_renewal_when_asked_at_any_moment_then_it_is_one_to_sixty_whole_seconds():
    """U8: `Retry-After` is never 0: an app would be back before there is anything."""
    told = {read(limiter(), now=NOW + moment / 7).renewed_in_seconds for moment in range(600)}
    assert told == set(range(1, 61))


def test_renewal_when_there_are_many_users_then_not_all_are_renewed_at_once():
    told = {read(limiter(), f"user {number}").renewed_in_seconds for number in range(200)}
    assert len(told) > 40


def test_fields_when_reading_then_they_say_both_policies_and_what_is_left_of_the_one():
    """U8: `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-10 §3, §4 has them."""
    counted = limiter(requests=5, writes=2)
    standing = read(counted)
    assert standing.policy == '"requests";q=5;w=60, "writes";q=2;w=60'
    assert standing.limit == f'"requests";r=4;t={standing.renewed_in_seconds}'
    t = standing.renewed_in_seconds
    assert write(counted).limit == f'"requests";r=3;t={t}, "writes";r=1;t={t}'


def test_fields_when_a_quota_is_exceeded_then_nothing_is_left_of_it():
    """Draft §4.1.1: `r` is a non-negative integer."""
    counted = limiter(requests=9, writes=1)
    t = [write(counted) for _ in range(3)][-1].renewed_in_seconds
    assert write(counted).limit == f'"requests";r=5;t={t}, "writes";r=0;t={t}'


def test_write_when_it_is_refused_as_a_request_then_it_is_not_counted_as_a_write():
    counters = ProcessCounters()
    counted = Limiter(counters, requests=1, writes=5, failures=0, realm="x")
    assert [write(counted).exceeded for _ in range(3)] == [None, "requests", "requests"]
    assert sorted(counters._young.values()) == [1, 3]


def test_quota_when_it_is_zero_then_there_is_none():
    """§5: 0 turns a limit off, and the fields do not speak of it."""
    assert read(limiter(writes=0)).policy == '"requests";q=5;w=60'
    only_writes = limiter(requests=0, writes=1)
    assert only_writes.request("ada", is_write=False, now=NOW) is None
    assert [write(only_writes).exceeded for _ in range(2)] == [None, "writes"]
    assert write(only_writes).policy == '"writes";q=1;w=60'
    assert limiter(failures=0).failure("192.0.2.1", now=NOW) is None


def test_names_when_counted_then_none_stands_in_a_key():
    """No subject and no address reaches the store; a subject that is no Unicode text is no fault."""
    keys: list[str] = []

    class Listening(ProcessCounters):
        def add(self, key: str) -> int:
            keys.append(key)
            return super().add(key)

    counted = Limiter(Listening(), requests=5, writes=5, failures=5, realm="https://api.example")
    read(counted, "auth0|ada")
    read(counted, "\ud800")
    assert len(set(keys)) == 2
    assert not any("ada" in key for key in keys)


def test_realm_when_two_apis_share_a_store_then_they_share_no_quota():
    counters = ProcessCounters()
    one = Limiter(counters, requests=1, writes=0, failures=0, realm="https://one.example")
    other = Limiter(counters, requests=1, writes=0, failures=0, realm="https://other.example")
    assert (read(one).exceeded, read(other).exceeded, read(one).exceeded) == (None, None, "requests")
