"""The systemd units: systemd understands them, finds little to criticise, and they fit what `serve` needs."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from webhook.cli import cli
from webhook.cli.reloading import LONGEST_SECONDS
from webhook.cli.supervision import LAST_SECONDS
from webhook.core.duration import parse_duration
from webhook.edge.valkey import ANSWER_SECONDS, START_TIMEOUT_SECONDS

REPOSITORY = Path(__file__).parents[2]
UNITS = sorted((REPOSITORY / "deploy/systemd").glob("*.service"))
SECRETS = Path("/etc/alertmend/secrets")
PROGRAM = "/opt/alertmend/bin/alertmend"
#: Of ten; what systemd itself calls "OK" ends at 4.
MOST_EXPOSURE = 2.0


@pytest.fixture(params=UNITS, ids=lambda unit: unit.stem)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit, with a program that is there."""
    file = tmp_path / request.param.name
    file.write_text(request.param.read_text().replace(PROGRAM, str(Path(sys.executable).with_name("alertmend"))))
    return file


def _service(unit: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return dict(parser["Service"])


def _command(unit: Path) -> list[str]:
    return shlex.split(_service(unit)["ExecStart"])


def test_there_is_one_for_a_single_machine_and_one_for_each_role() -> None:
    assert {unit.stem for unit in UNITS} == {"alertmend", "alertmend-web", "alertmend-worker"}


def test_systemd_understands_it(unit: Path) -> None:
    answer = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0 and unit.name not in answer.stderr, answer.stderr


def test_systemd_finds_it_little_exposed(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE * 10:.0f}", str(unit)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout)
    assert answer.returncode == 0 and found and float(found[1]) <= MOST_EXPOSURE, answer.stdout


def test_it_has_a_user_of_its_own_and_its_secrets_from_root(unit: Path) -> None:
    service = _service(unit)
    assert service["DynamicUser"] == "yes"
    assert "LoadCredential=" in unit.read_text()
    assert f"--storage.path=%S/{service['StateDirectory']}" in _command(unit)


def test_it_finds_its_secrets_where_root_keeps_them(unit: Path) -> None:
    lines = [line.partition("=") for line in unit.read_text().splitlines()]
    kept = {Path(value.partition(":")[2]) for key, _, value in lines if key == "LoadCredential"}
    assert {file.parent for file in kept} == {SECRETS}
    assert _service(unit)["BindReadOnlyPaths"] == f"%t/credentials/%n:{SECRETS}"


def test_a_receiver_is_not_handed_the_key_to_a_host() -> None:
    receiver = (REPOSITORY / "deploy/systemd/alertmend-web.service").read_text()
    assert "Credential=ssh-key:" not in receiver


def test_who_runs_playbooks_has_a_home_that_is_its_state(unit: Path, tmp_path: Path) -> None:
    (tmp_path / "etc/sysusers.d").mkdir(parents=True)
    shutil.copy(REPOSITORY / "deploy/systemd/alertmend.sysusers", tmp_path / "etc/sysusers.d/alertmend.conf")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], check=True, capture_output=True)
    users = (line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines())
    homes = {user[0]: user[5] for user in users}
    service = _service(unit)
    if "--role=web" in _command(unit):
        assert "User" not in service
    else:
        # One that systemd makes up has "/" for a home, whatever HOME says: ssh finds no known_hosts there, and no local
        # task of Ansible's a place for its files. It takes the one that there is.
        assert homes[service["User"]] == f"/var/lib/{service['StateDirectory']}"


def test_what_it_read_is_not_written_to_the_disk_when_it_is_aborted(unit: Path) -> None:
    # Where systemd-coredump is installed, it keeps what the watchdog's SIGABRT leaves; by default it may.
    assert _service(unit)["LimitCORE"] == "0"


def test_it_is_called_as_the_program_wants_it(unit: Path) -> None:
    command = cli.get_command(None, "serve")  # type: ignore[arg-type]
    assert command is not None
    known = {spelling for parameter in command.params for spelling in parameter.opts}
    _, verb, *words = _command(unit)
    assert verb == "serve"
    assert {word.partition("=")[0] for word in words} <= known


def test_its_end_takes_no_longer_than_it_is_given(unit: Path) -> None:
    service = _service(unit)
    [grace] = [word.partition("=")[2] for word in _command(unit) if word.startswith("--shutdown.grace")]
    assert service["KillMode"] == "mixed"
    needed = parse_duration(grace).total_seconds() + LAST_SECONDS
    assert parse_duration(service["TimeoutStopSec"]).total_seconds() > needed


def test_the_watchdog_waits_for_longer_than_the_supervisor_is_away(unit: Path) -> None:
    service = _service(unit)
    assert service["Type"] == "notify"
    # It reads the files anew, and starts an embedded Valkey.
    away = LONGEST_SECONDS + START_TIMEOUT_SECONDS + ANSWER_SECONDS
    assert parse_duration(service["WatchdogSec"].replace("min", "m")).total_seconds() > away
