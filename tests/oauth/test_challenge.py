"""The WWW-Authenticate value: T26."""

import re

import pytest

from app.oauth import challenge
from app.oauth.challenge import Offer
from app.oauth.reasons import Reason

REALM = "postern"
METADATA = "https://api.example/.well-known/oauth-protected-resource"
ALGS = ("ES256", "EdDSA", "RS256", "PS256")
BEARER = Offer(REALM, METADATA)
BOTH = Offer(REALM, METADATA, ("Bearer", "DPoP"), ALGS)
DPOP = Offer(REALM, METADATA, ("DPoP",), ALGS)
PARAMETER = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:, |\Z)')


def parameters_of(value: str, scheme: str = "Bearer") -> dict[str, str]:
    """The parameters of one challenge; fails if anything stands between them."""
    assert value.startswith(f"{scheme} ")
    rest = value.removeprefix(f"{scheme} ")
    found = PARAMETER.findall(rest)
    assert "".join(match.group() for match in PARAMETER.finditer(rest)) == rest
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def test_bare_names_realm_and_metadata_only():
    """RFC 6750 §3.1: without authentication information, the server SHOULD NOT include an error code."""
    assert challenge.bare(BEARER) == f'Bearer realm="postern", resource_metadata="{METADATA}"'
    assert challenge.refused(Reason.NO_CREDENTIALS, BEARER) == challenge.bare(BEARER)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.error], ids=lambda reason: reason.code)
def test_refused_says_error_and_description(reason: Reason):
    """T26: else with `error` and `error_description`. Values are fixed texts from the table."""
    assert parameters_of(challenge.refused(reason, BEARER)) == {
        "realm": REALM,
        "error": reason.error,
        "error_description": reason.detail,
        "resource_metadata": METADATA,
    }


def test_refused_when_a_scope_is_lacking_names_what_the_route_wants():
    """RFC 6750 §3: the "scope" attribute is a space-delimited list; T26: exactly what the route wants."""
    value = challenge.refused(Reason.INSUFFICIENT_SCOPE, BEARER, scope=("read:profile", "write:profile"))
    assert parameters_of(value)["scope"] == "read:profile write:profile"
    assert parameters_of(value)["error"] == "insufficient_scope"


def test_refused_when_a_login_is_wanted_names_age_and_strength():
    """RFC 9470 §3: acr_values … and max_age …"""
    value = challenge.refused(Reason.STEP_UP_REQUIRED, BEARER, max_age_seconds=0, acr_values=("mfa",))
    assert parameters_of(value)["max_age"] == "0"
    assert parameters_of(value)["acr_values"] == "mfa"


def test_challenge_when_realm_holds_quotes_escapes_them():
    """RFC 9110 §5.6.4: a quote or a backslash in a quoted-string needs a backslash before it."""
    assert parameters_of(challenge.bare(Offer('a"b\\c', METADATA)))["realm"] == 'a\\"b\\\\c'


@pytest.mark.parametrize("realm", ["a\r\nX: y", "a\x00", "é", "a\tb"])
def test_challenge_when_a_value_cannot_stand_in_a_field_refuses(realm: str):
    """RFC 9110 §5.5: a field value must not smuggle in another field."""
    with pytest.raises(ValueError):
        challenge.bare(Offer(realm, METADATA))


def challenges_of(value: str) -> list[tuple[str, dict[str, str]]]:
    """The challenges of one field, each with its scheme."""
    found = re.split(r", (?=(?:Bearer|DPoP) )", value)
    return [(one.partition(" ")[0], parameters_of(one, one.partition(" ")[0])) for one in found]


def test_bare_when_both_schemes_are_taken_names_both_in_one_field():
    """T26: Where DPoP is on, both schemes are named; RFC 9449 §7.1: algs, a space-delimited list."""
    said = {"realm": REALM, "resource_metadata": METADATA}
    expected = [("Bearer", said), ("DPoP", said | {"algs": "ES256 EdDSA RS256 PS256"})]
    assert challenges_of(challenge.bare(BOTH)) == expected
    assert challenges_of(challenge.refused(Reason.NO_CREDENTIALS, BOTH, used=None)) == expected
    assert challenges_of(challenge.bare(DPOP)) == expected[1:]


@pytest.mark.parametrize("used", ["Bearer", "DPoP"])
@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.error], ids=lambda reason: reason.code)
def test_refused_when_both_schemes_are_taken_then_the_used_one_is_first_and_has_the_error(reason: Reason, used: str):
    """T26: exactly one challenge carries `error`: that of the scheme used. Clients read the first one of the field."""
    value = challenge.refused(reason, BOTH, used=used)
    (first, said), (second, others) = challenges_of(value)
    assert (first, {first, second}) == (used, {"Bearer", "DPoP"})
    assert (said["error"], said["error_description"]) == (reason.error, reason.detail)
    assert not {"error", "error_description", "scope"} & set(others)
    assert re.search(r'error="([^"]*)"', value)[1] == reason.error
    assert value.count("error=") == 1


@pytest.mark.parametrize("used", ["Bearer", "DPoP", None])
def test_refused_when_only_proofs_are_taken_then_one_challenge_says_why(used: str | None):
    """P4: `required`: only the DPoP challenge."""
    ((scheme, said),) = challenges_of(challenge.refused(Reason.PROOF_REQUIRED, DPOP, used=used))
    assert (scheme, said["error"]) == ("DPoP", "invalid_token")


def test_refused_when_a_fault_is_described_then_its_own_sentence():
    """T28: A refusal says what to do."""
    value = challenge.refused(Reason.INVALID_DPOP_PROOF, BOTH, used="DPoP", description="htm is wrong.")
    assert challenges_of(value)[0][1]["error_description"] == "htm is wrong."


def test_refused_when_several_classes_are_wanted_separates_them_by_spaces():
    """RFC 9470 §3: acr_values: a space-separated string."""
    value = challenge.refused(Reason.STEP_UP_REQUIRED, BEARER, acr_values=("mfa", "phr"))
    assert parameters_of(value)["acr_values"] == "mfa phr"


def test_challenge_when_a_value_cannot_stand_in_a_field_says_what_can():
    with pytest.raises(ValueError, match=r"^a challenge holds printable ASCII only$"):
        challenge.bare(Offer("é", METADATA))
