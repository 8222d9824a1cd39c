"""`alertmend check`: every problem in every file at once, as file:line:column, on standard output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result

Alertmend = Callable[..., Result]


def test_a_configuration_that_can_be_used_is_a_0_and_says_what_was_found(alertmend: Alertmend, site: Path) -> None:
    found = alertmend("check", f"--config.file={site}/alertmend.yml")
    assert found.status == 0
    assert "1 rule, 2 hosts, no problems" in found.err


def test_what_is_hardly_meant_is_a_warning_with_its_place_and_changes_nothing_in_the_status(
    alertmend: Alertmend, site: Path
) -> None:
    with (site / "rules/web.yml").open("a") as rules:
        rules.write("  - {name: never, mode: observe, match: ['alertname=\"Down\"'], playbook: restart.yml}\n")
    found = alertmend("check", f"--config.file={site}/alertmend.yml")
    assert found.status == 0
    assert [line.removeprefix(f"{site}/")[:40] for line in found.out.splitlines()] == [
        "rules/web.yml:2:11: warning: rule 'resta",
        "rules/web.yml:2:11: warning: rule 'resta",
        "rules/web.yml:7:12: warning: rule 'never",
    ]
    assert "rule 'restart-web' before it takes every alert" in found.out
    assert "2 rules, 2 hosts, no problems, 3 warnings" in found.err
    rows = json.loads(alertmend("check", f"--config.file={site}/alertmend.yml", "--output=json").out)
    assert [(row["severity"], row["line"], row["column"]) for row in rows] == [
        ("warning", 2, 11),
        ("warning", 2, 11),
        ("warning", 7, 12),
    ]


def test_every_mistake_in_every_file_is_told_at_once_with_its_place_and_a_hint(
    alertmend: Alertmend, site: Path
) -> None:
    (site / "alertmend.yml").write_text(
        "inventory: inventory.ini\nrule_files: [rules/*.yml]\nmode: no\nlimts: {}\nlimits: {rate_limit: 30/h}\n"
    )
    (site / "rules/web.yml").write_text(
        "rules:\n"
        "  - name: restart-web\n"
        "    name: again\n"
        "    match: ['alertname~\"Down\"']\n"
        "    playbok: restart.yml\n"
        "    guards: {cooldown: 16:00}\n"
    )
    (site / "inventory.ini").write_text("[web\nweb1\n")
    found = alertmend("check", f"--config.file={site}/alertmend.yml")
    assert found.status == 2
    places = [line.removeprefix(f"{site}/").partition(": ")[0] for line in found.out.splitlines()]
    assert {place.partition(":")[0] for place in places} == {"alertmend.yml", "inventory.ini", "rules/web.yml"}
    for place in ("alertmend.yml:3:7", "alertmend.yml:4:1", "rules/web.yml:3:5", "rules/web.yml:6:24"):
        assert place in places
    for words in ("YAML reads as false", "did you mean 'limits'", "did you mean 'playbook'", "given already on line 2"):
        assert words in found.out
    assert f"{len(places)} problems" in found.err


def test_the_same_as_json(alertmend: Alertmend, site: Path) -> None:
    (site / "playbooks/restart.yml").unlink()
    found = alertmend("check", f"--config.file={site}/alertmend.yml", "--output=json")
    [problem] = json.loads(found.out)
    assert found.status == 2
    assert (problem["file"], problem["line"]) == (f"{site}/rules/web.yml", 4)
    assert "there is no playbook 'restart.yml'" in problem["words"]
    assert json.loads(alertmend("check", "--config.file=nowhere.yml", "--output=json").out)[0]["line"] == 0


def test_a_file_that_is_not_there_is_a_2(alertmend: Alertmend, tmp_path: Path) -> None:
    found = alertmend("check", f"--config.file={tmp_path}/alertmend.yml")
    assert (found.status, found.out) == (
        2,
        f"{tmp_path}/alertmend.yml:0:0: cannot be read: No such file or directory\n",
    )


def test_what_serve_would_refuse_check_refuses(alertmend: Alertmend, site: Path) -> None:
    (site / "alertmend.yml").write_text("inventory: inventory.ini\n")
    checked = alertmend("check", f"--config.file={site}/alertmend.yml")
    assert "the key 'rule_files' is missing" in checked.out
