"""Someone who types a page of the documentation line by line as it stands there; only ports and folders are others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, Block, blocks, commands
from tests.journey.harness import Processes, answers, free_port, until

PORTS = ("9480", "9481", "9093", "8090")
#: A server for other machines would be one for other machines.
NOT_TYPED = ("source", "alertmend serve")
FOLDERS = ("/tmp/alertmanager", "/tmp/alertmend-page")


@dataclass
class Stranger:
    """Someone in a fresh checkout, with a home of their own."""

    processes: Processes
    ports: dict[str, int]
    #: These end with 1, as the page says.
    refused: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.processes.folder

    def moved(self, text: str) -> str:
        """To other ports and folders: those of the page may be in use here."""
        for written, port in self.ports.items():
            text = text.replace(written, str(port))
        for folder in FOLDERS:
            text = text.replace(folder, str(self.folder / Path(folder).name))
        return text

    def read(self, page: Path) -> Iterator[Block]:
        """Follow a page; each block of it, once it is done."""
        shown = [block for language in ("console", "yaml", "json") for block in blocks(language) if block.file == page]
        for block in sorted(shown, key=lambda block: block.line):
            self.follow(block)
            yield block

    def follow(self, block: Block) -> None:
        """Do what a block of the page says."""
        if block.language == "yaml":
            return self.save(block.text)
        if block.language == "json":
            (self.folder / "firing.json").write_text(block.text)
            return None
        for command, shown in commands(block).items():
            self.type(command, shown.strip())

    def save(self, text: str) -> None:
        name = text.partition("\n")[0].removeprefix("# ")
        folder = self.folder if name in ("alertmanager.yml", "web.yml") else self.folder / "site"
        (folder / name).write_text(self.moved(text))

    def type(self, command: str, shown: str) -> None:
        if command == "make run":
            listen = f"--web.listen-address=127.0.0.1:{self.ports['9480']}"
            self.leave_running(
                "alertmend", f"alertmend serve --config.file=example/alertmend.yml {listen}", "9480/readyz"
            )
        elif command.startswith("prometheus-alertmanager"):
            self.leave_running("alertmanager", command, "9093/-/ready")
        elif command.startswith("python3 -m http.server"):
            self.leave_running("page", command, "8090/index.html")
        elif command.startswith("alertmend serve") and "--web.listen-address" not in command:
            listen = f"--web.listen-address=127.0.0.1:{self.ports['9480']}"
            self.leave_running("alertmend", f"{command} {listen}", "9480/readyz")
        elif shown:
            until(lambda: self.run(command).stdout.strip() == shown, f"{command!r} says {shown!r}")
        elif not command.startswith(NOT_TYPED):
            assert self.run(command).returncode == int(command.startswith(self.refused)), command

    def leave_running(self, name: str, command: str, question: str) -> None:
        self.processes.start(name, ["bash", "-c", f"exec {self.moved(command)}"])
        until(lambda: answers(f"http://127.0.0.1:{self.moved(question)}"), f"{name} is ready")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-c", self.moved(command)]
        return subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)

    def outcomes(self) -> list[str]:
        """Of the runs so far."""
        lines = self.run("alertmend runs list --output=csv").stdout.splitlines()
        return [line.split(",")[5] for line in lines[1:]]


@pytest.fixture
def stranger(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    found = Stranger(processes=processes, ports={port: free_port() for port in PORTS})
    for name in ("example", "playbooks"):
        shutil.copytree(REPOSITORY / name, found.folder / name, ignore=shutil.ignore_patterns("data"))
    for file in (found.folder / "example/inventory.yml", found.folder / "example/rules/toy.yml"):
        file.write_text(found.moved(file.read_text()).replace("cooldown: 30s", "cooldown: 5s"))
    _write_program(found.folder / "bin/alertmend", port=found.ports["9480"])
    monkeypatch.setenv("HOME", str(found.folder))
    monkeypatch.setenv("PATH", f"{found.folder / 'bin'}:{os.environ['PATH']}")
    yield found
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((found.folder / ".cache/alertmend-toy/toy.pid").read_text()), signal.SIGKILL)


def _write_program(program: Path, *, port: int) -> None:
    """`alertmend`, which asks the server on its other port."""
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nurl=http://127.0.0.1:{port}\n"
        'case "$1" in runs|incidents|audit|pause|pauses) set -- "$@" --server.url=$url ;; esac\n'
        f'exec {sys.executable} -m webhook.cli "$@"\n'
    )
    program.chmod(0o755)
