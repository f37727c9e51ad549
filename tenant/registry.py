"""Read the registry: the APIs, applications and users that the tenant knows.

Takes   a TOML file; identifier: the first API's identifier, where the environment overrides it
Gives   Registry, frozen
Raises  RegistryError naming the entry and the key that is wrong; unknown keys are wrong too, so a typo is seen
Not     passwords in clear: the file holds werkzeug hashes. Nothing is ever written back
Source  D3
"""

import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from werkzeug.security import check_password_hash

from tenant.callbacks import is_allowed

T = TypeVar("T")
DIALECTS = ("auth0", "rfc9068")


class RegistryError(Exception):
    """The registry cannot be used."""


@dataclass(frozen=True)
class Api:
    """A resource server. `rbac`: scopes are cut to the user's permissions, which stand in the token too."""

    identifier: str
    name: str
    scopes: Mapping[str, str]
    dialect: str = "auth0"
    token_lifetime_seconds: int = 86400
    allow_offline_access: bool = True
    rbac: bool = False


@dataclass(frozen=True)
class Application:
    """A client; its methods are those that Authlib asks a client for."""

    client_id: str
    name: str
    type: str
    grant_types: tuple[str, ...]
    callbacks: tuple[str, ...] = ()
    logout_urls: tuple[str, ...] = ()
    web_origins: tuple[str, ...] = ()
    client_secret: str | None = None
    scopes: tuple[str, ...] = ()
    skip_consent: bool = False
    rotate_refresh_tokens: bool = True
    refresh_leeway_seconds: int = 0

    def get_client_id(self) -> str:
        """Return the identifier."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Return none: which of several callbacks is meant must be said (RFC 9700 §2.1)."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scope as asked: what an API knows is decided with its audience (grants.py)."""
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether the address is one of the application's."""
        return is_allowed(redirect_uri, self.callbacks)

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare in constant time."""
        return self.client_secret is not None and secrets.compare_digest(
            self.client_secret.encode(), client_secret.encode()
        )

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 - Authlib's signature
        """Native applications hold no secret (RFC 8252 §8.5); the others must show theirs."""
        return (method == "none") == (self.client_secret is None)

    def check_response_type(self, response_type: str) -> bool:
        """Only the code flow exists here."""
        return response_type == "code" and self.type == "native"

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether the registry allows the grant."""
        return grant_type in self.grant_types


@dataclass(frozen=True)
class User:
    """A person who can log in."""

    user_id: str
    email: str
    password_hash: str
    name: str
    email_verified: bool = True
    given_name: str | None = None
    family_name: str | None = None
    nickname: str | None = None
    picture: str | None = None
    locale: str | None = None
    zoneinfo: str | None = None
    password_hint: str | None = None
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    app_metadata: Mapping[str, Any] = field(default_factory=dict)
    user_metadata: Mapping[str, Any] = field(default_factory=dict)

    def check_password(self, password: str) -> bool:
        """Compare with the hash."""
        return check_password_hash(self.password_hash, password)


@dataclass(frozen=True)
class ClaimNames:
    """Names of the namespaced claims that the tenant adds to access tokens, as an Auth0 Action would."""

    roles: str | None = None
    attributes: str | None = None
    auth_time: str | None = None


@dataclass(frozen=True)
class Registry:
    """All of it, by name."""

    apis: Mapping[str, Api]
    applications: Mapping[str, Application]
    users: Mapping[str, User]
    claims: ClaimNames

    def default_api(self) -> Api:
        """Return the first API of the file."""
        return next(iter(self.apis.values()))

    def user_by_email(self, email: str) -> User | None:
        """Return the user with this address, whatever its case."""
        wanted = email.strip().casefold()
        return next((user for user in self.users.values() if user.email.casefold() == wanted), None)


def load(path: Path, identifier: str | None = None) -> Registry:
    """Read the file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RegistryError(f"{path}: {error}") from error
    if unknown := set(document) - {"apis", "applications", "users", "claims"}:
        raise RegistryError(f"{path}: unknown table {', '.join(sorted(unknown))}")
    apis = [_entry(Api, table, "apis") for table in document.get("apis", [])]
    if not apis:
        raise RegistryError(f"{path}: there is no [[apis]] entry")
    if identifier:
        apis[0] = replace(apis[0], identifier=identifier)
    for api in apis:
        if api.dialect not in DIALECTS:
            raise RegistryError(f"{path}: API {api.identifier}: dialect is one of {', '.join(DIALECTS)}")
    applications = [_entry(Application, table, "applications") for table in document.get("applications", [])]
    for application in applications:
        _check_application(application)
    users = [_entry(User, table, "users") for table in document.get("users", [])]
    return Registry(
        apis={api.identifier: api for api in apis},
        applications={application.client_id: application for application in applications},
        users={user.user_id: user for user in users},
        claims=_entry(ClaimNames, document.get("claims", {}), "claims"),
    )


def _entry(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # every kind here is a dataclass
    if unknown := set(table) - known:
        raise RegistryError(f"{where}: unknown key {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
    except TypeError as error:
        raise RegistryError(f"{where}: {error}") from error


def _check_application(application: Application) -> None:
    if application.type not in {"native", "m2m"}:
        raise RegistryError(f"application {application.client_id}: type is native or m2m")
    if (application.type == "m2m") != (application.client_secret is not None):
        raise RegistryError(f"application {application.client_id}: m2m has a client_secret, native has none")
