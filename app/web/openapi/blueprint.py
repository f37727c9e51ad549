"""A blueprint whose routes say above themselves what the OpenAPI document tells of them.

Takes   an operation's id, a sentence, the schema of its answer, its problem codes, parameters and fields
Gives   Blueprint
Raises  KeyError at start for a problem code, a parameter or a field that there is not
Not     who may call (app/web/policy.py), the document itself (document.py)
Source  OpenAPI 3.0.3 §4.7.10
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flask_smorest
from marshmallow import Schema
from werkzeug.http import HTTP_STATUS_CODES

from app.web.catalogue import PROBLEMS
from app.web.openapi.answers import FIELDS
from app.web.openapi.parameters import PARAMETERS

PROBLEM_TYPE = "application/problem+json"
# By its name in the document (document.py puts it there): from the class, each of some 250 answers would make it anew.
_PROBLEM = "#/components/schemas/Problem"
# What document.py turns into parameters and fields; it does not stand in the document.
TAKES, GIVES = "x-takes", "x-gives"
View = TypeVar("View", bound=Callable[..., Any])


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # smorest has no types
    """A smorest blueprint with one decorator for all that an operation's entry says."""

    def get(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Register a GET route, as Flask does; here for its types."""
        decorate: Callable[[View], View] = super().get(rule, **options)
        return decorate

    def patch(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Register a PATCH route."""
        decorate: Callable[[View], View] = super().patch(rule, **options)
        return decorate

    def post(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Register a POST route."""
        decorate: Callable[[View], View] = super().post(rule, **options)
        return decorate

    def put(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Register a PUT route."""
        decorate: Callable[[View], View] = super().put(rule, **options)
        return decorate

    def delete(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Register a DELETE route."""
        decorate: Callable[[View], View] = super().delete(rule, **options)
        return decorate

    def describes(  # noqa: PLR0913 - one argument for each thing that an entry says
        self,
        operation_id: str,
        summary: str,
        schema: type[Schema] | Mapping[str, Any] | None = None,
        *,
        status: int | tuple[int, ...] = 200,
        media_types: tuple[str, ...] = ("application/json",),
        problems: tuple[str, ...] = (),
        takes: tuple[str, ...] = (),
        gives: tuple[str, ...] = (),
        doc: Mapping[str, Any] | None = None,
    ) -> Callable[[View], View]:
        """Describe the operation below.

        `schema`, `status`, `media_types`, `gives`: of its answer, with the fields that it carries; `problems`: the
        codes that it may answer with instead; `takes`: parameters in query and fields. Those in the path, and what
        every route has by its policy, stand in the document by themselves.
        """
        content: dict[str, Any] = {"responses": {}}
        for one in (status,) if isinstance(status, int) else status:
            success: dict[str, Any] = {"description": HTTP_STATUS_CODES[one]}
            if schema is not None:
                success["content"] = {media_type: {"schema": _of(media_type, schema)} for media_type in media_types}
            content["responses"][str(one)] = success
        for code in problems:
            problem = PROBLEMS[code]
            entry = content["responses"].setdefault(str(problem.status), {"description": ""})
            entry["description"] = (entry["description"] + f" {code}").strip()
            entry["content"] = {PROBLEM_TYPE: {"schema": {"$ref": _PROBLEM}}}
        content[TAKES] = [name for name in takes if PARAMETERS[name]]
        content[GIVES] = [name for name in gives if FIELDS[name]]
        return self.doc(operationId=operation_id, summary=summary, **content, **(doc or {}))  # type: ignore[no-any-return]


def _of(media_type: str, schema: type[Schema] | Mapping[str, Any]) -> Any:
    """Only JSON has a shape that a schema could tell."""
    return schema if media_type.endswith("json") else {"type": "string"}
