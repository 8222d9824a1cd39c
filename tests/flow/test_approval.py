"""Asking people first: a plan, its approvals, its end."""

from datetime import timedelta

import pytest

from tests.flow.scene import Scene, alert, rule
from webhook.core.audit import Event
from webhook.core.rule import ApprovalPolicy, Guards, Mode, Step
from webhook.core.run import Outcome, RunState
from webhook.core.verdict import Choice
from webhook.errors import StateConflict
from webhook.ports import Errand


def scene_with(count: int = 1, **settings: object) -> Scene:
    settings.setdefault("mode", Mode.APPROVE)
    return Scene(rules=(rule(approval=ApprovalPolicy(count=count, expires=timedelta(minutes=15)), **settings),))


def test_a_plan_is_held_for_people_and_claims_nothing() -> None:
    scene = scene_with()
    [decision] = scene.delivers(alert())
    assert (decision.decision, decision.guard) == (Choice.HOLD, "approval")
    [run] = scene.runs
    assert run.state is RunState.AWAITING_APPROVAL
    assert scene.take_rung(Errand.EXECUTE) == []
    assert scene.store.records["pair", run.pair].starts == ()
    assert ("target", "web1") not in scene.store.records


def test_the_plan_shows_what_check_mode_says() -> None:
    scene = scene_with(steps=(Step(playbook="restart.yml", vars={"port": "$labels.port"}),))
    scene.delivers(alert(port="80"))
    scene.plan()
    [job] = scene.playbooks.jobs
    assert job.check
    [run] = scene.runs
    assert run.plan is not None
    assert run.plan.vars == {"port": "80"}
    assert run.plan.summary == "in check mode: 1 task changed"


def test_an_approval_is_decided_on_and_runs() -> None:
    scene = scene_with()
    scene.delivers(alert())
    scene.approves("alice")
    scene.work()
    [run] = scene.runs
    assert run.outcome is Outcome.UNPROVED
    assert [word.by for word in run.approvals] == ["alice"]
    said = [(event.actor, event.body.get("said")) for event in scene.ledger.events if event.event is Event.APPROVAL]
    assert ("alice", "approve") in said


def test_one_person_is_one_approval() -> None:
    scene = scene_with(count=2)
    scene.delivers(alert())
    scene.approves("alice")
    scene.approves("alice")
    assert scene.runs[0].state is RunState.AWAITING_APPROVAL
    scene.approves("bob")
    scene.work()
    assert scene.runs[0].outcome is Outcome.UNPROVED


def test_an_approval_passes_through_all_guards_again() -> None:
    scene = scene_with()
    scene.delivers(alert())
    scene.pauses("a release", minutes=5)
    scene.approves("alice")
    assert scene.decisions[-1].guard == "pause"
    assert scene.playbooks.jobs == []
    scene.clock.advance(minutes=5)
    scene.keep_up()
    scene.work()
    assert scene.runs[0].outcome is Outcome.UNPROVED


def test_a_rejection_is_a_persons_and_is_not_asked_again_for_this_firing() -> None:
    scene = scene_with()
    scene.delivers(alert())
    scene.rejects("bob")
    [run] = scene.runs
    assert (run.outcome, run.reason) == (Outcome.REJECTED, "rejected by bob: no")
    assert scene.delivers(alert())[0].reason.endswith("by bob; a person has it")
    scene.resolves()
    assert scene.delivers(alert())[0].guard == "approval"


def test_what_nobody_approves_in_time_expires_and_people_are_called() -> None:
    scene = scene_with()
    scene.delivers(alert())
    scene.clock.advance(minutes=15)
    scene.keep_up()
    [run] = scene.runs
    assert (run.outcome, run.reason) == (Outcome.REJECTED, "it was not approved within 15m")
    assert scene.incidents[0].handed_over == run.reason
    with pytest.raises(StateConflict):
        scene.approves("alice", run=run.id)


def test_a_plan_whose_alert_resolves_is_cancelled() -> None:
    scene = scene_with()
    scene.delivers(alert())
    scene.resolves()
    assert scene.runs[0].outcome is Outcome.CANCELLED
    assert scene.incidents[0].resolved_at is not None


def test_a_rung_of_the_ladder_may_ask_where_the_first_did_not() -> None:
    steps = (Step(playbook="restart.yml"), Step(playbook="reboot.yml", mode=Mode.APPROVE))
    scene = scene_with(steps=steps, mode=Mode.AUTO, probe=True)
    scene.world.answers = lambda: False
    scene.delivers(alert())
    scene.work()
    scene.keep_up()
    assert [run.state for run in scene.runs] == [RunState.FINISHED, RunState.AWAITING_APPROVAL]
    assert scene.runs[1].playbook == "reboot.yml"


def test_the_ceiling_asks_for_rules_that_would_not() -> None:
    scene = scene_with(mode=Mode.AUTO)
    scene.ceiling = Mode.APPROVE
    assert scene.delivers(alert())[0].guard == "approval"


def test_nobody_is_asked_for_what_would_not_run_anyway() -> None:
    scene = scene_with(guards=Guards(cooldown=timedelta(hours=1)))
    scene.delivers(alert())
    scene.approves("alice")
    scene.work()
    scene.resolves()
    [decision] = scene.delivers(alert())
    assert decision.guard == "cooldown"
    assert len(scene.runs) == 1
