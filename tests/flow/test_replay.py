"""What was delivered, through other rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flow.scene import Scene, alert, rule
from tests.flow.twin import EPOCH
from webhook.core.audit import timestamp
from webhook.core.matcher import parse_matcher
from webhook.core.rule import ApprovalPolicy, Breaker, Guards, Mode, RateLimit, Rule, Step
from webhook.core.rulebook import Rulebook
from webhook.errors import ConfigError
from webhook.rehearsal.export import read_export
from webhook.rehearsal.replay import ChangedRun, replay
from webhook.rehearsal.scenario import Answered, Delivery, Paused, Performance, Scenario
from webhook.rehearsal.stage import staged
from webhook.world import PlaybookEnd

MINUTE = timedelta(minutes=1)
RESTART = ("restart.yml", None)


def at(minutes: float) -> datetime:
    return EPOCH + minutes * MINUTE


def firing(minutes: float, target: str = "web1", **labels: str) -> Delivery:
    return Delivery(at=at(minutes), alerts=(alert(target, **labels),))


def resolved(minutes: float, target: str = "web1", **labels: str) -> Delivery:
    gone = replace(alert(target, status="resolved", **labels), ends_at=at(minutes))
    return Delivery(at=at(minutes), alerts=(gone,))


def rulebook(*rules: Rule, ceiling: Mode = Mode.AUTO) -> Rulebook:
    return Scene(rules=rules, ceiling=ceiling).rulebook()


def export(folder: Path, rules: Rulebook, *, minutes: float = 120, **scenario: Any) -> Path:
    """What the audit log would say, as `alertmend audit export` writes it."""
    with staged(rules, Scenario(start=EPOCH, **scenario), until=at(minutes)) as stage:
        entries = [{**asdict(event), "at": timestamp(event.at)} for event in stage.ledger.events]
    file = folder / "export.jsonl"
    file.write_text("".join(json.dumps({"seq": seq, **entry}) + "\n" for seq, entry in enumerate(entries, 1)))
    return file


def changes(file: Path, rules: Rulebook) -> list[str]:
    return [_told(change) for change in replay(read_export(file), rules)]


def _told(change: ChangedRun) -> str:
    run, instead = change.run, change.instead
    minutes = (run.at - EPOCH) / MINUTE
    word = f"{instead.decision} {instead.guard}".strip() if instead else "no rule"
    return f"{'+' if change.is_added else '-'} {minutes:g} {run.rule} {run.target}: {word}"


COOL = rule(guards=Guards(cooldown=10 * MINUTE))
TWICE: Sequence[Delivery] = [firing(0), resolved(1), firing(2)]


def test_the_same_rules_change_nothing(tmp_path: Path) -> None:
    file = export(tmp_path, rulebook(COOL), deliveries=TWICE)
    assert changes(file, rulebook(COOL)) == []


def test_what_came_while_the_one_before_was_still_decided_on_comes_after_it(tmp_path: Path) -> None:
    file = export(tmp_path, rulebook(COOL), deliveries=[firing(0), resolved(15), firing(15.001)])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    late = timestamp(at(15.002))
    # As a worker that is busy leaves it: received in time, decided on later
    for line in lines:
        if line["at"] in (timestamp(at(15)), timestamp(at(15.001))):
            line["at"] = late
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert changes(file, rulebook(COOL)) == []


def test_a_hold_that_came_due_just_before_the_end_is_no_run_that_is_missing(tmp_path: Path) -> None:
    file = export(tmp_path, rulebook(COOL), deliveries=TWICE, playbooks={RESTART: [Performance(takes=MINUTE / 2)]})
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    last = max(number for number, line in enumerate(lines) if line["decision"] == "run" and line["run"] is None)
    lines = lines[: last + 1]
    # What decided took its time in earnest
    lines[last]["at"] = timestamp(datetime.fromisoformat(lines[last]["at"]) - timedelta(seconds=1))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert changes(file, rulebook(COOL)) == []


def test_a_longer_cooldown_takes_a_run_to_a_later_time(tmp_path: Path) -> None:
    file = export(tmp_path, rulebook(COOL), deliveries=[*TWICE, firing(40, "web2")])
    longer = rulebook(rule(guards=Guards(cooldown=30 * MINUTE)))
    assert changes(file, longer) == ["- 10 restart-web web1: hold cooldown", "+ 30 restart-web web1: run"]


def test_a_rule_that_observes_removes_its_runs(tmp_path: Path) -> None:
    file = export(tmp_path, rulebook(COOL), deliveries=TWICE)
    observing = rulebook(COOL, ceiling=Mode.OBSERVE)
    assert changes(file, observing) == ["- 0 restart-web web1: refuse mode", "- 10 restart-web web1: refuse mode"]


def test_an_alert_that_no_rule_took_is_on_the_record_for_rules_to_come(tmp_path: Path) -> None:
    deliveries = [firing(0, name="Other"), resolved(1, name="Other"), firing(2, name="Other")]
    file = export(tmp_path, rulebook(COOL), deliveries=deliveries)
    more = rulebook(COOL, rule("other", match='alertname="Other"'))
    assert changes(file, more) == ["+ 0 other web1: no rule", "+ 2 other web1: no rule"]


def test_another_rule_that_takes_the_alert_first_is_named(tmp_path: Path) -> None:
    file = export(tmp_path, rulebook(COOL), deliveries=[firing(0)])
    first = rulebook(rule("first", mode=Mode.OBSERVE), COOL)
    (change,) = replay(read_export(file), first)
    assert change.instead is not None and change.instead.rule == "first"


def test_playbooks_end_as_they_did(tmp_path: Path) -> None:
    failing = {RESTART: [Performance(end=PlaybookEnd.FAILED, takes=3 * MINUTE), Performance(takes=MINUTE)]}
    ladder = rule(steps=(Step(playbook="restart.yml"), Step(playbook="restart.yml")), guards=Guards(cooldown=MINUTE))
    file = export(tmp_path, rulebook(ladder), deliveries=[firing(0)], playbooks=failing)
    assert changes(file, rulebook(ladder)) == []
    shorter = rulebook(replace(ladder, steps=ladder.steps[:1]))
    assert changes(file, shorter) == ["- 4 restart-web web1: run"]


def test_what_people_said_is_said_again(tmp_path: Path) -> None:
    asked = rule(mode=Mode.APPROVE, approval=ApprovalPolicy(expires=30 * MINUTE))
    pauses = [Paused(at=at(0), lasts=20 * MINUTE, matchers=(parse_matcher("instance=web2"),))]
    answers = [Answered(at=at(5), by="alice", approves=True), Answered(at=at(25), by="bob", approves=False)]
    file = export(tmp_path, rulebook(asked), deliveries=[firing(1), firing(1, "web2")], pauses=pauses, answers=answers)
    assert changes(file, rulebook(asked)) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ":0:0: there are no entries in it"),
        ("nonsense\n", ":1:1: this is no audit entry: "),
        ('{"at": "2026-01-31T12:00:00Z"}\n', ":1:1: this is no audit entry: 'event'"),
        ('{"at": "now", "event": "decision", "body": {}}\n', ":1:1: this is no audit entry: "),
        ('{"at": "2026-01-31T12:00:00Z", "event": "lunch", "body": {}}\n', ":1:1: this is no audit entry: "),
        ("[1]\n", ":1:1: this is no audit entry: "),
    ],
)
def test_what_is_no_export_is_told_with_its_line(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_export(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_export(tmp_path / "gone.jsonl")


performances = st.builds(
    Performance,
    end=st.sampled_from([PlaybookEnd.OK, PlaybookEnd.FAILED]),
    takes=st.integers(0, 4).map(lambda minutes: minutes * MINUTE),
)
guards = st.builds(
    Guards,
    cooldown=st.sampled_from([timedelta(0), 7 * MINUTE]),
    rate_limit=st.sampled_from([None, RateLimit(count=1, per=15 * MINUTE)]),
    breaker=st.sampled_from([None, Breaker(failures=2, window=30 * MINUTE, open_for=10 * MINUTE)]),
    concurrency=st.sampled_from([None, 1]),
)
rules = st.builds(
    lambda guards, steps: rule(guards=guards, steps=(Step(playbook="restart.yml"),) * steps), guards, st.integers(1, 2)
)
deliveries = st.lists(
    st.builds(
        lambda minutes, target, fires: firing(minutes, target) if fires else resolved(minutes, target),
        st.integers(0, 60),
        st.sampled_from(["web1", "web2"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(deliveries=deliveries, only=rules, played=st.lists(performances, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happened_the_same_rules_change_nothing(
    tmp_path: Path, deliveries: list[Delivery], only: Rule, played: list[Performance]
) -> None:
    file = export(tmp_path, rulebook(only), deliveries=deliveries, playbooks={RESTART: played})
    if file.read_text():
        assert changes(file, rulebook(only)) == []
