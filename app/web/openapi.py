"""The OpenAPI document: written from the routes' own declarations, so that it cannot say otherwise than they do.

Takes   the application with its blueprints, the policies
Gives   Blueprint (describes an operation above its route), Api (smorest, with our problems), document(...)
Raises  nothing
Not     the shapes (schemas.py), the check of input
Source  OpenAPI 3.0.3: Swift's generator fails on 3.1's nullables (docs/contracts/user-data.md §6)
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import Schema
from werkzeug.http import HTTP_STATUS_CODES

from app.web.catalogue import PROBLEMS
from app.web.policy import RoutePolicy
from app.web.schemas import ProblemSchema
from app.web.scopes import SCOPES
from config.settings import Settings

VERSION = "0.1.0"
_PROBLEM = "application/problem+json"
_UNAUTHORIZED = 401
_OF_EVERY_TOKEN = tuple(
    code for code, problem in PROBLEMS.items() if problem.status == _UNAUTHORIZED and code != "step_up_required"
)
_OF_PROOFS = ("token_not_bound", "invalid_dpop_proof", "use_dpop_nonce")
_BY_DPOP = {
    "type": "http",
    "scheme": "DPoP",
    "description": "RFC 9449: a token that is bound to the app's key (cnf.jkt), as `Authorization: DPoP <token>`, with "
    "a proof in the field `DPoP`: a JWT signed by that key for this method, this URL and this token, used once.",
}
# A parameter in a path: Flask says <name>, OpenAPI {name}.
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
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
        schema: type[Schema] | None = None,
        *,
        status: int = 200,
        problems: tuple[str, ...] = (),
        doc: Mapping[str, Any] | None = None,
    ) -> Callable[[View], View]:
        """Describe the operation below: its id, one sentence, the answer's schema and status, its problem codes."""
        success: dict[str, Any] = {"description": HTTP_STATUS_CODES[status]}
        content: dict[str, Any] = {"responses": {str(status): success}}
        if schema is not None:
            success["content"] = {"application/json": {"schema": schema}}
        for code in problems:
            problem = PROBLEMS[code]
            entry = content["responses"].setdefault(str(problem.status), {"description": ""})
            entry["description"] = (entry["description"] + f" {code}").strip()
            entry["content"] = {_PROBLEM: {"schema": ProblemSchema}}
        return self.doc(operationId=operation_id, summary=summary, **content, **(doc or {}))  # type: ignore[no-any-return]


class Api(flask_smorest.Api):  # type: ignore[misc]  # smorest has no types
    """smorest without its error handler, which drops fields of the answer and is not problem+json."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Leave every fault to problems.py."""


def make_api(app: Flask) -> Api:
    """Make the smorest Api that the blueprints are registered with."""
    app.config.update(API_TITLE="Postern", API_VERSION=VERSION, OPENAPI_VERSION="3.0.3")
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    return Api(app, spec_kwargs={"marshmallow_plugin": plugin})


def document(api: Api, app: Flask, policies: Mapping[str, RoutePolicy], settings: Settings) -> dict[str, Any]:
    """Return the whole document, each operation with the scopes that its route really asks for."""
    spec: dict[str, Any] = api.spec.to_dict()
    spec["info"]["description"] = "The protected resource server that a native app calls. Problems: RFC 9457."
    spec["servers"] = [{"url": settings.public_url}]
    spec.setdefault("components", {})["securitySchemes"] = {
        "tenant": {
            "type": "openIdConnect",
            "openIdConnectUrl": f"{settings.tenant_issuers[0].removesuffix('/')}/.well-known/openid-configuration",
            "description": "An access token of the tenant: " + ", ".join(SCOPES),
        }
    }
    if settings.dpop_mode != "off":
        spec["components"]["securitySchemes"]["dpop"] = _BY_DPOP
    for rule in app.url_map.iter_rules():
        path = spec["paths"].get(_PARAMETER.sub(r"{\1}", rule.rule), {})
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            operation = path.get(method.lower())
            if operation is not None:
                _say_policy(operation, policies[rule.endpoint], settings.dpop_mode)
    return spec


def _say_policy(operation: dict[str, Any], policy: RoutePolicy, dpop_mode: str) -> None:
    if policy.credentials == "none":
        operation["security"] = []
        return
    groups = [[scope] for scope in policy.scopes] if policy.any_scope else [list(policy.scopes)]
    bearer: list[dict[str, list[str]]] = [{"tenant": scopes} for scopes in groups]
    by_dpop: list[dict[str, list[str]]] = [{"tenant": scopes, "dpop": []} for scopes in groups]
    operation["security"] = {"off": bearer, "allowed": bearer + by_dpop, "required": by_dpop}[dpop_mode]
    refusals: dict[str, tuple[str, ...]] = {
        "400": ("malformed_authorization", "token_too_large"),
        "401": _OF_EVERY_TOKEN,
        "403": ("client_revoked",),
        "503": ("keys_unavailable",),
    }
    if dpop_mode == "off":
        refusals["401"] = tuple(code for code in _OF_EVERY_TOKEN if code not in _OF_PROOFS)
    else:
        refusals |= {"429": ("too_many_proofs",), "503": ("keys_unavailable", "unavailable")}
    if policy.scopes:
        refusals["403"] = ("insufficient_scope", "user_required", "client_revoked")
    for status, codes in refusals.items():
        entry = operation["responses"].setdefault(status, {"description": ""})
        entry["description"] = " ".join(dict.fromkeys([*entry["description"].split(), *codes]))
        entry["content"] = {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _name(schema: Any) -> str:
    cls = schema if isinstance(schema, type) else type(schema)
    return cls.__name__.removesuffix("Schema")
