"""The whole API in this process, with a static key set, a database of its own and tokens minted for it.

Takes   settings to change
Gives   Api: requests with a token that has just the scopes asked for
Raises  nothing of its own
Not     HTTP itself (tests/e2e drives gunicorn), a key fetch (tests/oauth)
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.factory import create_app
from app.records.registry import COLLECTION_RULES
from app.records.terms import Rule
from config.settings import Settings
from tests.support import tokens

SCOPES = "read:profile read:email write:profile"
ROLES_CLAIM, ATTRIBUTES_CLAIM = "https://example.org/roles", "https://example.org/attributes"


@dataclass(frozen=True)
class Api:
    """An application and the tenant's key."""

    app: Flask
    subject: str = tokens.SUBJECT

    def token(self, scope: str | None = SCOPES, **claims: Any) -> str:
        """Mint a token that is good right now; DELETED as a value takes a claim out."""
        now = int(time.time())
        changes = {"iat": now, "exp": now + 3600, "sub": self.subject, "aud": tokens.AUDIENCE}
        changes["scope"] = tokens.DELETED if scope is None else scope
        return tokens.mint(tokens.rsa_key(), None, changes | claims)

    def request(self, method: str, path: str, scope: str | None = SCOPES, **options: Any) -> TestResponse:
        """Send one request with such a token, or with the `headers` given instead."""
        headers = dict(options.pop("headers", {}))
        headers.setdefault("Authorization", f"Bearer {self.token(scope)}")
        return self.app.test_client().open(path, method=method, headers=headers, **options)

    def get(self, path: str, scope: str | None = SCOPES, **options: Any) -> TestResponse:
        """GET with a token."""
        return self.request("GET", path, scope, **options)

    def patch(self, path: str, document: Any, scope: str | None = SCOPES, **options: Any) -> TestResponse:
        """PATCH a JSON document with a token."""
        return self.request("PATCH", path, scope, json=document, **options)

    def anonymous(self, path: str, method: str = "GET", **options: Any) -> TestResponse:
        """Send one request without a token."""
        return self.app.test_client().open(path, method=method, **options)

    def as_user(self, subject: str) -> "Api":
        """The same API, used by somebody else."""
        return Api(self.app, subject)


def settings_for(directory: Path, database_url: str, **changes: Any) -> Settings:
    """Settings with the test tenant's static keys."""
    keys = directory / "jwks.json"
    if not keys.exists():
        keys.write_bytes(tokens.key_set(tokens.rsa_key()))
    given: dict[str, Any] = {
        "tenant_issuers": (tokens.ISSUER,),
        "api_audiences": (tokens.AUDIENCE,),
        "jwks_file": str(keys),
        "database_url": database_url,
        "public_url": "https://api.example",
        "roles_claim": ROLES_CLAIM,
        "attributes_claim": ATTRIBUTES_CLAIM,
        "log_format": "json",
        # Tests ask more than a person does; those of the limits say which.
        "rate_limit_requests_per_minute": 0,
        "rate_limit_writes_per_minute": 0,
        "rate_limit_failures_per_minute": 0,
    }
    return Settings(**(given | changes))


@contextmanager
def running(settings: Settings, rules: Mapping[str, Rule] = COLLECTION_RULES) -> Iterator[Api]:
    """Make the application and close its database afterwards."""
    app = create_app(settings, rules)
    try:
        yield Api(app)
    finally:
        app.extensions["postern"].stop()
