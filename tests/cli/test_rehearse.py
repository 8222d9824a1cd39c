"""`alertmend test` and `alertmend replay`: what they say, their exit status, and what they write for a CI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Result
from tests.flow.test_replay import TWICE, export, firing, rulebook
from tests.flow.test_replay import rule as tried_rule

Alertmend = Callable[..., Result]

TESTS = """rule_files: [rules/*.yml]
inventory: inventory.ini
tests:
  - name: a host that is down is restarted
    alerts: [{at: 0m, labels: {alertname: Down, instance: 'web1:80', port: '80'}}]
    expect: [{at: 0m, decision: run, rule: restart-web, target: web1}]
  - name: a label is missing
    alerts: [{at: 0m, labels: {alertname: Down, instance: web1}}]
    expect:
      - {at: 0m, decision: refuse, guard: labels, reason: $labels.port}
"""


@pytest.fixture
def tests(site: Path) -> Path:
    file = site / "rule_tests.yml"
    file.write_text(TESTS)
    return file


def test_all_as_expected_is_a_0_with_what_was_tried(alertmend: Alertmend, tests: Path) -> None:
    found = alertmend("test", tests)
    assert (found.status, found.err) == (0, "2 tests, all as expected\n")
    assert f"{tests}\n  ok    a host that is down is restarted\n  ok    a label is missing\n" in found.out
    (row,) = [line.split() for line in found.out.splitlines() if "restart-web" in line]
    assert row == ["restart-web", "run", "1,", "refuse", "1", "labels", "1", "cooldown"]


def test_a_difference_is_a_1_with_its_field_and_place(alertmend: Alertmend, tests: Path, tmp_path: Path) -> None:
    tests.write_text(TESTS.replace("guard: labels", "guard: cooldown"))
    found = alertmend("test", tests, f"--junit={tmp_path}/junit.xml")
    words = f"{tests}:10:9: at 0s: guard: expected 'cooldown', was 'labels'"
    assert (found.status, found.err) == (1, "2 tests, 1 failed\n")
    assert f"  FAIL  a label is missing\n        {words}\n" in found.out
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failures = [(case.get("name"), failure.get("message")) for case in suite for failure in case]
    assert failures == [("a label is missing", words)]


def test_every_problem_in_every_file_is_a_2(alertmend: Alertmend, tests: Path, site: Path) -> None:
    tests.write_text(TESTS.replace("decision: run", "decision: runs"))
    (site / "other.yml").write_text("rule_files: [rules/*.yml]\ninventory: inventory.ini\n")
    found = alertmend("test", tests, site / "other.yml", site / "gone.yml")
    assert (found.status, found.out) == (2, "")
    assert f"{tests}:6:33: decision: 'runs' is not known here; did you mean 'run'?" in found.err
    assert f"{site}/other.yml:1:1: the key 'tests' is missing" in found.err
    assert f"{site}/gone.yml:0:0: cannot be read" in found.err


def test_a_mistake_in_a_rule_is_told_where_it_stands(alertmend: Alertmend, tests: Path, site: Path) -> None:
    (site / "rules/web.yml").write_text("rules: [{name: a, match: ['x'], playbook: p.yml}]\n")
    found = alertmend("test", tests)
    assert (found.status, found.out) == (2, "")
    assert f"{site}/rules/web.yml:1:27: " in found.err


def test_playbooks_need_not_be_there_unless_it_is_said_where_they_are(
    alertmend: Alertmend, tests: Path, site: Path
) -> None:
    (site / "playbooks/restart.yml").unlink()
    assert alertmend("test", tests).status == 0
    tests.write_text("playbooks: playbooks\n" + TESTS)
    assert "there is no playbook 'restart.yml'" in alertmend("test", tests).err


def test_a_configuration_is_no_place_for_tests(alertmend: Alertmend, tests: Path) -> None:
    assert "unknown key 'tests'" in alertmend("check", f"--config.file={tests}").out


def test_the_rule_tests_of_the_example_and_of_init_pass(alertmend: Alertmend, tmp_path: Path) -> None:
    assert alertmend("test", "example/tests/toy.yml").status == 0
    alertmend("init", tmp_path / "site")
    assert alertmend("test", tmp_path / "site/tests/toy.yml").status == 0


def test_a_replay_says_which_runs_there_would_be_more_and_which_less(
    alertmend: Alertmend, site: Path, tmp_path: Path
) -> None:
    file = export(tmp_path, rulebook(tried_rule("restart-web")), deliveries=[*TWICE, firing(5, "web2")])
    (site / "rules/web.yml").write_text(
        "rules: [{name: restart-web, match: ['instance=web1'], playbook: restart.yml, guards: {cooldown: 1h}}]\n"
    )
    found = alertmend("replay", file, f"--config.file={site}/alertmend.yml")
    assert (found.status, found.err) == (0, "3 runs before; 0 added, 2 removed\n")
    lines = found.out.splitlines()
    assert lines[0] == "- 2026-01-31T12:02:00.000000Z restart-web web1"
    assert lines[2] == "    now:    hold by cooldown, rule restart-web: last run ended 2m ago; free in 58m"
    assert lines[5] == "    now:    no rule takes the alert"
    rows = json.loads(alertmend("replay", file, f"--config.file={site}/alertmend.yml", "--output=json").out)
    assert [(row["change"], row["before"]["target"]) for row in rows] == [("removed", "web1"), ("removed", "web2")]


def test_what_is_no_export_is_a_2(alertmend: Alertmend, site: Path) -> None:
    found = alertmend("replay", site / "inventory.ini", f"--config.file={site}/alertmend.yml")
    assert (found.status, found.out) == (2, "")
    assert f"{site}/inventory.ini:1:1: this is no audit entry" in found.err
