"""/authorize: from the application's request to a code, with a login and a consent where they are needed.

Takes   the query of an authorization request;  after a page: /authorize/resume?state=…
Gives   a redirect to the login page, to the consent page, or back to the application with a code or an error
Raises  nothing: what is wrong with application or redirect address is a page, everything else goes to the application
Not     the pages (login.py, consent.py); PKCE, audience and scopes (grants.py)
Source  D1, D7, D11; RFC 6749 §4.1.2.1; OpenID Connect Core §3.1.2; RFC 9207
"""

import secrets
from typing import cast
from urllib.parse import parse_qsl, urlencode

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oidc.core.errors import ConsentRequiredError, LoginRequiredError
from flask import Blueprint, Response, request
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from tenant import browser, context
from tenant.context import Tenant
from tenant.pages import error_page, go_to
from tenant.registry import Application
from tenant.scopes import granted_scope
from tenant.server import Parameters, TenantRequest, application_of, current_server, printable
from tenant.store import Consent, Login, PendingRequest

blueprint = Blueprint("authorize", __name__)


@blueprint.get("/authorize")
def authorize() -> Response:
    """Begin."""
    tenant = context.current()
    with tenant.store.transaction() as session:
        return _advance(tenant, session, MultiDict(request.args), None)


@blueprint.get("/authorize/resume")
def resume() -> Response:
    """Go on after a page."""
    tenant = context.current()
    with tenant.store.transaction() as session:
        pending = browser.pending_request(session, request.args.get("state", ""))
        if pending is None:
            return start_over()
        return _advance(tenant, session, kept_parameters(pending), pending)


def kept_parameters(pending: PendingRequest) -> Parameters:
    """Return the parameters of a request that waits."""
    return MultiDict(parse_qsl(pending.query, keep_blank_values=True))


def deny(tenant: Tenant, session: Session, pending: PendingRequest) -> Response:
    """Tell the application that the user said no."""
    asked = TenantRequest(tenant, session, kept_parameters(pending), request.headers, "GET")
    session.delete(pending)
    redirect_uri, state = asked.payload.redirect_uri, asked.payload.state
    tenant.log.write("f", "the user did not authorize the request", client_id=asked.payload.client_id)
    text = "User did not authorize the request"
    return _refuse(tenant, asked, OAuth2Error(text, error="access_denied", redirect_uri=redirect_uri, state=state))


def start_over() -> Response:
    """Answer for a request that is unknown, over, or another browser's."""
    text = "This login has expired, or it was begun in another browser."
    return error_page(400, "Please start over", text, "Go back to the app and log in again.")


def _advance(tenant: Tenant, session: Session, parameters: Parameters, pending: PendingRequest | None) -> Response:
    asked = TenantRequest(tenant, session, parameters, request.headers, "GET")
    login = browser.current_login(tenant, session)
    user = tenant.registry.users[login.user_id] if login else None
    try:
        grant = current_server().get_consent_grant(asked, user)  # type: ignore[no-untyped-call]  # the stubs leave it open
        page = _page_needed(tenant, asked, login, pending)
    except OAuth2Error as error:
        error.state = parameters.get("state")
        if pending is not None:
            session.delete(pending)
        return _refuse(tenant, asked, error)
    if page is not None or login is None:
        pending = pending or _keep(tenant, session, parameters)
        return go_to(f"{page}?{urlencode({'state': pending.id})}")
    if pending is not None:
        session.delete(pending)
    asked.sid, asked.auth_time = login.sid, login.auth_time
    event = "ssa" if "none" in _prompts(asked) else "s"
    tenant.log.write(event, "a code was given", client_id=asked.payload.client_id, user_id=login.user_id)
    response = current_server().create_authorization_response(asked, grant_user=user, grant=grant)
    return cast("Response", response)


def _page_needed(
    tenant: Tenant, asked: TenantRequest, login: Login | None, pending: PendingRequest | None
) -> str | None:
    """Return the page that must come first, or None; with `prompt=none` the application hears of it instead."""
    prompts, redirect_uri = _prompts(asked), asked.payload.redirect_uri
    if "none" in prompts and len(prompts) > 1:
        raise InvalidRequestError("Parameter 'prompt' cannot be none and something else", redirect_uri=redirect_uri)
    logged_in_for_this = pending is not None and pending.logged_in
    stale = login is not None and _too_old(asked, tenant.clock.now() - login.auth_time)
    if login is None or (not logged_in_for_this and (stale or prompts & {"login", "select_account"})):
        if "none" in prompts:
            raise LoginRequiredError("Login required", redirect_uri=redirect_uri)
        return "/u/login"
    consented_for_this = pending is not None and pending.consented
    if not consented_for_this and ("consent" in prompts or not _has_consented(asked, login.user_id)):
        if "none" in prompts:
            raise ConsentRequiredError("Consent required", redirect_uri=redirect_uri)
        return "/u/consent"
    return None


def _prompts(asked: TenantRequest) -> set[str]:
    return set(asked.payload.data.get("prompt", "").split())


def _too_old(asked: TenantRequest, age_seconds: int) -> bool:
    text = asked.payload.data.get("max_age")
    if text is None:
        return False
    if not text.isascii() or not text.isdigit():
        raise InvalidRequestError(
            "Parameter 'max_age' must be a number of seconds", redirect_uri=asked.payload.redirect_uri
        )
    return age_seconds > int(text) or int(text) == 0


def _has_consented(asked: TenantRequest, user_id: str) -> bool:
    application: Application = application_of(asked)
    if application.skip_consent:
        return True
    user = asked.tenant.registry.users[user_id]
    wanted = granted_scope(application, asked.api, user, asked.scope)
    audience = asked.api.identifier if asked.api else ""
    kept = asked.session.get(Consent, (user_id, application.client_id, audience))
    return set(wanted.split()) <= set(kept.scope.split() if kept else ())


def _keep(tenant: Tenant, session: Session, parameters: Parameters) -> PendingRequest:
    pending = PendingRequest(
        id=secrets.token_urlsafe(24),
        browser=browser.browser_id(),
        query=urlencode(list(parameters.items(multi=True))),
        created_at=tenant.clock.now(),
    )
    session.add(pending)
    session.flush()
    return pending


def _refuse(tenant: Tenant, asked: TenantRequest, error: OAuth2Error) -> Response:
    client_id = asked.payload.client_id
    text = error.get_error_description() or ""
    if error.redirect_uri:
        event = "fsa" if "none" in _prompts(asked) else "f"
        tenant.log.write(event, f"{error.error}: {text}", client_id=client_id)
        return current_server().authorization_error(error)
    application = tenant.registry.applications.get(client_id or "")
    if application is None:
        tenant.log.write("f", f"unknown client: {client_id}")
        hint = "Check client_id: the applications stand in the tenant's registry file."
        return error_page(400, "Unknown application", f"Unknown client: {printable(client_id or '(none)')}", hint)
    wanted = asked.payload.redirect_uri or "(none)"
    if not application.check_redirect_uri(wanted):
        tenant.log.write("f", f"callback URL mismatch: {wanted}", client_id=client_id)
        hint = f"Register it under “callbacks” of {application.client_id} in the tenant's registry file."
        text = f"The provided redirect_uri is not in the list of allowed callback URLs: {printable(wanted)}"
        return error_page(403, "Callback URL mismatch", text, hint)
    tenant.log.write("f", f"{error.error}: {text}", client_id=client_id)
    return error_page(error.status_code, "This request is wrong", text or str(error.error))
