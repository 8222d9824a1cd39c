"""What real Alertmanagers delivered is taken, decided on and recorded, delivery by delivery."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journey.harness import Alertmend, Processes, http, until

REPOSITORY = Path(__file__).parents[2]
#: Our own recordings, and whatever lies in a folder of that kind beside the checkout.
FILES = sorted(REPOSITORY.glob("tests/data/deliveries/*.json")) + sorted(
    REPOSITORY.parent.glob("*/alertmanager/*.json")
)
DELIVERIES: list[dict[str, Any]] = [json.loads(file.read_text()) for file in FILES]

RULE = """\
  - name: watch
    match: ['host=~".+"']
    target: host
    mode: observe
    playbook: mark.yml
"""


def _alerts(delivery: dict[str, Any]) -> list[dict[str, Any]]:
    return list(json.loads(delivery["body_raw"])["alerts"])


def _post(alertmend: Alertmend, delivery: dict[str, Any]) -> httpx.Response:
    kept = {name: value for name, value in delivery["request"]["headers"] if name not in ("Host", "Content-Length")}
    return http.post(alertmend.receiver, content=delivery["body_raw"].encode(), headers=kept)


def _hosts() -> list[str]:
    found = {alert["labels"].get("host") for delivery in DELIVERIES for alert in _alerts(delivery)}
    return sorted(host for host in found if host)


def test_every_recorded_delivery_is_taken_decided_on_and_recorded(processes: Processes) -> None:
    alertmend = Alertmend(processes, hosts=_hosts(), rule=RULE)
    alertmend.start()
    open_alerts: dict[str, set[str]] = defaultdict(set)
    firing = 0
    for number, delivery in enumerate(DELIVERIES, 1):
        alerts = _alerts(delivery)
        answer = _post(alertmend, delivery)
        assert (answer.status_code, answer.json()["alerts"]) == (202, len(alerts)), delivery["case"]
        for alert in (alert for alert in alerts if "host" in alert["labels"]):
            behind = open_alerts[alert["labels"]["host"]]
            firing += alert["status"] == "firing"
            (behind.add if alert["status"] == "firing" else behind.discard)(alert["fingerprint"])

        def is_recorded(number: int = number) -> bool:
            return len(alertmend.items("audit", event="alert_received")) == number

        until(is_recorded, f"{delivery['case']} is on the record")
    decisions = alertmend.items("audit", event="decision")
    assert len(decisions) == firing
    assert {entry["body"]["decision"]["guard"] for entry in decisions} <= {"mode"}
    expected = {host for host, alerts in open_alerts.items() if alerts}
    assert {incident["target"] for incident in alertmend.items("incidents", state="open")} == expected
    resolved = alertmend.items("incidents", state="resolved")
    assert resolved
    assert {incident["resolved_by"] for incident in resolved} == {"itself"}
    assert alertmend.marks == []
    assert alertmend.get("audit/verify")["ok"]


@pytest.mark.parametrize("tokens", [("current",), ("previous", "current")])
def test_with_receiver_tokens_only_deliveries_that_carry_one_are_taken(
    processes: Processes, tokens: tuple[str, ...]
) -> None:
    # Given one token, or two while it is rotated
    for name in tokens:
        (processes.folder / name).write_text(f"token-{name}\n")
    web_config = processes.folder / "web.yml"
    web_config.write_text(f"receiver_tokens_files: [{', '.join(tokens)}]\n")
    alertmend = Alertmend(processes, hosts=_hosts(), rule=RULE, options=[f"--web.config.file={web_config}"])
    alertmend.start()
    delivery = DELIVERIES[0]
    request = {"headers": [["Content-Type", "application/json"]]}
    for name in tokens:
        bearer = [*request["headers"], ["Authorization", f"Bearer token-{name}"]]
        assert _post(alertmend, {**delivery, "request": {"headers": bearer}}).status_code == 202
    assert _post(alertmend, {**delivery, "request": request}).status_code == 401
    wrong = [*request["headers"], ["Authorization", "Bearer something-else"]]
    assert _post(alertmend, {**delivery, "request": {"headers": wrong}}).status_code == 401
    # And a token that may deliver may not read
    read = http.get(f"{alertmend.url}/api/v1/runs", headers={"Authorization": f"Bearer token-{tokens[0]}"})
    assert read.status_code == 403
