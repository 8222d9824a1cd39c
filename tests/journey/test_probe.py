"""Probes in a running alertmend: of a kind that a package brought, and of those that ask someone else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.probe.package import install_example
from tests.journey.harness import Alertmend, Processes, firing, free_port, http, notification, until

RULE = """\
  - name: mark
    match: ['alertname="Down"']
    target: host
    playbook: mark.yml
    probe: {%s, period: 100ms, timeout: 5s, failure_threshold: 2, success_threshold: 1, within: 3s}
"""


@contextmanager
def answering(answer: Callable[[], bytes]) -> Iterator[int]:
    """The port of a server that answers whatever it is told in one way."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_kind_that_a_package_brought_is_asked_before_and_after(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install_example(tmp_path / "packages")))
    alertmend = Alertmend(processes, rule=RULE % "redis: {address: '127.0.0.1:$labels.port'}")
    with answering(lambda: b"+PONG\r\n" if alertmend.marks else b"-LOADING\r\n") as port:
        alertmend.start()
        http.post(alertmend.receiver, json=notification(firing("x", host="web1", port=str(port)))).raise_for_status()
        [run] = until(alertmend.finished, "the run has finished")
    assert (run["outcome"], alertmend.marks) == ("fixed", ["web1"])
    seen = [(probe["phase"], probe["kind"], probe["healthy"], probe["words"]) for probe in run["probes"]]
    assert seen == [
        ("before", "redis", False, "-LOADING"),
        ("before", "redis", False, "-LOADING"),
        ("after", "redis", True, "+PONG"),
    ]
    assert all(probe["asked"] == f"127.0.0.1:{port}" and 0 < probe["latency_seconds"] < 5 for probe in run["probes"])
    assert alertmend.verify().returncode == 0


def test_a_prometheus_that_is_away_is_no_reason_to_act(processes: Processes) -> None:
    top = f"prometheus: {{url: 'http://127.0.0.1:{free_port()}'}}\n"
    alertmend = Alertmend(processes, top=top, rule=RULE % """promql: {expr: 'up{instance="$labels.host"}'}""")
    alertmend.start()
    http.post(alertmend.receiver, json=notification(firing("x", host="web1"))).raise_for_status()
    [run] = until(alertmend.finished, "the run has finished")
    assert (run["outcome"], alertmend.marks) == ("cancelled", [])
    assert run["reason"] == "the probe could not say whether it is sick: connection refused"
    assert [(probe["known"], probe["asked"]) for probe in run["probes"]] == [(False, 'up{instance="web1"}')] * 2


def test_a_grpc_server_that_refuses_is_sick_and_the_playbook_can_still_fork(processes: Processes) -> None:
    alertmend = Alertmend(processes, rule=RULE % "grpc: {address: '127.0.0.1:$labels.port'}")
    alertmend.start()
    for host in alertmend.hosts:
        alert = firing(host, host=host, port=str(free_port()))
        http.post(alertmend.receiver, json=notification(alert)).raise_for_status()
    until(lambda: len(alertmend.finished()) == 3, "the runs have finished", seconds=180)
    assert {run["outcome"] for run in alertmend.finished()} == {"ineffective"}
    assert sorted(alertmend.marks) == sorted(alertmend.hosts)


def test_a_label_that_would_ask_another_host_is_refused(processes: Processes) -> None:
    alertmend = Alertmend(processes, rule=RULE % "http: {url: 'http://127.0.0.1:$labels.port/'}")
    alertmend.start()
    with answering(lambda: b"") as port:
        hostile = firing("x", host="web1", port=f"1@127.0.0.1:{port}")
        http.post(alertmend.receiver, json=notification(hostile)).raise_for_status()
        [entry] = until(lambda: alertmend.items("audit", event="decision"), "it is decided")
    decision = alertmend.get(f"audit/{entry['seq']}")["body"]["decision"]
    assert (decision["decision"], decision["guard"]) == ("refuse", "labels")
    assert decision["reason"] == (
        f"the probe cannot be asked about this alert: $labels.port '1@127.0.0.1:{port}' is no port"
    )
