"""The README's examples, an endpoint and a schema of one's own: their code is run as it stands there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app import factory
from tests.support.api import Api, running, settings_for
from tests.support.sync_api import send

README = (Path(__file__).parents[2] / "README.md").read_text()


def module_from(name: str, code: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(code, name, "exec"), module.__dict__)
    return module


def test_example_when_added_as_the_readme_says_then_its_own_tests_pass(
    tmp_path: Path, migrated: str, monkeypatch: pytest.MonkeyPatch
):
    section = README.partition("## An endpoint of your own")[2].partition("\n## ")[0]
    code, tests = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    greeting = module_from("app.web.greeting", code)
    monkeypatch.setitem(sys.modules, "app.web.greeting", greeting)
    # Whoever has followed the README already has it: then theirs makes room.
    others = [room for room in factory._BLUEPRINTS if room.blueprint.name != "greeting"]
    monkeypatch.setattr(factory, "_BLUEPRINTS", (*others, greeting))
    found = {name: test for name, test in vars(module_from("example", tests)).items() if name.startswith("test_")}
    assert len(found) == 2
    with running(settings_for(tmp_path, migrated)) as api:
        for test in found.values():
            test(api)
        document = api.anonymous("/v1/openapi.json").json
    assert document["paths"]["/v1/greeting"]["get"]["security"][0] == {"tenant": ["read:profile"], "bearer": []}
    assert isinstance(api, Api)


def test_example_when_counted_then_ten_lines_below_its_imports():
    section = README.partition("## An endpoint of your own")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    body = code.partition("blueprint = ")[2].splitlines()
    assert len([line for line in body if line.strip()]) <= 10


def test_schema_when_registered_as_the_readme_says_then_its_words_are_true(tmp_path: Path, migrated: str):
    """user-data.md §6: "unless the operator registers a schema for the collection: then 422 before any write"."""
    section = README.partition("## A schema for a collection")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    rules = module_from("app.records.registry", code).COLLECTION_RULES
    path, new = "/v1/collections/notes/records/a", {"If_None_Match": "*"}
    with running(settings_for(tmp_path, migrated)) as api:
        old = send(api, "PUT", path, {"data": {"text": "free"}})
    with running(settings_for(tmp_path, migrated), rules) as api:
        assert send(api, "GET", path).json == old.json
        refused = send(api, "PUT", path + "b", {"data": {"title": "x" * 201, "done": "perhaps"}}, **new)
        assert (refused.status_code, refused.json["code"]) == (422, "validation_failed")
        assert {error["pointer"] for error in refused.json["errors"]} == {"/data/title", "/data/done"}
        good = {"data": {"title": "Milk", "done": True}}
        assert send(api, "PUT", path + "b", good).status_code == 428
        made = send(api, "PUT", path + "b", good, **new)
        assert made.status_code == 201
        patched = send(api, "PATCH", path + "b", {"data": {"title": None}}, If_Match=made.headers["ETag"])
        assert (patched.status_code, patched.json["errors"][0]["pointer"]) == (422, "/data/title")
        (listed,) = send(api, "GET", "/v1/collections").json["collections"]
        found = api.anonymous("/v1/openapi.json").json
        for step in listed["schema_url"].partition("#/")[2].split("/"):
            found = found[step]
    assert set(found["properties"]) == {"title", "done"}
