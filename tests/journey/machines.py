"""Machines: each a network namespace with processes and a host name of its own, all of them on one bridge."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.journey.harness import until


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


@dataclass(kw_only=True)
class Machine:
    """One of them. What runs on it sees its own processes only."""

    name: str
    address: str
    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str | Path], *, pid: int = 0) -> subprocess.Popen[bytes]:
        """Start a program; it is the first process of a process table of its own."""
        enter = [
            "ip",
            "netns",
            "exec",
            self.name,
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            "--uts",
            "--kill-child",
        ]
        words = [str(word) for word in command]
        script = f'hostname {self.name}; exec "$@"'
        with (self.folder / f"{self.name}-{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*enter, "sh", "-c", script, "sh", *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.running.append(process)
        return process

    def kill(self) -> None:
        """As a power cut does: every process is gone when this returns."""
        for process in self.running:
            process.kill()
            process.wait(20)
        self.running.clear()

    def end(self) -> None:
        """A SIGTERM for what runs, and the time to take it."""
        self.ask_to_end()
        for process in self.running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(45)
        self.kill()

    def ask_to_end(self) -> None:
        """A SIGTERM for what runs."""
        for child in (child for process in self.running for child in _children(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    def cut_off(self) -> None:
        """Nothing gets in or out."""
        _ip("link", "set", self._cable, "down")

    def connect(self) -> None:
        """It is on the network again."""
        _ip("link", "set", self._cable, "up")

    @property
    def _cable(self) -> str:
        return f"{self.name}b"


def _children(parent: int) -> list[int]:
    with suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return []


@contextmanager
def machines(names: Sequence[str], folder: Path) -> Iterator[dict[str, Machine]]:
    """Machines by their names; gone afterwards with all that ran on them. This process reaches them, too."""
    # Names of interfaces are short, and others may do the same at this moment.
    tag = f"a{os.getpid() % 46656:x}"
    network = f"10.213.{os.getpid() % 254 + 1}"
    bridge, found = f"{tag}br", {}
    _ip("link", "add", bridge, "type", "bridge")
    try:
        _ip("addr", "add", f"{network}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, name in enumerate(names):
            machine = Machine(name=f"{tag}{name}", address=f"{network}.{number + 10}", folder=folder)
            found[name] = machine
            _ip("netns", "add", machine.name)
            cable, inside = machine._cable, f"{machine.name}i"
            _ip("link", "add", cable, "type", "veth", "peer", "name", inside)
            _ip("link", "set", inside, "netns", machine.name)
            _ip("link", "set", cable, "master", bridge, "up")
            for words in (("addr", "add", f"{machine.address}/24", "dev", inside), ("link", "set", inside, "up")):
                _ip("-n", machine.name, *words)
            _ip("-n", machine.name, "link", "set", "lo", "up")
        yield found
    finally:
        for machine in found.values():
            machine.connect()
        for machine in reversed(found.values()):
            machine.end()
            _ip("netns", "del", machine.name, check=False)
        _ip("link", "del", bridge, check=False)


def answers_at(address: str, port: int) -> bool:
    """Whether someone listens there."""
    import socket

    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def wait_for(address: str, port: int, what: str) -> None:
    """Until someone listens."""
    until(lambda: answers_at(address, port), f"{what} listens")
