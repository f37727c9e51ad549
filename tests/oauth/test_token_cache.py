"""The verified-token cache by itself: V3, V4."""

import threading

from app.oauth.access_token import AccessToken
from app.oauth.keys.jwks import parse_key_set
from app.oauth.token_cache import TokenCache, VerifiedToken
from tests.support.tokens import AUDIENCE, ISSUER, NOW, key_set, rsa_key


def entry(subject: str = "a", size_bytes: int = 100) -> VerifiedToken:
    key = parse_key_set(key_set(rsa_key()), ("RS256",)).find("rsa-1", "RS256")
    assert key is not None
    token = AccessToken(
        issuer=ISSUER,
        subject=subject,
        client_id=None,
        kind="user",
        scopes=frozenset(),
        permissions=frozenset(),
        audience=(AUDIENCE,),
        expires_at=NOW,
    )
    return VerifiedToken(token, key, size_bytes)


def test_get_when_remembered_gives_the_entry():
    """V1: its second request costs a hash and a look-up."""
    cache, remembered = TokenCache(10, 10_000), entry()
    cache.put(b"a", remembered)
    assert cache.get(b"a") is remembered
    assert cache.get(b"b") is None


def test_put_when_full_drops_the_least_recently_used():
    """V3: Bounded by entries; least recently used goes first."""
    cache = TokenCache(2, 10_000)
    cache.put(b"a", entry())
    cache.put(b"b", entry())
    cache.get(b"a")
    cache.put(b"c", entry())
    assert [cache.get(digest) is not None for digest in (b"a", b"b", b"c")] == [True, False, True]
    assert len(cache) == 2


def test_put_when_bytes_are_used_up_drops_the_least_recently_used():
    """V3: Bounded by entries (…) and by bytes."""
    cache = TokenCache(100, 250)
    for digest in (b"a", b"b", b"c"):
        cache.put(digest, entry(size_bytes=100))
    assert [cache.get(digest) is not None for digest in (b"a", b"b", b"c")] == [False, True, True]


def test_put_when_larger_than_the_cache_keeps_the_others():
    """V3: one huge token must not empty the cache."""
    cache = TokenCache(100, 250)
    cache.put(b"a", entry(size_bytes=200))
    cache.put(b"b", entry(size_bytes=251))
    assert cache.get(b"a") is not None
    assert cache.get(b"b") is None


def test_put_when_remembered_before_counts_once():
    """V3: two requests with the same new token may both verify it."""
    cache = TokenCache(2, 250)
    for _ in range(5):
        cache.put(b"a", entry(size_bytes=100))
    cache.put(b"b", entry(size_bytes=100))
    assert len(cache) == 2


def test_cache_when_bounded_by_nothing_keeps_nothing():
    """V3: 0 turns it off."""
    for cache in (TokenCache(0, 10_000), TokenCache(10, 0)):
        cache.put(b"a", entry())
        assert cache.get(b"a") is None


def test_forget_drops_an_entry_and_minds_no_absence():
    cache = TokenCache(2, 10_000)
    cache.put(b"a", entry())
    cache.forget(b"a")
    cache.forget(b"a")
    assert cache.get(b"a") is None


def test_cache_when_many_threads_use_it_stays_within_its_bounds():
    """V3: Bounded …, per process: threads share it."""
    cache, faults, remembered = TokenCache(8, 10_000), [], entry()

    def work(seed: int) -> None:
        try:
            for step in range(2_000):
                digest = bytes([(seed * 7 + step) % 32])
                if cache.get(digest) is None:
                    cache.put(digest, remembered)
                elif step % 5 == 0:
                    cache.forget(digest)
        except Exception as fault:  # noqa: BLE001 - a thread's exception would otherwise be lost
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert len(cache) <= 8
