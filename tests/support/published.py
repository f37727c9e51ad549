"""The published OpenAPI document, with its references followed.

Takes   the API
Gives   Published: operations and their answers as a reader finds them
Raises  KeyError for what the document does not have
Not     whether it is true (tests/web/test_schemathesis.py)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.api import Api

METHODS = ("get", "put", "post", "patch", "delete")


@dataclass(frozen=True)
class Published:
    """A document."""

    document: dict[str, Any]

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """Find one, with its answers and parameters written out."""
        entry = dict(self.document["paths"][path][method])
        entry["responses"] = {status: self.followed(answer) for status, answer in entry["responses"].items()}
        entry["parameters"] = [self.followed(parameter) for parameter in entry.get("parameters", [])]
        return entry

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Give each with its method and path."""
        for path, entry in self.document["paths"].items():
            for method in METHODS:
                if method in entry:
                    yield method, path, self.operation(method, path)

    def followed(self, part: dict[str, Any]) -> dict[str, Any]:
        """Follow one reference, if it is one."""
        if "$ref" not in part:
            return part
        found = self.document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found


def published(api: Api) -> Published:
    """Ask the API for it."""
    return Published(api.anonymous("/v1/openapi.json").json)
