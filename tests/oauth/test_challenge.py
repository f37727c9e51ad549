"""The WWW-Authenticate value: T26."""

import re

import pytest

from app.oauth import challenge
from app.oauth.reasons import Reason

REALM = "postern"
METADATA = "https://api.example/.well-known/oauth-protected-resource"
PARAMETER = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:, |\Z)')


def parameters_of(value: str) -> dict[str, str]:
    """The parameters of one Bearer challenge; fails if anything stands between them."""
    assert value.startswith("Bearer ")
    rest = value.removeprefix("Bearer ")
    found = PARAMETER.findall(rest)
    assert "".join(match.group() for match in PARAMETER.finditer(rest)) == rest
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def test_bare_names_realm_and_metadata_only():
    """RFC 6750 §3.1: without authentication information, the server SHOULD NOT include an error code."""
    assert challenge.bare(REALM, METADATA) == f'Bearer realm="postern", resource_metadata="{METADATA}"'
    assert challenge.refused(Reason.NO_CREDENTIALS, REALM, METADATA) == challenge.bare(REALM, METADATA)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.error], ids=lambda reason: reason.code)
def test_refused_says_error_and_description(reason: Reason):
    """T26: else with `error` and `error_description`. Values are fixed texts from the table."""
    assert parameters_of(challenge.refused(reason, REALM, METADATA)) == {
        "realm": REALM,
        "error": reason.error,
        "error_description": reason.detail,
        "resource_metadata": METADATA,
    }


def test_refused_when_a_scope_is_lacking_names_what_the_route_wants():
    """RFC 6750 §3: the "scope" attribute is a space-delimited list; T26: exactly what the route wants."""
    value = challenge.refused(Reason.INSUFFICIENT_SCOPE, REALM, METADATA, scope=("read:profile", "write:profile"))
    assert parameters_of(value)["scope"] == "read:profile write:profile"
    assert parameters_of(value)["error"] == "insufficient_scope"


def test_refused_when_a_login_is_wanted_names_age_and_strength():
    """RFC 9470 §3: acr_values … and max_age …"""
    value = challenge.refused(Reason.STEP_UP_REQUIRED, REALM, METADATA, max_age_seconds=0, acr_values=("mfa",))
    assert parameters_of(value)["max_age"] == "0"
    assert parameters_of(value)["acr_values"] == "mfa"


def test_challenge_when_realm_holds_quotes_escapes_them():
    """RFC 9110 §5.6.4: a quote or a backslash in a quoted-string needs a backslash before it."""
    assert parameters_of(challenge.bare('a"b\\c', METADATA))["realm"] == 'a\\"b\\\\c'


@pytest.mark.parametrize("realm", ["a\r\nX: y", "a\x00", "é", "a\tb"])
def test_challenge_when_a_value_cannot_stand_in_a_field_refuses(realm: str):
    """RFC 9110 §5.5: a field value must not smuggle in another field."""
    with pytest.raises(ValueError):
        challenge.bare(realm, METADATA)
