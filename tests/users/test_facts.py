"""What is taken from the tenant's word: any JSON may stand there, and nothing of it may break anything."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.users.facts import facts_from_claims
from app.users.validation import MAX_LENGTHS, TEXTS

ROLES, ATTRIBUTES = "https://app.example/roles", "https://app.example/attributes"
FULL = {
    "iss": "https://tenant.example/", "sub": "auth0|ada", "iat": 1_700_000_000,
    "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "nickname": "ada",
    "picture": "https://cdn.example/ada.png", "locale": "en-GB", "zoneinfo": "Europe/London",
    "email": "ada@example.org", "email_verified": True,
    ROLES: ["editor", "admin", "editor"], ATTRIBUTES: {"plan": "pro"},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4),
)


def test_facts_when_all_is_told_then_all_is_taken():
    """U11: "Names are the OIDC standard claims"; U10: "Roles and attributes also come from namespaced claims"."""
    facts = facts_from_claims(FULL, ROLES, ATTRIBUTES)
    expected = {name: FULL[name] for name in (*TEXTS, "email", "email_verified")}
    assert facts.told == expected | {"roles": ["editor", "admin"], "app_attributes": {"plan": "pro"}}
    assert facts.told_at == 1_700_000_000


def test_facts_when_the_attributes_claim_is_read_then_it_is_the_operators_word_not_the_users():
    """U11: "`attributes` is the user's …; `app_attributes` and `roles` the operator's"."""
    assert "attributes" not in facts_from_claims(FULL | {"attributes": {"plan": "free"}}, ROLES, ATTRIBUTES).told


def test_facts_when_no_claim_is_named_then_no_roles_and_attributes():
    told = facts_from_claims(FULL | {"roles": ["admin"], "app_attributes": {"plan": "pro"}}).told
    assert not {"roles", "app_attributes", "attributes"} & told.keys()


@pytest.mark.parametrize("name", [*TEXTS, "email"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", "a\x00b", "a\nb", "\ud800", "x" * 5000])
def test_facts_when_a_claim_is_not_well_formed_then_it_is_as_good_as_not_told(name, value):
    told = facts_from_claims(FULL | {name: value}).told
    assert name not in told
    assert len(told) == len(TEXTS) + 1


def test_facts_when_a_claim_is_as_long_as_may_be_then_it_is_taken():
    assert facts_from_claims({"name": "x" * MAX_LENGTHS["name"]}).told
    assert not facts_from_claims({"name": "x" * (MAX_LENGTHS["name"] + 1)}).told


@pytest.mark.parametrize("value", ["true", 1, None])
def test_facts_when_email_verified_is_no_boolean_then_not_told(value):
    assert "email_verified" not in facts_from_claims({"email_verified": value}).told


@pytest.mark.parametrize("value", ["admin", {"a": 1}, ["a", 1], ["a\x00"], [""], ["r"] * 101, ["r" * 129]])
def test_facts_when_roles_are_not_well_formed_then_not_told(value):
    assert "roles" not in facts_from_claims({ROLES: value}, ROLES).told


@pytest.mark.parametrize(
    "value", ["plan", [], {"a": "\x00"}, {"\ud800": 1}, {"a": 2**64}, {"a": float("nan")}, {"a": "x" * 16_384}]
)
def test_facts_when_attributes_are_not_well_formed_then_not_told(value):
    assert facts_from_claims({ATTRIBUTES: value}, None, ATTRIBUTES).told == {}


@pytest.mark.parametrize(
    ("iat", "told_at"), [(5, 5), (5.9, 5), (True, None), ("5", None), (-1, None), (1e300, None), (float("nan"), None)]
)
def test_facts_when_iat_is_odd_then_nobody_knows_when_it_was_told(iat, told_at):
    assert facts_from_claims({"iat": iat}).told_at == told_at


def test_facts_when_the_caller_says_when_then_that_counts():
    assert facts_from_claims(FULL, told_at=7).told_at == 7


@given(st.fixed_dictionaries(dict.fromkeys(FULL, JSON)))
def test_facts_when_any_json_stands_in_the_claims_then_nothing_is_raised(claims):
    """T14: "Nothing that a token can hold gives a 500"; what is taken over can be written as JSON."""
    told = facts_from_claims(claims, ROLES, ATTRIBUTES).told
    assert json.loads(orjson.dumps(dict(told))) == told
