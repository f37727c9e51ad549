"""/v2/logout (Auth0's) and /oidc/logout (OpenID Connect RP-Initiated Logout).

Takes   returnTo and client_id;  id_token_hint, client_id, post_logout_redirect_uri, state
Gives   the end of the browser's session, and a redirect to a registered address or a page
Raises  nothing
Not     refresh tokens: they outlive the session, as Auth0's do; /oauth/revoke ends them
Source  D1, D7; OpenID Connect RP-Initiated Logout §2, §3
"""

from urllib.parse import urlencode

from flask import Blueprint, Response, request

from tenant import browser, context, tokens
from tenant.callbacks import is_allowed
from tenant.context import Tenant
from tenant.pages import error_page, go_to, page

blueprint = Blueprint("logout", __name__)


@blueprint.get("/v2/logout")
def auth0_logout() -> Response:
    """End the session at once, as Auth0 does."""
    tenant = context.current()
    return _end(tenant, request.args.get("client_id"), request.args.get("returnTo"), None)


@blueprint.route("/oidc/logout", methods=["GET", "POST"])
def oidc_logout() -> Response:
    """End the session; without a valid id_token_hint the user is asked first (§2: any page could send this)."""
    tenant, asked = context.current(), request.values
    client_id = asked.get("client_id")
    confirmed = request.method == "POST" and browser.sent_by_our_form(request.form)
    if hint := asked.get("id_token_hint"):
        try:
            audience = str(tokens.signature_verified(tenant, hint).get("aud"))
        except tokens.TokenRefusedError:
            return error_page(400, "Not logged out", "The id_token_hint is not an ID token of this tenant.")
        if client_id not in (None, audience):
            return error_page(400, "Not logged out", "The id_token_hint was given to another application.")
        client_id, confirmed = audience, True
    if not confirmed:
        return page("logout.html", parameters=[(n, v) for n, v in asked.items(multi=True) if n != "csrf_token"])
    return _end(tenant, client_id, asked.get("post_logout_redirect_uri"), asked.get("state"))


def _end(tenant: Tenant, client_id: str | None, target: str | None, state: str | None) -> Response:
    applications = tenant.registry.applications
    allowed = [applications[client_id]] if client_id and client_id in applications else list(applications.values())
    urls = [url for application in allowed for url in application.logout_urls]
    if target and not is_allowed(target, urls):
        tenant.log.write("flo", f"the address to return to is not registered: {target}", client_id=client_id)
        hint = "Register it under “logout_urls” of the application in the tenant's registry file."
        return error_page(400, "Not logged out", "The address to return to is not an allowed logout URL.", hint)
    with tenant.store.transaction() as session:
        login = browser.current_login(tenant, session)
        browser.end_login(session)
    tenant.log.write("slo", "logged out", client_id=client_id, user_id=login.user_id if login else None)
    if not target:
        return page("logged_out.html")
    return go_to(target + (f"{'&' if '?' in target else '?'}{urlencode({'state': state})}" if state else ""))
