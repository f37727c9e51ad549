"""What stands in the OpenAPI document; that it is true, test_schemathesis.py shows."""

from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema, fields

from app.records.terms import Rule
from app.web.openapi.links import LINKS
from app.web.openapi.words import DESCRIPTIONS, EXAMPLES
from app.web.scopes import SCOPES
from tests.support.api import Api, running, settings_for
from tests.support.published import published

WRITES = {"post", "put", "patch", "delete"}


class NoteSchema(Schema):
    title = fields.String(required=True)


def test_operations_when_read_then_each_has_its_words_and_nothing_is_said_of_what_is_not_there(api: Api):
    """U §6: `operationId` everywhere; a description for each, and for nothing else."""
    names = {operation["operationId"] for _, _, operation in published(api).operations()}
    assert set(DESCRIPTIONS) == names
    assert set(EXAMPLES) <= names
    assert set(LINKS) <= names


def test_writes_when_read_then_each_takes_an_idempotency_key(api: Api):
    """U5: `Idempotency-Key` (8–255 visible ASCII) on POST/PUT/PATCH/DELETE."""
    for method, _, operation in published(api).operations():
        named = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
        assert ("Idempotency-Key" in named) is (method in WRITES)
        if method in WRITES:
            assert (named["Idempotency-Key"]["minLength"], named["Idempotency-Key"]["maxLength"]) == (8, 255)
            assert "idempotency_key_reused" in operation["responses"]["422"]["description"]


def test_conditional_gets_when_read_then_they_say_etag_and_304(api: Api):
    """U3: a GET with an ETag can be a 304."""
    conditional = {
        operation["operationId"]
        for method, _, operation in published(api).operations()
        if method == "get" and "304" in operation["responses"]
    }
    assert conditional == {
        "getMe", "getPreferences", "listCollections", "getUsage", "listRecords", "getRecord", "getChanges",
    }  # fmt: skip
    for name, _, operation in published(api).operations():
        if operation["operationId"] in conditional:
            assert all("ETag" in operation["responses"][status]["headers"] for status in ("200", "304")), name


def test_problems_when_read_then_every_code_has_an_example(api: Api):
    found = published(api)
    for _, _, operation in found.operations():
        for status, answer in operation["responses"].items():
            shape = answer.get("content", {}).get("application/problem+json")
            if shape is not None:
                assert set(shape["examples"]) == set(answer["description"].split())
                for example in shape["examples"].values():
                    assert str(found.followed(example)["value"]["status"]) == status


def strings_in(shape: Any) -> list[dict[str, Any]]:
    if isinstance(shape, list):
        return [found for item in shape for found in strings_in(item)]
    if not isinstance(shape, dict):
        return []
    own = [shape] if shape.get("type") == "string" else []
    return own + [found for item in shape.values() for found in strings_in(item)]


def test_texts_when_read_then_each_has_its_greatest_length(api: Api):
    """U §6: formats and maximum lengths everywhere."""
    components = published(api).document["components"]
    texts = strings_in(components["schemas"]) + strings_in(components["parameters"]) + strings_in(components["headers"])
    assert [text for text in texts if "maxLength" not in text and "enum" not in text] == []


def test_collection_when_it_has_a_schema_then_the_schema_stands_in_the_document(tmp_path: Path, migrated: str):
    """U §6: unless the operator registers a schema for the collection: it stands in the OpenAPI document."""
    with running(settings_for(tmp_path, migrated), {"notes": Rule(schema=NoteSchema())}) as api:
        shape = published(api).document["components"]["schemas"]["Collection_notes"]
    assert shape["properties"]["title"]["type"] == "string"
    assert shape["required"] == ["title"]


def test_security_when_read_then_the_scheme_names_every_scope(api: Api):
    scheme = published(api).document["components"]["securitySchemes"]["tenant"]
    assert scheme["openIdConnectUrl"] == "https://tenant.example/.well-known/openid-configuration"
    assert all(scope in scheme["description"] for scope in SCOPES)


@pytest.mark.parametrize(("length", "status"), [(8192, 200), (8193, 400)])
def test_condition_when_it_is_longer_than_the_document_says_then_400(api: Api, length: int, status: int):
    """The document's bound is the API's: both sides of it."""
    answer = api.get("/v1/me", headers={"Authorization": f"Bearer {api.token()}", "If-None-Match": "0" * length})
    assert answer.status_code == status
