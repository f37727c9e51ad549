"""The whole OpenAPI document, put together from what the routes declare.

Takes   the application with its blueprints, the policies, the settings, the rules of single collections
Gives   make_api(app), document(...)
Raises  nothing
Not     the shapes (app/web/schemas.py), the check of input
Source  OpenAPI 3.0.3: Swift's generator fails on 3.1's nullables (docs/contracts/user-data.md §6)
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask

from app.records.terms import Rule
from app.web.openapi import answers, parameters
from app.web.openapi.blueprint import GIVES, TAKES
from app.web.openapi.links import say_links
from app.web.openapi.names import schema_name
from app.web.openapi.words import DESCRIPTIONS, EXAMPLES, TAGS
from app.web.policy import RoutePolicy
from app.web.schemas import ProblemSchema
from app.web.scopes import SCOPES
from app.web.sync.schemas import OPERATIONS
from config.settings import Settings

VERSION = "0.1.0"
# How the token comes, beside where it comes from: generators of clients know the one, people ask for the other.
_BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "`Authorization: Bearer <token>`"}
_PROOF = {
    "type": "apiKey",
    "in": "header",
    "name": "DPoP",
    "description": "RFC 9449: the proof for a token that is bound to the app's key (cnf.jkt): a JWT signed by that key "
    "for this method, this URL and this token, used once. The token comes as `Authorization: DPoP <token>`.",
}
# A parameter in a path: Flask says <name>, OpenAPI {name}.
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})
_ABOUT = """The protected resource server that a native app calls, with an access token of the tenant.

Every refusal is a problem (RFC 9457): branch on `code`, do what `action` says. `GET /v1` tells the limits.
The user is always the token's: no path names one."""


class Api(flask_smorest.Api):  # type: ignore[misc]  # smorest has no types
    """smorest without its error handler, which drops fields of the answer and is not problem+json."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Leave every fault to problems.py."""

    def _register_responses(self) -> None:
        """Name the one schema of all refusals; smorest would make an answer of it for each status that HTTP has."""
        self.spec.components.schema(schema_name(ProblemSchema), schema=ProblemSchema)


def make_api(app: Flask) -> Api:
    """Make the smorest Api that the blueprints are registered with."""
    app.config.update(API_TITLE="Postern", API_VERSION=VERSION, OPENAPI_VERSION="3.0.3")
    plugin = MarshmallowPlugin(schema_name_resolver=schema_name)
    return Api(app, spec_kwargs={"marshmallow_plugin": plugin})


def document(
    api: Api, app: Flask, policies: Mapping[str, RoutePolicy], settings: Settings, rules: Mapping[str, Rule]
) -> dict[str, Any]:
    """Return the whole document, each operation with the scopes that its route really asks for."""
    for schema in OPERATIONS:
        api.spec.components.schema(schema_name(schema), schema=schema)
    for name, rule in rules.items():
        if rule.schema is not None:
            api.spec.components.schema(f"Collection_{name}", schema=rule.schema)
    spec: dict[str, Any] = api.spec.to_dict()
    spec["info"]["description"] = _ABOUT
    spec["servers"] = [{"url": settings.public_url.rstrip("/")}]
    spec["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
    components = spec.setdefault("components", {})
    components |= {"parameters": parameters.components(), **answers.components(settings.public_url)}
    components["securitySchemes"] = _security_schemes(settings)
    # smorest adds it for pages of its own kind.
    components["schemas"].pop("PaginationMetadata", None)
    # marshmallow has no word for one of several shapes.
    of_batch = components["schemas"]["BatchBody"]["properties"]["operations"]
    of_batch["items"] = {"oneOf": [{"$ref": f"#/components/schemas/{schema_name(schema)}"} for schema in OPERATIONS]}
    of_batch["maxItems"] = settings.max_batch_operations
    operations = {}
    for operation, method, path, policy in _operations(spec["paths"], app, policies):
        _complete(operation, method, path, policy, settings.dpop_mode)
        operations[operation["operationId"]] = operation
    for path in spec["paths"].values():
        path.pop("parameters", None)
    say_links(operations)
    components["responses"] = answers.share(operations.values())
    return spec


def _operations(
    paths: Mapping[str, Any], app: Flask, policies: Mapping[str, RoutePolicy]
) -> Iterator[tuple[dict[str, Any], str, str, RoutePolicy]]:
    for rule in app.url_map.iter_rules():
        entry = paths.get(_PARAMETER.sub(r"{\1}", rule.rule), {})
        for method in sorted(name.lower() for name in rule.methods or ()):
            if method in _METHODS and method in entry:
                yield entry[method], method, rule.rule, policies[rule.endpoint]


def _complete(operation: dict[str, Any], method: str, path: str, policy: RoutePolicy, dpop_mode: str) -> None:
    """Add what follows from policy, method and path, and the words about it."""
    name = operation["operationId"]
    operation["description"] = DESCRIPTIONS.get(name, operation["summary"])
    takes, gives = operation.pop(TAKES), operation.pop(GIVES)
    if method != "get" and policy.credentials != "none":
        takes = [*takes, "Idempotency-Key"]
    named = [*_PARAMETER.findall(path), *takes]
    if named:
        operation["parameters"] = [parameters.reference(parameter) for parameter in named]
    if takes:
        answers.say_refusals(operation, "bad_request")
    answers.say_policy(operation, policy, method, dpop_mode)
    if method == "get" and "If-None-Match" in takes:
        answers.say_unmodified(operation)
    answers.say_fields(operation, gives, method, policy, dpop_mode)
    answers.say_examples(operation)
    _say_examples(operation, *EXAMPLES.get(name, (None, None)))
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _say_examples(operation: dict[str, Any], request: Any, response: Any) -> None:
    contents = operation.get("requestBody", {}).get("content", {}).values() if request is not None else ()
    for content in contents:
        content["example"] = request
    for status, entry in operation["responses"].items():
        if response is not None and status.startswith("2"):
            for media_type, content in entry.get("content", {}).items():
                if media_type.endswith("json"):
                    content["example"] = response


def _security_schemes(settings: Settings) -> dict[str, Any]:
    issuer = settings.tenant_issuers[0].removesuffix("/")
    schemes: dict[str, Any] = {
        "tenant": {
            "type": "openIdConnect",
            "openIdConnectUrl": f"{issuer}/.well-known/openid-configuration",
            "description": "An access token of the tenant: " + ", ".join(SCOPES),
        }
    }
    if settings.dpop_mode != "required":
        schemes["bearer"] = _BEARER
    if settings.dpop_mode != "off":
        schemes["dpop"] = _PROOF
    return schemes
