"""The degraded cases of docs/operations.md that no other test causes: no memory, no disk, a clock, a hang."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from tests.journey.harness import (
    RULE,
    Alertmend,
    Processes,
    answers,
    firing,
    free_port,
    http,
    lives,
    notification,
    post_alerts,
    until,
)
from tests.journey.test_metrics import one
from webhook.execution import LEASE

SLOW = """\
  - name: slow
    match: ['alertname="Slow"']
    playbook: slow.yml
  - name: mark
    match: ['alertname="Down"']
    playbook: mark.yml
"""


def _deliver(alertmend: Alertmend, host: str, **labels: str) -> int:
    return http.post(alertmend.receiver, json=notification(firing(host, **labels)), timeout=30).status_code


def _slow(alertmend: Alertmend, *, seconds: int) -> None:
    folder = alertmend.folder
    alertmend.write(
        "playbooks/slow.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.shell:\n"
        f"        cmd: touch {folder}/begun; sleep {seconds}; echo {{{{ inventory_hostname }}}} >> {folder}/marks\n",
    )


def _log(alertmend: Alertmend) -> str:
    return (alertmend.processes.folder / "alertmend.log").read_text(errors="replace")


def test_while_redis_has_no_memory_notifications_get_a_503_and_afterwards_all_goes_on(processes: Processes) -> None:
    port = free_port()
    processes.redis(port)
    alertmend = Alertmend(processes, top=f"redis: {{url: 'redis://127.0.0.1:{port}/0'}}\n")
    alertmend.start()
    with redis.Redis(port=port) as server:
        server.config_set("maxmemory", "1")
        until(lambda: _deliver(alertmend, "web1") == 503, "nothing can be stored")
        # It answers whoever reads; that no worker can say that it lives is not their end
        assert one(alertmend.url, "dependency_up", dependency="redis") == 0
        assert one(alertmend.url, "check_ok", check="redis") == 0
        assert one(alertmend.url, "workers", role="runs") is None
        server.config_set("maxmemory", "0")
    assert _deliver(alertmend, "web1") == 202
    until(alertmend.finished, "it has run")
    assert alertmend.marks == ["web1"]


def test_a_run_that_redis_was_away_from_for_longer_than_a_lease_ends_as_if_it_had_been_there(
    processes: Processes,
) -> None:
    port = free_port()
    server = processes.redis(port)
    alertmend = Alertmend(processes, rule=SLOW, top=f"redis: {{url: 'redis://127.0.0.1:{port}/0'}}\n")
    _slow(alertmend, seconds=40)
    alertmend.start()
    assert _deliver(alertmend, "web1", alertname="Slow") == 202
    until(lambda: (alertmend.folder / "begun").exists(), "the playbook has begun")
    server.send_signal(signal.SIGSTOP)
    try:
        # Whoever wants to know what is the matter is told so, and does not wait for Redis as its workers do.
        page = http.get(f"{alertmend.url}/", timeout=20)
        assert page.status_code == 200 and "Redis is not available" in page.text
        # The world's own time: nobody can be asked whether a lease has run out while nobody answers.
        time.sleep(1.5 * LEASE.total_seconds())
    finally:
        server.send_signal(signal.SIGCONT)
    [run] = until(alertmend.finished, "it has ended")
    assert (run["outcome"], alertmend.marks) == ("unproved", ["web1"])


def test_while_alertmanager_is_away_it_acts_on_what_it_was_told_and_says_that_nobody_answered(
    processes: Processes,
) -> None:
    # Given an alert whose rule waits a little, so that there is a while between the notification and the run
    alertmend = Alertmend(processes, rule=RULE + "    for: 4s\n")
    url = processes.alertmanager("am", alertmend.receiver)
    alertmend.write(
        "alertmend.yml", f"inventory: inventory.yml\nrule_files: [rules/*.yml]\nalertmanagers: [{{url: '{url}'}}]\n"
    )
    alertmend.start()
    post_alerts(url, "web1")
    until(lambda: alertmend.items("audit", event="decision"), "it is decided on")
    processes.running[0].kill()
    [run] = until(alertmend.finished, "it has run")
    assert (run["outcome"], alertmend.marks) == ("unproved", ["web1"])
    decisions = [entry["body"]["decision"] for entry in alertmend.items("audit", event="decision", run=run["id"])]
    reasons = [check["reason"] for decision in decisions for check in decision["checks"] if check["guard"] == "fires"]
    assert any("did not answer" in reason for reason in reasons), reasons


@pytest.fixture
def disk(processes: Processes) -> Iterator[Path]:
    """The storage path, on a file system of its own with little room."""
    folder = processes.folder / "site/data"
    folder.mkdir(parents=True, mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", str(folder)], check=True)
    yield folder
    processes.end()
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_while_the_disk_is_full_nothing_runs_and_afterwards_everything_once(processes: Processes, disk: Path) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    assert _deliver(alertmend, "web1") == 202
    until(alertmend.finished, "the first run has finished")
    # Told before it is full
    assert one(alertmend.url, "check_ok", check="storage") == 0
    assert one(alertmend.url, "check_ok", check="database") == 1
    _fill(disk / "ballast")
    # Taken or refused, as there is room in a block or not: what is refused Alertmanager sends again
    taken = _deliver(alertmend, "web2")
    assert taken in (202, 503)
    until(lambda: "has to wait" in _log(alertmend) or not answers(f"{alertmend.url}/readyz"), "it notices")
    assert alertmend.marks == ["web1"]
    (disk / "ballast").unlink()
    until(lambda: answers(f"{alertmend.url}/readyz"), "there is room again")
    if taken == 503:
        until(lambda: _deliver(alertmend, "web2") == 202, "it is sent again")
    until(lambda: len(alertmend.finished()) == 2, "the other has run")
    assert alertmend.marks == ["web1", "web2"]
    assert alertmend.verify().returncode == 0


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(b"\0" * 4096)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says by how many hours the clock of what is started is ahead."""
    file = tmp_path / "clock"
    file.write_text("0")
    monkeypatch.setenv("ALERTMEND_TEST_CLOCK", str(file))
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent / 'jump'}:{Path(__file__).parents[2]}")
    return file


