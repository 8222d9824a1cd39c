"""What would be decided, said over HTTP: from the state as it is, and with nothing done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.flow.scene import Scene, alert
from tests.web.conftest import Client
from webhook.core.alert import fingerprint_of
from webhook.edge.webconfig import WebConfig

LABELS = {"alertname": "Down", "instance": "web1"}


def test_an_alert_is_explained_from_the_live_state(client: Client, scene: Scene) -> None:
    found = client.post("/api/v1/explain", json={"labels": LABELS}).json()
    assert (found["rule"], found["target"], found["playbook"]) == ("restart-web", "web1", "restart.yml")
    assert (found["decision"], found["guard"]) == ("run", None) and len(found["checks"]) > 20
    scene.delivers(replace(alert(), fingerprint=fingerprint_of(alert().labels)))
    found = client.post("/api/v1/explain", json={"labels": dict(alert().labels)}).json()
    assert (found["decision"], found["guard"]) == ("refuse", "open_incident")


def test_nothing_is_done_and_nothing_remembered(client: Client, scene: Scene) -> None:
    before = scene.store.revision, len(scene.ledger.entries), scene.store.records.copy()
    client.post("/api/v1/explain", json={"labels": LABELS})
    assert (scene.store.revision, len(scene.ledger.entries), scene.store.records) == before
    assert scene.runs == [] and scene.store.rung == []


def test_an_alert_that_no_rule_takes_says_why(client: Client) -> None:
    found = client.post("/api/v1/explain", json={"labels": {"alertname": "Up"}}).json()
    assert (found["rule"], found["decision"], found["checks"]) == (None, None, [])
    assert found["passed_by"] == {"restart-web": ['alertname="Down"']}
    own = client.post("/api/v1/explain", json={"labels": {**LABELS, "alertmend": "escalation"}}).json()
    assert (own["decision"], own["reason"]) == (None, "it is an alert of alertmend's own")


@pytest.mark.parametrize(
    "body",
    [{}, {"labels": []}, {"labels": {"a": 1}}, {"labels": {}, "annotations": "x"}, {"labels": {}, "more": 1}, []],
)
def test_what_is_no_alert_is_a_400(client: Client, body: object) -> None:
    answer = client.post("/api/v1/explain", json=body)
    assert answer.status_code == 400 and answer.json()["error"]


@pytest.mark.parametrize(
    "labels", [{"alertname": "\ud800"}, {"": ""}, {"alertname": "Down", "instance": "\x00" * 9999}]
)
def test_hostile_labels_break_nothing(client: Client, labels: dict[str, str]) -> None:
    body = json.dumps({"labels": labels}).encode()
    assert client.post("/api/v1/explain", content=body).status_code == 200


def test_a_stranger_is_told_nothing(client_with: Callable[[WebConfig], Client]) -> None:
    client = client_with(WebConfig(users={"a": "b"}))
    assert client.post("/api/v1/explain", json={"labels": LABELS}).status_code == 401
    assert client.get("/api/v1/explain").status_code == 405
