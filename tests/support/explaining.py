"""Explain tokens in this process, and hold every explanation against the API's own verifier.

Takes   an Explained API (of_app), tokens or Authorization fields
Gives   judged(): the Explanation, after it was found to agree with the verifier in everything
Raises  AssertionError where the two differ
Not     the command line (tests/commands/test_explain_token.py)
"""

from flask import Flask

from app import factory
from app.commands.diagnosis import demands
from app.commands.diagnosis.pasted import Pasted
from app.commands.diagnosis.show import Explanation, document, lines
from app.commands.diagnosis.situation import Situation
from app.commands.explain_token import Explained, explain, gather
from app.commands.screen import Screen
from app.oauth.bearer import credentials_from_header
from app.oauth.errors import InvalidToken, KeysUnavailable, Refused
from app.oauth.reasons import Reason
from app.oauth.verifier import Verifier
from app.web import policy
from app.web.problem_help import ACTIONS
from app.web.scopes import SCOPES
from config.settings import Settings


def of_app(app: Flask, settings: Settings) -> Explained:
    """The API, as the factory gives it to the command."""
    policies = policy.policies_of(app, SCOPES, settings)
    return Explained(app, settings, factory._token_policy(settings), policies, ACTIONS)


def answer_of(verifier: Verifier, field: str, max_token_bytes: int, *, now: float) -> Reason | None:
    """What the API's own code says to such a field; None if it lets the caller in."""
    try:
        credentials = credentials_from_header(field, max_token_bytes)
        if credentials is None:
            raise InvalidToken(Reason.NO_CREDENTIALS)
        verifier.verify(credentials[1], now=now)
    except (Refused, KeysUnavailable) as refused:
        return refused.reason
    return None


def judged(
    api: Explained,
    field: str,
    *,
    now: float,
    request: str | None = None,
    situation: Situation | None = None,
    offline: bool = False,
) -> Explanation:
    """Explain, and demand that the lines tell the same story as the verdict."""
    route = None if request is None else demands.find(api.app, api.policies, request)
    explanation = explain(Pasted(field), api, route, situation or gather(api, now, offline=offline), now=now)
    failures = [one for one in (*explanation.findings, *explanation.demands) if one.outcome == "FAIL"]
    verdict = explanation.verdict
    if verdict.accepted is False and verdict.status not in {404, 405}:
        assert failures, f"{verdict.code} without a line that says why"
        assert failures[0].code == verdict.code, (failures[0], verdict)
        assert all(one.text and one.code for one in failures)
    elif route is None or route.looks_at_tokens:
        assert not failures, failures
    screen = Screen(80, colours=False)
    shown = list(lines(explanation, screen))
    assert all(line.isprintable() or not line for line in shown)
    assert document(explanation).isascii()
    return explanation
