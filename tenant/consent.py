"""/u/consent: what the application asks for, in words, and the user's yes or no.

Takes   state (a waiting request), action (accept or deny), csrf_token
Gives   the page; after yes a redirect to /authorize/resume, after no one to the application
Raises  nothing
Not     whether a consent is needed (authorize.py)
Source  D11; RFC 6749 §4.1.2.1 (access_denied)
"""

from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from tenant import browser, context
from tenant.authorize import deny, kept_parameters, start_over
from tenant.context import Tenant
from tenant.pages import go_to, page
from tenant.registry import Api, Application, User
from tenant.scopes import described, granted_scope, resolve_api
from tenant.store import Consent, PendingRequest

blueprint = Blueprint("consent", __name__)


@blueprint.get("/u/consent")
def show() -> Response:
    """Show what is asked for."""
    tenant = context.current()
    with tenant.store.transaction() as session:
        found = _find(tenant, session, request.args.get("state", ""))
        if found is None:
            return start_over()
        pending, application, api, user = found
        return page(
            "consent.html",
            callback=kept_parameters(pending).get("redirect_uri"),
            application=application,
            api=api,
            user=user,
            scopes=described(api, _scope(pending, application, api, user)),
            state=pending.id,
        )


@blueprint.post("/u/consent")
def submit() -> Response:
    """Take the answer."""
    tenant = context.current()
    if not browser.sent_by_our_form(request.form):
        return start_over()
    with tenant.store.transaction() as session:
        found = _find(tenant, session, request.form.get("state", ""))
        if found is None:
            return start_over()
        pending, application, api, user = found
        if request.form.get("action") != "accept":
            return deny(tenant, session, pending)
        _remember(session, _scope(pending, application, api, user), (user, application, api))
        pending.consented = True
        return go_to(f"/authorize/resume?{urlencode({'state': pending.id})}", 303)


def _find(tenant: Tenant, session: Session, state: str) -> tuple[PendingRequest, Application, Api | None, User] | None:
    pending = browser.pending_request(session, state)
    login = browser.current_login(tenant, session)
    if pending is None or login is None:
        return None
    parameters = kept_parameters(pending)
    application = tenant.registry.applications.get(parameters.get("client_id", ""))
    try:
        api = resolve_api(tenant, parameters)
    except OAuth2Error:
        return None  # the registry has changed since the request was accepted
    return (pending, application, api, tenant.registry.users[login.user_id]) if application else None


def _scope(pending: PendingRequest, application: Application, api: Api | None, user: User) -> str:
    return granted_scope(application, api, user, kept_parameters(pending).get("scope", ""))


def _remember(session: Session, scope: str, by: tuple[User, Application, Api | None]) -> None:
    user, application, api = by
    key = (user.user_id, application.client_id, api.identifier if api else "")
    kept = session.get(Consent, key)
    if kept is None:
        session.add(Consent(user_id=key[0], client_id=key[1], audience=key[2], scope=scope))
    else:
        kept.scope = " ".join(dict.fromkeys([*kept.scope.split(), *scope.split()]))
