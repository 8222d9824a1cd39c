"""Machines that may be lost: a copy of this one, which is gone afterwards with all that was done to it, or a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from webhook.errors import WebhookError

#: What the one host is called in the copy.
NAME: Final = "throw-away"


class CannotCopy(WebhookError):
    """This machine cannot be copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program came to its end."""

    code: int
    output: str


class Machine(Protocol):
    """Where a playbook is tried."""

    #: What its inventory calls it.
    name: str

    @property
    def inventory(self) -> Path:
        """The inventory that has it."""
        ...

    @property
    def folder(self) -> Path:
        """Where programs that run on it, or for it, find their files."""
        ...

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> Ended:
        """Run a program that acts on it."""
        ...

    def traces(self) -> frozenset[str] | None:
        """What was done to its files so far; None: that cannot be seen."""
        ...


@dataclass(slots=True, kw_only=True)
class Host:
    """A host of an inventory. What is tried is really done to it."""

    name: str
    inventory: Path
    folder: Path

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> Ended:
        """Run a program here."""
        ended = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return Ended(code=ended.returncode, output=ended.stdout)

    def traces(self) -> frozenset[str] | None:
        """Another machine's files cannot be seen."""
        return None


@dataclass(slots=True, kw_only=True)
class Copy:
    """This machine with its files, in namespaces: nothing that is done to files, processes or ports gets out.

    Leave its context, and it is gone. It has no network but its own loopback, and no service manager but init scripts.
    """

    folder: Path
    name: str = NAME
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def inventory(self) -> Path:
        """The inventory that has it."""
        return self.folder / "inventory.json"

    def __enter__(self) -> Copy:
        """Begin.

        Raises:
            CannotCopy: it cannot.
        """
        if os.geteuid() != 0:
            raise CannotCopy("only root can make a copy of this machine")
        hosts = {self.name: {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
        self.inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
        self._process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--"),
                *(sys.executable, "-m", "webhook.edge.tryout.first", str(self.folder)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        answer = self._answer()
        if "problem" in answer:
            self._end()
            raise CannotCopy(f"this machine cannot be copied: {str(answer['problem']).splitlines()[0]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process in it."""
        self._end()

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> Ended:
        """Run a program in it."""
        answer = self._ask({"command": list(command), "environment": dict(environment)})
        return Ended(code=int(answer["code"]), output=str(answer["output"]))

    def traces(self) -> frozenset[str] | None:
        """Files that are not as this machine has them, each with when it was changed."""
        return frozenset(self._ask({"traces": True})["traces"])

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"problem": "its first process does not start", "code": 255, "output": "", "traces": []}
        found: dict[str, Any] = json.loads(line)
        return found

    def _end(self) -> None:
        if self._process is not None:
            with self._process as process:
                if process.stdin is not None:
                    process.stdin.close()
            self._process = None
