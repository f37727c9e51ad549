"""Ask every request for the proof that its route declares, before the route runs.

Takes   the Authorization field, and by the DPoP scheme the DPoP field too; the route's policy, a Verifier
Gives   g.access_token: AccessToken, or None on public and anonymous calls; DPoP-Nonce, where nonces are demanded
Raises  Refused, KeysUnavailable, TooManyProofs, ProofsUnavailable, WebProblem (limits.py): problems.py answers them
Not     which route asks what (policy.py), what a good token or proof is (app/oauth)
Source  RFC 6750 §2.1, RFC 9449 §7.1, §8.2, RFC 9110 §11.6.2, docs/contracts/tokens.md T1–T5, T20–T22, T30, P1–P4
"""

import time
from collections.abc import Mapping

from flask import Flask, Request, Response, g
from flask.globals import app_ctx, request_ctx

from app.oauth import scopes
from app.oauth.access_token import AccessToken
from app.oauth.bearer import credentials_from_header, scheme_of
from app.oauth.dpop import url as dpop_url
from app.oauth.dpop.check import PresentedProof
from app.oauth.dpop.nonces import Nonces
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason
from app.oauth.verifier import Verifier
from app.web.limits import UNLIMITED, RequestLimits
from app.web.policy import RoutePolicy
from config.settings import Settings


def install(  # noqa: PLR0913 - one argument for each part that it joins
    app: Flask,
    verifier: Verifier,
    policies: Mapping[str, RoutePolicy],
    settings: Settings,
    *,
    nonces: Nonces | None = None,
    limits: RequestLimits = UNLIMITED,
) -> None:
    """Check every request of `app` against its route's policy; with `nonces`, hand them to those who send proofs."""
    max_token_bytes = settings.max_token_bytes
    takes_dpop = settings.dpop_mode != "off"
    base = (dpop_url.normalised(settings.public_url) or "").rstrip("/")

    # NOTE: `request` and `g` look themselves up at each use; this hook runs for every request and asks once.
    @app.before_request
    def authenticate() -> None:
        kept, request = app_ctx.g, request_ctx.request
        kept.access_token = None
        # 404 and 405 come before 401 (T30): what does not exist needs no token.
        if request.routing_exception is not None or request.endpoint is None:
            return
        policy = policies[request.endpoint]
        if policy.credentials == "none" or _is_automatic_options(request):
            return
        # NOTE: read from the WSGI environment: werkzeug's parsed `authorization` would hide malformed values (T2).
        value = request.environ.get("HTTP_AUTHORIZATION")
        credentials = credentials_from_header(value, max_token_bytes, takes_dpop=takes_dpop)
        if credentials is None:
            if policy.credentials == "optional":
                return
            raise InvalidToken(Reason.NO_CREDENTIALS)
        scheme, text = credentials
        proof = None if scheme == "Bearer" else _proof(request, base)
        now = time.time()
        try:
            token = verifier.verify(text, now=now, proof=proof)
        except InvalidToken as refusal:
            limits.count_failure(refusal.reason, request.environ, now)
            raise
        # Kept before the route's demands are checked: the log of a 403 names the app that lacks the scope.
        kept.access_token = token
        kept.access_token_text = text
        # Before them too: who is told 403 again and again is asking all the same.
        limits.count(token, request.method, now)
        _authorise(token, policy, now)

    if nonces is not None:

        @app.after_request
        def give_nonce(response: Response) -> Response:
            """Give the next nonce with every answer, so that an app that goes on asks no request twice (§8.2)."""
            if scheme_of(request_ctx.request.environ.get("HTTP_AUTHORIZATION")) == "DPoP":
                response.headers["DPoP-Nonce"] = nonces.current(time.time())
            return response


def access_token() -> AccessToken:
    """Return the verified token of this request; only for routes that require one."""
    token: AccessToken | None = g.access_token
    if token is None:
        raise InvalidToken(Reason.NO_CREDENTIALS)
    return token


def _proof(request: Request, base: str) -> PresentedProof:
    """Take what came by the DPoP scheme; the address is the one that apps know, whatever the Host field says."""
    wsgi = request.environ
    url = dpop_url.of_request(base, wsgi.get("PATH_INFO", ""))
    return PresentedProof(wsgi.get("HTTP_DPOP"), wsgi["REQUEST_METHOD"], url)


def _authorise(token: AccessToken, policy: RoutePolicy, now: float) -> None:
    if not policy.allow_clients:
        scopes.require_user(token)
    if policy.scopes:
        check = scopes.require_any if policy.any_scope else scopes.require_all
        check(token, policy.scopes)
    if policy.permissions:
        scopes.require_permissions(token, policy.permissions)
    if policy.max_age_seconds is not None or policy.acr is not None:
        # Last: no login helps whoever may not do it at all.
        age, acr, skew_seconds = policy.max_age_seconds, policy.acr, policy.skew_seconds
        scopes.require_recent_login(token, max_age_seconds=age, acr=acr, now=now, skew_seconds=skew_seconds)


def _is_automatic_options(request: Request) -> bool:
    """A preflight needs no token (T29); Flask answers it from the routing map alone."""
    return request.method == "OPTIONS" and bool(getattr(request.url_rule, "provide_automatic_options", False))
