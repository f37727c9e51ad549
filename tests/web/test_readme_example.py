"""The README's endpoint of one's own: its code and its tests are run as they stand there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app import factory
from tests.support.api import Api, running, settings_for

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
    assert document["paths"]["/v1/greeting"]["get"]["security"][0] == {"tenant": ["read:profile"]}
    assert isinstance(api, Api)


def test_example_when_counted_then_ten_lines_below_its_imports():
    section = README.partition("## An endpoint of your own")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    body = code.partition("blueprint = ")[2].splitlines()
    assert len([line for line in body if line.strip()]) <= 10
