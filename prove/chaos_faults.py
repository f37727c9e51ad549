"""What goes wrong, one after the other: each fault breaks something, lets it last, and mends it.

Takes   a Stack under load
Gives   FAULTS: by name, what to carry out, and how soon all must be well afterwards
Raises  WrongAnswer where a probe of the fault's own was answered otherwise than it must be
Not     the load (tests/support/chaos_load.py), the judgement (tests/support/chaos_judge.py)
Source  docs/operating.md "Runbook"
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.support.chaos_stack import Stack, right_dates
from tests.support.issuer import Fault as Answer

# Past JWKS_MAX_STALE_SECONDS of the stack, so that the end of the grace is seen, too.
_DOWN_SECONDS: Final = 34
_SHORT_SECONDS: Final = 10
_ROTATIONS: Final = 3
_KILLS: Final = 4
_BETWEEN_KILLS_SECONDS: Final = 4
_SKEW_SECONDS: Final = 25
_TEN_MINUTES: Final = 600
# server_time is the clock of this machine, and the answer may have taken its time.
_ONE_CLOCK_SECONDS: Final = 60
# A failing tenant is asked again after at most 30 s.
_WELL_AFTER_TENANT_SECONDS: Final = 45.0
_WELL_SECONDS: Final = 25.0


class WrongAnswer(Exception):  # noqa: N818 - named by what came
    """A probe was answered otherwise than it must be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`carry_out` returns when it is mended. `is_control`: the check must find something wrong."""

    name: str
    carry_out: Callable[[Stack], None]
    well_within_seconds: float = _WELL_SECONDS
    may_break: bool = False
    is_control: bool = False


def nothing(_stack: Stack) -> None:
    """The row to compare the others with."""
    time.sleep(_SHORT_SECONDS / 2)


def slow_tenant(stack: Stack) -> None:
    """Every byte of the key set takes its time, so that each fetch ends in its time limit."""
    stack.new_log()
    stack.issuer.jwks = stack.issuer.discovery = Answer(drips="body")
    time.sleep(_SHORT_SECONDS)
    stack.issuer.up()
    _expect_logged(stack, "cannot be fetched")


def tenant_down(stack: Stack) -> None:
    """Longer than the keys may be stale."""
    stack.issuer.down()
    time.sleep(_DOWN_SECONDS)
    stack.issuer.up()


def malformed_tenant(stack: Stack) -> None:
    """HTML with status 200, JSON that ends in the middle, another issuer's document."""
    stack.new_log()
    page = Answer(body=b"<!doctype html><title>Sign in to the Wi-Fi</title>", content_type="text/html")
    stack.issuer.jwks = stack.issuer.discovery = page
    time.sleep(_SHORT_SECONDS / 3)
    stack.issuer.discovery = None
    stack.issuer.jwks = Answer(body=b'{"keys": [{"kty": "RSA", "n": "')
    time.sleep(_SHORT_SECONDS / 3)
    stack.issuer.jwks = None
    stack.issuer.metadata = {"issuer": "https://somebody.example/"}
    time.sleep(_SHORT_SECONDS / 3)
    stack.issuer.metadata = {}
    _expect_logged(stack, "cannot be fetched")


def rotation(stack: Stack) -> None:
    """New keys, each used at the moment it is published, beside the one before; which goes when nobody uses it."""
    for _ in range(_ROTATIONS):
        stack.rotate(_SHORT_SECONDS / 3)


def database_stopped(stack: Stack) -> None:
    """An immediate shutdown in the midst of writes, and recovery from the log."""
    stack.postgresql.stop_at_once()
    time.sleep(_SHORT_SECONDS / 2)
    stack.postgresql.start_again()


def store_stopped(stack: Stack) -> None:
    """Everything that Valkey held is gone, too."""
    stack.valkey.stop()
    time.sleep(_SHORT_SECONDS / 2)
    stack.valkey.start()


