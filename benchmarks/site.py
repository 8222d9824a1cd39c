"""A site to measure on: many hosts, one rule, a playbook of one command, and bodies like Alertmanager's."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

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


def body(first: int, count: int, *, hosts: int = 1_000_000) -> bytes:
    """A notification of `count` firing alerts, about 0.65 KB each, numbered from `first` on, on one of `hosts` each."""
    alerts = [
        {
            "status": "firing",
            "labels": {
                "alertname": "TargetDown",
                "cluster": "prod-a",
                "instance": f"h{number % hosts}:9100",
                "job": "node",
                "severity": "critical",
                "team": "infra",
            },
            "annotations": {
                "description": f"h{number % hosts} of job node has not answered for 30s. „Überwachung“\nsecond line",
                "runbook_url": f"https://runbooks.example.com/down?host=h{number % hosts}&x=1",
                "summary": f"h{number % hosts} is down",
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


@contextmanager
def serving(config: Path, *, storage: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running `alertmend serve` that is ready, and its URL."""
    port = free_port()
    command = [sys.executable, "-m", "webhook.cli", "serve", f"--config.file={config}", f"--storage.path={storage}"]
    with storage.with_suffix(".log").open("wb") as log:
        server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/readyz")
        yield server, url
    finally:
        server.terminate()
        server.wait(60)


def wait_for(url: str) -> None:
    """Returns when the URL answers 200."""
    for _ in range(400):
        with suppress(httpx.HTTPError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{url} does not answer")


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
