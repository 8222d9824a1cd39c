"""The kustomize base: its manifests fit the schemas of Kubernetes, and each other. There is no cluster here."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.docs.kustomize import render
from tests.docs.pages import REPOSITORY
from tests.docs.pod import container
from webhook.cli.supervision import LAST_SECONDS, LONGEST_PAUSE_SECONDS, SILENT_SECONDS
from webhook.core.duration import parse_duration

BASE = REPOSITORY / "deploy/kubernetes/base"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((BASE / "kustomization.yaml").read_text())
#: The oldest that is supported by anyone, and the newest whose schemas are at hand.
VERSIONS = ("1.28", kubernetes_validate.latest_version())
BY_NAME = render(BASE)
DEPLOYMENTS = [one for one in BY_NAME.values() if one["kind"] == "Deployment"]
#: What Kubernetes itself knows, of the base and of the example over it.
MANIFESTS = {
    f"{folder} {name}": one
    for folder, found in (("base", BY_NAME), ("example", render(BASE.parent / "overlays/example")))
    for name, one in found.items()
    if one["apiVersion"] != "monitoring.coreos.com/v1"
}


def _pod(deployment: Mapping[str, Any]) -> dict[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def test_kustomize_is_given_everything_that_lies_there_and_nothing_else() -> None:
    there = {file.name for file in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == there
    generated = {name for one in KUSTOMIZATION["configMapGenerator"] for name in one["files"]}
    assert generated == {str(file.relative_to(BASE)) for file in (BASE / "config").rglob("*.yml")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_fits_the_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_a_misspelt_key_would_be_found() -> None:
    wrong = {**BY_NAME["Service/alertmend"], "spec": {"selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_whatever_selects_pods_selects_those_that_are_there(name: str) -> None:
    spec = MANIFESTS[name].get("spec", {})
    selector = spec.get("podSelector") or spec.get("selector") or {}
    wanted = selector.get("matchLabels", selector).items()
    assert any(wanted <= one["spec"]["template"]["metadata"]["labels"].items() for one in DEPLOYMENTS)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["metadata"]["name"])
def test_a_pod_is_nobody_and_changes_nothing_but_its_state(deployment: dict[str, Any]) -> None:
    pod, ours = _pod(deployment), container(deployment)
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert ours["securityContext"] == confined
    writable = {mount["name"] for mount in ours["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"state", "tmp"}
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in ours["volumeMounts"]}
    assert f"--uid {pod['securityContext']['runAsUser']} " in (REPOSITORY / "Dockerfile").read_text()


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["metadata"]["name"])
def test_a_pod_gets_the_time_that_its_end_takes(deployment: dict[str, Any]) -> None:
    ours = container(deployment)
    [grace] = [word.partition("=")[2] for word in ours["args"] if word.startswith("--shutdown.grace=")]
    before = int((ours.get("lifecycle") or {"preStop": {"exec": {"command": ["0"]}}})["preStop"]["exec"]["command"][-1])
    needed = before + parse_duration(grace).total_seconds() + LAST_SECONDS
    assert _pod(deployment)["terminationGracePeriodSeconds"] > needed


def test_what_the_probes_ask_is_served() -> None:
    from tests.docs.test_routes import SERVED

    ours = container(BY_NAME["Deployment/receiver"])
    ports = {port["name"] for port in ours["ports"]}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert f"GET {ours[name]['httpGet']['path']}" in SERVED
        assert ours[name]["httpGet"]["port"] in ports
        assert ours[name]["timeoutSeconds"] < ours[name]["periodSeconds"]
    assert BY_NAME["Service/alertmend"]["spec"]["ports"][0]["targetPort"] in ports


@pytest.mark.parametrize(("seconds_ago", "status"), [(0, 0), (60, 0), (200, 1), (None, 1)])
def test_a_worker_is_alive_while_its_supervisor_says_so(tmp_path: Path, seconds_ago: int | None, status: int) -> None:
    for name in ("startupProbe", "livenessProbe"):
        probe = container(BY_NAME["Deployment/worker"])[name]["exec"]["command"]
        alive = tmp_path / "alive"
        if seconds_ago is not None:
            alive.touch()
            os.utime(alive, (time.time() - seconds_ago,) * 2)
        command = [word.replace("/var/lib/alertmend/alive", str(alive)) for word in probe]
        assert command != probe
        assert subprocess.run(command, check=False, capture_output=True).returncode == status


def test_a_worker_is_given_up_after_its_supervisor_gave_up_itself() -> None:
    probe = container(BY_NAME["Deployment/worker"])["livenessProbe"]
    assert 120 + probe["periodSeconds"] * probe["failureThreshold"] > SILENT_SECONDS + LONGEST_PAUSE_SECONDS


def test_a_drained_node_leaves_one_of_each_and_can_be_drained() -> None:
    fewest = {"worker": BY_NAME["Deployment/worker"]["spec"]["replicas"]}
    fewest["receiver"] = BY_NAME["HorizontalPodAutoscaler/receiver"]["spec"]["minReplicas"]
    for deployment in DEPLOYMENTS:
        name = deployment["metadata"]["name"]
        budget = BY_NAME[f"PodDisruptionBudget/{name}"]["spec"]
        assert 1 <= budget["minAvailable"] < fewest[name]
        # While Redis is away no receiver is ready.
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_how_many_receivers_there_are_is_said_in_one_place() -> None:
    scaler = BY_NAME["HorizontalPodAutoscaler/receiver"]["spec"]
    target = BY_NAME[f"{scaler['scaleTargetRef']['kind']}/{scaler['scaleTargetRef']['name']}"]
    # With `replicas` there, each apply would take back what a storm had brought.
    assert "replicas" not in target["spec"] and scaler["minReplicas"] < scaler["maxReplicas"]
    # A share of what is asked for: without a request there is none.
    assert "cpu" in container(target)["resources"]["requests"]


def test_every_pod_has_a_policy_and_nobody_speaks_to_a_worker() -> None:
    for deployment in DEPLOYMENTS:
        policy = BY_NAME[f"NetworkPolicy/{deployment['metadata']['name']}"]["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert BY_NAME["NetworkPolicy/worker"]["spec"]["ingress"] == []


@pytest.mark.parametrize("name", ["receiver", "worker"])
def test_names_are_asked_for_anywhere(name: str) -> None:
    # NodeLocal DNSCache listens on a link-local address, which nothing else is reached at.
    [dns] = [
        rule for rule in BY_NAME[f"NetworkPolicy/{name}"]["spec"]["egress"] if {"port": 53} in rule.get("ports", ())
    ]
    assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}
