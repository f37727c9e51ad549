"""The key that every row of a user is found by."""

from uuid import UUID

import pytest

from app.users.errors import UnusableIdentity
from app.users.identity import Identity

ISSUER = "https://tenant.example/"


def test_user_key_when_computed_then_the_same_for_ever():
    """§7: "user_key = uuid5(namespace, first issuer + "|" + sub): computed, so no look-up table".

    The literal stands here so that nobody changes the namespace: it would lose everybody's data.
    """
    assert Identity(ISSUER, "auth0|abc").user_key == "a67ad5d8-3a0c-5709-a5fc-3ffbe3fe1f26"
    assert UUID(Identity(ISSUER, "auth0|abc").user_key).version == 5


def test_user_key_when_tenant_or_subject_differ_then_another():
    people = [(ISSUER, "a"), (ISSUER, "b"), (ISSUER, "A"), (ISSUER.rstrip("/"), "a"), ("https://other.example/", "a")]
    assert len({Identity(tenant, subject).user_key for tenant, subject in people}) == len(people)


@pytest.mark.parametrize("subject", ["", "a" * 256, "a\x00b", "\ud800"])
def test_identity_when_the_subject_cannot_be_kept_then_refused(subject):
    with pytest.raises(UnusableIdentity):
        Identity(ISSUER, subject)


def test_identity_when_there_is_no_tenant_then_refused():
    with pytest.raises(UnusableIdentity):
        Identity("", "a")


def test_identity_when_the_subject_is_any_other_text_then_kept():
    assert len(Identity(ISSUER, "ä" * 255).user_key) == 36
