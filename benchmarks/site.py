"""A site to measure on: many hosts, one rule, a playbook of one command, and bodies like Alertmanager's."""

from __future__ import annotations

import json
import socket
from pathlib import Path

START = "2026-01-31T12:00:00.421Z"
RULE = """\
rules:
  - name: measure
    match: ['alertname="TargetDown"', 'job=~"node|web"']
    playbook: one.yml
    guards: {cooldown: 5m, rate_limit: 3/1h}
"""


def write_site(
    folder: Path, *, hosts: int, rule: str = RULE, limits: str = "{concurrency: 4, rate_limit: 30/1h}"
) -> Path:
    """The configuration file of a new site."""
    for name in ("rules", "playbooks"):
        (folder / name).mkdir(parents=True)
    names = "".join(f"    h{number}: {{}}\n" for number in range(hosts))
    local = "{ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}"
    (folder / "inventory.yml").write_text(f"all:\n  vars: {local}\n  hosts:\n{names}")
    (folder / "rules/rules.yml").write_text(rule)
    (folder / "playbooks/one.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.command: {argv: ['true']}\n"
    )
    config = folder / "alertmend.yml"
    config.write_text(f"inventory: inventory.yml\nrule_files: [rules/*.yml]\nlimits: {limits}\n")
    return config


def body(first: int, count: int) -> bytes:
    """A notification of `count` firing alerts, about 0.65 KB each, on hosts from number `first` on."""
    alerts = [
        {
            "status": "firing",
            "labels": {
                "alertname": "TargetDown",
                "cluster": "prod-a",
                "instance": f"h{number}:9100",
                "job": "node",
                "severity": "critical",
                "team": "infra",
            },
            "annotations": {
                "description": f"h{number} of job node has not answered for 30s. „Überwachung“\nsecond line",
                "runbook_url": f"https://runbooks.example.com/down?host=h{number}&x=1",
                "summary": f"h{number} is down",
            },
            "startsAt": START,
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://prometheus.example.com/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
            "fingerprint": f"{number:016x}",
        }
        for number in range(first, first + count)
    ]
    envelope = {
        "receiver": "alertmend",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": {"alertname": "TargetDown"},
        "commonLabels": {"alertname": "TargetDown", "job": "node"},
        "commonAnnotations": {},
        "externalURL": "https://alertmanager.example.com",
        "version": "4",
        "groupKey": '{}:{alertname="TargetDown"}',
        "truncatedAlerts": 0,
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
