"""The browser's side of a login: its cookie, its CSRF token, its session at the tenant.

Takes   the signed cookie of the running request
Gives   the session's Login row; a CSRF token per browser; requests bound to the browser that began them
Raises  nothing
Not     passwords (login.py)
Source  D11; RFC 6265 §8.6: cookies on 127.0.0.1 are shared by every port, so the cookie holds no secret of another
"""

import secrets

from flask import session as cookie
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from tenant.context import Tenant
from tenant.store import Login, PendingRequest

SESSION_SECONDS = 259_200


def browser_id() -> str:
    """Return the browser's random name, given at its first visit."""
    if "browser" not in cookie:
        cookie["browser"] = secrets.token_urlsafe(16)
        cookie["csrf"] = secrets.token_urlsafe(24)
        cookie.permanent = True
    return str(cookie["browser"])


def csrf_token() -> str:
    """Return the token that every form of this browser must send back."""
    browser_id()
    return str(cookie["csrf"])


def sent_by_our_form(form: MultiDict[str, str]) -> bool:
    """Tell whether a POST comes from a page that we gave to this browser."""
    return "csrf" in cookie and secrets.compare_digest(
        form.get("csrf_token", "").encode(), str(cookie["csrf"]).encode()
    )


def current_login(tenant: Tenant, session: Session) -> Login | None:
    """Return who is logged in, if the session is not over."""
    login = session.get(Login, cookie.get("sid", ""))
    if login is None or login.user_id not in tenant.registry.users:
        return None
    return login if tenant.clock.now() < login.auth_time + SESSION_SECONDS else None


def start_login(tenant: Tenant, session: Session, user_id: str) -> Login:
    """Begin a session under a new name: one that was planted before the login is worth nothing after it."""
    end_login(session)
    login = Login(sid=secrets.token_urlsafe(24), user_id=user_id, auth_time=tenant.clock.now())
    session.add(login)
    cookie["sid"] = login.sid
    cookie["csrf"] = secrets.token_urlsafe(24)
    return login


def end_login(session: Session) -> None:
    """End the session, if there is one."""
    login = session.get(Login, cookie.pop("sid", ""))
    if login is not None:
        session.delete(login)


def pending_request(session: Session, state: str) -> PendingRequest | None:
    """Return the waiting request of this name, if this browser began it."""
    pending = session.get(PendingRequest, state)
    if pending is None or not secrets.compare_digest(pending.browser, browser_id()):
        return None
    return pending