def store_hanging(stack: Stack) -> None:
    """It takes connections and says nothing."""
    stack.signal_valkey(signal.SIGSTOP)
    time.sleep(_SHORT_SECONDS / 2)
    stack.signal_valkey(signal.SIGCONT)


def disk_full(stack: Stack) -> None:
    """The copies of the keys cannot be written while the keys change."""
    stack.new_log()
    stack.disk.fill()
    stack.rotate(_SHORT_SECONDS / 2)
    stack.disk.free()
    _expect_logged(stack, "cannot be kept on disk")


def workers_killed(stack: Stack) -> None:
    """One at a time, and all of them at the end."""
    for number in range(1, _KILLS + 1):
        workers = sorted(stack.server.workers())
        for pid in workers if number == _KILLS else workers[:1]:
            os.kill(pid, signal.SIGKILL)
        time.sleep(_BETWEEN_KILLS_SECONDS)


def clock_ahead(stack: Stack) -> None:
    """The tenant's clock, within what is tolerated; and once far beyond."""
    stack.signer.date_by(lambda now: {**right_dates(now + _SKEW_SECONDS), "nbf": now + _SKEW_SECONDS})
    time.sleep(_SHORT_SECONDS / 2)
    stack.signer.date_by(right_dates)
    ahead = int(time.time()) + _TEN_MINUTES
    _expect_told(stack, {"iat": ahead, "nbf": ahead, "exp": ahead + _TEN_MINUTES}, "token_not_yet_valid")


def clock_behind(stack: Stack) -> None:
    """Tokens that have ended by this API's clock, and live by the tenant's; and once far beyond."""
    # A token of 40 s, by a clock that is behind by 25: it ended 15 s before it reaches the API at the earliest.
    stack.signer.date_by(lambda now: {"iat": now - _SKEW_SECONDS - 30, "exp": now - _SKEW_SECONDS + 10})
    time.sleep(_SHORT_SECONDS / 2)
    stack.signer.date_by(right_dates)
    behind = int(time.time()) - _TEN_MINUTES
    _expect_told(stack, {"iat": behind - 60, "exp": behind}, "token_expired")


def unpublished_key(stack: Stack) -> None:
    """The control: tokens by a key that nobody publishes are refused, and the check must see it."""
    good = stack.signer.keys
    stack.signer.sign_with(stack.signer.next_key())
    time.sleep(_SHORT_SECONDS / 2)
    stack.signer.sign_with(*good)


def _expect_logged(stack: Stack, words: str) -> None:
    """What users hardly notice must have been there."""
    if words not in stack.new_log():
        raise WrongAnswer(f"the log does not say that the keys {words}: the fault did nothing")


def _expect_told(stack: Stack, dates: Mapping[str, int], code: str) -> None:
    """A token whose dates nobody tolerates: 401, and the device learns what time it is."""
    answer = stack.server.get(stack.signer.token("auth0|clock", **dates))
    told = answer.json()
    is_told = (answer.status_code, told["code"]) == (401, code)
    if not is_told or abs(told.get("server_time", 0) - time.time()) > _ONE_CLOCK_SECONDS:
        raise WrongAnswer(f"a token that is ten minutes off was told: {answer.text}")


FAULTS: Final = (
    Fault("nothing", nothing),
    Fault("tenant slow", slow_tenant, _WELL_AFTER_TENANT_SECONDS),
    Fault("tenant down", tenant_down, _WELL_AFTER_TENANT_SECONDS),
    Fault("tenant malformed", malformed_tenant, _WELL_AFTER_TENANT_SECONDS),
    Fault("keys rotating", rotation),
    Fault("database stopped", database_stopped),
    Fault("Valkey stopped", store_stopped),
    Fault("Valkey hanging", store_hanging),
    Fault("disk full", disk_full),
    Fault("workers killed", workers_killed, may_break=True),
    Fault("clock 25 s ahead", clock_ahead),
    Fault("clock 25 s behind", clock_behind),
    Fault("control: a key unpublished", unpublished_key, is_control=True),
)
