"""What playbook tests act on: hosts that are this machine, and runs of ansible-playbook on one of them.

Knows nothing of any one playbook.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.playbooks.warm import Warm

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
#: The host that every run is limited to, and the one that must stay untouched.
TARGET, BYSTANDER = "web1", "web2"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayEnd:
    """How one ansible-playbook came to its end."""

    return_code: int
    output: str

    @property
    def changed(self) -> int:
        """How many tasks changed something on the target."""
        return self.count("changed")

    @property
    def result(self) -> dict[str, object]:
        """What the playbook set as `alertmend_result`; empty when it set nothing."""
        told = re.search(r"^\s*RUN: (\{.*\})\s*$", self.output, re.MULTILINE)
        stats: dict[str, dict[str, object]] = json.loads(told[1]) if told else {}
        return stats.get("alertmend_result", {})

    def count(self, count: str, *, host: str = TARGET) -> int:
        """A number from the recap of a host."""
        recaps = re.findall(rf"^{host}\s*:.*\b{count}=(\d+)", self.output, re.MULTILINE)
        # A prelude has a recap of its own.
        assert recaps, self.output
        return int(recaps[-1])

    def refusal(self, *, host: str) -> str:
        """The message of the task that failed on a host."""
        told = re.search(
            rf"^(?:fatal: \[{host}[] ].*?FAILED!|failed: \[{host}[] ].*?) => (\{{.*\}})$", self.output, re.MULTILINE
        )
        assert told is not None, self.output
        return str(json.loads(told[1])["msg"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Hosts that are this machine; whatever runs on the bystander leaves a trace in `trespass`."""

    folder: Path
    warm: Warm
    #: Further hosts with their variables.
    hosts: dict[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def trespass(self) -> Path:
        return self.folder / "trespass"

    def play(
        self,
        playbook: str | Path,
        variables: Mapping[str, object],
        *options: str,
        prelude: Sequence[Mapping[str, object]] = (),
        path: Path | None = None,
    ) -> PlayEnd:
        """One run limited to the target. Strings in `variables` are marked unsafe, as alertmend marks strangers' words.

        `prelude` is tasks that run on the target first; `path` is where programs are looked up first.
        """
        given = self._write("variables.json", json.dumps(_unsafe(dict(variables))))
        arguments = ["--limit", TARGET, "-e", f"@{given}", *options]
        self._start(arguments, playbook, prelude=prelude, path=path)
        return self._end()

    def play_until(self, moment: Callable[[], bool], playbook: str, variables: Mapping[str, object]) -> None:
        """A run that is killed, with all it started, as soon as `moment` has come."""
        given = self._write("variables.json", json.dumps(_unsafe(dict(variables))))
        pid = self._start(["--limit", TARGET, "-e", f"@{given}"], playbook)
        try:
            wait_until(moment)
        finally:
            end_session(pid)
            end = self._end()
        assert end.return_code < 0, end.output

    def refusals(
        self,
        playbook: str,
        cases: Sequence[Mapping[str, object]],
        *,
        prelude: Sequence[Mapping[str, object]] = (),
        path: Path | None = None,
    ) -> list[str]:
        """The words with which each of the cases is refused, tried side by side, a host for each.

        Fails unless every one is refused before anything is changed.
        """
        names = [f"case{number}" for number in range(len(cases))]
        for name, case in zip(names, cases, strict=True):
            self.hosts[name] = {"ansible_python_interpreter": sys.executable, **case}
        self._start(["--limit", ",".join(names), "--forks", "20"], playbook, prelude=prelude, path=path)
        end = self._end()
        for name, case in zip(names, cases, strict=True):
            del self.hosts[name]
            assert (end.count("failed", host=name), end.count("changed", host=name)) == (1, 0), (case, end.output)
        return [end.refusal(host=name) for name in names]

    def _start(
        self,
        arguments: Sequence[str],
        playbook: str | Path,
        *,
        prelude: Sequence[Mapping[str, object]] = (),
        path: Path | None = None,
    ) -> int:
        first = self._write("first.json", json.dumps([{"hosts": "all", "gather_facts": False, "tasks": list(prelude)}]))
        playbooks = [*([first] if prelude else []), PLAYBOOKS / playbook]
        searched = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
        return self.warm.start(
            ["-i", str(self._inventory()), *arguments, *map(str, playbooks)],
            output=self.folder / "output",
            path=searched,
        )

    def _end(self) -> PlayEnd:
        return_code = self.warm.wait()
        return PlayEnd(return_code=return_code, output=(self.folder / "output").read_text(errors="replace"))

    def _inventory(self) -> Path:
        witness = self._write("witness", f"#!/bin/sh\ntouch {self.trespass}\nexit 1\n")
        witness.chmod(0o755)
        hosts: dict[str, Mapping[str, object]] = {
            TARGET: {"ansible_python_interpreter": sys.executable},
            BYSTANDER: {"ansible_python_interpreter": str(witness)},
            **self.hosts,
        }
        inventory = {"all": {"vars": {"ansible_connection": "local"}, "hosts": hosts}}
        return self._write("inventory.yml", yaml.dump(_marked(inventory), Dumper=_Marking))

    def _write(self, name: str, content: str) -> Path:
        file = self.folder / name
        file.write_text(content)
        return file


def _unsafe(value: object) -> object:
    match value:
        case str():
            return {"__ansible_unsafe": value}
        case list():
            return [_unsafe(item) for item in value]
        case dict():
            return {name: _unsafe(item) for name, item in value.items()}
        case _:
            return value


class _Marked(str):
    """A text that is written with the tag !unsafe."""


class _Marking(yaml.SafeDumper):
    pass


_Marking.add_representer(_Marked, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


def _marked(value: object) -> object:
    match value:
        case str():
            # Ansible reads '' and '*' with that tag as something else; there is nothing in them to template.
            return _Marked(value) if re.search(r"\w", value) else value
        case list() | tuple():
            return [_marked(item) for item in value]
        case dict():
            return {name: _marked(item) for name, item in value.items()}
        case _:
            return value


#: Long, since it is only waited for whole when something is wrong: the machine may be busy with other things.
PATIENCE_SECONDS = 60.0


def wait_until(moment: Callable[[], bool]) -> None:
    """Returns once it has come; fails when it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not moment():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def end_session(leader: int) -> None:
    """Kill every process of a session, at once."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _session(int(entry.name)) == leader:
            try:
                os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def control(service: str, verb: str) -> None:
    """Tell an init script or a unit; the answer is found in the world."""
    # A daemon would hold a pipe open.
    subprocess.run(
        ["service", service, verb], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
