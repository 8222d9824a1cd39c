"""`alertmend init` and `alertmend config receiver`: what is written can be used as it is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Result

Alertmend = Callable[..., Result]


def test_what_init_writes_passes_check_and_only_watches(alertmend: Alertmend, tmp_path: Path) -> None:
    found = alertmend("init", tmp_path / "site")
    assert found.status == 0
    assert all(Path(name).is_file() for name in found.out.split())
    assert "observe" in found.err
    assert alertmend("check", f"--config.file={tmp_path}/site/alertmend.yml").status == 0
    told = alertmend("explain", "alertname=ToyDown", "host=toy", f"--config.file={tmp_path}/site/alertmend.yml")
    assert (told.status, "refuse (mode)" in told.out) == (1, True)


def test_init_overwrites_nothing(alertmend: Alertmend, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/toy.yml").write_text("mine\n")
    found = alertmend("init", tmp_path)
    assert found.status == 2
    assert "nothing was written" in found.err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["toy.yml"]
    assert (tmp_path / "rules/toy.yml").read_text() == "mine\n"


def test_init_does_not_write_the_library_over_a_playbook_of_ones_own(alertmend: Alertmend, tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/restart_service.yml").write_text("mine\n")
    found = alertmend("init", "--library", tmp_path)
    assert found.status == 2
    assert "restart_service.yml is there already; nothing was written" in found.err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["restart_service.yml"]


@pytest.mark.parametrize("where", ["/proc/alertmend", "/dev/null/x"])
def test_init_where_nothing_can_be_written_says_so(alertmend: Alertmend, where: str) -> None:
    found = alertmend("init", where)
    assert found.status == 2
    assert "Traceback" not in found.err and where in found.err


def test_the_receiver_it_prints_is_one_that_alertmanager_takes(alertmend: Alertmend, tmp_path: Path) -> None:
    found = alertmend("config", "receiver", "--url=https://heal.example.com/", "--token-file=/etc/am/token")
    printed = yaml.safe_load(found.out)
    [receiver] = printed["receivers"]
    [webhook] = receiver["webhook_configs"]
    assert webhook["url"] == "https://heal.example.com/api/v1/alertmanager"
    assert webhook["http_config"]["authorization"]["credentials_file"] == "/etc/am/token"
    assert webhook["send_resolved"] is True
    whole = {
        "route": {"receiver": "people", "routes": printed["route"]["routes"]},
        "receivers": [{"name": "people"}, *printed["receivers"]],
    }
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(whole))
    checked = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
