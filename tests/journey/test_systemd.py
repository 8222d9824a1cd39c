"""The unit under systemd, installed as docs/deployment.md says, line by line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, blocks, commands
from tests.journey.booted import PLACES, Booted, booted
from tests.journey.harness import firing, notification, until

DROP_IN = f"""\
[Service]
# It tells every five seconds; what takes longer, a reload and a Valkey that hangs, does not come up here.
WatchdogSec=15s
ProtectHome=tmpfs
BindReadOnlyPaths={" ".join(PLACES)}
"""
RULE = """\
rules:
  - name: mark
    match: ['alertname="Down"']
    target: instance
    playbook: mark.yml
"""
PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks: [{ansible.builtin.copy: {content: done, dest: ~/mark}}]
"""
TOKEN = "Authorization: Bearer $(cat /etc/alertmend/secrets/am-token)"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Booted]:
    """With alertmend where the unit looks for it."""
    with booted(tmp_path) as found:
        found.tell(f"ln -s {sys.prefix} /opt/alertmend; /opt/alertmend/bin/alertmend init /etc/alertmend")
        found.write("/etc/systemd/system/alertmend.service.d/test.conf", DROP_IN)
        yield found
        print(found.asked("journalctl --no-pager --lines=80").stdout)


def _install(machine: Booted) -> None:
    page = REPOSITORY / "docs/deployment.md"
    first, last = [block for block in blocks("console") if block.file == page][1:3]
    settings = next(block for block in blocks("yaml") if block.file == page)
    machine.tell("; ".join(("set -e", *commands(first))))
    machine.write("/etc/alertmend/alertmend.yml", settings.text, more=True)
    machine.write("/etc/alertmend/rules/mark.yml", RULE)
    machine.write("/etc/alertmend/playbooks/mark.yml", PLAYBOOK)
    assert machine.tell("; ".join(("set -e", *list(commands(last))[:-1]))).endswith('{"status":"ready"}')


def _show(machine: Booted, name: str) -> str:
    return machine.tell(f"systemctl show --property={name} --value alertmend")


def test_it_starts_acts_is_killed_when_it_hangs_and_ends(machine: Booted) -> None:
    _install(machine)
    machine.write("/run/alert.json", json.dumps(notification(firing("toy"))))
    machine.tell(f'curl -fsS -H "{TOKEN}" -d @/run/alert.json http://127.0.0.1:9480/api/v1/alertmanager')
    until(lambda: machine.asked("cat /var/lib/alertmend/mark").stdout == "done", "the playbook has run")

    first, known = _show(machine, "MainPID"), machine.tell("pgrep --uid=alertmend").split()
    machine.tell(f"kill -STOP {first}")
    until(lambda: _show(machine, "MainPID") not in ("0", first), "systemd has killed it, and started it again")
    until(lambda: _show(machine, "ActiveState") == "active", "it is there again")
    assert machine.tell("curl -sS http://127.0.0.1:9480/readyz") == '{"status":"ready"}'
    assert set(known).isdisjoint(machine.tell("pgrep --uid=alertmend").split())

    machine.tell("systemctl stop alertmend")
    assert _show(machine, "Result") == "success"
    assert machine.asked("pgrep --uid=alertmend").stdout == ""

    machine.write("/etc/alertmend/rules/mark.yml", "rules: 1")
    assert machine.asked("systemctl start alertmend").returncode == 1
    assert "/etc/alertmend/rules/mark.yml:1:8: " in machine.tell("journalctl --unit=alertmend")
