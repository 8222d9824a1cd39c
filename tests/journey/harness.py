"""Real processes on loopback: alertmend, Prometheus, Alertmanager, Redis. Each ends what it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

#: Long, since it is only waited for whole when something is wrong: the machine may be busy with other things.
PATIENCE_SECONDS = 120.0

#: Asks on loopback. To read the certificates of this system would cost a hundred times what a question does.
http = httpx.Client(verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(question: Callable[[], Any], what: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    pytest.fail(f"waited {seconds:g} s in vain until {what}")


def answers(url: str) -> bool:
    """Whether a URL answers 200."""
    with suppress(httpx.HTTPError):
        return http.get(url, timeout=2).status_code == 200
    return False


def lives(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def processes_of(run: str) -> list[int]:
    """The ids of the processes that belong to a run, wherever they went."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"ALERTMEND_RUN={run}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


#: Programs that leave nothing behind when they are killed.
OTHERS = ("prometheus", "prometheus-alertmanager", "redis-server")


@dataclass
class Processes:
    """Everything that a test started; ended with it."""

    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        self.running.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self.running):
            # An Alertmanager that is asked to end would finish its retries first.
            can_be_killed = isinstance(process.args, list) and process.args[0] in OTHERS
            (process.kill if can_be_killed else process.terminate)()
        for process in reversed(self.running):
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def alertmanager(
        self,
        name: str,
        receiver: str,
        *,
        peer: int | None = None,
        gossip: int | None = None,
        group_by: str = "alertname, instance",
        max_alerts: int = 0,
        more: str = "",
    ) -> str:
        """An Alertmanager that delivers everything at once to a receiver, with more in its configuration; its URL."""
        config = self.folder / f"{name}.yml"
        config.write_text(
            f"route: {{receiver: alertmend, group_by: [{group_by}], group_wait: 0s, group_interval: 1s,"
            " repeat_interval: 1h}\n"
            f"receivers: [{{name: alertmend, webhook_configs: [{{url: '{receiver}', send_resolved: true,"
            f" max_alerts: {max_alerts}}}]}}]\n{more}"
        )
        port = free_port()
        command = ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={self.folder / name}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.settle-timeout=1s"]
        command += [f"--cluster.listen-address=127.0.0.1:{gossip}" if gossip else "--cluster.listen-address="]
        command += [f"--cluster.peer=127.0.0.1:{peer}"] if peer else []
        self.start(name, command)
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/-/ready"), f"{name} is ready")
        return url

    def prometheus(self, *, target: int, alertmanager: str) -> str:
        """A Prometheus that looks at one target every half second; its URL."""
        (self.folder / "alerts.yml").write_text(
            "groups:\n- name: toy\n  interval: 500ms\n  rules:\n  - alert: ToyDown\n    expr: up{job='toy'} == 0\n"
            "    labels: {host: toy}\n"
        )
        (self.folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}\n"
            "rule_files: [alerts.yml]\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager.removeprefix('http://')}']}}]}}]}}\n"
            f"scrape_configs: [{{job_name: toy, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
        )
        port = free_port()
        command = ["prometheus", f"--config.file={self.folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self.folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
        self.start("prometheus", command)
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/-/ready"), "Prometheus is ready")
        return url

    def redis(self, port: int) -> subprocess.Popen[bytes]:
        """A Redis with an append-only file."""
        (self.folder / "redis").mkdir(exist_ok=True)
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.folder / "redis")]
        process = self.start("redis", [*command, "--appendonly", "yes", "--appendfsync", "always", "--save", ""])

        def is_up() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            return False

        until(is_up, "Redis answers")
        return process


