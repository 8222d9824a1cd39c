"""An alertmend whose processes are killed all the time, and what its world and its ledger say afterwards."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.journey.harness import free_port
from tests.journey.once.fuse import POINTS
from webhook.edge.queue import make_app, make_message
from webhook.edge.store import RedisStore
from webhook.edge.valkey import EmbeddedValkey
from webhook.ports import Doorbell, Errand

REPOSITORY = Path(__file__).parents[3]
#: A process that no fuse ended is killed from outside after so long.
SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS = 1.0, 10.0
RULES = """\
rules:
  - name: real
    match: ['alertname="Down"', 'kind="real"']
    steps: [{playbook: real.yml}, {playbook: real.yml}, {playbook: real.yml}]
  - name: mark
    match: ['alertname="Down"']
    steps: [{playbook: mark.yml}, {playbook: mark.yml}, {playbook: mark.yml}]
"""
REAL = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.shell: "echo begin {{ alertmend.run }} {{ inventory_hostname }} >> WORLD"
    - ansible.builtin.shell: "sleep 0.5; echo end {{ alertmend.run }} {{ inventory_hostname }} >> WORLD"
"""


@dataclass
class Slot:
    """One process that has to be there, whatever becomes of it."""

    role: str
    pid: int = 0
    died: int = -1
    dies_at: float = 0.0

    def is_dead(self) -> bool:
        return bool(select.select([self.died], [], [], 0)[0])

    def kill(self, number: int = signal.SIGKILL) -> None:
        # Through the descriptor: the number may be someone else's by now.
        if self.pid and not self.is_dead():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.died, number)


