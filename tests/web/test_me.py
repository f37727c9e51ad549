"""GET and PATCH /v1/me (user-data.md U1–U4, U7, U10–U14)."""

import json

import pytest

from tests.support import tokens
from tests.support.api import ATTRIBUTES_CLAIM, ROLES_CLAIM, Api

MEMBERS = [
    "sub", "name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo", "email", "email_verified",
    "roles", "app_attributes", "attributes", "etag", "seq", "created_at", "updated_at",
]  # fmt: skip


@pytest.fixture
def migrated(any_database_url: str) -> str:
    """These tests run on SQLite, on PostgreSQL and on PostgreSQL in partitions (§7)."""
    return any_database_url


def get_with(api: Api, **claims):
    return api.get("/v1/me", headers={"Authorization": f"Bearer {api.token(**claims)}"})


def test_get_when_first_seen_then_the_account_is_made_from_the_claims(api: Api):
    """U10: `/v1/me` is made just in time at first use, from the token's claims."""
    claims = {"name": "Ada", "email": "a@example.org", "email_verified": True}
    answer = get_with(api, **claims, **{ROLES_CLAIM: ["editor"], ATTRIBUTES_CLAIM: {"plan": "pro"}})
    assert answer.status_code == 200
    assert list(answer.json) == MEMBERS
    assert answer.json["sub"] == api.subject
    assert (answer.json["name"], answer.json["email"], answer.json["email_verified"]) == ("Ada", "a@example.org", True)
    assert (answer.json["roles"], answer.json["app_attributes"]) == (["editor"], {"plan": "pro"})
    assert answer.json["attributes"] == {}
    assert answer.headers["ETag"] == answer.json["etag"] == f'"{answer.json["seq"]}"'


def test_get_when_read_again_then_304_with_the_same_fields_and_no_write(api: Api):
    """U3: a 304 repeats all of these (RFC 9110 §15.4.5); U11: A read costs no write unless something changed."""
    first = api.get("/v1/me")
    again = api.get(
        "/v1/me", headers={"If-None-Match": first.headers["ETag"], "Authorization": f"Bearer {api.token()}"}
    )
    assert again.status_code == 304
    assert again.data == b""
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]


def test_get_when_read_email_is_missing_then_left_out_and_the_etag_is_another(api: Api):
    """§2: without `fields`, the members are simply left out; U13: the ETag `"42-p"`."""
    whole = api.get("/v1/me")
    part = api.get("/v1/me", scope="read:profile")
    assert "email" not in part.json
    assert "email_verified" not in part.json
    assert part.headers["ETag"] == whole.headers["ETag"][:-1] + '-p"'


def test_fields_when_given_then_only_these_and_email_needs_its_scope(api: Api):
    """§2: `?fields=email` without `read:email` is 403."""
    assert set(api.get("/v1/me?fields=name,roles").json) == {"name", "roles"}
    assert set(api.get("/v1/me?fields=email").json) == {"email"}
    refused = api.get("/v1/me?fields=name,email", scope="read:profile")
    assert (refused.status_code, refused.json["code"], refused.json["scope"]) == (
        403,
        "insufficient_scope",
        "read:profile read:email",
    )
    assert api.get("/v1/me?fields=password").status_code == 400


def test_patch_when_members_change_then_the_new_version_comes_back(api: Api):
    """U4: The answer carries the new `etag` and `seq`; U12: what PATCH takes."""
    before = api.get("/v1/me").json
    after = api.patch("/v1/me", {"nickname": "countess", "attributes": {"favourite_colour": "green"}})
    assert after.status_code == 200
    assert (after.json["nickname"], after.json["attributes"]) == ("countess", {"favourite_colour": "green"})
    assert after.json["seq"] > before["seq"]
    assert after.headers["ETag"] == after.json["etag"]
    assert api.get("/v1/me").json == after.json
    merged = api.patch("/v1/me", {"attributes": {"size": 3, "favourite_colour": None}, "nickname": None})
    assert (merged.json["attributes"], merged.json["nickname"]) == ({"size": 3}, None)


def test_patch_when_the_user_set_a_name_then_claims_never_overwrite_it_but_the_email_follows(api: Api):
    """U11: claims never overwrite what the user has set; `email` and `email_verified` always follow the tenant."""
    get_with(api, name="Ada", email="a@example.org")
    api.patch("/v1/me", {"name": "Countess"})
    later = get_with(api, name="Ada L.", email="b@example.org").json
    assert (later["name"], later["email"]) == ("Countess", "b@example.org")


