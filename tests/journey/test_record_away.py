"""The record cannot be written: notifications are taken, nothing runs, and when it can be again, all of it goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from pathlib import Path

from tests.edge.conftest import START_SECONDS, start_postgres
from tests.journey.harness import PATIENCE_SECONDS, Alertmend, Processes, firing, http, notification, until
from tests.journey.test_metrics import one


def _deliver(alertmend: Alertmend, *hosts: str) -> int:
    return http.post(alertmend.receiver, json=notification(*map(firing, hosts)), timeout=20).status_code


def _has_to_wait(alertmend: Alertmend) -> bool:
    log = (alertmend.processes.folder / "alertmend.log").read_text()
    return "it has to wait" in log or "upkeep has to wait" in log


def test_while_sqlite_is_locked_nothing_runs_and_afterwards_everything_once(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    assert _deliver(alertmend, "web1") == 202
    until(alertmend.finished, "the first run has finished")
    # Given someone who holds the database
    other = sqlite3.connect(alertmend.folder / "data/alertmend.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert _deliver(alertmend, "web2") == 202
    assert _deliver(alertmend, "web3") == 202
    until(lambda: _has_to_wait(alertmend), "the record cannot be written")
    assert alertmend.marks == ["web1"] and len(alertmend.items("runs")) == 1
    other.execute("ROLLBACK")
    other.close()
    until(lambda: len(alertmend.finished()) == 3, "the others have run")
    assert sorted(alertmend.marks) == ["web1", "web2", "web3"]
    assert {run["outcome"] for run in alertmend.finished()} == {"unproved"}
    assert alertmend.verify().returncode == 0


def test_a_postgresql_that_hangs_is_told_of_to_whoever_asks(processes: Processes) -> None:
    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        server = start_postgres(Path(name))
        alertmend = Alertmend(processes, top=f"database: {{url: 'postgresql://postgres@/postgres?host={name}'}}\n")
        alertmend.start()
        try:
            assert _deliver(alertmend, "web1") == 202
            until(alertmend.finished, "the run has finished")
            assert one(alertmend.url, "dependency_up", dependency="database") == 1
            frozen = [server.pid, *_children(server.pid)]
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                # Prometheus hears that the database is away, and not that alertmend is
                assert one(alertmend.url, "dependency_up", dependency="database") == 0
                for path in ("api/v1/runs", "runs"):
                    answer = http.get(f"{alertmend.url}/{path}", timeout=PATIENCE_SECONDS)
                    assert answer.status_code == 503 and "is not available" in answer.text
                assert _deliver(alertmend, "web2") == 202
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
            until(lambda: len(alertmend.finished()) == 2, "the other has run")
            until(lambda: one(alertmend.url, "dependency_up", dependency="database") == 1, "it is there again")
        finally:
            alertmend.process.terminate()
            alertmend.process.wait(60)
            server.send_signal(signal.SIGQUIT)
            server.wait(START_SECONDS)


def _children(parent: int) -> list[int]:
    return list(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


def test_while_postgresql_is_stopped_nothing_runs_and_afterwards_everything_once(processes: Processes) -> None:
    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        server = start_postgres(Path(name))
        alertmend = Alertmend(processes, top=f"database: {{url: 'postgresql://postgres@/postgres?host={name}'}}\n")
        alertmend.start()
        try:
            assert _deliver(alertmend, "web1") == 202
            until(alertmend.finished, "the first run has finished")
            server.send_signal(signal.SIGQUIT)
            server.wait(START_SECONDS)
            assert _deliver(alertmend, "web2") == 202
            until(lambda: _has_to_wait(alertmend), "the record cannot be written")
            answer = http.get(f"{alertmend.url}/api/v1/runs", timeout=20)
            assert answer.status_code == 503 and "the audit database" in answer.json()["error"]
            assert alertmend.marks == ["web1"]
            server = start_postgres(Path(name))
            until(lambda: len(alertmend.finished()) == 2, "the other has run")
            assert alertmend.marks == ["web1", "web2"]
            assert alertmend.get("audit/verify")["ok"]
        finally:
            processes.end()
            server.send_signal(signal.SIGQUIT)
            server.wait(START_SECONDS)