@dataclass
class Site:
    """The processes, the world and the record."""

    folder: Path
    hosts: Sequence[str]
    seed: int
    roles: Sequence[str] = ("web", "intake", "intake", "runs", "runs", "runs")
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.port = free_port()
        for name in ("rules", "playbooks", "data"):
            (self.folder / name).mkdir(parents=True)
        python = "ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'"
        hosts = "".join(f"    {host}: {{}}\n" for host in self.hosts)
        self._write("inventory.yml", f"all:\n  vars: {{{python}}}\n  hosts:\n{hosts}")
        limits = "limits: {concurrency: 50, rate_limit: 10000/1h}\n"
        self._write("alertmend.yml", f"inventory: inventory.yml\nrule_files: [rules/*.yml]\n{limits}")
        self._write("rules/rules.yml", RULES)
        self._write("playbooks/real.yml", REAL.replace("WORLD", str(self.world)))
        self._write("playbooks/mark.yml", "- hosts: all\n  tasks: []\n")
        self.valkey = EmbeddedValkey(storage=self.storage)
        self.slots = [Slot(role) for role in self.roles]

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    @property
    def storage(self) -> Path:
        return self.folder / "data"

    @property
    def world(self) -> Path:
        return self.folder / "world"

    @property
    def receiver(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/alertmanager"

    # -- Processes

    def start(self) -> None:
        """The database is ready, Valkey and the zygote are there."""
        prepare = [sys.executable, "-m", "webhook.worker", "prepare", *self._arguments()]
        subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
        self.valkey.start()
        command = [sys.executable, "-m", "tests.journey.once.zygote", str(self.folder / "alertmend.yml")]
        with (self.folder / "zygote.log").open("wb") as log:
            self.zygote = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=REPOSITORY
            )

    def look_after(self, *, with_fuses: bool = True) -> None:
        """Start what has died, and kill what has lived for too long."""
        for slot in self.slots:
            if slot.pid and slot.is_dead():
                os.close(slot.died)
                slot.pid = 0
            if not slot.pid:
                # Some are left alone for as long as a real playbook takes.
                is_spared = slot.role == "runs" and self.random.random() < 0.3
                self._start(slot, self._fuse(slot.role) if with_fuses and not is_spared else None)
            elif with_fuses and time.monotonic() > slot.dies_at:
                slot.kill()
                self.kills[f"{slot.role}, from outside"] += 1
                slot.dies_at = time.monotonic() + LONGEST_LIFE_SECONDS

    def _fuse(self, role: str) -> tuple[str, str, int]:
        """A point of the role's at which no process has died yet; when there is none left, any."""
        every = [(point, when) for point in POINTS[role] for when in ("before", "after")]
        left = [(point, when) for point, when in every if f"{role}: {when} {point}" not in self.noted()]
        # A receiver that dies at each notification would let nothing through.
        nth = self.random.choice((5, 10, 20) if role == "web" else (1,) if left else (1, 1, 2, 3))
        return (*self.random.choice(left or every), nth)

    def unreached(self) -> list[str]:
        """The points at which no process has died yet."""
        every = [f"{role}: {when} {point}" for role in POINTS for point in POINTS[role] for when in ("before", "after")]
        return [point for point in every if point not in self.noted()]

    def _start(self, slot: Slot, fuse: tuple[str, str, int] | None) -> None:
        arguments = self._arguments()
        arguments += [f"--web.listen-address=127.0.0.1:{self.port}"] if slot.role == "web" else []
        order = {
            "role": slot.role,
            "arguments": arguments,
            "log": str(self.folder / f"{slot.role}.log"),
            "fuse": fuse,
            "note": str(self.folder / "fuses"),
            "world": str(self.world),
        }
        assert self.zygote.stdin is not None and self.zygote.stdout is not None
        print(json.dumps(order), file=self.zygote.stdin, flush=True)
        slot.pid = int(self.zygote.stdout.readline())
        slot.died = os.pidfd_open(slot.pid)
        slot.dies_at = time.monotonic() + self.random.uniform(SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS)

    def _arguments(self) -> list[str]:
        return [f"--config.file={self.folder / 'alertmend.yml'}", f"--storage.path={self.storage}"]

    def kill_valkey(self, *, meanwhile: Callable[[Path], object] = lambda files: None) -> None:
        """It comes back with what it had acknowledged, or with what its files were made to hold meanwhile."""
        for pid in _pids(self.storage, b"valkey-server"):
            os.kill(pid, signal.SIGKILL)
            self.kills["valkey"] += 1
        time.sleep(self.random.uniform(0, 0.5))
        meanwhile(self.storage / "appendonlydir")
        self.valkey.start()

    def kill_of_a_playbook(self) -> None:
        """One of the processes behind a real playbook: the server that forks, the run's own, or one of Ansible's."""
        servers = _children([slot.pid for slot in self.slots if slot.role == "runs" and slot.pid])
        behind = _pids(self.storage, b"playbook.child") + _pids(self.storage, b"ansible-playbook")
        # A server is there all the time, and what it forks only while something is played.
        if found := behind or self.random.sample(servers, min(len(servers), self.random.random() < 0.1)):
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(found), signal.SIGKILL)
                self.kills["behind a playbook"] += 1

    def ring_again(self) -> None:
        """Doorbells are heard twice, of what is to be done and of what was done long ago."""
        with redis.Redis.from_url(self.valkey.url, socket_timeout=5) as client:
            store = RedisStore(client=client, message=make_message(make_app(self.valkey.url)))
            runs = [row["id"] for row in self.rows("SELECT id FROM runs ORDER BY created_at DESC LIMIT 20")]
            bells = [Doorbell(errand=Errand.EXECUTE, about=id) for id in runs]
            bells += [Doorbell(errand=Errand.INTAKE, about=id.decode()) for id in client.hkeys("alertmend:inbox")]
            store.ring(self.random.sample(bells, min(len(bells), 5)))

    def noted(self) -> Counter[str]:
        """The points at which processes killed themselves."""
        with suppress(FileNotFoundError):
            return Counter((self.folder / "fuses").read_text().splitlines())
        return Counter()

    def end(self) -> None:
        """Everything is ended in order."""
        for slot in self.slots:
            slot.kill(signal.SIGTERM)
        for slot in self.slots:
            if slot.pid and not select.select([slot.died], [], [], 45)[0]:
                slot.kill()
            if slot.pid:
                os.close(slot.died)
                slot.pid = 0
        for pipe in (self.zygote.stdin, self.zygote.stdout):
            if pipe is not None:
                pipe.close()
        self.zygote.wait(20)
        self.valkey.stop()

    def left_running(self) -> list[str]:
        """The processes that have to do with this site."""
        return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in _pids(self.folder, b"")]

    # -- What became of it

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What the ledger says."""
        with sqlite3.connect(self.storage / "alertmend.db", timeout=20) as database:
            database.row_factory = sqlite3.Row
            found = [dict(row) for row in database.execute(query)]
        database.close()
        return found

    def effects(self) -> list[tuple[str, str, str]]:
        """What happened in the world, in order: begin or end, the run, the target."""
        with suppress(FileNotFoundError):
            found = [line.split() for line in self.world.read_text().splitlines()]
            return [(what, run, target) for what, run, target in found]
        return []

    def waits_for(self) -> list[str]:
        """What is still to be done."""
        with redis.Redis.from_url(self.valkey.url, socket_timeout=5) as client:
            lengths = {name: client.hlen(f"alertmend:{name}") for name in ("inbox", "outbox")}
        found = [f"{length} in the {name}" for name, length in lengths.items() if length]
        unfinished = self.rows("SELECT id FROM runs WHERE state != 'finished'")
        found += [f"{len(unfinished)} runs"] if unfinished else []
        open_incidents = [incident for incident in self.incidents() if not _is_settled(incident)]
        return found + ([f"{len(open_incidents)} incidents"] if open_incidents else [])

    def unfinished(self) -> str:
        """A line for each run without an end: where it is, on the record and in Redis, who keeps it, when it is due."""
        lines = []
        with redis.Redis.from_url(self.valkey.url, socket_timeout=5) as client:
            for row in self.rows("SELECT id, state FROM runs WHERE state != 'finished'"):
                id, state = row["id"], json.loads(client.get(f"alertmend:run:{row['id']}") or "{}").get("state")
                lease, due = client.get(f"alertmend:lease:{id}"), client.zscore("alertmend:due", f"run:{id}")
                lines.append(f"{id}: {row['state']} on the record, {state} in Redis, lease {lease}, due {due}")
        return "\n".join(lines)

    def incidents(self) -> list[list[dict[str, Any]]]:
        """The runs of each incident, oldest first."""
        runs: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows("SELECT incident, body FROM runs ORDER BY created_at, id"):
            runs.setdefault(row["incident"], []).append(json.loads(row["body"]))
        return list(runs.values())


def _is_settled(runs: Sequence[dict[str, Any]]) -> bool:
    return runs[-1]["outcome"] == "unproved" or (runs[-1]["attempt"] == 3 and runs[-1]["outcome"] is not None)


def _pids(folder: Path, program: bytes) -> list[int]:
    """The processes of a program that work in a folder, by their command line or what they hold open."""
    return [pid for pid, command in _commands() if program in command and _belongs(pid, command, folder)]


def _children(parents: Sequence[int]) -> list[int]:
    found = []
    for pid, _ in _commands():
        with suppress(OSError):
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            found += [pid] if int(parent) in parents else []
    return found


def _commands() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield int(entry.name), (entry / "cmdline").read_bytes()


def _belongs(pid: int, command: bytes, folder: Path) -> bool:
    with suppress(OSError):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        return os.fsencode(folder) in command + environment + os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
    return False
