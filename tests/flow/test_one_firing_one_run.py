"""Dedupe: repeats, retries, two Alertmanagers and moved starts are one firing; after a resolve it is a new one."""

from datetime import timedelta

from tests.flow.scene import Scene, alert, rule
from tests.flow.twin import EPOCH
from webhook.core.incident import ResolvedBy
from webhook.core.run import Outcome
from webhook.core.verdict import Choice


def test_a_firing_alert_gets_one_run() -> None:
    scene = Scene()
    [decision] = scene.delivers(alert())
    assert decision.decision is Choice.RUN
    scene.work()
    assert [run.outcome for run in scene.runs] == [Outcome.UNPROVED]
    assert [job.target for job in scene.playbooks.jobs] == ["web1"]


def test_a_repeat_before_during_and_after_the_run_is_refused() -> None:
    scene = Scene()
    scene.delivers(alert())
    assert scene.delivers(alert())[0].guard == "open_incident"
    scene.work()
    assert scene.delivers(alert())[0].guard == "open_incident"
    assert len(scene.runs) == 1


def test_the_copy_of_a_second_alertmanager_is_refused() -> None:
    scene = Scene()
    scene.delivers(alert(), source="http://am1")
    [decision] = scene.delivers(alert(), source="http://am2")
    assert decision.decision is Choice.REFUSE
    assert len(scene.runs) == 1


def test_a_start_that_moved_is_the_same_firing() -> None:
    scene = Scene()
    scene.delivers(alert(starts_at=EPOCH))
    [decision] = scene.delivers(alert(starts_at=EPOCH - timedelta(minutes=3)))
    assert decision.decision is Choice.REFUSE


def test_a_firing_after_a_resolve_gets_a_new_run() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.work()
    scene.clock.advance(minutes=1)
    scene.resolves()
    scene.clock.advance(minutes=1)
    [decision] = scene.delivers(alert(starts_at=scene.clock.now))
    assert decision.decision is Choice.RUN
    assert len({run.incident for run in scene.runs}) == 2


def test_a_late_copy_of_a_firing_that_is_over_opens_nothing() -> None:
    scene = Scene()
    scene.delivers(alert(), source="http://am1")
    scene.work()
    scene.clock.advance(seconds=30)
    scene.resolves(source="http://am1")
    scene.clock.advance(seconds=5)
    [decision] = scene.delivers(alert(), source="http://am2")
    assert decision.guard == "order"
    assert all(not incident.is_open for incident in scene.incidents)


def test_a_notification_that_was_overtaken_by_its_resolve_opens_nothing() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.work()
    before = scene.clock.now
    scene.clock.advance(seconds=30)
    scene.resolves()
    assert scene.delivers(alert(), received_at=before)[0].guard == "order"


def test_two_alerts_of_one_rule_on_one_host_are_one_incident() -> None:
    scene = Scene()
    first, second = scene.delivers(alert(disk="sda"), alert(disk="sdb"))
    assert (first.decision, second.decision) == (Choice.RUN, Choice.REFUSE)
    scene.resolves(disk="sda")
    assert scene.incidents[0].is_open
    scene.work()
    scene.resolves(disk="sdb")
    assert not scene.incidents[0].is_open


def test_a_notification_that_is_taken_twice_is_decided_once() -> None:
    scene = Scene()
    id = scene.arrives(alert())
    assert scene.intake.take(id) == 1
    assert scene.intake.take(id) == 0
    assert len(scene.decisions) == 1


def test_the_first_rule_that_matches_wins_and_an_alert_stays_with_its_incident_when_rules_change() -> None:
    scene = Scene(rules=(rule("one"), rule("two")))
    scene.delivers(alert())
    scene.rules = (rule("two"), rule("one"))
    [decision] = scene.delivers(alert())
    assert decision.decision is Choice.REFUSE
    assert [run.rule for run in scene.runs] == ["one"]


def test_an_alert_that_resolves_before_its_run_starts_cancels_it_and_cleared_by_itself() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.resolves()
    scene.work()
    assert [run.outcome for run in scene.runs] == [Outcome.CANCELLED]
    assert scene.playbooks.jobs == []
    assert scene.incidents[0].resolved_by is ResolvedBy.ITSELF
