"""Several machines over one Redis behind Sentinels and one PostgreSQL; one after another of them fails under load."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import create_engine, text

from tests.edge.conftest import start_postgres
from tests.journey.harness import answers, firing, http, notification, processes_of, until
from tests.journey.machines import Machine, machines, wait_for
from webhook.edge.ledger import SqlLedger, open_engine

NAMES = ("r1", "r2", "r3", "w1", "w2", "k1", "k2")
PORT = 9480
HOSTS = 40


@dataclass
class Site:
    """Three Redis with Sentinels, two receivers, two workers, a database."""

    folder: Path
    machines: dict[str, Machine]
    database: str

    def write(self) -> None:
        for name in ("rules", "playbooks"):
            (self.folder / name).mkdir()
        python = "ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'"
        hosts = "".join(f"    h{number}: {{}}\n" for number in range(HOSTS)) + "    slow: {}\n"
        (self.folder / "inventory.yml").write_text(f"all:\n  vars: {{{python}}}\n  hosts:\n{hosts}")
        sentinels = ",".join(f"{self.machines[name].address}:26379" for name in ("r1", "r2", "r3"))
        (self.folder / "alertmend.yml").write_text(
            "inventory: inventory.yml\nrule_files: [rules/*.yml]\nlimits: {concurrency: 2, rate_limit: 1000/1h}\n"
            f"redis: {{url: 'sentinel://{sentinels}/alertmend'}}\ndatabase: {{url: '{self.database}'}}\n"
        )
        (self.folder / "rules/rules.yml").write_text(
            "rules:\n  - name: slow\n    match: ['alertname=\"Slow\"']\n"
            "    steps: [{playbook: slow.yml, timeout: 25s}, {playbook: mark.yml}]\n"
            "  - name: mark\n    match: ['alertname=\"Down\"']\n"
            "    steps: [{playbook: mark.yml}, {playbook: mark.yml}, {playbook: mark.yml}]\n"
        )
        for name, before in (("mark", ""), ("slow", f"until [ -e {self.folder}/release ]; do sleep 0.2; done; ")):
            line = f"{{{{ alertmend.run }}}} {{{{ inventory_hostname }}}} >> {self.world}"
            (self.folder / f"playbooks/{name}.yml").write_text(
                "- hosts: all\n  gather_facts: false\n  tasks:\n"
                f'    - ansible.builtin.shell: "echo begin {line}; {before}echo end {line}"\n'
            )

    @property
    def world(self) -> Path:
        return self.folder / "world"

    def start_redis(self) -> None:
        first = self.machines["r1"].address
        for name in ("r1", "r2", "r3"):
            machine = self.machines[name]
            data = self.folder / name
            data.mkdir()
            command = ["redis-server", "--port", "6379", "--protected-mode", "no", "--dir", str(data), "--save", ""]
            command += ["--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"]
            machine.start("redis", [*command, *([] if name == "r1" else ["--replicaof", first, "6379"])])
            wait_for(machine.address, 6379, name)
            (data / "sentinel.conf").write_text(
                f"port 26379\nprotected-mode no\ndir {data}\nsentinel monitor alertmend {first} 6379 2\n"
                "sentinel down-after-milliseconds alertmend 1000\nsentinel failover-timeout alertmend 6000\n"
            )
            machine.start("sentinel", ["redis-server", data / "sentinel.conf", "--sentinel"])
            wait_for(machine.address, 26379, f"the sentinel of {name}")
        until(lambda: self._knows("slaves") == 2 and self._knows("sentinels") == 2, "the sentinels know each other")

    def _knows(self, what: str) -> int:
        with suppress(redis.RedisError), redis.Redis(self.machines["r1"].address, 26379) as sentinel:
            return len(sentinel.execute_command("SENTINEL", what, "alertmend"))
        return 0

    def serve(self, name: str, role: str) -> None:
        command = [sys.executable, "-m", "webhook.cli", "serve", f"--role={role}", "--web.insecure"]
        command += [f"--config.file={self.folder / 'alertmend.yml'}", f"--storage.path={self.folder / f'data-{name}'}"]
        self.machines[name].start(
            "alertmend", [*command, f"--web.listen-address=0.0.0.0:{PORT}", "--shutdown.grace=1s"]
        )

    def url(self, name: str) -> str:
        return f"http://{self.machines[name].address}:{PORT}"

    def deliver(self, name: str, body: dict[str, Any]) -> bool:
        with suppress(httpx.HTTPError):
            return http.post(f"{self.url(name)}/api/v1/alertmanager", json=body, timeout=6).status_code == 202
        return False

    def rows(self, query: str) -> list[Any]:
        engine = create_engine(self.database.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            found = list(connection.execute(text(query)))
        engine.dispose()
        return found

    def effects(self) -> list[tuple[str, str, str]]:
        with suppress(FileNotFoundError):
            found = [line.split() for line in self.world.read_text().splitlines()]
            return [(what, run, target) for what, run, target in found]
        return []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="alertmend-machines-", ignore_cleanup_errors=True) as name,
        machines(NAMES, tmp_path) as found,
    ):
        gateway = found["r1"].address.rpartition(".")[0] + ".1"
        server = start_postgres(Path(name), listen=gateway)
        folder = tmp_path / "site"
        folder.mkdir()
        made = Site(folder=folder, machines=found, database=f"postgresql://postgres@{gateway}:5432/postgres")
        made.write()
        made.start_redis()
        try:
            for machine in ("w1", "w2"):
                made.serve(machine, "web")
                made.serve("k" + machine[1], "worker")
            for machine in ("w1", "w2"):
                until(lambda machine=machine: answers(f"{made.url(machine)}/readyz"), f"{machine} is ready")  # type: ignore[misc]
            yield made
        finally:
            for machine in found.values():
                machine.connect()
                machine.ask_to_end()
            for machine in found.values():
                machine.end()
            # At once; whoever is still connected is not waited for.
            server.send_signal(signal.SIGQUIT)
            server.wait(60)
            for log in sorted(tmp_path.glob("*alertmend.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")


def test_a_worker_cut_off_a_receiver_killed_a_redis_failed_over_and_nothing_lost_or_doubled(site: Site) -> None:
    # Given a long run on one of the workers, and load
    assert site.deliver("w1", notification(firing("slow", alertname="Slow")))
    until(site.effects, "the long one has begun")
    [(_, slow, _)] = site.effects()
    [owner] = site.rows(f"SELECT body::json->>'owner' FROM runs WHERE id = '{slow}'")[0]
    cut = next(name for name in ("k1", "k2") if site.machines[name].name == owner.partition(":")[0])
    sender = threading.Thread(target=_send, args=(site,))
    sender.start()
    until(lambda: len(site.effects()) > 5, "some have run")
    # When the worker's machine is cut off, a receiver's and the primary's lose their power, one after another
    site.machines[cut].cut_off()
    site.machines["w1"].kill()
    assert processes_of(slow)
    until(lambda: _outcome(site, slow) == "lost", "the one that was cut off is given up")
    # Nothing acts any more on the machine that cannot be told so, when the next attempt may begin
    assert processes_of(slow) == []
    site.machines["r1"].kill()
    sender.join(180)
    assert not sender.is_alive()
    until(lambda: _done(site) == HOSTS, "everything has run", seconds=180)
    (site.folder / "release").touch()
    site.machines[cut].connect()
    # And the machine that was cut off works again, on what comes now
    until(lambda: site.deliver("w2", notification(firing("h0", again="yes"))), "one more is taken")
    until(lambda: len({target for _, _, target in site.effects()}) >= HOSTS, "all of them have run")
    # Then nothing is lost
    decided = {row[0] for row in site.rows("SELECT target FROM audit WHERE event = 'decision'")}
    assert decided >= {f"h{number}" for number in range(HOSTS)}
    # And nothing is doubled: neither a run, nor its start on the record, nor a run for an alert that one mended
    assert [one for one, number in Counter(site.effects()).items() if number > 1] == []
    started = Counter(row[0] for row in site.rows("SELECT run FROM audit WHERE event = 'run_started'"))
    assert set(started.values()) == {1}
    assert {run for _, run, _ in site.effects()} <= started.keys()
    good = Counter(row[0] for row in site.rows("SELECT target FROM runs WHERE outcome = 'unproved' AND rule = 'mark'"))
    assert {number for target, number in good.items() if target != "h0"} == {1}
    assert _outcome(site, slow) == "lost"
    engine = open_engine(site.database)
    assert SqlLedger(engine=engine).verify() is None
    engine.dispose()


def _send(site: Site) -> None:
    """As Alertmanager does: each again and again, to one receiver after the other, until one has taken it."""
    for number in range(HOSTS):
        body = notification(firing(f"h{number}"))
        until(lambda body=body: any(site.deliver(name, body) for name in ("w1", "w2")), "it is taken")  # type: ignore[misc]


def _outcome(site: Site, run: str) -> str:
    return str(site.rows(f"SELECT outcome FROM runs WHERE id = '{run}'")[0][0])


def _done(site: Site) -> int:
    return len(site.rows("SELECT DISTINCT target FROM runs WHERE rule = 'mark' AND outcome = 'unproved'"))
