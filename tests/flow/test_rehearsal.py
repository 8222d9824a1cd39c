"""Rehearsals: the real flows on a virtual clock, with stand-ins that do as they are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.flow.scene import Scene, alert, rule
from tests.flow.twin import EPOCH
from webhook.core.audit import AuditEvent, Event
from webhook.core.escalation import AlertmanagerStep, Chain
from webhook.core.matcher import parse_matcher
from webhook.core.rule import ApprovalPolicy, GiveUp, Guards, Mode, Rule, Step
from webhook.rehearsal.scenario import Answered, Delivery, Health, Paused, Performance, Scenario
from webhook.rehearsal.stage import Stage, staged
from webhook.world import PlaybookEnd

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
RESTART = ("restart.yml", None)


def at(span: timedelta) -> datetime:
    return EPOCH + span


def firing(minutes: float, target: str = "web1", **labels: str) -> Delivery:
    return Delivery(at=at(minutes * MINUTE), alerts=(alert(target, **labels),))


def resolved(minutes: float, target: str = "web1") -> Delivery:
    when = at(minutes * MINUTE)
    return Delivery(at=when, alerts=(replace(alert(target, status="resolved"), ends_at=when),))


@contextmanager
def played(*rules: Rule, minutes: float = 60, **settings: Any) -> Iterator[Stage]:
    """A rehearsal with these rules. Chains and the ceiling go to the scene, the rest to the scenario."""
    scene = Scene(rules=rules, **{name: settings.pop(name) for name in ("chains", "ceiling") if name in settings})
    with staged(scene.rulebook(), Scenario(start=EPOCH, **settings), until=at(minutes * MINUTE)) as stage:
        yield stage


def told(stage: Stage, event: Event) -> list[tuple[timedelta, Mapping[str, Any]]]:
    """When, and what its columns and its body say."""
    return [(found.at - EPOCH, _columns(found)) for found in stage.ledger.events if found.event is event]


def _columns(event: AuditEvent) -> Mapping[str, Any]:
    return {"decision": event.decision, "outcome": event.outcome, "run": event.run, **event.body}


def outcomes(stage: Stage) -> list[tuple[timedelta, str]]:
    return [(when, columns["outcome"]) for when, columns in told(stage, Event.RUN_FINISHED)]


def decisions(stage: Stage) -> list[tuple[timedelta, str]]:
    """Those on alerts and incidents, not those just before a run."""
    found = told(stage, Event.DECISION)
    return [(when, columns["decision"]["guard"] or "run") for when, columns in found if columns["run"] is None]


def probed() -> Rule:
    found = rule(probe=True)
    assert found.probe is not None
    return replace(found, probe=replace(found.probe, period=2 * SECOND, failure_threshold=3, success_threshold=2))


def test_a_playbook_takes_its_time_and_a_probe_asks_at_its_period() -> None:
    with played(probed(), deliveries=[firing(0)], playbooks={RESTART: [Performance(takes=20 * SECOND)]}) as stage:
        (run,) = stage.ledger.runs.values()
        assert outcomes(stage) == [(26 * SECOND, "fixed")]
        assert [(answer.at - EPOCH).seconds for answer in run.probes] == [0, 2, 4, 24, 26]


def test_a_hold_comes_due_by_itself() -> None:
    cool = rule(guards=Guards(cooldown=10 * MINUTE))
    with played(cool, deliveries=[firing(0), resolved(1), firing(2)]) as stage:
        assert decisions(stage) == [(0 * MINUTE, "run"), (2 * MINUTE, "cooldown"), (10 * MINUTE, "run")]


def test_runs_on_two_hosts_overlap() -> None:
    long = {RESTART: [Performance(takes=60 * SECOND), Performance(takes=10 * SECOND)]}
    with played(rule(), deliveries=[firing(0), firing(0.5, "web2")], playbooks=long) as stage:
        assert outcomes(stage) == [(40 * SECOND, "unproved"), (60 * SECOND, "unproved")]


def test_what_happens_while_a_playbook_runs_is_decided_at_once() -> None:
    long = {RESTART: [Performance(takes=60 * SECOND)]}
    with played(rule(), deliveries=[firing(0), firing(0.5)], playbooks=long) as stage:
        assert decisions(stage) == [(0 * MINUTE, "run"), (30 * SECOND, "open_incident")]


@pytest.mark.parametrize(
    ("performance", "outcome"),
    [
        (Performance(end=PlaybookEnd.FAILED, takes=SECOND), (1 * SECOND, "failed")),
        (Performance(end=PlaybookEnd.TIMEOUT), (0 * SECOND, "failed")),
        (Performance(takes=60 * MINUTE), (5 * MINUTE, "failed")),
        (Performance(), (0 * SECOND, "unproved")),
    ],
)
def test_a_playbook_ends_as_it_is_told_or_with_its_time(
    performance: Performance, outcome: tuple[timedelta, str]
) -> None:
    with played(rule(), deliveries=[firing(0)], playbooks={RESTART: [performance]}) as stage:
        assert outcomes(stage) == [outcome]


def test_a_ladder_is_climbed() -> None:
    ladder = rule(steps=(Step(playbook="restart.yml"), Step(playbook="reboot.yml")))
    failing = {RESTART: [Performance(end=PlaybookEnd.FAILED)]}
    with played(ladder, deliveries=[firing(0)], playbooks=failing) as stage:
        assert [run.playbook for run in stage.ledger.runs.values()] == ["restart.yml", "reboot.yml"]


def test_each_run_of_a_playbook_may_end_differently() -> None:
    performances = {RESTART: [Performance(end=PlaybookEnd.FAILED), Performance()], ("x.yml", None): []}
    twice = rule(steps=(Step(playbook="restart.yml"), Step(playbook="restart.yml")))
    with played(twice, deliveries=[firing(0), firing(30, "web2")], playbooks=performances) as stage:
        assert [outcome for _, outcome in outcomes(stage)] == ["failed", "unproved", "unproved"]


def test_probes_answer_as_they_are_told_from_a_time_on_and_for_a_host() -> None:
    words = [
        Health(at=at(0 * MINUTE), healthy=False),
        Health(at=at(0 * MINUTE), healthy=True, target="web2"),
        Health(at=at(10 * MINUTE), healthy=True),
    ]
    deliveries = [firing(0), firing(0, "web2"), firing(20, "web3")]
    with played(probed(), deliveries=deliveries, probes=words, minutes=20) as stage:
        runs = {run.target: str(run.outcome) for run in stage.ledger.runs.values()}
    assert runs == {"web1": "ineffective", "web2": "not_needed", "web3": "not_needed"}


def test_without_words_on_probes_a_host_is_sick_until_it_is_mended_and_sick_again_in_its_next_incident() -> None:
    with played(probed(), deliveries=[firing(0), resolved(5), firing(10)]) as stage:
        assert [outcome for _, outcome in outcomes(stage)] == ["fixed", "fixed"]


def test_what_is_required_holds_unless_it_is_said_not_to() -> None:
    probe = rule(probe=True).probe
    assert probe is not None
    careful = rule(require=(probe,))
    with played(careful, deliveries=[firing(0)], minutes=1) as stage:
        assert outcomes(stage) == [(0 * SECOND, "unproved")]
    words = [Health(at=at(0 * MINUTE), healthy=False)]
    with played(careful, deliveries=[firing(0)], requirements=words, minutes=0.5) as stage:
        assert outcomes(stage) == [(0 * SECOND, "cancelled")]


def test_people_approve_and_reject() -> None:
    asked = rule(mode=Mode.APPROVE, approval=ApprovalPolicy(count=1, expires=30 * MINUTE))
    answers = [
        Answered(at=at(5 * MINUTE), by="alice", approves=True, target="web1"),
        Answered(at=at(6 * MINUTE), by="bob", approves=False),
    ]
    with played(asked, deliveries=[firing(0), firing(0, "web2")], answers=answers, minutes=10) as stage:
        assert outcomes(stage) == [(5 * MINUTE, "unproved"), (6 * MINUTE, "rejected")]


def test_a_pause_holds_until_it_is_over() -> None:
    pause = Paused(at=at(0 * MINUTE), lasts=20 * MINUTE, matchers=(parse_matcher("instance=web1"),))
    with played(rule(), deliveries=[firing(1), firing(1, "web2")], pauses=[pause]) as stage:
        assert decisions(stage) == [(1 * MINUTE, "pause"), (1 * MINUTE, "run"), (20 * MINUTE, "run")]


def test_people_are_called_when_all_has_failed() -> None:
    chain = Chain(name="oncall", steps=(AlertmanagerStep(),))
    failing = {RESTART: [Performance(end=PlaybookEnd.FAILED)]}
    last = rule(give_up=GiveUp(escalate="oncall"))
    with played(last, deliveries=[firing(0)], playbooks=failing, chains={"oncall": chain}) as stage:
        called = [columns["escalation"] for _, columns in told(stage, Event.ESCALATED)]
    assert set(called) == {"oncall"}


def test_a_rehearsal_may_end_while_something_runs() -> None:
    long = {RESTART: [Performance(takes=60 * MINUTE)]}
    slow = rule(steps=(Step(playbook="restart.yml", timeout=90 * MINUTE),))
    with played(slow, deliveries=[firing(0)], playbooks=long, minutes=5) as stage:
        assert outcomes(stage) == [] and stage.timeline() == at(5 * MINUTE)


def test_a_week_is_rehearsed_in_a_moment_and_the_same_each_time() -> None:
    cool = rule(guards=Guards(cooldown=10 * MINUTE))
    deliveries = [found for hour in range(168) for found in (firing(60 * hour), resolved(60 * hour + 30))]
    seen = []
    for _ in range(2):
        with played(cool, deliveries=deliveries, minutes=168 * 60) as stage:
            seen.append([(event.at, event.event, event.run) for event in stage.ledger.events])
    assert seen[0] == seen[1]
    assert sum(event is Event.RUN_FINISHED for _, event, _ in seen[0]) == 168
