"""A site in Kubernetes: the secrets that are made for it, and what an overlay adds to the base."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent

import bcrypt
import pytest
import yaml

from tests.docs.kustomize import Manifest, render
from tests.docs.pages import REPOSITORY
from tests.docs.pod import container, laid_out
from webhook.edge.webconfig import Role, read_web_config

KUBERNETES = REPOSITORY / "deploy/kubernetes"
BASE = render(KUBERNETES / "base")
SITE = render(KUBERNETES / "overlays/example")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of the secrets, as they are made, with the addresses beside them."""
    folder = tmp_path_factory.mktemp("site") / "secrets"
    subprocess.run([KUBERNETES / "secrets.sh", folder], check=True)
    for name in ("alertmend-receiver", "alertmend-worker"):
        (folder / name / "redis-url").write_text("redis://redis:6379")
        (folder / name / "db-url").write_text("postgresql://db/x")
    return folder


def test_what_tells_who_is_let_in_is_a_secret_that_every_receiver_shares(secrets: Path) -> None:
    assert "--web.config.file=/secrets/web.yml" in container(BASE["Deployment/receiver"])["args"]
    config = read_web_config(secrets / "alertmend-receiver/web.yml")
    # A key in the storage path would be one for each pod.
    assert config.session.key_file == str(secrets / "alertmend-receiver/session-key")
    assert [file.name for file in config.receiver_tokens_files] == ["am-token"]
    for user, file, role in (
        ("admin", "admin-password", Role.OPERATOR),
        ("prometheus", "alertmend-prometheus/password", Role.VIEWER),
    ):
        assert bcrypt.checkpw((secrets / file).read_bytes(), config.users[user].encode())
        assert config.roles[role] == {user}


def test_secrets_are_random_for_nobody_else_to_read_and_never_made_anew(secrets: Path, tmp_path: Path) -> None:
    subprocess.run([KUBERNETES / "secrets.sh", tmp_path / "another"], check=True)
    for file in ("admin-password", "alertmend-receiver/am-token", "alertmend-receiver/session-key"):
        assert (secrets / file).read_bytes() != (tmp_path / "another" / file).read_bytes()
        assert (secrets / file).stat().st_mode & 0o077 == 0
    before = (secrets / "admin-password").read_text()
    again = subprocess.run([KUBERNETES / "secrets.sh", secrets], check=False, capture_output=True)
    assert again.returncode != 0 and (secrets / "admin-password").read_text() == before


def test_secrets_are_not_half_made_where_a_program_is_missing(tmp_path: Path) -> None:
    (tmp_path / "openssl").symlink_to("/bin/true")
    command = ["/bin/sh", KUBERNETES / "secrets.sh", tmp_path / "secrets"]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert (answer.returncode, answer.stderr) == (1, "htpasswd is missing\n")
    assert not (tmp_path / "secrets").exists()


def test_monitoring_is_no_part_of_the_base() -> None:
    assert {name for name in SITE if "monitoring" in SITE[name]["apiVersion"]} == {
        "ServiceMonitor/alertmend",
        "PrometheusRule/alertmend",
    }
    assert not any("monitoring" in one["apiVersion"] for one in BASE.values())


def test_prometheus_finds_the_receivers_and_is_let_in(secrets: Path) -> None:
    from tests.docs.test_routes import SERVED

    monitor, service = SITE["ServiceMonitor/alertmend"], SITE["Service/alertmend"]
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert f"GET {endpoint['path']}" in SERVED
    shown = {key: secrets / one["name"] / one["key"] for key, one in endpoint["basicAuth"].items()}
    assert shown["username"].read_text() == "prometheus" and shown["password"].read_text()
    # The job is called as the Service is.
    alerts = (KUBERNETES / "components/monitoring" / "prometheusrule.yaml").read_text()
    assert set(re.findall(r'job="(\w+)"', alerts)) == {service["metadata"]["name"]}


def test_receivers_differ_in_their_instance_alone() -> None:
    # An alert that is about all of them would else be one for each.
    [endpoint] = SITE["ServiceMonitor/alertmend"]["spec"]["endpoints"]
    assert endpoint["relabelings"][-1] == {"action": "labeldrop", "regex": "pod"}
    assert endpoint["relabelings"][0] == {"sourceLabels": ["pod"], "targetLabel": "instance"}


def test_the_alerts_are_those_of_deploy_monitoring() -> None:
    alerts = (REPOSITORY / "deploy/monitoring/alertmend.rules.yml").read_text()
    expected = indent(alerts[alerts.index("groups:") :], "  ")
    head, _, moved = (KUBERNETES / "components/monitoring" / "prometheusrule.yaml").read_text().partition("\nspec:\n")
    assert moved == expected, "deploy/kubernetes/components/monitoring/prometheusrule.yaml says how it is made"
    assert "sed -n '/^groups:/,$s/^/  /p' deploy/monitoring/alertmend.rules.yml" in head
    assert SITE["PrometheusRule/alertmend"]["spec"] == yaml.safe_load(alerts)


def test_the_example_is_the_base_with_what_a_site_adds() -> None:
    assert SITE.keys() > BASE.keys()
    assert {one["metadata"].get("namespace", "alertmend") for one in SITE.values()} == {"alertmend"}
    for name in ("Deployment/receiver", "Deployment/worker"):
        deployment, ours = BASE[name], SITE[name]
        assert container(ours)["image"].startswith("registry.example.com/alertmend:")
        assert ours["spec"]["selector"] == deployment["spec"]["selector"]
    config = SITE["ConfigMap/alertmend"]["data"]
    assert config["inventory.yml"] == (KUBERNETES / "overlays/example" / "inventory.yml").read_text()
    assert config["alertmend.yml"] == BASE["ConfigMap/alertmend"]["data"]["alertmend.yml"]


def test_people_get_to_the_pages_through_what_the_example_adds() -> None:
    [rule] = SITE["Ingress/alertmend"]["spec"]["rules"]
    [path] = rule["http"]["paths"]
    backend = path["backend"]["service"]
    [port] = SITE[f"Service/{backend['name']}"]["spec"]["ports"]
    assert port["name"] == backend["port"]["name"]
    [ingress] = SITE["NetworkPolicy/receiver-of-this-site"]["spec"]["ingress"]
    assert ingress["ports"] == [{"port": port["targetPort"]}]


@pytest.mark.parametrize("manifests", [BASE, SITE], ids=["base", "example"])
def test_alertmend_accepts_its_configuration(manifests: Mapping[str, Manifest], secrets: Path, tmp_path: Path) -> None:
    words = laid_out(manifests, "receiver", secrets=secrets, below=tmp_path)
    files = [word for word in words if ".file=" in word]
    command = [sys.executable, "-m", "webhook.cli", "check", *files]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (len(files), answer.returncode) == (2, 0), answer.stdout
    assert "/opt/alertmend/playbooks" in (REPOSITORY / "Dockerfile").read_text()