@pytest.mark.parametrize("jump", ["5", "-5"])
def test_a_clock_that_jumps_during_a_run_neither_ends_nor_doubles_it(
    processes: Processes, clock: Path, jump: str
) -> None:
    alertmend = Alertmend(processes, rule=SLOW)
    _slow(alertmend, seconds=12)
    alertmend.start()
    assert _deliver(alertmend, "web1", alertname="Slow") == 202
    until(lambda: (alertmend.folder / "begun").exists(), "the playbook has begun")
    clock.write_text(jump)
    # Longer than a lease goes by while it runs
    [run] = until(alertmend.finished, "it has finished")
    assert (run["outcome"], alertmend.marks) == ("unproved", ["web1"])
    assert _deliver(alertmend, "web2") == 202
    until(lambda: len(alertmend.finished()) == 2, "the next one runs as well")
    assert len(alertmend.items("audit", event="run_started")) == 2
    assert alertmend.verify().returncode == 0
    began, ended = (run[f"{what}_at"][:13] for what in ("started", "finished"))
    assert began != ended, "the clock did not jump"


def test_a_run_whose_worker_hangs_is_lost_and_the_worker_works_on_when_it_wakes_up(processes: Processes) -> None:
    alertmend = Alertmend(processes, rule=SLOW)
    _slow(alertmend, seconds=120)
    alertmend.start()
    assert _deliver(alertmend, "web1", alertname="Slow") == 202
    until(lambda: (alertmend.folder / "begun").exists(), "the playbook has begun")
    worker = alertmend.child("runs")
    os.kill(worker, signal.SIGSTOP)
    try:
        [run] = until(alertmend.finished, "it is given up")
        assert run["outcome"] == "lost"
    finally:
        os.kill(worker, signal.SIGCONT)
    assert _deliver(alertmend, "web2") == 202
    until(lambda: len(alertmend.finished()) == 2, "the next one runs")
    assert lives(worker) and alertmend.marks == ["web2"]
    assert len(alertmend.items("audit", event="run_started")) == 2