def test_patch_when_if_match_is_old_then_412_with_current_and_nothing_changes(api: Api):
    """U4: A 412 carries `current`."""
    current = api.patch("/v1/me", {"name": "One"})
    headers = {"If-Match": '"1"', "Authorization": f"Bearer {api.token()}"}
    refused = api.patch("/v1/me", {"name": "Two"}, headers=headers)
    assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed")
    assert refused.json["current"] == current.json
    assert "WWW-Authenticate" not in refused.headers
    assert api.get("/v1/me").json == current.json
    good = {"If-Match": current.headers["ETag"], "Authorization": f"Bearer {api.token()}"}
    assert api.patch("/v1/me", {"name": "Two"}, headers=good).status_code == 200


def test_patch_when_the_token_may_only_write_then_the_version_alone_comes_back(api: Api):
    answer = api.patch("/v1/me", {"name": "Ada"}, scope="write:profile")
    assert answer.status_code == 200
    assert set(answer.json) == {"etag", "seq", "updated_at"}


@pytest.mark.parametrize("member", ["sub", "email", "email_verified", "roles", "app_attributes", "seq", "etag"])
def test_patch_when_a_member_is_the_servers_then_403_with_its_pointer(api: Api, member):
    """U12: A known server-owned member is 403 `field_read_only` with its pointer."""
    answer = api.patch("/v1/me", {member: "x", "name": "Ada"})
    assert (answer.status_code, answer.json["code"]) == (403, "field_read_only")
    assert answer.json["errors"][0]["pointer"] == f"/{member}"
    assert api.get("/v1/me").json["name"] is None


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"shoe_size": 43}, "/shoe_size"),
        ({"name": 1}, "/name"),
        ({"name": "x" * 5000}, "/name"),
        ({"picture": "javascript:alert(1)"}, "/picture"),
        ({"zoneinfo": "no zone!"}, "/zoneinfo"),
        ({"attributes": []}, "/attributes"),
        ({"attributes": {"a": "x" * 20000}}, "/attributes"),
        ([], ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_patch_when_the_content_is_wrong_then_422_points_at_it_and_nothing_changes(api: Api, document, pointer):
    """U12: an unknown one is 422; U7: `errors: [{pointer, detail}]`."""
    before = api.get("/v1/me").json
    answer = api.request("PATCH", "/v1/me", data=json.dumps(document), content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert pointer in {error["pointer"] for error in answer.json["errors"]}
    assert api.get("/v1/me").json == before


@pytest.mark.parametrize(
    "media_type", ["application/merge-patch+json", "application/json", "application/json; charset=utf-8"]
)
def test_patch_when_merge_patch_or_json_then_taken(api: Api, media_type):
    """§2: PATCH `/v1/me` (merge-patch, or the same as `application/json`)."""
    assert api.request("PATCH", "/v1/me", data=b'{"name":"A"}', content_type=media_type).status_code == 200


def test_user_when_another_then_another_account(api: Api):
    """U1: The user is always the token's (tenant, `sub`)."""
    api.patch("/v1/me", {"name": "Ada"})
    other = api.as_user("auth0|other").get("/v1/me").json
    assert (other["sub"], other["name"]) == ("auth0|other", None)


def test_times_when_told_then_rfc_3339_utc_with_milliseconds(api: Api):
    """U1: RFC 3339 UTC times with milliseconds."""
    document = api.get("/v1/me").json
    assert len(document["created_at"]) == len("2026-11-21T12:00:00.000Z")
    assert document["created_at"].endswith("Z")


def test_whoami_when_a_token_is_good_then_the_principal(api: Api):
    """§2: the principal, seconds left, scopes, permissions."""
    answer = api.get("/v1/whoami", headers={"Authorization": f"Bearer {api.token('b a', permissions=['p'])}"}).json
    assert (answer["sub"], answer["kind"], answer["client_id"]) == (api.subject, "user", tokens.CLIENT_ID)
    assert (answer["scopes"], answer["permissions"], answer["audience"]) == (["a", "b"], ["p"], [tokens.AUDIENCE])
    assert 3590 < answer["expires_in"] <= 3600


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809"])
def test_patch_when_a_number_is_beyond_64_bits_then_422_and_not_another_number(api: Api, number: str):
    """attributes_fault: "no number outside 64 bits". orjson reads a larger integer as a float: it came back rounded."""
    body = b'{"attributes": {"big": %s}}' % number.encode()
    answer = api.request("PATCH", "/v1/me", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) in {(422, "validation_failed"), (400, "malformed_json")}


def test_body_when_a_name_stands_twice_then_400(api: Api):
    """RFC 7493 §2.3, cited in json_body: "Objects in I-JSON messages MUST NOT have members with duplicate names"."""
    body = b'{"nickname": "one", "nickname": "two"}'
    answer = api.request("PATCH", "/v1/me", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_json")
