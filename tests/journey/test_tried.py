"""What was decided in earnest is decided again from the record, and again by a replay of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from tests.journey.harness import Alertmend, Processes, firing, http, notification, until

RULE = """\
  - name: mark
    match: ['alertname="Down"']
    playbook: mark.yml
    guards: {cooldown: COOLDOWN, concurrency: 1, rate_limit: 3/1h}
"""


@dataclass
class Cli:
    alertmend: Alertmend

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "webhook.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.alertmend.folder)


def _deliver(alertmend: Alertmend, *instances: str, status: str = "firing", **labels: str) -> None:
    alerts = [{**firing(name, **labels), "status": status} for name in instances]
    http.post(alertmend.receiver, json=notification(*alerts)).raise_for_status()


def _rule(alertmend: Alertmend, cooldown: str, more: str = "") -> None:
    alertmend.write("rules/rules.yml", f"rules:\n{RULE.replace('COOLDOWN', cooldown)}{more}")


def test_every_decision_is_made_again_and_a_replay_finds_what_other_rules_would_change(processes: Processes) -> None:
    alertmend = Alertmend(processes, rule=RULE.replace("COOLDOWN", "2s"))
    alertmend.start()
    cli, server = Cli(alertmend), f"--server.url={alertmend.url}"
    _deliver(alertmend, "web1", "web2", "nobody")
    until(lambda: len(alertmend.finished()) == 2, "both hosts were acted on")
    _deliver(alertmend, "web1", status="resolved")
    _deliver(alertmend, "web1")
    until(lambda: len(alertmend.finished()) == 3, "the hold came due by itself")
    http.post(alertmend.receiver, json=notification({**firing("web3"), "labels": {"alertname": "Up"}}))
    until(lambda: len(alertmend.items("audit", event="alert_received")) == 4, "all of it was decided on")

    decisions = alertmend.items("audit", event="decision")
    assert {entry["decision"] for entry in decisions} == {"run", "hold", "refuse"}
    for entry in decisions:
        found = cli("explain", f"--entry={entry['seq']}", server)
        assert found.returncode == 0, found.stdout + found.stderr
    explained = cli("explain", "alertname=Down", "instance=web2", server)
    assert explained.returncode == 1 and "decision: refuse (open_incident)" in explained.stdout

    (alertmend.folder / "export.jsonl").write_text(cli("audit", "export", server).stdout)
    assert _replayed(cli) == []
    _rule(alertmend, "1h")
    assert _replayed(cli) == [("removed", "web1")]
    _rule(alertmend, "2s", "  - {name: up, match: ['alertname=\"Up\"'], playbook: mark.yml, target: host}\n")
    assert _replayed(cli) == []
    alertmend.write("alertmend.yml", "mode: observe\n" + (alertmend.folder / "alertmend.yml").read_text())
    assert _replayed(cli) == [("removed", "web1"), ("removed", "web2"), ("removed", "web1")]


def _replayed(cli: Cli) -> list[tuple[str, str]]:
    found = cli("replay", "export.jsonl", "--config.file=alertmend.yml", "--output=json")
    assert found.returncode == 0, found.stderr
    return [(row["change"], (row["before"] or row["now"])["target"]) for row in json.loads(found.stdout)]
