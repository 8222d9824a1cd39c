"""What the README of a role says, held against the role, the alert packs, and alertmend itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
READMES = sorted(PLAYBOOKS.glob("roles/*/README.md"))

pytestmark = pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)


def blocks(readme: Path) -> tuple[Any, Any, Any]:
    """The alert, the rule and its test."""
    found = re.findall(r"^```yaml\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    alert, rule, test = (yaml.safe_load(block) for block in found[:3])
    return alert[0], rule, test


def write_site(folder: Path, readme: Path) -> None:
    """The rule and its test, with the library's playbooks."""
    _, rule, test = blocks(readme)
    hosts = {expected["target"] for case in test["tests"] for expected in case["expect"] if "target" in expected}
    config = {"inventory": "inventory.yml", "playbooks": str(PLAYBOOKS), "rule_files": ["rule.yml"]}
    files = {
        "inventory.yml": {"all": {"hosts": {name: {} for name in hosts}}},
        "rule.yml": rule,
        "alertmend.yml": config,
        "rule_tests.yml": {**test, "playbooks": str(PLAYBOOKS)},
    }
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))


def alertmend(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webhook.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_its_alert_is_the_one_in_the_pack_that_it_names(readme: Path) -> None:
    alert, _, _ = blocks(readme)
    named = re.search(r"The alert, in \[alerts/(\w+\.yml)\]", readme.read_text())
    assert named is not None
    groups = yaml.safe_load((ROOT / "alerts" / named[1]).read_text())["groups"]

    assert alert in [rule for group in groups for rule in group["rules"]]


def test_its_rule_is_one_that_alertmend_takes(readme: Path, tmp_path: Path) -> None:
    alert, rule, _ = blocks(readme)
    write_site(tmp_path, readme)

    told = alertmend("check", f"--config.file={tmp_path / 'alertmend.yml'}")

    assert told.returncode == 0, told.stdout + told.stderr
    assert any(alert["alert"] in matcher for matcher in rule["rules"][0]["match"])


def test_its_rule_test_passes(readme: Path, tmp_path: Path) -> None:
    write_site(tmp_path, readme)

    told = alertmend("test", str(tmp_path / "rule_tests.yml"))

    assert told.returncode == 0, told.stdout + told.stderr


def test_its_rule_test_names_the_rule_and_its_playbooks(readme: Path) -> None:
    _, rule, test = blocks(readme)
    steps = {step["playbook"] for found in rule["rules"] for step in found["steps"]}

    assert test["rule_files"] == ["rule.yml"]
    for case in test["tests"]:
        assert {expected["rule"] for expected in case["expect"] if "rule" in expected} <= {
            found["name"] for found in rule["rules"]
        }
        assert set(case["playbooks"]) <= steps
        assert case["alerts"][0]["labels"]["alertname"]


def test_it_tells_every_variable_that_the_playbook_takes(readme: Path) -> None:
    text = readme.read_text()
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    role = readme.parent.name
    playbooks = [path for path in PLAYBOOKS.glob("*.yml") if f"role: {role}\n" in path.read_text()]
    assert playbooks, f"no playbook uses {role}"
    taken = {name for path in playbooks for name in re.findall(r'"\{\{ (\w+) \| default', path.read_text())}

    assert {name for name in taken if f"`{name}`" not in table} == set()
