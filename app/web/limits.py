"""Count the requests of every user, refuse those past a limit, and tell everybody where they stand.

Takes   verified tokens; refused tokens with the address that they came from
Gives   RequestLimits, for auth.py;  the RateLimit-Policy and RateLimit fields on every answer to a token
Raises  WebProblem(rate_limited), a 429 with Retry-After
Not     counting (limiting/), public routes: they know no user and are never limited
Source  docs/contracts/user-data.md U8, §5; RFC 6585 §4; draft-ietf-httpapi-ratelimit-headers-10

A good token is counted by its user alone, a bad one by its address alone: so nobody's bad tokens ever cost a
neighbour behind the same carrier a good answer.
"""

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, Response
from flask.globals import app_ctx

from app.oauth.access_token import AccessToken
from app.oauth.reasons import Reason
from app.web.client_address import ClientAddress
from app.web.limiting.limiter import Limiter, Standing
from app.web.problems import WebProblem

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What no tenant has issued. A token that has expired, lacks a scope or is for another API is an app's daily life.
_FORGED: Final = frozenset({Reason.MALFORMED_TOKEN, Reason.BAD_SIGNATURE})


class RequestLimits:
    """The limits of one application."""

    def __init__(self, limiter: Limiter | None, tenant: str, client_address: ClientAddress) -> None:
        """Take the first issuer as the tenant, so that a user has one quota under all its names (T11).

        Without a limiter nothing is counted.
        """
        self._limiter = limiter
        self._tenant = tenant
        self._client_address = client_address

    def count(self, token: AccessToken, method: str, now: float) -> None:
        """Count a request with a good token, whatever it is answered; all devices of a user share the quota."""
        if self._limiter is None:
            return
        # An application that speaks for no user has a quota of its own.
        who = f"client|{token.client_id or token.subject}" if token.kind == "client" else f"user|{token.subject}"
        is_write = method not in _READS
        _settle(self._limiter.request(f"{self._tenant}|{who}", is_write=is_write, now=now))

    def count_failure(self, reason: Reason, environ: Mapping[str, Any], now: float) -> None:
        """Count a refused token, if it was made up; past the limit there is no telling what is wrong with it."""
        if self._limiter is None or reason not in _FORGED:
            return
        address = self._client_address(environ)
        if address is None:
            return
        standing = self._limiter.failure(f"address|{address}", now=now)
        if standing is not None and standing.exceeded:
            _settle(standing)


UNLIMITED: Final = RequestLimits(None, "", ClientAddress())


def install(app: Flask) -> None:
    """Write the fields on every answer to a request that was counted, also on 304 and on refusals."""

    # NOTE: `g` looks itself up at each use; this hook runs for every request and asks once.
    @app.after_request
    def tell(response: Response) -> Response:
        standing: Standing | None = app_ctx.g.get("rate_limit")
        if standing is not None:
            response.headers.add("RateLimit-Policy", standing.policy)
            response.headers.add("RateLimit", standing.limit)
        return response


def _settle(standing: Standing | None) -> None:
    """Keep it for the answer, and refuse where it is used up."""
    if standing is None:
        return
    app_ctx.g.rate_limit = standing
    if standing.exceeded:
        fields = {"Retry-After": str(standing.renewed_in_seconds)}
        raise WebProblem("rate_limited", fields=fields, policy=standing.exceeded)
