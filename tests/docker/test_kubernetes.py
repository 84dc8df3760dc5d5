"""The manifests, checked against Kubernetes' schema and against each other."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipelines.errors import SettingsError
from pipelines.settings import load
from training.retraining.drift.detection import DriftedError
from training.retraining.settings import Retrain

DOCKER = Path(__file__).parents[2] / "docker"
MANIFESTS: list[dict[str, Any]] = [
    document
    for path in sorted((DOCKER / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]


def name_of(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def pods() -> dict[str, dict[str, Any]]:
    """The pod specifications by the name of their controller."""
    found = {}
    for manifest in MANIFESTS:
        spec = manifest.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            found[name_of(manifest)] = template["spec"]
    executor = next(manifest for manifest in MANIFESTS if name_of(manifest) == "ConfigMap-spark")["data"][
        "executor.yaml"
    ]
    return {**found, "executor": yaml.safe_load(executor)["spec"]}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name_of)
def test_a_manifest_follows_the_schema(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.32", strict=True)


def test_a_wrong_manifest_is_detected() -> None:
    wrong = {**MANIFESTS[0], "metadata": {"nome": "roadsign"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.32", strict=True)


@pytest.mark.parametrize("name", pods())
def test_a_pod_has_no_more_privileges_than_needed(name: str) -> None:
    """The requirements of the namespace's pod security standard `restricted`."""
    pod = pods()[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_namespace_is_restricted_and_unreachable_from_others() -> None:
    (namespace,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    policies = [manifest for manifest in MANIFESTS if manifest["kind"] == "NetworkPolicy"]
    assert [policy["metadata"]["namespace"] for policy in policies] == [namespace["metadata"]["name"]]
    own_pods = {"from": [{"podSelector": {}}]}  # without a namespaceSelector: those of the policy's own namespace
    assert policies[0]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [own_pods]}
    places = {manifest["metadata"].get("namespace", "roadsign") for manifest in MANIFESTS}
    assert places == {namespace["metadata"]["name"]}


@pytest.mark.parametrize("name", pods())
def test_a_pod_mounts_only_what_is_declared(name: str) -> None:
    claims = {manifest["metadata"]["name"] for manifest in MANIFESTS if manifest["kind"] == "PersistentVolumeClaim"}
    pod = pods()[name]
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    if name == "StatefulSet-postgres":
        volumes.add("runs")
    for container in pod["containers"]:
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    for volume in pod.get("volumes", []):
        assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}


def test_retrainings_never_overlap_and_run_in_the_image_of_compose() -> None:
    (cron,) = [manifest["spec"] for manifest in MANIFESTS if manifest["kind"] == "CronJob"]
    assert cron["concurrencyPolicy"] == "Forbid"
    (container,) = cron["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["trainer", "retrain"]
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["trainer"]
    assert compose["image"] == container["image"]


def test_a_batch_that_would_fail_again_is_not_tried_again() -> None:
    (cron,) = [manifest["spec"] for manifest in MANIFESTS if manifest["kind"] == "CronJob"]
    job = cron["jobTemplate"]["spec"]
    (final,) = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert final["values"] == [SettingsError.exit_code, DriftedError.exit_code]
    assert final["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    waited_s = sum(10 * 2**attempt for attempt in range(job["backoffLimit"]))
    assert waited_s > load(Retrain, DOCKER.parent / "conf" / "retrain.yaml").lease_s


def test_secrets_come_from_a_secret_and_never_from_a_manifest() -> None:
    assert not [manifest for manifest in MANIFESTS if manifest["kind"] == "Secret"]
    for pod in pods().values():
        for container in pod["containers"]:
            for variable in container.get("env", []):
                assert variable["name"].endswith("_FILE") or "PASSWORD" not in variable["name"]
