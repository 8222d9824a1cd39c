"""A stage for playbooks: two hosts that are folders on this machine, and a look at the process table."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from webhook.core.confinement import Confinement, Secrets
from webhook.core.run import TaskResult
from webhook.core.transcript import Transcript, text_of
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.edge.playbook.tree import MARK
from webhook.world import PlaybookJob, PlaybookResult

ANSIBLE = Path(sys.executable).parent / "ansible-playbook"
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


@dataclass
class Site:
    """Two hosts, each of which is a folder on this machine."""

    folder: Path
    runner: AnsibleRunner
    runs: int = 0
    playbooks: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hosts = {name: {"home": str(self.home(name))} for name in ("web1", "web2")}
        for name in hosts:
            self.home(name).mkdir()
        self.inventory.write_text(json.dumps({"all": {"vars": LOCAL, "hosts": hosts}}))

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def work(self) -> Path:
        return self.folder / "storage/work"

    def home(self, host: str) -> Path:
        return self.folder / host

    def job(self, tasks: list[dict[str, Any]], *, hosts: str = "all", seconds: float = 60, **given: Any) -> PlaybookJob:
        self.runs += 1
        playbook = self.folder / f"play{self.runs}.yml"
        playbook.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": tasks}]))
        return PlaybookJob(
            run=f"run{os.getpid()}x{self.runs}x{time.time_ns()}",
            playbook=playbook,
            playbooks=self.folder,
            inventory=self.inventory,
            target=given.pop("target", "web1"),
            variables=given.pop("variables", {}),
            redact=given.pop("redact", ()),
            confinement=given.pop("confinement", Confinement()),
            secrets=given.pop("secrets", Secrets()),
            alertmend=given,
            timeout=timedelta(seconds=seconds),
        )

    def run(self, tasks: list[dict[str, Any]], **given: Any) -> PlaybookResult:
        return self.play(self.job(tasks, **given))

    def play(self, job: PlaybookJob, *, is_cancelled: Callable[[], bool] = lambda: False) -> PlaybookResult:
        self.said = Transcript()
        return self.runner.run(job, is_cancelled=is_cancelled, hear=self.said.add)

    @property
    def output(self) -> str:
        """What the latest run printed."""
        return text_of(self.said.passages)

    @property
    def tasks(self) -> list[TaskResult]:
        """What became of the tasks of the latest run."""
        return [passage.task for passage in self.said.passages if passage.task]


def marked(run: str) -> list[str]:
    """The command lines of the processes that belong to a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{MARK}={run}".encode() in environment.split(b"\0"):
            found.append(command.replace(b"\0", b" ").decode())
    return found


def until(question: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.02)
    raise AssertionError("waited in vain")
