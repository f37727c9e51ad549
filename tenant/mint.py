"""Make a token without a login, for tests and curl: right by default, wrong exactly where it is told to be.

Takes   a JSON object: user | sub, client_id, scope, audience, dialect, expires_in, claims, header, key
Gives   the token and what is in it
Raises  MintError (a ValueError) with a sentence for a member that is unknown or of the wrong kind
Not     who may ask (dev.py: loopback only)
Source  D14
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from joserfc.errors import JoseError

from tenant import tokens
from tenant.context import Tenant
from tenant.registry import DIALECTS, Api, User

MEMBERS = ("user", "sub", "client_id", "scope", "audience", "dialect", "expires_in", "claims", "header", "key")
KEYS = ("current", "next", "foreign")


class MintError(ValueError):
    """The body cannot be made into a token."""


def mint(tenant: Tenant, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of POST /_dev/mint."""
    if unknown := set(wanted) - set(MEMBERS):
        raise MintError(f"unknown member {', '.join(sorted(unknown))}; there are {', '.join(MEMBERS)}")
    api = _api(tenant, wanted)
    user, subject = _subject(tenant, wanted)
    order = tokens.Order(
        client_id=_text(wanted, "client_id") or next(iter(tenant.registry.applications)),
        subject=subject,
        user=user,
        api=api,
        scope=_scope(wanted, api),
        auth_time=tenant.clock.now() if user else None,
    )
    lifetime = wanted.get("expires_in", tokens.lifetime_seconds(tenant, order))
    if not isinstance(lifetime, int) or isinstance(lifetime, bool):
        raise MintError("expires_in must be a whole number of seconds; below 0 makes an expired token")
    if "audience" in wanted and wanted["audience"] is None:
        token, lifetime = tokens.access_token(tenant, order)
        return {"access_token": token, "token_type": "Bearer", "expires_in": lifetime}
    claims = _overridden(tokens.access_claims(tenant, order, lifetime), wanted, "claims")
    header = _overridden(tokens.access_header(api or tenant.registry.default_api()), wanted, "header")
    try:
        token = tokens.sign(tenant.keys.get(_choice(wanted, "key", KEYS)), header, claims)
    except JoseError as error:
        raise MintError(f"this header cannot be signed: {error}") from error
    return {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, "claims": claims}


def _api(tenant: Tenant, wanted: Mapping[str, Any]) -> Api | None:
    """Return the API that is meant; an identifier that is not registered is taken as it is."""
    default = tenant.registry.default_api()
    identifier = wanted.get("audience", default.identifier)
    if identifier is None:
        return None
    if not isinstance(identifier, str):
        raise MintError('audience must be a string or null; for an array say {"claims": {"aud": […]}}')
    api = tenant.registry.apis.get(identifier) or replace(default, identifier=identifier)
    return replace(api, dialect=_choice(wanted, "dialect", DIALECTS)) if "dialect" in wanted else api


def _subject(tenant: Tenant, wanted: Mapping[str, Any]) -> tuple[User | None, str]:
    sub, name = wanted.get("sub"), wanted.get("user")
    if sub is not None and name is not None:
        raise MintError("say user or sub, not both")
    if sub is not None:
        if not isinstance(sub, str):
            raise MintError('sub must be a string; for anything else say {"claims": {"sub": …}}')
        return tenant.registry.users.get(sub), sub
    users = tenant.registry.users.values()
    found = [user for user in users if name in (None, user.user_id, user.email, user.email.partition("@")[0])]
    if not found:
        raise MintError(f"no user {name!r}; there are {', '.join(user.email for user in users)}")
    return found[0], found[0].user_id


def _scope(wanted: Mapping[str, Any], api: Api | None) -> str:
    if "scope" in wanted:
        return _text(wanted, "scope") or ""
    return " ".join(api.scopes) if api else "openid profile email"


def _text(wanted: Mapping[str, Any], name: str) -> str | None:
    value = wanted.get(name)
    if value is not None and not isinstance(value, str):
        raise MintError(f"{name} must be a string")
    return value


def _choice(wanted: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = wanted.get(name, choices[0])
    if value not in choices:
        raise MintError(f"{name} is one of {', '.join(choices)}")
    return str(value)


def _overridden(made: dict[str, Any], wanted: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Replace members; null takes one out."""
    changes = wanted.get(name, {})
    if not isinstance(changes, dict):
        raise MintError(f"{name} must be an object")
    return {member: value for member, value in (made | changes).items() if value is not None}
