"""Who stands side by side, and with which settings: the API in several dresses, the bare route, the peers.

Takes   Credentials, the folder var/bench
Gives   servers(): all of them running, by name; EXPLAINED, in the order of the tables
Raises  ServerFailed; what installing raises
Not     what they are asked (rounds.py)

All Python ones run on gunicorn with one worker, eight threads and the API's own configuration. The API has everything
on that production has: metrics shared between workers, a log line for each request to a file, the denylist. Its rate
limiter counts in variants of its own, for what it costs depends on where it counts.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.commands.db import upgrade
from app.db import Database
from app.stores.revocations import Revocations
from benchmarks import environments
from benchmarks.credentials import Credentials, key_server, subject
from benchmarks.denylist import made_up
from benchmarks.figures import BARE
from benchmarks.servers import Server, deployed, free_port, granian, running, serving
from benchmarks.store import valkey

HOT, UNSEEN = "hot token", "first sight"
LIMITED, LIMITED_SHARED, GRANIAN = "limits in memory", "limits in Valkey", "on Granian"
PYJWT, AUTHLIB, AUTH0 = "PyJWT", "Authlib", "auth0-api-python"
JWT_EXTENDED, EXPRESS = "flask-jwt-extended", "Express"
PEERS: Final = (PYJWT, AUTHLIB, AUTH0, JWT_EXTENDED, EXPRESS)
_REVOKED: Final = 100
_NO_LIMITS: Final = dict.fromkeys((f"RATE_LIMIT_{what}_PER_MINUTE" for what in ("REQUESTS", "WRITES", "FAILURES")), "0")
_VALIDATORS: Final = {AUTHLIB: "authlib", AUTH0: "auth0", JWT_EXTENDED: "jwt_extended"}


def settings(credentials: Credentials, directory: Path) -> dict[str, str]:
    """The API as it is deployed, with one worker and a database that is migrated and has revocations."""
    database = directory / "token.db"
    database.unlink(missing_ok=True)
    url = f"sqlite:///{database}"
    upgrade(url)
    _revoke(url)
    return {**deployed(credentials, directory / "jwks.json", url), "WEB_THREADS": "8", "DRAIN_SECONDS": "0"}


@contextmanager
def servers(credentials: Credentials, directory: Path) -> Iterator[Mapping[str, Server]]:
    """Start all; Express is left out where there is no Node."""
    common = settings(credentials, directory)
    own, theirs = environments.production(directory), environments.peers(directory)
    node = environments.express(directory)
    logs = directory / "logs"
    logs.mkdir(exist_ok=True)
    with ExitStack() as stack:
        keys_url = stack.enter_context(key_server(credentials.key_set))
        store = stack.enter_context(valkey(directory))
        found: dict[str, Server] = {}

        def start(name: str, entry: str, programs: Path, more: Mapping[str, str]) -> None:
            log = logs / f"{name.replace(' ', '-')}.log"
            found[name] = stack.enter_context(serving(entry, {**common, **more}, programs, log))

        start(
            BARE, f"benchmarks.peers:bare({subject(0)!r}, {credentials.issued_at}, {credentials.expires_at})", own, {}
        )
        start(HOT, "wsgi:app", own, _with_metrics(_NO_LIMITS))
        start(UNSEEN, "wsgi:app", own, _with_metrics({**_NO_LIMITS, "TOKEN_CACHE_SIZE": "1"}))
        start(LIMITED, "wsgi:app", own, _with_metrics({}))
        start(LIMITED_SHARED, "wsgi:app", own, _with_metrics({"SHARED_STORE_URL": store}))
        start(PYJWT, f"benchmarks.peers:quickstart({keys_url!r})", own, {})
        for name, function in _VALIDATORS.items():
            start(name, f"benchmarks.validators:{function}({keys_url!r})", theirs, {})
        more = _with_metrics(_NO_LIMITS)
        found[GRANIAN] = stack.enter_context(granian("wsgi:app", {**common, **more}, theirs, logs / "granian.log"))
        if node is not None:
            port, more = free_port(), {"KEYS_URL": keys_url, "NODE_ENV": "production"}
            found[EXPRESS] = stack.enter_context(
                running(["node", "server.js"], port, {**common, **more}, logs / "express.log", node)
            )
        yield found


def _with_metrics(more: Mapping[str, str]) -> dict[str, str]:
    return {"METRICS_PORT": str(free_port()), **more}


def _revoke(url: str) -> None:
    """Revoke what nobody here holds: every request is held against a denylist that is not empty."""
    database = Database(url)
    try:
        for one in made_up(_REVOKED):
            Revocations(database).add(one, at=datetime.now(UTC))
    finally:
        database.dispose()
