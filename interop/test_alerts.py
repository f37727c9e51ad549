"""Prometheus' own judgement of deploy/prometheus: are rules and configuration good, does each alert fire when it must.

Each rule is also changed a little, in every way that this file can think of: a threshold moved, a comparison turned, a
label, a wait, an aggregation changed. Its cases in rules_test.yaml must notice each of them.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROMETHEUS = Path(__file__).parents[1] / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"][0]["rules"]
CASES: dict[str, Any] = yaml.safe_load((PROMETHEUS / "rules_test.yaml").read_text())
TURNED = {"==": "!=", "!=": "==", ">": "<", "<": ">", ">=": "<=", "<=": ">="}
CHANGED = {
    "sum": "max", "max": "min", "min": "max", "avg_over_time": "max_over_time", "and": "or", "unless": "and",
    "absent": "max",
}  # fmt: skip
# What stands in braces are matchers; what stands outside are numbers, comparisons and functions.
_MATCHERS = re.compile(r"\{[^}]*\}")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_COMPARISON = re.compile(r"(==|!=|>=|<=|>|<) (\d+(?:\.\d+)?)")
_WORD = re.compile(r"\b(" + "|".join(CHANGED) + r")\b")
_ALTERNATIVE = re.compile(r"[^|]+")
_OUTPUT_BYTES = 4000


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.fail("make interop needs promtool for the alerts: apt-get install prometheus")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, timeout=110, check=False)


def judged(promtool: str, folder: Path, rule: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Let promtool hold a rule against the cases of its alert alone."""
    alert = rule["alert"]
    cases = [
        {**case, "alert_rule_test": told}
        for case in CASES["tests"]
        if (told := [one for one in case["alert_rule_test"] if one["alertname"] == alert])
    ]
    (folder / "rules.yaml").write_text(file_of([rule]))
    (folder / "rules_test.yaml").write_text(yaml.safe_dump({**CASES, "tests": cases}))
    return run(promtool, "test", "rules", str(folder / "rules_test.yaml"))


def file_of(rules: list[dict[str, Any]]) -> str:
    groups = [{"name": f"{number}", "rules": [rule]} for number, rule in enumerate(rules)]
    return yaml.safe_dump({"groups": groups})


def changes_of(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every change, in words and carried out."""
    expression = rule["expr"]
    for begin, end, new in changes_of_expression(expression):
        words = f"{expression[:begin]}>>>{new}<<<{expression[end:]}"
        yield words, {**rule, "expr": expression[:begin] + new + expression[end:]}
    wait = rule.get("for")
    seconds = 60 * int((wait or "0m").removesuffix("m"))
    for other in (seconds // 2, seconds * 2, 0) if seconds else (600,):
        yield f"for: {wait} -> {other} s", {**rule, "for": f"{other}s"}
    severity = rule["labels"]["severity"]
    yield "severity", {**rule, "labels": {"severity": "ticket" if severity == "page" else "page"}}
    for name in ("summary", "description"):
        changed = {**rule["annotations"], name: rule["annotations"][name] + "!"}
        yield name, {**rule, "annotations": changed}


def changes_of_expression(expression: str) -> Iterator[tuple[int, int, str]]:
    """From where to where, and what shall stand there."""
    braces = list(_MATCHERS.finditer(expression))
    bare = _MATCHERS.sub(lambda found: " " * len(found[0]), expression)
    for found in _COMPARISON.finditer(bare):
        yield (*found.span(1), TURNED[found[1]])
        for number in moved(found[2]):
            yield (*found.span(2), number)
    # Whether anything at all has happened, the largest tells as the sum does.
    of_any = {"sum": "min"} if expression.endswith("> 0") else {}
    for found in _WORD.finditer(bare):
        yield (*found.span(), (CHANGED | of_any)[found[1]])
    for within in braces:
        for matcher in _MATCHER.finditer(within[0]):
            for name in _ALTERNATIVE.finditer(matcher[3]):
                begin = within.start() + matcher.start(3) + name.start()
                yield begin, begin + len(name[0]), f"{name[0]}x"


def moved(number: str) -> tuple[str, ...]:
    """A fifth more and less; of a small whole number one more and less."""
    value = float(number)
    step = 1.0 if value.is_integer() and value < 5 and value != 1 else value / 5
    return f"{value + step:g}", f"{value - step:g}"


def test_rules_when_checked_by_promtool_then_good(promtool: str):
    checked = run(promtool, "check", "rules", "rules.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


def test_configuration_when_checked_by_promtool_then_good(promtool: str):
    checked = run(promtool, "check", "config", "prometheus.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_rules_when_held_against_their_cases_then_each_alert_fires_when_it_must(promtool: str):
    tested = run(promtool, "test", "rules", "rules_test.yaml")
    assert tested.returncode == 0, (tested.stdout + tested.stderr)[-_OUTPUT_BYTES:]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rule_when_changed_a_little_then_its_cases_notice(promtool: str, tmp_path: Path, rule: dict[str, Any]):
    """The negative control: an unnoticed change is a rule whose threshold, label or wait no case needs."""
    unchanged = judged(promtool, tmp_path, rule)
    assert unchanged.returncode == 0, unchanged.stdout + unchanged.stderr
    changes = list(changes_of(rule))
    (tmp_path / "changed.yaml").write_text(file_of([changed for _, changed in changes]))
    checked = run(promtool, "check", "rules", "--lint=none", str(tmp_path / "changed.yaml"))
    assert f"{len(changes)} rules found" in checked.stdout, "a change that is no rule is noticed by everybody"
    assert len(changes) > 5
    unnoticed = [words for words, changed in changes if judged(promtool, tmp_path, changed).returncode == 0]
    assert unnoticed == []
