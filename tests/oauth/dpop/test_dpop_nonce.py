"""Nonces that nobody has to keep: P3."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.dpop.nonces import MIN_KEY_BYTES, WINDOW_SECONDS, Nonces
from tests.support.tokens import NOW

NONCES = Nonces(b"k" * MIN_KEY_BYTES)
START = NOW // WINDOW_SECONDS * WINDOW_SECONDS


@pytest.mark.parametrize("later", [0, 1, WINDOW_SECONDS - 0.5, WINDOW_SECONDS, 2 * WINDOW_SECONDS - 0.5])
def test_nonce_when_of_this_window_or_the_last_then_good_until_the_next_one_ends(later: float):
    """P3: stateless (HMAC over a time window); current and previous window accepted."""
    assert NONCES.good_until(NONCES.current(START), START + later) == START + 2 * WINDOW_SECONDS


@pytest.mark.parametrize("later", [-0.5, 2 * WINDOW_SECONDS, 3 * WINDOW_SECONDS, 86_400])
def test_nonce_when_of_another_window_then_not_good(later: float):
    assert NONCES.good_until(NONCES.current(START), START + later) is None


def test_nonce_when_made_by_another_host_with_the_same_key_then_good():
    """P3: one key on all hosts."""
    assert Nonces(b"k" * MIN_KEY_BYTES).good_until(NONCES.current(NOW), NOW) is not None
    assert Nonces(b"x" * MIN_KEY_BYTES).good_until(NONCES.current(NOW), NOW) is None


def test_nonce_when_written_then_it_fits_into_a_field():
    """RFC 9449 §8.1: nonce = 1*NQCHAR."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", NONCES.current(NOW))
    assert NONCES.current(NOW) != NONCES.current(NOW + WINDOW_SECONDS)


@given(st.text(max_size=60))
def test_nonce_when_made_up_then_not_good(nonce: str):
    """RFC 9449 §8: Nonce values MUST be unpredictable."""
    assert NONCES.good_until(nonce, NOW) is None


def test_nonces_when_the_key_is_short_then_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Nonces(b"k" * (MIN_KEY_BYTES - 1))


def test_nonce_when_it_is_half_a_surrogate_then_not_good():
    """T14: nothing that a proof can hold gives a 500; what cannot be written as UTF-8 is no nonce of ours."""
    assert NONCES.good_until("\ud800", NOW) is None
