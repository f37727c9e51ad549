"""/u/login: a plain HTML form.

Takes   state (a waiting request), username, password, csrf_token;  login_hint fills in the address
Gives   the page; after the right password, a redirect to /authorize/resume
Raises  nothing
Not     whether a login is needed (authorize.py)
Source  D11
"""

from urllib.parse import urlencode

from flask import Blueprint, Response, request
from werkzeug.security import check_password_hash, generate_password_hash

from tenant import browser, context
from tenant.authorize import kept_parameters, start_over
from tenant.pages import go_to, page
from tenant.registry import User
from tenant.store import PendingRequest

blueprint = Blueprint("login", __name__)
WRONG = "Wrong email or password."
# Compared with when there is no such user, so that the answer takes as long.
_NOBODYS_HASH = generate_password_hash("nobody's", method="scrypt:16384:8:1")


@blueprint.get("/u/login")
def show() -> Response:
    """Show the form."""
    tenant = context.current()
    with tenant.store.transaction() as session:
        pending = browser.pending_request(session, request.args.get("state", ""))
        if pending is None:
            return start_over()
        hint = request.args.get("login_hint") or kept_parameters(pending).get("login_hint", "")
        return _form(pending, hint)


@blueprint.post("/u/login")
def submit() -> Response:
    """Check the password."""
    tenant, form = context.current(), request.form
    if not browser.sent_by_our_form(form):
        return start_over()
    username = form.get("username", "")
    user = tenant.registry.user_by_email(username)  # outside the transaction: scrypt is slow on purpose
    right = user is not None and user.check_password(form.get("password", ""))
    if user is None:
        check_password_hash(_NOBODYS_HASH, form.get("password", ""))
    with tenant.store.transaction() as session:
        pending = browser.pending_request(session, form.get("state", ""))
        if pending is None:
            return start_over()
        client_id = kept_parameters(pending).get("client_id")
        if user is None or not right:
            tenant.log.write("fp" if user else "fu", WRONG, client_id=client_id, user_id=user.user_id if user else None)
            return _form(pending, username, error=WRONG)
        browser.start_login(tenant, session, user.user_id)
        pending.logged_in = True
        tenant.log.write("s", "logged in", client_id=client_id, user_id=user.user_id)
        return go_to(f"/authorize/resume?{urlencode({'state': pending.id})}", 303)


def _form(pending: PendingRequest, username: str, error: str | None = None) -> Response:
    tenant, parameters = context.current(), kept_parameters(pending)
    chosen = tenant.registry.user_by_email(username)
    return page(
        "login.html",
        status=400 if error else 200,
        callback=parameters.get("redirect_uri"),
        application=tenant.registry.applications.get(parameters.get("client_id", "")),
        state=pending.id,
        username=username,
        chosen=chosen,
        people=[_choice(pending, user) for user in tenant.registry.users.values()],
        error=error,
    )


def _choice(pending: PendingRequest, user: User) -> dict[str, object]:
    link = f"/u/login?{urlencode({'state': pending.id, 'login_hint': user.email})}"
    initials = "".join(part[0] for part in user.name.split()[:2]).upper()
    return {"link": link, "user": user, "initials": initials}
