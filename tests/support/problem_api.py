"""A small API over real HTTP on 127.0.0.1 that answers as the contract says, for tests of a client.

Takes   `script`: the next answers, before it goes back to 200; refusals are made by `problem`
Gives   a record of every request, with its token;  RFC 9728 metadata
Raises  nothing
Not     the API: it verifies no token
Source  docs/contracts/tokens.md, T25 and T26; RFC 9728 §3
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.provider import Answer, LocalServer

METADATA = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True)
class Call:
    """One request to the API."""

    method: str
    path: str
    token: str
    body: bytes


def problem(status: int, code: str, action: str, *headers: tuple[str, str], **members: object) -> Answer:
    """A refusal in the API's form."""
    document = {
        "type": f"/problems/{code}",
        "title": code,
        "status": status,
        "detail": f"This is {code}.",
        "code": code,
        "action": action,
        "retryable": action != "fix_client",
        "request_id": "r1",
        **members,
    }
    return Answer(status, json.dumps(document).encode(), "application/problem+json", headers)


def challenge(error: str, **parameters: str) -> tuple[str, str]:
    """A WWW-Authenticate field."""
    given = {"realm": "api", "error": error, **parameters}
    return "WWW-Authenticate", "Bearer " + ", ".join(f'{name}="{value}"' for name, value in given.items())


EXPIRED = problem(401, "token_expired", "refresh", challenge("invalid_token"), server_time="2026-11-21T00:00:00Z")


class ProblemApi(LocalServer):
    """The API; `script` and `on_call` are plain attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.metadata: dict[str, Any] | None = {
            "resource": self.url,
            "scopes_supported": ["read:profile", "read:email", "write:profile"],
        }
        self.me: dict[str, Any] = {"sub": "auth0|ada", "name": "Ada Lovelace", "roles": ["editor"], "picture": None}
        self.script: list[Answer] = []
        self.calls: list[Call] = []
        self.on_call: Callable[[Call], None] = lambda _call: None

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        if target == METADATA:
            return Answer.json(404, {}) if self.metadata is None else Answer.json(200, self.metadata)
        call = Call(method, target, headers.get("Authorization", "").removeprefix("Bearer "), body)
        self.calls.append(call)
        self.on_call(call)
        return self.script.pop(0) if self.script else Answer.json(200, self.me)
