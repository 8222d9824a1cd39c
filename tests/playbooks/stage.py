"""What playbook tests act on: two local hosts, a run of ansible-playbook on the first of them, and a real nginx.

Knows nothing of any one playbook.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
        return int(self._recap("changed"))

    @property
    def result(self) -> dict[str, object]:
        """What the playbook set as `alertmend_result`; empty when it set nothing."""
        told = re.search(r"^\s*RUN: (\{.*\})\s*$", self.output, re.MULTILINE)
        stats: dict[str, dict[str, object]] = json.loads(told[1]) if told else {}
        return stats.get("alertmend_result", {})

    def _recap(self, count: str) -> str:
        recap = re.search(rf"^{TARGET}\s*:.*\b{count}=(\d+)", self.output, re.MULTILINE)
        assert recap is not None, self.output
        return recap[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Two hosts that are this machine; whatever runs on the bystander leaves a trace in `trespass`."""

    folder: Path

    @property
    def trespass(self) -> Path:
        return self.folder / "trespass"

    def play(
        self,
        playbook: str,
        variables: Mapping[str, object],
        *options: str,
        prelude: Sequence[Mapping[str, object]] = (),
        path: Path | None = None,
    ) -> PlayEnd:
        """One run limited to the target. Strings in `variables` are marked unsafe, as alertmend marks strangers' words.

        `prelude` is tasks that run on the target first; `path` is where programs are looked up first.
        """
        variables_file = self._write("variables.json", {name: _unsafe(value) for name, value in variables.items()})
        first = self._write("first.json", [{"hosts": "all", "gather_facts": False, "tasks": list(prelude)}])
        playbooks = [first] if prelude else []
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "-i", str(self._inventory()), "--limit", TARGET),
                *("-e", f"@{variables_file}", *options, *map(str, [*playbooks, PLAYBOOKS / playbook])),
            ],
            env=self._environment(path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return PlayEnd(return_code=ended.returncode, output=ended.stdout)

    def _inventory(self) -> Path:
        witness = self.folder / "witness"
        witness.write_text(f"#!/bin/sh\ntouch {self.trespass}\nexit 1\n")
        witness.chmod(0o755)
        pythons = {TARGET: sys.executable, BYSTANDER: str(witness)}
        hosts = {name: {"ansible_python_interpreter": python} for name, python in pythons.items()}
        return self._write("inventory.json", {"all": {"vars": {"ansible_connection": "local"}, "hosts": hosts}})

    def _environment(self, path: Path | None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        ours = {
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        }
        searched = {"PATH": f"{path}:{os.environ['PATH']}"} if path else {}
        return kept | ours | searched

    def _write(self, name: str, content: object) -> Path:
        file = self.folder / name
        file.write_text(json.dumps(content))
        return file


def _unsafe(value: object) -> object:
    match value:
        case str():
            return {"__ansible_unsafe": value}
        case list():
            return [_unsafe(item) for item in value]
        case _:
            return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """Debian's nginx with one more site, on a loopback port of its own."""

    port: int
    site: Path = Path("/etc/nginx/sites-enabled/alertmend-test")
    pid_file: Path = Path("/run/nginx.pid")

    def configure(self, *, port: int) -> None:
        """Write the site; a running nginx doesn't notice."""
        self.site.write_text(f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 'healthy'; }} }}\n")

    def break_configuration(self) -> None:
        self.site.write_text("server { listen nowhere at all; }\n")

    def start(self) -> None:
        control("nginx", "start")
        assert self.pid is not None, "nginx does not start"

    def stop(self) -> None:
        if self.pid is not None:
            control("nginx", "stop")
        assert self.pid is None, "nginx does not stop"

    @property
    def pid(self) -> int | None:
        """The master process; None when there is none."""
        try:
            pid = int(self.pid_file.read_text())
            # A zombie has no command line.
            return pid if Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None

    def answers(self, *, port: int | None = None) -> bool:
        """Whether the site is served."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}/", timeout=5) as response:
                return bool(response.read() == b"healthy")
        except OSError:
            return False


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
