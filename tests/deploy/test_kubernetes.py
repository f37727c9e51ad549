"""deploy/kubernetes: what no schema sees: names, ports, labels and mounts that must fit each other, and the API."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
DOCUMENTS: list[dict[str, Any]] = [
    document
    for path in sorted(KUBERNETES.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
]
WORKLOADS = [document for document in DOCUMENTS if document["kind"] in {"Deployment", "Job", "CronJob"}]
SECRET_KEYS = {"database_url", "log_hash_key"}


def the(kind: str) -> dict[str, Any]:
    """The only one of its kind."""
    (found,) = (document for document in DOCUMENTS if document["kind"] == kind)
    return found


def template(workload: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = workload["spec"].get("jobTemplate", workload)["spec"]["template"]
    return pod


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = template(workload)["spec"]["containers"]
    return dict(only)


def ports() -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(the("Deployment"))["ports"]}


def matches(selector: dict[str, str], workload: dict[str, Any]) -> bool:
    return selector.items() <= template(workload)["metadata"]["labels"].items()


def test_api_when_it_is_selected_then_it_and_nothing_beside_it():
    """A Service that led to the purge's pod, too, would lose requests."""
    deployment = the("Deployment")
    spread = template(deployment)["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    own, budget = (
        deployment["spec"]["selector"]["matchLabels"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    )
    for selector in (own, budget, spread, the("Service")["spec"]["selector"]):
        assert [one["kind"] for one in WORKLOADS if matches(selector, one)] == ["Deployment"]


def test_network_policy_when_pods_run_then_all_of_ours_are_under_it():
    policy = the("NetworkPolicy")["spec"]
    assert all(matches(policy["podSelector"]["matchLabels"], workload) for workload in WORKLOADS)
    let_in = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert let_in == set(ports().values())
    let_out = {(port["port"], port.get("protocol", "TCP")) for rule in policy["egress"] for port in rule["ports"]}
    # Names, the database, the store, the tenant.
    assert let_out == {(53, "UDP"), (53, "TCP"), (5432, "TCP"), (6379, "TCP"), (443, "TCP")}


def test_names_when_one_refers_to_another_then_it_is_there():
    deployment, service = the("Deployment"), the("Service")
    names = ports()
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(names)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container(deployment)[probe]["httpGet"]["port"] == "http"
    for rule in the("Ingress")["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            assert backend["name"] == service["metadata"]["name"]
            assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    target = the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    for workload in WORKLOADS:
        assert template(workload)["spec"]["serviceAccountName"] == the("ServiceAccount")["metadata"]["name"]
        assert container(workload)["envFrom"] == [{"configMapRef": {"name": the("ConfigMap")["metadata"]["name"]}}]


def test_image_when_kustomize_names_it_then_as_every_workload_does():
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert {container(workload)["image"] for workload in WORKLOADS} == {
        image["name"] for image in kustomization["images"]
    }
    assert kustomization["namespace"] == the("Namespace")["metadata"]["name"]


def test_metrics_when_they_are_scraped_then_at_the_port_of_the_settings():
    told, annotations = the("ConfigMap")["data"], template(the("Deployment"))["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == told["METRICS_PORT"] == str(ports()["metrics"])
    assert told["METRICS_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["kind"])
def test_settings_when_a_pod_has_them_then_the_api_takes_them(
    workload: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also its files: the secret is mounted where the settings say, and the group of the pod may read it."""
    pod = template(workload)["spec"]
    (mount,) = (mount for mount in container(workload)["volumeMounts"] if mount["name"] == "secrets")
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "secrets")
    assert volume["secret"]["defaultMode"] & 0o040
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"] == 10001
    (tmp_path / "database_url").write_text("postgresql://postern:secret@postgresql/postern\n")
    (tmp_path / "log_hash_key").write_text("0" * 64 + "\n")
    monkeypatch.setenv("HOST", "0.0.0.0")
    for name, value in the("ConfigMap")["data"].items():
        if name.endswith("_FILE"):
            assert Path(value).parent == Path(mount["mountPath"])
            assert Path(value).name in SECRET_KEYS
        monkeypatch.setenv(name, value.replace(mount["mountPath"], str(tmp_path)))
    assert Settings.from_env().database_url == "postgresql://postern:secret@postgresql/postern"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["kind"])
def test_pod_when_it_writes_then_the_copy_of_the_keys_is_in_a_folder_of_its_own(workload: dict[str, Any]):
    """A volume itself is open to its group (fsGroup): a copy that lay right in it was refused, and none was kept."""
    pod = template(workload)["spec"]
    writable = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    mounts = {mount["mountPath"] for mount in container(workload)["volumeMounts"] if mount["name"] in writable}
    folder = Path("/srv") / str(Settings.__dataclass_fields__["jwks_snapshot_dir"].default)
    assert "JWKS_SNAPSHOT_DIR" not in the("ConfigMap")["data"]
    assert str(folder) not in mounts
    assert str(folder.parent) in mounts
    # Exports on their way; on a disk, not in memory.
    assert "/tmp" in mounts
    assert all(volume.get("emptyDir", {}).get("medium") is None for volume in pod["volumes"])


def test_pod_when_it_must_end_then_after_the_drain_and_what_is_in_flight():
    drain = Settings.__dataclass_fields__["drain_seconds"].default
    assert template(the("Deployment"))["spec"]["terminationGracePeriodSeconds"] > drain + 30


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["kind"])
def test_pod_when_the_namespace_is_restricted_then_it_is_admitted(workload: dict[str, Any]):
    """Pod Security Standards, `restricted`: what the admission asks of a pod and of its container."""
    assert the("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = template(workload)["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(workload)["securityContext"]["allowPrivilegeEscalation"] is False
    assert container(workload)["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert all({"secret", "emptyDir"} & set(volume) for volume in pod["volumes"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
