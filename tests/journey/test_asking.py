"""What only Alertmanager knows: silences, inhibitions, tails that were cut off; and what it is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from tests.journey.harness import Alertmend, Processes, free_port, http, post_alerts, until

HELD = """\
  - name: mark
    match: ['alertname="Down"']
    for: 10s
    playbook: mark.yml
"""
FAILING = """\
  - name: fails
    match: ['alertname="Down"']
    playbook: fails.yml
"""
SLOW = """\
  - name: slow
    match: ['alertname="Down"']
    playbook: slow.yml
    timeout: 5m
    guards: {cooldown: 1h}
"""


def started(processes: Processes, *, rule: str = "", top: str = "", **alertmanager: Any) -> tuple[Alertmend, str]:
    """An alertmend, and the Alertmanager that it is configured with and that delivers to it."""
    port = free_port()
    url = processes.alertmanager("am", f"http://127.0.0.1:{port}/api/v1/alertmanager", **alertmanager)
    top = f"alertmanagers: [{{url: '{url}'}}]\nreconcile_interval: 1s\n{top}"
    alertmend = Alertmend(processes, rule=rule, top=top, port=port)
    alertmend.write("playbooks/fails.yml", "- hosts: all\n  gather_facts: false\n  tasks: [ansible.builtin.fail: {}]\n")
    marks = alertmend.folder / "marks"
    alertmend.write(
        "playbooks/slow.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        f"    - ansible.builtin.shell: {{cmd: 'echo begun >> {marks}; sleep 60; echo ended >> {marks}'}}\n",
    )
    alertmend.start()
    return alertmend, url


def silence(alertmanager: str, instance: str) -> str:
    now = datetime.now(UTC)
    asked = {
        "matchers": [{"name": "instance", "value": instance, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "alice",
        "comment": "a release",
    }
    return str(http.post(f"{alertmanager}/api/v2/silences", json=asked).raise_for_status().json()["silenceID"])


def decisions(alertmend: Alertmend) -> list[dict[str, Any]]:
    return [entry["body"]["decision"] for entry in alertmend.items("audit", event="decision")]


def told(alertmanager: str) -> list[dict[str, str]]:
    """The labels of the alerts that people get about alertmend."""
    found = http.get(f"{alertmanager}/api/v2/alerts", params={"filter": 'alertname="RemediationFailed"'}).json()
    return [alert["labels"] for alert in found]


def test_a_silenced_alert_is_not_acted_on_and_its_silent_resolve_is_noticed(processes: Processes) -> None:
    alertmend, alertmanager = started(processes, rule=HELD)
    post_alerts(alertmanager, "web1")
    until(lambda: alertmend.items("incidents"), "the alert was delivered")
    silenced = silence(alertmanager, "web1")
    until(lambda: any(d["guard"] == "fires" for d in decisions(alertmend)), "it is not acted on")
    [found] = {d["reason"] for d in decisions(alertmend) if d["guard"] == "fires"}
    assert f"silence {silenced}" in found
    assert alertmend.marks == []
    # Alertmanager never tells of a resolve under a silence.
    post_alerts(alertmanager, "web1", firing=False)
    [incident] = until(lambda: alertmend.items("incidents", state="resolved"), "its resolve was noticed")
    assert incident["resolved_by"] == "itself"
    assert alertmend.items("audit", event="alert_received")[0]["actor"] == "reconciliation"


def test_an_inhibited_alert_is_not_acted_on(processes: Processes) -> None:
    inhibit = "inhibit_rules: [{source_matchers: [alertname=Outage], target_matchers: [alertname=Down]}]\n"
    alertmend, alertmanager = started(processes, rule=HELD, more=inhibit)
    post_alerts(alertmanager, "web1")
    until(lambda: alertmend.items("incidents"), "the alert was delivered")
    http.post(f"{alertmanager}/api/v2/alerts", json=[{"labels": {"alertname": "Outage"}}]).raise_for_status()
    until(lambda: any(d["guard"] == "fires" for d in decisions(alertmend)), "it is not acted on")
    assert any("inhibited by" in d["reason"] for d in decisions(alertmend))
    assert alertmend.marks == []


def test_the_tail_that_max_alerts_cut_off_is_acted_on_too(processes: Processes) -> None:
    alertmend, alertmanager = started(processes, group_by="alertname", max_alerts=1)
    post_alerts(alertmanager, "web1", "web2", "web3")
    until(lambda: sorted(alertmend.marks) == ["web1", "web2", "web3"], "all three were acted on")
    received = [entry["body"] for entry in alertmend.items("audit", event="alert_received")]
    assert any(body["truncated"] for body in received)


def test_an_escalation_arrives_in_alertmanager_and_ends_with_the_incident(processes: Processes) -> None:
    alertmend, alertmanager = started(processes, rule=FAILING)
    post_alerts(alertmanager, "web1", team="shop")
    [labels] = until(lambda: told(alertmanager), "people were told")
    assert {name: labels[name] for name in ("failed_alertname", "instance", "team", "rule", "target", "outcome")} == {
        "failed_alertname": "Down",
        "instance": "web1",
        "team": "shop",
        "rule": "fails",
        "target": "web1",
        "outcome": "failed",
    }
    # What people get about alertmend comes to alertmend too, and no rule takes it.
    until(
        lambda: any(e["alertname"] == "RemediationFailed" for e in alertmend.items("audit", event="alert_received")),
        "the alert about itself came back",
    )
    assert {entry["alertname"] for entry in alertmend.items("audit", event="decision")} == {"Down"}
    post_alerts(alertmanager, "web1", team="shop", firing=False)
    until(lambda: not told(alertmanager), "the alert has resolved")
    [incident] = alertmend.items("incidents")
    assert incident["handed_over"].startswith("its attempts are used up")


def test_redis_emptied_under_a_run_loses_no_history_and_doubles_nothing(processes: Processes) -> None:
    port = free_port()
    processes.redis(port)
    alertmend, alertmanager = started(processes, rule=SLOW, top=f"redis: {{url: 'redis://127.0.0.1:{port}/0'}}\n")
    post_alerts(alertmanager, "web1")
    until(lambda: alertmend.marks == ["begun"], "the playbook is under way")
    with redis.Redis(port=port) as client:
        client.flushall()
    [run] = until(alertmend.finished, "its end is on the record")
    assert (run["outcome"], run["reason"]) == ("lost", "the state in Redis was lost while it was under way")
    [labels] = until(lambda: told(alertmanager), "people were told")
    assert labels["outcome"] == "lost"
    # Alertmanager delivers it again, and the incident goes on as it was: its attempt is used up.
    http.post(alertmend.receiver, json=_again(alertmanager)).raise_for_status()
    until(lambda: decisions(alertmend)[0]["decision"] == "refuse", "it was decided again")
    assert alertmend.marks == ["begun"]
    [incident] = alertmend.items("incidents")
    assert incident["runs"] == [run["id"]]
    assert alertmend.verify().returncode == 0


def _again(alertmanager: str) -> dict[str, Any]:
    [known] = http.get(f"{alertmanager}/api/v2/alerts", params={"filter": 'alertname="Down"'}).json()
    names = ("labels", "annotations", "startsAt", "fingerprint")
    alert = {**{name: known[name] for name in names}, "status": "firing", "endsAt": "0001-01-01T00:00:00Z"}
    return {"version": "4", "receiver": "alertmend", "externalURL": alertmanager, "alerts": [alert]}
