"""What is shipped to deploy with: it is sound by itself, and its parts fit together. There is no Docker here."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from packaging.requirements import Requirement

from webhook.edge.webconfig import Role, read_web_config

REPOSITORY = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SITE = REPOSITORY / "deploy/compose"
LOCKS = ("requirements.lock", "requirements-dev.lock")


def test_every_part_of_the_site_is_there() -> None:
    wanted = {"receiver", "worker", "redis", "postgres", "prometheus", "alertmanager", "grafana", "target"}
    assert wanted <= SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_or_is_built_from_is_there(name: str) -> None:
    service = SERVICES[name]
    sources = [volume.split(":")[0] for volume in service.get("volumes", ())]
    for source in sources:
        assert (REPOSITORY / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]
    if "build" in service:
        assert (REPOSITORY / service["build"]["context"] / "Dockerfile").is_file()
    else:
        assert service["image"] == "alertmend" or ":" in service["image"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_what_is_waited_for_has_what_it_is_waited_for_by() -> None:
    for service in SERVICES.values():
        for name, wait in (service.get("depends_on") or {}).items():
            has_check = "healthcheck" in SERVICES[name] or SERVICES[name].get("image") == "alertmend"
            assert wait["condition"] != "service_healthy" or has_check


def test_redis_keeps_what_it_acknowledged_and_forgets_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_alertmanager_posts_to_the_receiver_with_the_token_that_it_knows() -> None:
    alertmanager = yaml.safe_load((SITE / "alertmanager/alertmanager.yml").read_text())
    [ours] = [receiver for receiver in alertmanager["receivers"] if receiver["name"] == "alertmend"]
    webhook = ours["webhook_configs"][0]
    listen = next(word for word in SERVICES["receiver"]["command"] if word.startswith("--web.listen-address"))
    assert webhook["url"] == f"http://receiver:{listen.rpartition(':')[2]}/api/v1/alertmanager"
    token = webhook["http_config"]["authorization"]["credentials_file"]
    assert f"secret > {Path(token).name}" in (SITE / "setup.sh").read_text()


def test_alertmend_is_looked_at_tells_alertmanager_and_has_its_dashboard() -> None:
    prometheus = yaml.safe_load((SITE / "prometheus/prometheus.yml").read_text())
    [job] = [job for job in prometheus["scrape_configs"] if job["job_name"] == "alertmend"]
    assert job["static_configs"] == [{"targets": ["receiver:9480"]}]
    assert "secret > prometheus-password" in (SITE / "setup.sh").read_text()
    shown = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    folder, _, names = prometheus["rule_files"][1].rpartition("/")
    assert folder in shown and list((REPOSITORY / "deploy/monitoring").glob(names))
    [alertmanager] = yaml.safe_load((SITE / "alertmend/alertmend.yml").read_text())["alertmanagers"]
    assert alertmanager["url"].removeprefix("http://").partition(":")[0] in SERVICES
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (REPOSITORY / "deploy/monitoring" / Path(home).name).is_file()


def test_prometheus_and_alertmanager_accept_their_files() -> None:
    promtool = ["promtool", "check", "config", str(SITE / "prometheus/prometheus.yml")]
    amtool = ["amtool", "check-config", str(SITE / "alertmanager/alertmanager.yml")]
    for command in (promtool, amtool):
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0, command


def test_alertmend_accepts_its_own_files(tmp_path: Path) -> None:
    # Given the folders as they are mounted, and the secrets that set-up makes
    shutil.copytree(SITE / "alertmend", tmp_path / "alertmend")
    shutil.copytree(REPOSITORY / "playbooks", tmp_path / "alertmend-playbooks")
    (tmp_path / "db-url").write_text("postgresql://alertmend@postgres/alertmend\n")
    config = tmp_path / "alertmend/alertmend.yml"
    config.write_text(config.read_text().replace("/secrets/db-url", str(tmp_path / "db-url")))
    command = [sys.executable, "-m", "webhook.cli", "check", f"--config.file={config}"]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


def test_set_up_makes_its_secrets_once(tmp_path: Path) -> None:
    script = (SITE / "setup.sh").read_text().replace("cd /secrets", f"cd {tmp_path}")
    for _ in range(2):
        subprocess.run(["sh", "-c", script.replace("chown 10001", "true")], check=True)
        token = (tmp_path / "am-token").read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", token)
    assert (tmp_path / "db-password").read_text() in (tmp_path / "db-url").read_text()
    assert (tmp_path / "ssh-key").stat().st_mode & 0o077 == 0
    config = read_web_config(tmp_path / "web.yml")
    for user, role in (("admin", Role.OPERATOR), ("prometheus", Role.VIEWER)):
        password = (tmp_path / f"{user}-password").read_bytes()
        assert bcrypt.checkpw(password, config.users[user].encode())
        assert user in config.roles[role]


def test_the_image_is_built_from_the_lock() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in dockerfile
    assert "compileall" in dockerfile
    assert "\nUSER alertmend" in dockerfile


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_a_hash_for_everything_and_no_address(name: str) -> None:
    text = (REPOSITORY / name).read_text()
    requirements = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(requirements) > 40
    assert all("==" in requirement and "--hash=sha256:" in requirement for requirement in requirements)
    assert "://" not in text


def test_what_is_locked_lies_in_the_ranges_that_are_promised() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (REPOSITORY / "requirements.lock").read_text(), re.M))
    for line in project["dependencies"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(locked[requirement.name.lower()]), line


def test_ci_calls_what_the_readme_names() -> None:
    assert "make test" in (REPOSITORY / ".ci/run").read_text()
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in ("install", "run", "demo", "test", "check"):
        assert re.search(rf"^{target}:", makefile, re.M)
