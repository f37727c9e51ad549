"""Show an explanation: for people line by line, for programs as one JSON document.

Takes   Explanation, Screen
Gives   lines;  document(), which holds no token: header and claims, never the signature
Raises  nothing
Not     what is explained (explain_token.py), escaping (app/commands/screen.py)
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from app.commands.diagnosis.claims_words import is_in_calendar
from app.commands.diagnosis.decoded import Decoded
from app.commands.diagnosis.demands import Route
from app.commands.diagnosis.verdict import Verdict
from app.commands.screen import Finding, Screen, cells, distance, moment, printable

_TIMES = frozenset({"exp", "nbf", "iat", "auth_time", "updated_at"})
_ACTION_INDENT = 10
_WIDEST_NAME = 24


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that the command has to say."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    demands: tuple[Finding, ...]
    decoded: Decoded
    route: Route | None
    notes: tuple[str, ...]
    now: float
    as_of_now: bool
    actions: Mapping[str, str]
    """What each action means to an app."""
    times: frozenset[str] = frozenset()
    """Claims that hold times beside the standard ones."""

    @property
    def cause(self) -> Finding | None:
        """The check behind the verdict: the first that fails."""
        if self.verdict.accepted is not False:
            return None
        return next((one for one in (*self.findings, *self.demands) if one.code == self.verdict.code), None)


def lines(explanation: Explanation, screen: Screen) -> Iterator[str]:
    """Write everything, the one sentence that matters on top."""
    yield from _verdict(explanation, screen)
    for note in explanation.notes:
        yield from screen.paragraph("Note:", note, _ACTION_INDENT)
    yield ""
    yield screen.heading(f"Checks, in the order of the API, as of {moment(explanation.now)}")
    for finding in _joined(explanation.findings):
        yield from screen.finding(finding)
    if explanation.route is not None:
        yield ""
        yield screen.heading(f"What {explanation.route.request} demands")
        for finding in explanation.demands:
            yield from screen.finding(finding)
    for title, members in (("Header", explanation.decoded.header), ("Claims", explanation.decoded.claims)):
        if members is not None:
            yield ""
            yield screen.heading(title)
            yield from _members(members, explanation, screen)


def document(explanation: Explanation) -> str:
    """Return everything as JSON in ASCII, so that no terminal is steered by it either."""
    verdict = explanation.verdict
    content = {
        "accepted": verdict.accepted,
        "code": verdict.code,
        "status": verdict.status,
        "title": verdict.title,
        "action": verdict.action,
        "sentence": sentence(explanation),
        "do": advice(explanation),
        "if_the_signature_is_good": verdict.is_conditional,
        "judged_at": explanation.now,
        "request": None if explanation.route is None else explanation.route.request,
        "notes": explanation.notes,
        "checks": [_plain(finding) for finding in explanation.findings],
        "demands": [_plain(finding) for finding in explanation.demands],
        "header": explanation.decoded.header,
        "claims": explanation.decoded.claims,
    }
    return json.dumps(content, indent=2, ensure_ascii=True)


def sentence(explanation: Explanation) -> str:
    """Say in one sentence what the API would do."""
    verdict, route = explanation.verdict, explanation.route
    would = "The API accepts" if explanation.as_of_now else f"As of {moment(explanation.now)}, the API accepts"
    request = "" if route is None else f" for {route.request}"
    if verdict.accepted is None:
        return "Nothing is wrong with this token as far as can be told offline; its signature was not checked."
    if verdict.accepted and route is not None and not route.looks_at_tokens:
        return f"{would} anybody{request}: no token is looked at."
    if verdict.accepted:
        proof = any(one.name == "proof" and one.outcome == "skip" for one in explanation.findings)
        return f"{would} this token{request}" + (", with a good proof." if proof else ".") + _until(explanation)
    cause = explanation.cause
    why = f": {cause.text}" if cause is not None else f": {verdict.title}"
    when = "" if explanation.as_of_now else f", as of {moment(explanation.now)}"
    condition = " (if its signature is good, which was not checked)" if verdict.is_conditional else ""
    return f"The API answers {verdict.status} {verdict.code}{request}{when}{condition}{why}."


def advice(explanation: Explanation) -> str | None:
    """Say what a developer does about it."""
    if explanation.verdict.code == "not_found":
        return "GET /v1 and /v1/openapi.json list every path"
    if explanation.verdict.code == "method_not_allowed":
        return "the Allow field of the answer lists the methods of this path"
    return None if explanation.cause is None else explanation.cause.advice


def _verdict(explanation: Explanation, screen: Screen) -> Iterator[str]:
    word = {True: "ACCEPTED", False: "REFUSED", None: "UNDECIDED"}[explanation.verdict.accepted]
    yield from screen.headline(word, sentence(explanation), good=explanation.verdict.accepted)
    what = advice(explanation)
    if what is not None:
        yield from screen.paragraph("Do:", f"{what}.", _ACTION_INDENT)
    action = explanation.verdict.action
    if action is not None:
        meaning = explanation.actions.get(action, "")
        yield from screen.paragraph("The app:", f"{action}. {meaning}", _ACTION_INDENT)


def _until(explanation: Explanation) -> str:
    exp: Any = (explanation.decoded.claims or {}).get("exp")
    return f" It expires {distance(exp, explanation.now)}." if is_in_calendar(exp) and exp > explanation.now else ""


def _joined(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Make one line of neighbours that are skipped for the same reason."""
    for (outcome, text), group in groupby(
        findings, lambda one: (one.outcome, one.text if one.outcome == "skip" else id(one))
    ):
        same = list(group)
        yield same[0] if outcome != "skip" else Finding(_names(same), "skip", str(text))


def _names(same: list[Finding]) -> str:
    return same[0].name if len(same) == 1 else f"{same[0].name} to {same[-1].name}"


def _members(members: dict[str, Any], explanation: Explanation, screen: Screen) -> Iterator[str]:
    widths = [cells(printable(name)) for name in members]
    width = max((cells_ for cells_ in widths if cells_ <= _WIDEST_NAME), default=0)
    for name, value in members.items():
        shown = json.dumps(value, ensure_ascii=False)
        if name in _TIMES | explanation.times and is_in_calendar(value):
            shown += f"  {moment(value)}, {distance(value, explanation.now)}"
        label = printable(name)
        if cells(label) > width:
            yield from screen.paragraph("", f"{label}  {shown}", 2)
        else:
            yield from screen.paragraph(f"  {label}", shown, width + 4)


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "outcome": finding.outcome.lower(),
        "text": finding.text,
        "advice": finding.advice,
        "code": finding.code,
    }
