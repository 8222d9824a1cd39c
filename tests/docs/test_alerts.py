"""The alert packs, as Prometheus' own tool sees them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ALERTS = Path(__file__).resolve().parents[2] / "alerts"
PLAYBOOKS = ALERTS.parent / "playbooks"
PACKS = sorted(ALERTS.glob("*.yml"))


def names(pack: Path) -> set[str]:
    groups = yaml.safe_load(pack.read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_prometheus_reads_it_and_it_fires_when_it_should(pack: Path) -> None:
    for words in (["check", "rules", "--lint=all", "--lint-fatal", str(pack)], ["test", "rules", f"tests/{pack.name}"]):
        told = subprocess.run(["promtool", *words], cwd=ALERTS, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_every_alert_is_tested(pack: Path) -> None:
    tests = yaml.safe_load((ALERTS / "tests" / pack.name).read_text())["tests"]
    tried = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]}

    assert tried == names(pack)


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_every_alert_calls_for_a_playbook_that_is_there(pack: Path) -> None:
    called = re.findall(r"^      # (\w+).*\n(?:      #.*\n)*      - alert: (\w+)$", pack.read_text(), re.MULTILINE)

    assert {alert for _, alert in called} == names(pack)
    assert [playbook for playbook, _ in called if not (PLAYBOOKS / f"{playbook}.yml").is_file()] == []
