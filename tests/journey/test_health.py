"""A running alertmend says how it is: what is broken is named, and mended again it is well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.journey.harness import Alertmend, Processes, answers, firing, free_port, http, notification, until


def health(alertmend: Alertmend) -> dict[str, bool]:
    answer = http.get(f"{alertmend.url}/health", timeout=30)
    found = {check["name"]: check["ok"] for check in answer.json()["checks"]}
    assert answer.status_code == (200 if all(found.values()) else 503)
    return found


def failing(alertmend: Alertmend) -> set[str]:
    return {name for name, ok in health(alertmend).items() if not ok}


def test_a_worker_that_hangs_or_is_gone_makes_it_unready_and_kills_nothing_else(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    assert failing(alertmend) == set()

    # Frozen: it lives, and does nothing.
    pid = alertmend.child("runs")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: failing(alertmend) == {"runs"}, "the frozen worker is missed")
    ready = http.get(f"{alertmend.url}/readyz", timeout=30)
    assert (ready.status_code, ready.json()["error"]) == (503, "runs: no runs worker was seen lately")
    assert answers(f"{alertmend.url}/healthz")
    assert answers(f"{alertmend.url}/startupz")
    # What comes in meanwhile is taken, and waits.
    assert http.post(alertmend.receiver, json=notification(firing("web1")), timeout=30).status_code == 202
    os.kill(pid, signal.SIGCONT)
    until(lambda: answers(f"{alertmend.url}/readyz"), "it is ready again")
    until(lambda: alertmend.marks == ["web1"], "what waited was done")


def test_a_database_that_takes_nothing_makes_it_unready_until_it_does(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    # Someone holds the database's write lock for longer than anybody waits for it.
    lock = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')"
    file = str(alertmend.folder / "data/alertmend.db")
    command = [sys.executable, "-c", f"{lock}; print('held', flush=True); sys.stdin.read()", file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdin
        assert holder.stdout.readline() == b"held\n"
        until(lambda: "database" in failing(alertmend), "the database is not well")
        assert http.get(f"{alertmend.url}/readyz", timeout=30).status_code == 503
        holder.stdin.close()
    until(lambda: answers(f"{alertmend.url}/readyz"), "it is ready again")


def test_signs_of_life_stay_away_when_a_worker_does(processes: Processes) -> None:
    url = processes.alertmanager("am", "http://127.0.0.1:9/")
    heartbeat = "heartbeat: {interval: 1s, alertmanager: {labels: {severity: none}}}\n"
    alertmend = Alertmend(processes, top=f"alertmanagers: [{{url: '{url}'}}]\n{heartbeat}")
    alertmend.start()

    def alive() -> list[str]:
        return [alert["labels"]["alertname"] for alert in http.get(f"{url}/api/v2/alerts", timeout=10).json()]

    until(lambda: alive() == ["AlertmendAlive"], "a sign of life has come")
    assert "no sign of life" not in (processes.folder / "alertmend.log").read_text(), "a start is no fault"
    pid = alertmend.child("runs")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: alive() == [], "the signs of life stay away")
    os.kill(pid, signal.SIGCONT)
    until(lambda: alive() == ["AlertmendAlive"], "they come again")


def test_whoever_asks_in_grpc_is_told_the_same(processes: Processes) -> None:
    port = free_port()
    alertmend = Alertmend(processes, options=[f"--grpc.listen-address=127.0.0.1:{port}"])
    alertmend.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=300)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        os.kill(alertmend.child("runs"), signal.SIGSTOP)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        os.kill(alertmend.child("runs"), signal.SIGCONT)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