@dataclass
class Alertmend:
    """A running `alertmend serve` with a configuration of the test's."""

    processes: Processes
    hosts: Sequence[str] = ("web1", "web2", "web3")
    rule: str = ""
    top: str = ""
    options: Sequence[str] = ()
    program: Sequence[str] = (sys.executable, "-m", "webhook.cli")
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder = self.processes.folder / "site"
        for name in ("rules", "playbooks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        hosts = "".join(f"    {host}: {{}}\n" for host in self.hosts)
        python = "ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'"
        self.write("inventory.yml", f"all:\n  vars: {{{python}}}\n  hosts:\n{hosts}")
        self.write("alertmend.yml", f"inventory: inventory.yml\nrule_files: [rules/*.yml]\n{self.top}")
        self.write("rules/rules.yml", f"rules:\n{self.rule or RULE}")
        # What it does can be counted in the world.
        self.write(
            "playbooks/mark.yml",
            "- hosts: all\n  gather_facts: false\n  tasks:\n"
            "    - ansible.builtin.shell:\n"
            f"        cmd: echo {{{{ inventory_hostname }}}} >> {self.folder / 'marks'}\n",
        )

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def receiver(self) -> str:
        return f"{self.url}/api/v1/alertmanager"

    def start(self) -> subprocess.Popen[bytes]:
        self.begin()
        until(lambda: answers(f"{self.url}/readyz"), "alertmend is ready")
        return self.process

    def begin(self) -> None:
        """Start it, and do not wait."""
        command = [*self.program, "serve", f"--config.file={self.folder / 'alertmend.yml'}"]
        command += [f"--storage.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}"]
        self.process = self.processes.start("alertmend", [*command, *self.options])

    def start_another_web(self) -> str:
        """A second web process on the same state; its URL."""
        port = free_port()
        command = [sys.executable, "-m", "webhook.web", f"--config.file={self.folder / 'alertmend.yml'}"]
        command += [f"--storage.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
        self.processes.start("another-web", command)
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/readyz"), "another web process is ready")
        return url

    def child(self, role: str) -> int:
        """The process id of a role."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if role.encode() in words and parent == str(self.process.pid):
                    return int(folder.name)
        raise LookupError(role)

    def kill(self, role: str) -> int:
        """End a role with SIGKILL; it is gone when this returns."""
        pid = self.child(role)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not lives(pid), f"{role} is gone")
        return pid

    def has(self, role: str) -> bool:
        """Whether a role has a process."""
        with suppress(LookupError):
            return self.child(role) > 0
        return False

    def get(self, path: str, **query: str) -> Any:
        return http.get(f"{self.url}/api/v1/{path}", params=query, timeout=10).raise_for_status().json()

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        return list(self.get(path, limit="1000", **query)["items"])

    def finished(self) -> list[dict[str, Any]]:
        return self.items("runs", state="finished")

    @property
    def marks(self) -> list[str]:
        """The hosts on which the playbook did its work, as often as it did."""
        with suppress(FileNotFoundError):
            return (self.folder / "marks").read_text().split()
        return []

    def said(self) -> list[dict[str, Any]]:
        """The lines of its log, which have to be JSON."""
        lines = (self.processes.folder / "alertmend.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def verify(self) -> subprocess.CompletedProcess[str]:
        """What `alertmend audit verify` says to the database itself."""
        command = [sys.executable, "-m", "webhook.cli", "audit", "verify", f"--storage.path={self.folder / 'data'}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)


RULE = """\
  - name: mark
    match: ['alertname="Down"']
    playbook: mark.yml
"""


def post_alerts(alertmanager: str, *instances: str, firing: bool = True, **labels: str) -> None:
    """Hand alerts to Alertmanager's own API, as Prometheus does."""
    when = {"startsAt" if firing else "endsAt": datetime.now(UTC).isoformat()}
    alerts = [{"labels": {"alertname": "Down", "instance": name, **labels}, **when} for name in instances]
    http.post(f"{alertmanager}/api/v2/alerts", json=alerts, timeout=5).raise_for_status()


def firing(instance: str, *, starts_at: str = "2026-01-31T12:00:00Z", **labels: str) -> dict[str, Any]:
    """A firing alert, as Alertmanager writes it."""
    return {
        "status": "firing",
        "labels": {"alertname": "Down", "instance": instance, **labels},
        "annotations": {},
        "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": f"{instance}-{sorted(labels.items())}"[:64],
    }


def notification(*alerts: dict[str, Any], url: str = "http://am1") -> dict[str, Any]:
    """A body of version 4."""
    return {
        "version": "4",
        "receiver": "alertmend",
        "status": "firing",
        "groupKey": "{}",
        "externalURL": url,
        "truncatedAlerts": 0,
        "alerts": list(alerts),
    }
