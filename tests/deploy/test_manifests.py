"""deploy/: what an operator applies holds together, and names only what there is."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml

from app.web.catalogue import PROBLEMS
from app.web.metrics.registry import Metrics
from config.settings import Settings
from tests.support.api import running, settings_for

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = [path for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if path.name != "kustomization.yaml"]
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"][0]["rules"]
CASES = yaml.safe_load((DEPLOY / "prometheus" / "rules_test.yaml").read_text())["tests"]
SETTINGS = {name.upper() for name in Settings.__dataclass_fields__} | {"TENANT_ISSUER", "API_AUDIENCE", "AUTH0_DOMAIN"}
CODE = re.compile(r'code[!=]~?"([^"]+)"')
ROUTE = re.compile(r'route(?:=|!=|=~|!~)"([^"]+)"')
METRIC = re.compile(r"\bpostern_[a-z_]+\b")
SERIES = re.compile(r"(\w+)\{(.*)\}")
LABEL = re.compile(r'(\w+)="([^"]*)"')
# What Prometheus adds to every series of a scrape; `up` is its own.
OF_THE_SCRAPE = {"instance", "job"}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def containers(document: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    spec = document["spec"]
    pod = spec.get("jobTemplate", document)["spec"]["template"]["spec"]
    return [(pod, container) for container in pod["containers"]]


WORKLOADS = [
    document
    for path in MANIFESTS
    for document in documents(path)
    if document["kind"] in {"Deployment", "Job", "CronJob"}
]


def exposed() -> dict[str, set[str]]:
    """Every series name that a scrape can show, with its labels."""
    named: dict[str, set[str]] = {}
    for metric in vars(Metrics()).values():
        for family in metric.collect() if hasattr(metric, "_labelnames") else ():
            labels, name = set(metric._labelnames), family.name
            if family.type == "histogram":
                named |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
            else:
                named[name + ("_total" if family.type == "counter" else "")] = labels
    return named


def exposed_names() -> set[str]:
    """The same without labels, and with the histograms' own names."""
    return set(exposed()) | {name.removesuffix("_bucket") for name in exposed() if name.endswith("_bucket")}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifest_when_held_against_the_schema_then_strictly_valid(path: Path):
    for document in documents(path):
        kubernetes_validate.validate(document, "1.33", strict=True)


def test_kustomization_when_read_then_it_names_every_manifest():
    named = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(named) == [path.name for path in MANIFESTS]


@pytest.mark.parametrize("document", WORKLOADS, ids=lambda document: document["kind"])
def test_workload_when_it_runs_then_without_root_without_writes_and_with_limits(document: dict[str, Any]):
    for pod, container in containers(document):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_deployment_when_probed_then_livez_restarts_and_readyz_only_takes_out_of_the_balancer():
    deployment = next(document for document in WORKLOADS if document["kind"] == "Deployment")
    pod, container = containers(deployment)[0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert pod["terminationGracePeriodSeconds"] >= Settings.__dataclass_fields__["drain_seconds"].default + 30


def test_settings_when_named_by_a_manifest_then_they_exist():
    config = next(document for path in MANIFESTS for document in documents(path) if document["kind"] == "ConfigMap")
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    named = (set(config["data"]) | set(compose["x-api"]["environment"])) - {"TMPDIR"}
    assert {name.removesuffix("_FILE") for name in named} <= SETTINGS


def test_compose_when_read_then_its_networks_volumes_and_secrets_are_declared():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert set(service.get("networks", [])) <= set(compose["networks"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).exists()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_when_parsed_then_good_promql_over_metrics_that_exist(rule: dict[str, Any]):
    """Every metric that the rules or documents name exists."""
    promql_parser.parse(rule["expr"])
    named = set(METRIC.findall(rule["expr"]))
    assert named or re.search(r'\bup\{job="postern"\}', rule["expr"])
    assert named <= set(exposed())
    codes = {code for match in CODE.findall(rule["expr"]) for code in match.split("|")}
    assert codes <= {"accepted", *PROBLEMS}
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_documents_when_they_name_metrics_then_these_exist():
    """Every metric that the rules or documents name exists."""
    operating = (ROOT / "docs" / "operating.md").read_text()
    named = set(METRIC.findall(operating))
    assert named
    assert named <= exposed_names()


def test_runbook_when_an_alert_fires_then_it_has_a_section():
    operating = (ROOT / "docs" / "operating.md").read_text()
    assert [rule["alert"] for rule in RULES if f"`{rule['alert']}`" not in operating] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_when_it_has_cases_then_it_fires_in_one_and_not_in_another(rule: dict[str, Any]):
    """`promtool test rules` runs them (interop/test_alerts.py); that there are some is seen here."""
    told = [told for case in CASES for told in case["alert_rule_test"] if told["alertname"] == rule["alert"]]
    assert [one for one in told if one.get("exp_alerts")]
    assert [one for one in told if not one.get("exp_alerts")]
    # A case in which it never fires, not only a moment before the others' end.
    quiet = [case for case in CASES if {one["alertname"] for one in case["alert_rule_test"]} == {rule["alert"]}]
    assert [case for case in quiet if not any(one.get("exp_alerts") for one in case["alert_rule_test"])]


def test_cases_when_they_name_an_alert_then_there_is_one():
    named = {told["alertname"] for case in CASES for told in case["alert_rule_test"]}
    assert named == {rule["alert"] for rule in RULES}


def test_cases_when_they_name_series_then_these_exist_with_exactly_their_labels():
    """A case over a series that no scrape shows would prove nothing."""
    known = {"up": set[str](), **exposed()}
    for text in {one["series"] for case in CASES for one in case["input_series"]}:
        series = SERIES.fullmatch(text)
        assert series, text
        labels = dict(LABEL.findall(series[2]))
        assert set(labels) == known[series[1]] | OF_THE_SCRAPE, text
        assert labels.get("code", "accepted") in {"accepted", *PROBLEMS}, text


def test_routes_when_rules_and_cases_name_them_then_the_api_has_them(tmp_path: Path):
    """A route that is called otherwise would silence its alert."""
    with running(settings_for(tmp_path, f"sqlite:///{tmp_path / 'postern.db'}")) as api:
        routes = {rule.rule for rule in api.app.url_map.iter_rules()}
    named = {name for rule in RULES for match in ROUTE.findall(rule["expr"]) for name in match.split("|")}
    of_cases = {
        dict(LABEL.findall(one["series"])).get("route", "/v1") for case in CASES for one in case["input_series"]
    }
    assert {"/readyz", "/v1/me/export"} <= named
    assert named | of_cases <= routes
