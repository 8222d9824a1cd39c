"""The kustomize base: its manifests fit the schemas of Kubernetes, and each other. There is no cluster here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from webhook.cli.supervision import LAST_SECONDS, LONGEST_PAUSE_SECONDS, SILENT_SECONDS
from webhook.core.duration import parse_duration

REPOSITORY = Path(__file__).parents[2]
BASE = REPOSITORY / "deploy/kubernetes/base"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((BASE / "kustomization.yaml").read_text())
#: The oldest that is supported by anyone, and the newest whose schemas are at hand.
VERSIONS = ("1.28", kubernetes_validate.latest_version())


def _manifests() -> Iterator[dict[str, Any]]:
    for name in KUSTOMIZATION["resources"]:
        yield from yaml.safe_load_all((BASE / name).read_text())


MANIFESTS = list(_manifests())
BY_NAME = {f"{one['kind']}/{one['metadata']['name']}": one for one in MANIFESTS}
DEPLOYMENTS = [one for one in MANIFESTS if one["kind"] == "Deployment"]


def _pod(deployment: Mapping[str, Any]) -> dict[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def _container(deployment: Mapping[str, Any]) -> dict[str, Any]:
    [container] = _pod(deployment)["containers"]
    return dict(container)


def test_kustomize_is_given_everything_that_lies_there_and_nothing_else() -> None:
    there = {file.name for file in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == there
    generated = {name for one in KUSTOMIZATION["configMapGenerator"] for name in one["files"]}
    assert generated == {str(file.relative_to(BASE)) for file in (BASE / "config").rglob("*.yml")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_manifest_fits_the_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(BY_NAME[name], version, strict=True)


def test_a_misspelt_key_would_be_found() -> None:
    wrong = {**BY_NAME["Service/alertmend"], "spec": {"selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_whatever_selects_pods_selects_those_that_are_there() -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in DEPLOYMENTS]
    for one in MANIFESTS:
        spec = one.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        if selector:
            assert selector.get("matchLabels", selector) in labels, one["metadata"]["name"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["metadata"]["name"])
def test_a_pod_is_nobody_and_changes_nothing_but_its_state(deployment: dict[str, Any]) -> None:
    pod, container = _pod(deployment), _container(deployment)
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == confined
    writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"state", "tmp"}
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    assert f"--uid {pod['securityContext']['runAsUser']} " in (REPOSITORY / "Dockerfile").read_text()


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["metadata"]["name"])
def test_a_pod_gets_the_time_that_its_end_takes(deployment: dict[str, Any]) -> None:
    container = _container(deployment)
    [grace] = [word.partition("=")[2] for word in container["args"] if word.startswith("--shutdown.grace=")]
    before = int(
        (container.get("lifecycle") or {"preStop": {"exec": {"command": ["0"]}}})["preStop"]["exec"]["command"][-1]
    )
    needed = before + parse_duration(grace).total_seconds() + LAST_SECONDS
    assert _pod(deployment)["terminationGracePeriodSeconds"] > needed


def test_what_the_probes_ask_is_served() -> None:
    from tests.docs.test_routes import SERVED

    container = _container(BY_NAME["Deployment/receiver"])
    ports = {port["name"] for port in container["ports"]}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert f"GET {container[name]['httpGet']['path']}" in SERVED
        assert container[name]["httpGet"]["port"] in ports
        assert container[name]["timeoutSeconds"] < container[name]["periodSeconds"]
    assert BY_NAME["Service/alertmend"]["spec"]["ports"][0]["targetPort"] in ports


@pytest.mark.parametrize(("seconds_ago", "status"), [(0, 0), (60, 0), (200, 1), (None, 1)])
def test_a_worker_is_alive_while_its_supervisor_says_so(tmp_path: Path, seconds_ago: int | None, status: int) -> None:
    for name in ("startupProbe", "livenessProbe"):
        probe = _container(BY_NAME["Deployment/worker"])[name]["exec"]["command"]
        alive = tmp_path / "alive"
        if seconds_ago is not None:
            alive.touch()
            os.utime(alive, (time.time() - seconds_ago,) * 2)
        command = [word.replace("/var/lib/alertmend/alive", str(alive)) for word in probe]
        assert command != probe
        assert subprocess.run(command, check=False, capture_output=True).returncode == status


def test_a_worker_is_given_up_after_its_supervisor_gave_up_itself() -> None:
    probe = _container(BY_NAME["Deployment/worker"])["livenessProbe"]
    assert 120 + probe["periodSeconds"] * probe["failureThreshold"] > SILENT_SECONDS + LONGEST_PAUSE_SECONDS


def test_a_drained_node_leaves_one_of_each_and_can_be_drained() -> None:
    for deployment in DEPLOYMENTS:
        budget = BY_NAME[f"PodDisruptionBudget/{deployment['metadata']['name']}"]
        assert 1 <= budget["spec"]["minAvailable"] < deployment["spec"]["replicas"]


def test_what_scales_is_there_and_begins_where_it_is() -> None:
    scaler = BY_NAME["HorizontalPodAutoscaler/receiver"]["spec"]
    target = BY_NAME[f"{scaler['scaleTargetRef']['kind']}/{scaler['scaleTargetRef']['name']}"]
    assert scaler["minReplicas"] == target["spec"]["replicas"] < scaler["maxReplicas"]
    # A share of what is asked for: without a request there is none.
    assert "cpu" in _container(target)["resources"]["requests"]


def test_every_pod_has_a_policy_and_nobody_speaks_to_a_worker() -> None:
    for deployment in DEPLOYMENTS:
        policy = BY_NAME[f"NetworkPolicy/{deployment['metadata']['name']}"]["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert BY_NAME["NetworkPolicy/worker"]["spec"]["ingress"] == []


def test_alertmend_accepts_the_configuration_of_the_base(tmp_path: Path) -> None:
    # Given the folders as they are mounted, and the secrets that have to be there
    shutil.copytree(BASE / "config", tmp_path / "etc")
    for name, secret in (("redis-url", "redis://redis:6379"), ("db-url", "postgresql://db/x"), ("am-token", "a" * 64)):
        (tmp_path / name).write_text(secret)
    moved = {"/secrets": str(tmp_path), "/opt/alertmend/playbooks": str(REPOSITORY / "playbooks")}
    for file in (tmp_path / "etc").rglob("*.yml"):
        text = file.read_text().replace("/etc/alertmend-rules", str(tmp_path / "etc/rules"))
        for written, path in moved.items():
            text = text.replace(written, path)
        file.write_text(text)
    files = [f"--config.file={tmp_path / 'etc/alertmend.yml'}", f"--web.config.file={tmp_path / 'etc/web.yml'}"]
    command = [sys.executable, "-m", "webhook.cli", "check", *files]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout
    assert "/opt/alertmend/playbooks" in (REPOSITORY / "Dockerfile").read_text()
