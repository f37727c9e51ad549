"""Mixed traffic for a soak: known tokens and new ones, made-up and refused ones, records of many users.

Takes   the API's URL, a Tally
Gives   hot, first_sight, bad, refused, records: each one more device's work;  token
Raises  nothing: what breaks is in the tally
Not     good requests alone, under faults (chaos_load.py)
"""

import random
import time
from collections.abc import Callable
from typing import Any

from tests.support import tokens
from tests.support.chaos_devices import Device, Tally
from tests.support.gunicorn_server import AUDIENCE
from tests.support.sync_client import NoAnswer

_PAUSE_SECONDS = 0.05
_USERS = 300
_SCOPE = "read:profile read:records write:records"


def hot(url: str, tally: Tally) -> Callable[[], object]:
    """Few tokens, known to the cache."""
    held = [token(f"auth0|hot{number}") for number in range(5)]
    device = Device(url, lambda: random.choice(held), tally, pause_seconds=_PAUSE_SECONDS)
    return lambda: _sent(device, "GET", random.choice(("/v1/whoami", "/v1/me")))


def first_sight(url: str, tally: Tally) -> Callable[[], object]:
    """Each token is new, and of one of many users."""
    device = Device(url, lambda: token(f"auth0|new{random.randrange(_USERS)}"), tally, pause_seconds=_PAUSE_SECONDS)
    return lambda: _sent(device, "GET", "/v1/whoami")


def bad(url: str, tally: Tally) -> Callable[[], object]:
    """What nobody has signed, from ever new addresses: made-up kids, spoiled signatures, no tokens at all."""

    def made_up() -> str:
        good = token("auth0|bad")
        signed, signature = good.rsplit(".", 1)
        return random.choice((f"{signed}.{signature[::-1]}", "a.b.c", good[:-40], random.randbytes(30).hex()))

    device = Device(url, made_up, tally, pause_seconds=_PAUSE_SECONDS)
    return lambda: _sent(device, "GET", "/v1/me", X_Forwarded_For=_address())


def refused(url: str, tally: Tally) -> Callable[[], object]:
    """Signed well, and refused: expired, for another API, without the scope."""

    def refusable() -> str:
        past = int(time.time()) - 7200
        return random.choice(
            (
                token("auth0|old", iat=past, exp=past + 600),
                token("auth0|other", aud="https://other.example"),
                token("auth0|less", scope="read:email"),
            )
        )

    device = Device(url, refusable, tally, pause_seconds=_PAUSE_SECONDS)
    return lambda: _sent(device, "GET", "/v1/changes")


def records(url: str, tally: Tally) -> Callable[[], object]:
    """Devices of many users that write, read, delete, list and poll."""
    held = [token(f"auth0|user{number}") for number in range(_USERS // 10)]
    device = Device(url, lambda: random.choice(held), tally, pause_seconds=_PAUSE_SECONDS)

    def ask() -> None:
        path = f"/v1/collections/notes/records/r{random.randrange(100)}"
        chance = random.random()
        if chance < 0.3:
            data = {"text": "x" * random.randrange(400), "at": time.time()}
            _sent(device, "PUT", path, {"data": data}, Idempotency_Key=random.randbytes(16).hex())
        elif chance < 0.4:
            _sent(device, "DELETE", path)
        elif chance < 0.6:
            _sent(device, "GET", path)
        elif chance < 0.8:
            _sent(device, "GET", "/v1/collections/notes/records?limit=100")
        else:
            _sent(device, "GET", "/v1/changes?limit=100")

    return ask


def _sent(device: Device, method: str, path: str, document: Any = None, **fields: str) -> None:
    try:
        device.send(method, path, document, **fields)
    except NoAnswer:
        # The tally has it.
        time.sleep(1)


def token(subject: str, **claims: Any) -> str:
    now = int(time.time())
    changes = {"sub": subject, "iat": now, "exp": now + 3600, "aud": AUDIENCE, "scope": _SCOPE}
    return tokens.mint(tokens.rsa_key(), None, changes | {"jti": random.randbytes(12).hex()} | claims)


def _address() -> str:
    return f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
