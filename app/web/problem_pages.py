"""/problems and /problems/{code}: the page that each problem's `type` leads to.

Takes   a code; what the reader prefers (a browser's HTML, a program's JSON)
Gives   a page that says what happened, what the app should do, how a developer finds the cause
Raises  NotFound for an unknown code
Not     anything about the request that failed: the page is public
Source  RFC 9457 §3.1.1
"""

import base64
import hashlib
from pathlib import Path

from flask import Response, abort, render_template, request

from app.web.answers import PUBLIC, json_answer
from app.web.catalogue import PROBLEMS, Problem
from app.web.openapi import Blueprint
from app.web.policy import public
from app.web.problem_help import ACTIONS, HELP
from app.web.shapes_of_self import ProblemPageSchema, ProblemPagesSchema

blueprint = Blueprint("problem_pages", __name__, description="What each problem means")
_TYPES = ("application/json", "text/html")

_STYLE = (Path(__file__).parent / "templates" / "problem.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_FIELDS = {
    **PUBLIC,
    "Vary": "Accept",
    # The page runs nothing and loads nothing: its one style sheet stands in it and is named by its hash.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
}


@blueprint.get("/problems")
@blueprint.describes(
    "listProblems", "Every problem code with its status and action.", ProblemPagesSchema, media_types=_TYPES,
)  # fmt: skip
@public
def list_problems() -> Response:
    """List every code."""
    problems = sorted(PROBLEMS.values(), key=lambda problem: (problem.status, problem.code))
    if _wants_json():
        return json_answer({"problems": [_document(problem) for problem in problems]}, _FIELDS)
    return _page("problems.html", problems=problems)


@blueprint.get("/problems/<code>")
@blueprint.describes(
    "getProblem", "What one code means and what to do about it.", ProblemPageSchema, media_types=_TYPES,
    problems=("not_found",),
)  # fmt: skip
@public
def get_problem(code: str) -> Response:
    """Explain one code."""
    problem = PROBLEMS.get(code)
    if problem is None:
        abort(404)
    if _wants_json():
        return json_answer(_document(problem), _FIELDS)
    return _page("problem.html", problem=problem, action_text=ACTIONS[problem.action], help_texts=HELP.get(code, ()))


def _wants_json() -> bool:
    types = ("text/html", "application/json", "application/problem+json")
    return request.accept_mimetypes.best_match(types, "text/html") != "text/html"


def _document(problem: Problem) -> dict[str, object]:
    return {
        "code": problem.code,
        "status": problem.status,
        "title": problem.title,
        "detail": problem.detail,
        "action": problem.action,
        "action_text": ACTIONS[problem.action],
        "retryable": problem.retryable,
        "help": list(HELP.get(problem.code, ())),
    }


def _page(template: str, **context: object) -> Response:
    body = render_template(template, style=_STYLE, **context)
    return Response(body, 200, _FIELDS, content_type="text/html; charset=utf-8")
