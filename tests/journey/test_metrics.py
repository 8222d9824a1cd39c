"""`/metrics` of a running alertmend: the same whoever is asked, and after whatever happened."""

from __future__ import annotations

import os
import signal

from prometheus_client.parser import text_string_to_metric_families

from tests.edge.stub import http as answering
from tests.edge.stub import stub
from tests.journey.harness import Alertmend, Processes, firing, free_port, http, notification, until

Shown = dict[tuple[str, frozenset[tuple[str, str]]], float]


def shown(url: str) -> Shown:
    text = http.get(f"{url}/metrics", timeout=30).raise_for_status().text
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("alertmend_")]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def one(url: str, name: str, **labels: str) -> float | None:
    return shown(url).get((f"alertmend_{name}", frozenset(labels.items())))


def counted(found: Shown) -> Shown:
    """What is counted, or holds of the record, and does not change by itself."""
    parts = ("_total", "_bucket", "_sum", "_count", "_seq", "_hash")
    return {series: value for series, value in found.items() if series[0].endswith(parts)}


def test_counts_are_those_of_the_record_for_every_process_and_after_restarts(processes: Processes) -> None:
    alertmend = Alertmend(processes, options=["--log.format=json"])
    alertmend.start()
    for _ in range(2):
        http.post(alertmend.receiver, json=notification(firing("web1"))).raise_for_status()
    assert http.post(alertmend.receiver, content="no JSON").status_code == 400
    # There before it is first counted: an increase from nothing is none
    assert one(alertmend.url, "escalation_steps_total", rule="mark", delivered="no") == 0
    until(lambda: one(alertmend.url, "runs_total", rule="mark", outcome="unproved") == 1, "the run is counted")
    until(lambda: one(alertmend.url, "notifications_total", code="202") == 2, "both notifications are counted")
    until(lambda: one(alertmend.url, "notifications_total", code="400") == 1, "the refusal is counted")
    assert one(alertmend.url, "decisions_total", rule="mark", decision="run", guard="") == 1
    assert one(alertmend.url, "alert_to_start_seconds_count", rule="mark") == 1
    head = alertmend.items("audit")[0]
    [run] = alertmend.finished()
    done = {"action": "execute", "event": "done", "run": run["id"], "incident": run["incident"], "result": "unproved"}
    until(lambda: any(line.items() >= done.items() for line in alertmend.said()), "the log says what was done")
    before = counted(shown(alertmend.url))
    assert before["alertmend_ledger_head_seq", frozenset()] == head["seq"]
    assert before["alertmend_ledger_head_hash", frozenset()] == int(head["hash"][:13], 16)

    # Another process shows the same
    assert counted(shown(alertmend.start_another_web())) == before

    # When all of it was killed and started again
    alertmend.kill("intake")
    alertmend.process.send_signal(signal.SIGTERM)
    alertmend.process.wait(60)
    alertmend.start()
    assert counted(shown(alertmend.url)) == before


def test_people_who_are_called_and_not_reached_are_seen_for_as_long_as_that_is_so(processes: Processes) -> None:
    port, rule = (
        free_port(),
        "  - {name: mark, match: ['alertname=\"Down\"'], playbook: mark.yml, give_up: {escalate: oncall}}\n",
    )
    oncall = f"escalations: [{{name: oncall, steps: [{{webhook: {{url: 'http://127.0.0.1:{port}'}}}}]}}]\n"
    alertmend = Alertmend(processes, rule=rule, top=oncall)
    alertmend.write("playbooks/mark.yml", "- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.fail: {}}]}\n")
    alertmend.start()

    def unheard(url: str = alertmend.url) -> float | None:
        return one(url, "escalations_unheard", rule="mark")

    assert unheard() == 0
    http.post(alertmend.receiver, json=notification(firing("web1"), firing("web2"))).raise_for_status()
    until(lambda: unheard() == 2, "it is seen that nobody is reached")
    assert unheard(alertmend.start_another_web()) == 2
    with stub(answering(b""), port=port) as pager:
        until(lambda: unheard() == 0, "everyone is reached")
        assert len(pager.asked) == 2


def test_a_dependency_that_is_away_is_said_to_be_and_the_rest_is_shown(processes: Processes) -> None:
    port = free_port()
    redis = processes.redis(port)
    alertmend = Alertmend(processes, top=f"redis: {{url: 'redis://127.0.0.1:{port}'}}\n")
    alertmend.start()
    until(lambda: one(alertmend.url, "workers", role="runs") == 1, "both workers are seen")
    os.kill(redis.pid, signal.SIGKILL)
    redis.wait()
    assert one(alertmend.url, "dependency_up", dependency="redis") == 0
    assert one(alertmend.url, "dependency_up", dependency="database") == 1
    assert one(alertmend.url, "ledger_head_seq") == 1
    # What is not known is not said to be nothing.
    assert one(alertmend.url, "inbox_notifications") is None
    assert http.post(alertmend.receiver, json=notification(firing("web1")), timeout=30).status_code == 503
    until(lambda: one(alertmend.url, "notifications_total", code="503") == 1, "the refusal is counted")
