"""`alertmend explain`: which rule takes an alert, what each guard says; without a server, and nothing is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.flow.scene import rule
from tests.flow.test_replay import TWICE, rulebook
from tests.flow.twin import EPOCH
from webhook.core.audit import AuditEvent, Event
from webhook.core.rule import Guards
from webhook.edge.ledger import SqlLedger
from webhook.edge.revision import write_rules
from webhook.ports import Batch
from webhook.rehearsal.scenario import Scenario
from webhook.rehearsal.stage import staged

Alertmend = Callable[..., Result]


@pytest.fixture
def explain(alertmend: Alertmend, site: Path) -> Alertmend:
    return lambda *words: alertmend("explain", *words, f"--config.file={site}/alertmend.yml")


def test_what_would_run_is_a_0_with_every_guards_answer(explain: Alertmend) -> None:
    found = explain("alertname=Down", "instance=web1:9100", "port=80")
    assert found.status == 0
    assert "rule restart-web: matches" in found.out
    assert "target: web1\n" in found.out
    assert found.out.count("\n  pass ") > 10
    assert found.out.endswith("decision: run: restart.yml on web1; every guard passes\n")


@pytest.mark.parametrize(
    ("labels", "guard", "words"),
    [
        (["instance=web3", "port=80"], "target", "did you mean"),
        (["instance=all", "port=80"], "target", "names many hosts"),
        (["instance=web1"], "labels", "$labels.port"),
        (["port=80"], "target", 'has no label "instance"'),
    ],
)
def test_what_would_be_refused_is_a_1_with_the_reason(
    explain: Alertmend, labels: list[str], guard: str, words: str
) -> None:
    found = explain("alertname=Down", *labels)
    assert found.status == 1
    assert f"decision: refuse ({guard})" in found.out
    assert words in found.out


def test_an_alert_that_no_rule_takes_is_told_which_matchers_failed(explain: Alertmend) -> None:
    found = explain("alertname=Up")
    assert found.status == 1
    assert 'rule restart-web: does not match: alertname="Down"' in found.out
    assert "no rule takes this alert: nothing would be done" in found.out


def test_the_same_as_json(explain: Alertmend) -> None:
    found = json.loads(explain("alertname=Down", "instance=web1", "port=80", "--output=json").out)
    assert (found["rule"], found["target"], found["decision"], found["guard"]) == ("restart-web", "web1", "run", None)
    assert {"guard", "verdict", "reason"} <= found["checks"][0].keys()
    missed = json.loads(explain("alertname=Up", "--output=json").out)
    assert (missed["rule"], missed["decision"]) == (None, None)


def test_a_value_may_hold_an_equals_sign_and_any_character(explain: Alertmend) -> None:
    found = explain("alertname=Down", "instance=web1", "port=a=b\x1b[2J{{ x }}")
    assert found.status == 0
    assert "\x1b" not in found.out


def test_a_broken_configuration_is_a_2_with_its_problems(explain: Alertmend, site: Path) -> None:
    (site / "rules/web.yml").write_text("rules: []\nruls: 1\n")
    found = explain("alertname=Down")
    assert (found.status, found.out) == (2, "")
    assert f"{site}/rules/web.yml:2:1" in found.err


# ---------------------------------------------------------------------------------------------------------------------
# Notifications, live state, the record


BODY = {
    "version": "4",
    "alerts": [
        {
            "status": status,
            "labels": {"alertname": "Down", "instance": instance, "port": "80"},
            "startsAt": "2026-01-31T12:00:00Z",
            "fingerprint": instance,
        }
        for status, instance in (("firing", "web1"), ("resolved", "web2"), ("firing", "web9"))
    ],
}


def test_every_alert_that_fires_in_a_notification_is_explained(explain: Alertmend, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps(BODY))
    found = explain(f"--payload={file}")
    assert found.status == 1
    assert "\ndecision: run: restart.yml on web1;" in found.out and "\ndecision: refuse (target);" in found.out
    assert [line for line in found.out.splitlines() if line.startswith("alertname")] == [
        'alertname="Down", instance="web1", port="80"',
        'alertname="Down", instance="web9", port="80"',
    ]
    rows = json.loads(explain(f"--payload={file}", "--output=json").out)
    assert [row["decision"] for row in rows] == ["run", "refuse"]


@pytest.mark.parametrize(
    ("body", "words"), [("{}", "webhook"), ('{"version": "4", "alerts": []}', "no alert fires in")]
)
def test_a_file_that_holds_no_alert_is_told(explain: Alertmend, tmp_path: Path, body: str, words: str) -> None:
    file = tmp_path / "body.json"
    file.write_text(body)
    found = explain(f"--payload={file}")
    assert found.status == 2 and words in found.err


@pytest.mark.parametrize("words", [[], ["alertname=Down", "--entry=1"], ["--entry=0"]])
def test_one_thing_is_explained_at_a_time(explain: Alertmend, words: list[str]) -> None:
    assert explain(*words).status == 2


def test_a_server_decides_from_what_it_remembers(alertmend: Alertmend, serving: Callable[..., str]) -> None:
    found = alertmend("explain", "alertname=Down", "instance=web1", f"--server.url={serving()}")
    assert found.status == 0
    assert "rule restart-web: matches" in found.out
    assert found.out.endswith("decision: run: restart.yml on web1; every guard passes\n")


def rehearse(ledger: SqlLedger, *, changed: bool = False, forgotten: bool = False) -> int:
    """A decision on the record, with the rules that it was made by; the seq of its entry."""
    cool = replace(rule(), guards=Guards(cooldown=timedelta(minutes=10)))
    rules = rulebook(cool)
    named = write_rules(rules.rules, rules.policy)
    rules = replace(rules, revision="r1")
    body = {"revision": rules.revision, "rulebook": named}
    with staged(rules, Scenario(start=EPOCH, deliveries=TWICE), until=EPOCH + timedelta(minutes=5)) as stage:
        events = [event for event in stage.ledger.events if event.event is Event.DECISION]
    held = next(event for event in events if event.decision == "hold")
    if changed:
        told = {**held.body["decision"], "reason": "because", "checks": []}  # type: ignore[dict-item]
        held = replace(held, body={**held.body, "decision": told})
    found = [] if forgotten else [AuditEvent(at=EPOCH, event=Event.RELOAD, body=body)]
    ledger.append(Batch(id="rehearsed", at=EPOCH, events=(*found, held)))
    return 6 + len(found)


def test_a_decision_on_the_record_is_made_again_from_the_record(
    alertmend: Alertmend, ledger: SqlLedger, tmp_path: Path, serving: Callable[..., str]
) -> None:
    seq = rehearse(ledger)
    record = ["--config.file=/nowhere.yml", f"--storage.path={tmp_path}/data"]
    found = alertmend("explain", f"--entry={seq}", *record)
    assert found.status == 0
    assert "hold    cooldown               last run ended 2m ago; free in 8m" in found.out
    assert found.out.endswith(
        "recorded: hold (cooldown); last run ended 2m ago; free in 8m\ndecided again from the record: the same\n"
    )
    assert alertmend("explain", f"--entry={seq}", f"--server.url={serving()}").out == found.out
    told = json.loads(alertmend("explain", f"--entry={seq}", *record, "--output=json").out)
    assert told["agrees"] and told["recorded"] == told["again"]


def test_where_the_two_differ_is_said(alertmend: Alertmend, ledger: SqlLedger, tmp_path: Path) -> None:
    seq = rehearse(ledger, changed=True)
    found = alertmend("explain", f"--entry={seq}", "--config.file=/nowhere.yml", f"--storage.path={tmp_path}/data")
    assert found.status == 1
    assert "decided again from the record: not the same\n  reason: recorded because, decided" in found.out
    assert "  guard cooldown: not on the record, decided again hold (last run ended 2m ago" in found.out


@pytest.mark.parametrize(
    ("seq", "words"),
    [(1, "the rules of revision unknown"), (6, "are not on the record"), (99, "there is no audit entry '99'")],
)
def test_what_cannot_be_made_again_is_told(
    alertmend: Alertmend, ledger: SqlLedger, tmp_path: Path, seq: int, words: str
) -> None:
    rehearse(ledger, forgotten=True)
    found = alertmend("explain", f"--entry={seq}", "--config.file=/nowhere.yml", f"--storage.path={tmp_path}/data")
    assert found.status == 1 and words in found.err
