"""What the README of a role says, held against the role, the alert packs, and alertmend itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from webhook.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
READMES = sorted(PLAYBOOKS.glob("roles/*/README.md"))

pytestmark = pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)


def blocks(readme: Path) -> tuple[Any, Any, Any]:
    """The alert, the rule and its test."""
    found = re.findall(r"^```yaml\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    alert, rule, test = (yaml.safe_load(block) for block in found[:3])
    return alert[0], rule, test


def test_its_alert_is_the_one_in_the_pack_that_it_names(readme: Path) -> None:
    alert, _, _ = blocks(readme)
    named = re.search(r"The alert, in \[alerts/(\w+\.yml)\]", readme.read_text())
    assert named is not None
    groups = yaml.safe_load((ROOT / "alerts" / named[1]).read_text())["groups"]

    assert alert in [rule for group in groups for rule in group["rules"]]


def test_its_rule_is_one_that_alertmend_takes(readme: Path, site: Path) -> None:
    alert, rule, _ = blocks(readme)

    assert run("check", f"--config.file={site / 'alertmend.yml'}") == ""
    assert any(alert["alert"] in matcher for matcher in rule["rules"][0]["match"])


def test_its_rule_decides_as_its_test_says(readme: Path, site: Path) -> None:
    assert run("test", str(site / "test.yml")) == ""


@pytest.fixture
def site(readme: Path, tmp_path: Path) -> Path:
    """A folder with the README's files, and an inventory of the hosts that they name."""
    _, rule, test = blocks(readme)
    hosts = {expected["target"] for case in test["tests"] for expected in case["expect"] if "target" in expected}
    files = {
        "inventory.yml": {"all": {"hosts": {name: {} for name in hosts}}},
        "rule.yml": rule,
        "test.yml": test,
        "alertmend.yml": {"inventory": "inventory.yml", "rule_files": ["rule.yml"]},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    (tmp_path / "playbooks").symlink_to(PLAYBOOKS)
    return tmp_path


def run(*words: str) -> str:
    """What alertmend has to say against it."""
    told = CliRunner().invoke(cli, words)
    return told.output if told.exit_code else ""


def test_it_tells_every_variable_that_the_playbook_takes(readme: Path) -> None:
    text = readme.read_text()
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    role = readme.parent.name
    playbooks = [path for path in PLAYBOOKS.glob("*.yml") if f"role: {role}\n" in path.read_text()]
    assert playbooks, f"no playbook uses {role}"
    taken = {name for path in playbooks for name in re.findall(r'"\{\{ (\w+) \| default', path.read_text())}

    assert {name for name in taken if f"`{name}`" not in table} == set()
