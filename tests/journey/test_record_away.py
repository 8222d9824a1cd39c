"""The record cannot be written: notifications are taken, nothing runs, and when it can be again, all of it goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

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


@dataclass
class Postgres:
    """A database that can be stopped, started again and frozen."""

    folder: Path

    def start(self) -> None:
        self.server = start_postgres(self.folder)

    def stop(self) -> None:
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(START_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        pid = self.server.pid
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for one_of_it in pids:
            os.kill(one_of_it, signal.SIGSTOP)
        try:
            yield
        finally:
            for one_of_it in pids:
                os.kill(one_of_it, signal.SIGCONT)


@pytest.fixture
def postgres(processes: Processes) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="alertmend-pg-", ignore_cleanup_errors=True) as name:
        made = Postgres(folder=Path(name))
        made.start()
        try:
            yield made
        finally:
            processes.end()
            made.stop()


@pytest.fixture
def alertmend(processes: Processes, postgres: Postgres) -> Alertmend:
    """One whose record is in PostgreSQL, and that has mended web1."""
    url = f"postgresql://postgres@/postgres?host={postgres.folder}"
    found = Alertmend(processes, top=f"database: {{url: '{url}'}}\n")
    found.start()
    assert _deliver(found, "web1") == 202
    until(found.finished, "the first run has finished")
    return found


def test_a_postgresql_that_hangs_is_told_of_to_whoever_asks(alertmend: Alertmend, postgres: Postgres) -> None:
    assert one(alertmend.url, "dependency_up", dependency="database") == 1
    with postgres.frozen():
        # Prometheus hears that the database is away, and not that alertmend is
        assert one(alertmend.url, "dependency_up", dependency="database") == 0
        for path in ("api/v1/runs", "runs"):
            answer = http.get(f"{alertmend.url}/{path}", timeout=PATIENCE_SECONDS)
            assert answer.status_code == 503 and "is not available" in answer.text
        assert _deliver(alertmend, "web2") == 202
    until(lambda: len(alertmend.finished()) == 2, "the other has run")
    until(lambda: one(alertmend.url, "dependency_up", dependency="database") == 1, "it is there again")


def test_while_postgresql_is_stopped_nothing_runs_and_afterwards_everything_once(
    alertmend: Alertmend, postgres: Postgres
) -> None:
    postgres.stop()
    assert _deliver(alertmend, "web2") == 202
    until(lambda: _has_to_wait(alertmend), "the record cannot be written")
    answer = http.get(f"{alertmend.url}/api/v1/runs", timeout=20)
    assert answer.status_code == 503 and "the audit database" in answer.json()["error"]
    assert alertmend.marks == ["web1"]
    postgres.start()
    until(lambda: len(alertmend.finished()) == 2, "the other has run")
    assert alertmend.marks == ["web1", "web2"]
    assert alertmend.get("audit/verify")["ok"]
