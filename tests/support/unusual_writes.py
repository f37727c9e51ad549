"""The API with one thing wrong with its writes, for gunicorn: what the tests of Idempotency-Key must notice.

Takes   WRONG, from the environment: look_up_outside_the_lock, keep_in_a_second_transaction, die_after_the_commit
Gives   app, as wsgi.py does
Raises  KeyError for another word
Not     the API as it is (wsgi.py)
"""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Response, request

from app.db import Database
from app.factory import app_or_exit
from app.stores import idempotency as kept_answers
from app.users import account as accounts
from app.web import writes
from app.web.auth import access_token
from app.web.idempotency import FIELD, fingerprint, kept_form, key_asked_for, replayed
from app.web.runtime import runtime

# So long as a busy host may take between two steps.
_SLOW_SECONDS = 0.05


def _found(now: Any, session: Any) -> Response | None:
    key, token = key_asked_for(), access_token()
    user_key = runtime().identity_of(token).user_key
    kept = kept_answers.find(session, user_key, str(key), fingerprint(), now - timedelta(hours=24))
    return None if kept is None else replayed(kept, token)


def _keep(answer: Response, now: Any, session: Any) -> None:
    token = access_token()
    named = {"user_key": runtime().identity_of(token).user_key, "key": str(key_asked_for())}
    form = kept_form(answer, token)
    kept_answers.keep(session, **named, fingerprint=fingerprint(), answer=form, now=now)


def look_up_outside_the_lock() -> None:
    """Look first, then lock: two that look at the same time both find nothing."""

    def once(self: Any, session: Any) -> Response:
        with runtime().database.read() as reading:
            found = _found(self.now, reading)
        if found is not None:
            return found
        time.sleep(_SLOW_SECONDS)
        accounts.hold_or_make(session, self.identity, self.now)
        answer: Response = self.work(session, self.identity, self.now)
        _keep(answer, self.now, session)
        return answer

    writes._Once.__call__ = once  # type: ignore[method-assign]


def keep_in_a_second_transaction() -> None:
    """Lock, look, work, commit, and keep the answer afterwards: whoever has the lock in between finds nothing."""
    transact = Database.transact

    def in_two(database: Database, once: Callable[[Any], Any]) -> Any:
        if not isinstance(once, writes._Once):
            return transact(database, once)

        def first(session: Any) -> Response:
            accounts.hold_or_make(session, once.identity, once.now)
            return _found(once.now, session) or once.work(session, once.identity, once.now)

        answer = transact(database, first)
        time.sleep(_SLOW_SECONDS)
        transact(database, lambda session: _keep(answer, once.now, session))
        return answer

    Database.transact = in_two  # type: ignore[method-assign, assignment]


def die_after_the_commit() -> None:
    """Kill the worker, once, when a write with a key has been committed and nothing has been answered yet."""
    transact = Database.transact

    def to_the_death(database: Database, work: Callable[[Any], Any]) -> Any:
        result = transact(database, work)
        mark = Path(os.environ["MARK"])
        if FIELD in request.headers and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Database.transact = to_the_death  # type: ignore[method-assign, assignment]


{
    "look_up_outside_the_lock": look_up_outside_the_lock,
    "keep_in_a_second_transaction": keep_in_a_second_transaction,
    "die_after_the_commit": die_after_the_commit,
}[os.environ["WRONG"]]()
app = app_or_exit()
