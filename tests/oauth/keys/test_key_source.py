"""The source that never fetches, and what every source promises."""

import pytest

from app.oauth.errors import InvalidToken
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import KeySource, KeyState, StaticKeySource
from app.oauth.reasons import Reason
from tests.support.tokens import ISSUER, key_set, new_rsa_key, rsa_key

KEYS = parse_key_set(key_set(rsa_key(), new_rsa_key(bits=1024)), ("RS256",))


def test_static_source_when_the_file_has_the_key_finds_it():
    """K1: "`JWKS_FILE` replaces both": discovery and key set."""
    source: KeySource = StaticKeySource(ISSUER, KEYS)
    source.start()
    assert source.issuer == ISSUER
    assert source.find("rsa-1", "RS256") is KEYS.keys[0]
    assert source.find(None, "RS256") is KEYS.keys[0]
    assert source.current() is KEYS
    assert source.userinfo_endpoint() is None
    source.stop()


@pytest.mark.parametrize(("kid", "alg"), [("rsa-2", "RS256"), ("rsa-1", "PS256"), (None, "ES256")])
def test_static_source_when_the_file_lacks_the_key_refuses(kid: str | None, alg: str):
    """T27: nothing could be fetched that would know more, so this is no fault of ours."""
    with pytest.raises(InvalidToken) as caught:
        StaticKeySource(ISSUER, KEYS).find(kid, alg)
    assert caught.value.reason is Reason.UNKNOWN_KEY


def test_static_source_is_always_ready():
    """K10: readiness asks whether keys are held."""
    assert StaticKeySource(ISSUER, KEYS).state() == KeyState(
        issuer=ISSUER,
        ever_held=True,
        held=True,
        fresh=True,
        stale=False,
        age_seconds=None,
        last_error=None,
        kids=("rsa-1",),
        skipped={"rsa_size": 1},
        fetches=0,
        failures=0,
    )
