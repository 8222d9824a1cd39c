"""`alertmend serve` as an operator meets it: stopped, reloaded, killed, started again."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.journey.harness import Alertmend, Processes, answers, firing, http, lives, notification, processes_of, until

SLOW = """\
  - name: slow
    match: ['alertname="Down"']
    playbook: slow.yml
"""


def _slow(processes: Processes, *, seconds: int, **settings: object) -> Alertmend:
    """An alertmend whose playbook takes its time, and leaves a mark when it begins and when it ends."""
    alertmend = Alertmend(processes, rule=SLOW, **settings)  # type: ignore[arg-type]
    folder = alertmend.folder
    alertmend.write(
        "playbooks/slow.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.shell:\n"
        f"        cmd: touch {folder}/begun; sleep {seconds}; echo {{{{ inventory_hostname }}}} >> {folder}/marks\n",
    )
    alertmend.start()
    return alertmend


def _begin(alertmend: Alertmend) -> str:
    """A run is under way; its id."""
    http.post(alertmend.receiver, json=notification(firing("web1"))).raise_for_status()
    until(lambda: (alertmend.folder / "begun").exists(), "the playbook has begun")
    return str(alertmend.items("runs")[0]["id"])


def _outcomes(alertmend: Alertmend) -> list[str]:
    """What the database says, with no server running."""
    command = [sys.executable, "-m", "webhook.cli", "audit", "verify", f"--storage.path={alertmend.folder / 'data'}"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    import sqlite3

    with sqlite3.connect(alertmend.folder / "data/alertmend.db") as database:
        return [row[0] for row in database.execute("SELECT outcome FROM runs ORDER BY created_at")]


@pytest.mark.parametrize("file", ["alertmend.lock", "alertmend.db", "valkey.sock"])
def test_a_sigterm_while_it_starts_ends_it_and_leaves_nothing_running(processes: Processes, file: str) -> None:
    alertmend = Alertmend(processes)
    alertmend.begin()
    until(lambda: (alertmend.folder / "data" / file).exists(), "it has come that far")
    alertmend.process.terminate()
    assert alertmend.process.wait(60) == 0
    assert _pid(alertmend, "valkey-server") == _pid(alertmend, "webhook.web") == 0


def test_a_sigterm_lets_runs_finish(processes: Processes) -> None:
    alertmend = _slow(processes, seconds=3)
    _begin(alertmend)
    alertmend.process.terminate()
    assert alertmend.process.wait(30) == 0
    assert alertmend.marks == ["web1"]
    assert _outcomes(alertmend) == ["unproved"]


def test_beyond_the_grace_a_run_is_cancelled_recorded_and_gone(processes: Processes) -> None:
    alertmend = _slow(processes, seconds=60, options=["--shutdown.grace=1s"])
    run = _begin(alertmend)
    alertmend.process.terminate()
    assert alertmend.process.wait(30) == 0
    assert processes_of(run) == []
    assert _outcomes(alertmend) == ["cancelled"]


def test_a_run_whose_worker_was_killed_is_lost_and_nothing_of_it_is_left(processes: Processes) -> None:
    alertmend = _slow(processes, seconds=60, options=["--log.format=json"])
    run = _begin(alertmend)
    alertmend.kill("runs")
    until(lambda: processes_of(run) == [], "its processes are gone")
    [lost] = until(alertmend.finished, "the run is recorded")
    assert (lost["id"], lost["outcome"]) == (run, "lost")
    [told] = until(lambda: _escalations(alertmend), "a person is told")
    assert (told["outcome"], told["body"]["reason"]) == (
        "lost",
        "its attempts are used up; the last one: its worker vanished",
    )
    unheard = {"role": "intake", "action": "escalate", "event": "an escalation reaches nobody"}
    until(
        lambda: any(line.items() >= unheard.items() for line in alertmend.said()), "it is said that nobody is reached"
    )
    _names_each_run_and_incident(alertmend, run=run, incident=lost["incident"])


def _names_each_run_and_incident(alertmend: Alertmend, *, run: str, incident: str) -> None:
    about = [line for line in alertmend.said() if {run, incident} & {line.get("run"), line.get("escalation")}]
    assert {line["action"] for line in about} >= {"append", "lose", "escalate"}
    assert {line.get("incident") for line in about} == {incident}

    def sealed() -> set[str]:
        lines = [line for line in alertmend.said() if line["action"] == "append"]
        return {line["batch"].split(":")[0] for line in lines if line.get("incident") == incident}

    # The line comes after the entry
    until(lambda: sealed() == {"notification", "run", "escalation"}, "each batch is told of with its incident")


def _escalations(alertmend: Alertmend) -> list[dict[str, Any]]:
    """Those that were begun."""
    entries = alertmend.items("audit", event="escalated")
    return [entry for entry in entries if entry["body"]["step"] == "begin"]


def test_when_the_supervisor_is_killed_all_end_and_the_next_start_adopts_what_it_left(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    first = alertmend.start()
    children = [alertmend.child(role) for role in ("intake", "runs", "webhook.web")]
    first.send_signal(signal.SIGKILL)
    first.wait()
    until(lambda: not any(lives(pid) for pid in children), "the roles have ended")
    assert not answers(f"{alertmend.url}/healthz")
    alertmend.start()
    assert "adopted" in (processes.folder / "alertmend.log").read_text()
    http.post(alertmend.receiver, json=notification(firing("web1"))).raise_for_status()
    until(alertmend.finished, "it works again")


def test_a_second_one_on_the_same_storage_is_refused_with_words(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    command = [sys.executable, "-m", "webhook.cli", "serve", f"--config.file={alertmend.folder / 'alertmend.yml'}"]
    second = subprocess.run(
        [*command, f"--storage.path={alertmend.folder / 'data'}"], check=False, capture_output=True, text=True
    )
    assert second.returncode == 2
    assert "another alertmend runs on" in second.stderr


def test_a_hangup_takes_over_good_rules_and_keeps_the_old_ones_for_bad(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    process = alertmend.start()
    rules = (alertmend.folder / "rules/rules.yml").read_text()
    # Given workers that have read the rules: the server is ready before they are
    http.post(alertmend.receiver, json=notification(firing("web3"))).raise_for_status()
    until(alertmend.finished, "the rule works")
    # When the file is broken, the old rules stay
    alertmend.write("rules/rules.yml", rules.replace("playbook:", "playbok:"))
    process.send_signal(signal.SIGHUP)
    log = processes.folder / "alertmend.log"
    until(lambda: "did you mean 'playbook'" in log.read_text(), "the problem is told")
    http.post(alertmend.receiver, json=notification(firing("web1"))).raise_for_status()
    until(lambda: len(alertmend.finished()) == 2, "the old rule still works")
    # When it is mended and renamed, the new rule counts, and that is on the record
    alertmend.write("rules/rules.yml", rules.replace("name: mark", "name: renamed"))
    process.send_signal(signal.SIGHUP)
    # The first one says with which rules it started
    until(lambda: len(alertmend.items("audit", event="reload")) == 2, "the reload is on the record")
    http.post(alertmend.receiver, json=notification(firing("web2"))).raise_for_status()
    until(lambda: alertmend.items("runs", rule="renamed", state="finished"), "the new rule works")


@pytest.mark.parametrize("role", ["valkey-server", "webhook.web"])
def test_what_dies_is_started_again_and_what_was_acknowledged_is_kept(processes: Processes, role: str) -> None:
    alertmend = Alertmend(processes, top="limits: {rate_limit: 100/1h}\n")
    alertmend.start()
    http.post(alertmend.receiver, json=notification(firing("web1"))).raise_for_status()
    pid = _pid(alertmend, role)
    os.kill(pid, signal.SIGKILL)
    until(lambda: answers(f"{alertmend.url}/readyz") and _pid(alertmend, role) != pid, "it is ready again")
    http.post(alertmend.receiver, json=notification(firing("web2")), timeout=20).raise_for_status()
    until(lambda: len(alertmend.finished()) == 2, "both were dealt with", seconds=120)
    assert sorted(alertmend.marks) == ["web1", "web2"]


#: `alertmend`, whose supervisor waits ten seconds for a sign of life.
HASTY = "from webhook.cli import cli, supervision; supervision.SILENT_SECONDS = 10.0; cli()"


ROLES = ("webhook.web", "intake", "runs")


def test_what_hangs_is_killed_and_started_again_and_systemd_hears_how_it_is(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    alertmend = Alertmend(processes, program=(sys.executable, "-c", HASTY), top="limits: {rate_limit: 100/1h}\n")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"{folder}/notify")
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        alertmend.begin()
        # Every role is up when systemd hears that it is ready, and whoever asks it or looks at the file finds it
        until(lambda: systemd.recv(100) == b"READY=1", "it is ready")
        assert http.get(f"{alertmend.url}/readyz", timeout=60).text == '{"status":"ready"}'
        until((alertmend.folder / "data/alive").exists, "whoever looks sees that all is well")
        for pids in ([alertmend.child(role) for role in ROLES], [_pid(alertmend, "valkey-server")]):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            until(lambda pids=pids: not any(map(lives, pids)), "they are killed")  # type: ignore[misc]
        until(lambda: answers(f"{alertmend.url}/readyz"), "all are there again")
        assert _deliver(alertmend, "web1")
        until(alertmend.finished, "it works again")
        alertmend.process.terminate()
        until(lambda: systemd.recv(100) == b"STOPPING=1", "systemd hears of the end")
    killed = re.findall(r"it hangs, and is killed.* process=([a-z]+)", (processes.folder / "alertmend.log").read_text())
    assert set(killed) == {"web", "intake", "runs", "valkey"}


def _deliver(alertmend: Alertmend, host: str) -> bool:
    return http.post(alertmend.receiver, json=notification(firing(host)), timeout=20).status_code == 202


def _pid(alertmend: Alertmend, role: str) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            site = str(alertmend.folder).encode() in command or str(alertmend.folder).encode() in _title(folder)
            if role.encode() in command and site and folder.name != str(os.getpid()):
                return int(folder.name)
    return 0


def _title(folder: Path) -> bytes:
    return os.readlink(folder / "cwd").encode()
