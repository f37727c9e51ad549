"""Carry out the write of one request: one transaction, one effect, one answer, however often it is sent.

Takes   the work: what to do in the transaction, and what to answer;  Idempotency-Key
Gives   the answer, or the one that was kept
Raises  what the work raises; WebProblem: a malformed key, idempotency_key_reused; DatabaseBusy, DatabaseUnavailable
Not     what is written (the domain), who may write (policy.py), what is kept of an answer (idempotency.py)
Source  docs/contracts/user-data.md §7 "Write", U5, U16
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Response
from sqlalchemy.orm import Session

from app.oauth.access_token import AccessToken
from app.oauth.errors import Refused
from app.stores import idempotency as kept_answers
from app.users import account as accounts
from app.users import standing
from app.users.identity import Identity
from app.users.models import ACTIVE, Account
from app.web.auth import access_token
from app.web.idempotency import fingerprint, has_effect, kept_form, key_asked_for, replayed
from app.web.problems import WebProblem
from app.web.refusals import DOMAIN_ERRORS
from app.web.runtime import runtime

Work = Callable[[Session, Identity, datetime], Response]
_REFUSALS = (WebProblem, Refused, *DOMAIN_ERRORS)


def carry_out(work: Work, *, makes_account: bool = True, in_grace: bool = False) -> Response:
    """Run the work in one write transaction. It may be run again, so it has no effect but on the session.

    Of a request with a key: `makes_account` tells whether its user gets an account by it, as by every write of data;
    `in_grace`, whether it is taken while the account is scheduled for deletion.
    """
    parts, token, now = runtime(), access_token(), datetime.now(UTC)
    identity, key = parts.identity_of(token), key_asked_for()
    if key is None:
        return parts.database.transact(lambda session: work(session, identity, now))
    since = now - timedelta(hours=parts.settings.idempotency_hours)
    once = _Once(work, token, identity, key, fingerprint(), now, since, makes_account, in_grace)
    try:
        return parts.database.transact(once)
    except kept_answers.KeyReused:
        raise WebProblem("idempotency_key_reused") from None


@dataclass(frozen=True, slots=True)
class _Once:
    """The work of a request with a key, inside its transaction."""

    work: Work
    token: AccessToken
    identity: Identity
    key: str
    fingerprint: str
    now: datetime
    since: datetime
    makes_account: bool
    in_grace: bool

    def __call__(self, session: Session) -> Response:
        """Take the user's lock, then look: a retry that comes meanwhile waits at the lock, and finds the answer."""
        account = self._held(session)
        found = self._found(session, account)
        if found is not None:
            return found
        if account is not None:
            answer = self.work(session, self.identity, self.now)
        else:
            try:
                with session.begin_nested():
                    answer = self.work(session, self.identity, self.now)
            except _REFUSALS:
                # There was no account to lock: the request that made it may have been this very one, sent twice.
                found = self._found(session, accounts.hold(session, self.identity.user_key))
                if found is None:
                    raise
                return found
        if has_effect(answer):
            form = kept_form(answer, self.token)
            named = {"user_key": self.identity.user_key, "key": self.key, "fingerprint": self.fingerprint}
            kept_answers.keep(session, **named, answer=form, now=self.now)
        return answer

    def _held(self, session: Session) -> Account | None:
        if self.makes_account:
            return accounts.hold_or_make(session, self.identity, self.now)
        return accounts.hold(session, self.identity.user_key)

    def _found(self, session: Session, account: Account | None) -> Response | None:
        """Look for the answer, unless the account is closed to this request: then the work itself says so."""
        if account is None or standing.is_over(account, self.now) or not (self.in_grace or account.state == ACTIVE):
            return None
        key, user_key = self.key, self.identity.user_key
        found = kept_answers.find(session, user_key, key, self.fingerprint, self.since)
        return None if found is None else replayed(found, self.token)
