"""Say what the API would answer, by asking the API's own code: the Verifier, then the route's demands.

Takes   the value of an Authorization field, the Situation, a Route or None, now: seconds since the epoch (UTC)
Gives   Verdict: accepted, or the code and status of the answer;  None for accepted where nobody can know
Raises  nothing, whatever the token is
Not     why (checks.py, demands.py)
Source  docs/contracts/tokens.md §2, §6, T27, T30
"""

from dataclasses import dataclass

from app.commands.diagnosis import demands
from app.commands.diagnosis.demands import Route
from app.commands.diagnosis.keys import NotLooked
from app.commands.diagnosis.situation import Situation
from app.commands.screen import Finding
from app.oauth.bearer import credentials_from_header
from app.oauth.dpop.check import PresentedProof
from app.oauth.errors import InvalidToken, KeysUnavailable, Refused
from app.oauth.reasons import Action, Reason

_OF_ROUTES = {
    "not_found": (404, "There is nothing here"),
    "method_not_allowed": (405, "The method is not allowed here"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the API answers. `accepted` is None where the keys were not looked for and nothing else is wrong."""

    accepted: bool | None
    code: str | None = None
    status: int | None = None
    title: str | None = None
    action: Action | None = None
    is_conditional: bool = False
    """Whether it holds only if the signature, which was not checked, is good."""


def of(
    field_value: str, situation: Situation, route: Route | None, now: float, findings: tuple[Finding, ...]
) -> Verdict:
    """Ask the API; `findings` decide only where the keys were not looked for."""
    if route is not None and route.missing is not None:
        status, title = _OF_ROUTES[route.missing]
        return Verdict(accepted=False, code=route.missing, status=status, title=title, action=Action.FIX_CLIENT)
    if route is not None and not route.looks_at_tokens:
        return Verdict(accepted=True)
    try:
        _verify(field_value, situation, route, now)
    except (Refused, KeysUnavailable) as refused:
        return _refusal(refused.reason)
    except NotLooked:
        failed = next((finding.code for finding in findings if finding.code is not None), None)
        if failed is None:
            return Verdict(accepted=None)
        return _refusal(Reason(failed), is_conditional=True)
    return Verdict(accepted=True)


def _verify(field_value: str, situation: Situation, route: Route | None, now: float) -> None:
    credentials = credentials_from_header(
        field_value, situation.policy.max_token_bytes, takes_dpop=situation.proofs_taken
    )
    if credentials is None:
        if route is not None and route.demands is not None and route.demands.credentials == "optional":
            return
        raise InvalidToken(Reason.NO_CREDENTIALS)
    scheme, token = credentials
    proof = PresentedProof(None, "GET", "") if scheme == "DPoP" else None
    principal = situation.verifier().verify(token, now=now, proof=proof)
    if route is not None:
        demands.check(route, principal, now)


def _refusal(reason: Reason, *, is_conditional: bool = False) -> Verdict:
    return Verdict(
        accepted=False,
        code=reason.code,
        status=reason.status,
        title=reason.title,
        action=reason.action,
        is_conditional=is_conditional,
    )
