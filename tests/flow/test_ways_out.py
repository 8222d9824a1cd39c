"""What happens when a step does not help: the rollback, the last resort, people."""

from datetime import timedelta

import pytest

from tests.flow.scene import Scene, alert, rule
from tests.flow.twin import Alertmanager
from webhook.core.audit import Event
from webhook.core.escalation import ALERTNAME, AlertmanagerStep, Chain, WaitStep, WebhookStep
from webhook.core.rule import GiveUp, Guards, Step
from webhook.core.run import Outcome, Word
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult

CHAIN = Chain(
    name="oncall",
    steps=(
        AlertmanagerStep(labels={"severity": "page"}),
        WaitStep(wait=timedelta(minutes=10)),
        WebhookStep(url="http://pager"),
    ),
)


def fails(job: PlaybookJob) -> PlaybookResult:
    if job.playbook.name == "undo.yml":
        return PlaybookResult(end=PlaybookEnd.OK, reason="undone", return_code=0)
    return PlaybookResult(end=PlaybookEnd.FAILED, reason="it failed", return_code=2)


def scene_with(**settings: object) -> Scene:
    settings.setdefault("give_up", GiveUp(escalate="oncall"))
    scene = Scene(
        rules=(rule(**settings),), chains={"oncall": CHAIN}, alertmanagers=Alertmanager(unable={"http://am1": "busy"})
    )
    scene.playbooks.does = fails
    return scene


def played(scene: Scene) -> list[str]:
    return [job.playbook.name for job in scene.playbooks.jobs]


def works(scene: Scene, rounds: int = 4) -> None:
    for _ in range(rounds):
        scene.work()
        scene.keep_up()


def told(scene: Scene) -> list[tuple[object, object]]:
    bodies = [event.body for event in scene.ledger.events if event.event is Event.ESCALATED]
    return [(body["step"], body.get("delivered")) for body in bodies]


def test_a_step_that_failed_is_rolled_back_within_its_run_and_then_the_next_is_tried() -> None:
    steps = (Step(playbook="a.yml", vars={"x": 1}), Step(playbook="b.yml"))
    scene = scene_with(rollback="undo.yml", steps=steps)
    scene.delivers(alert())
    works(scene)
    assert played(scene) == ["a.yml", "undo.yml", "b.yml", "undo.yml"]
    assert scene.playbooks.jobs[1].variables == {"x": 1}
    first = scene.runs[0]
    assert (first.outcome, first.reason) == (Outcome.FAILED, "it failed; it was rolled back: undone")
    assert first.rollback is not None
    assert first.rollback.succeeded


def test_what_the_alerts_called_ineffective_is_rolled_back_too() -> None:
    scene = scene_with(rollback="undo.yml", resolve_within=timedelta(minutes=5))
    scene.playbooks.does = lambda job: PlaybookResult(end=PlaybookEnd.OK, reason="done", return_code=0)
    scene.delivers(alert())
    scene.work()
    scene.clock.advance(minutes=5)
    works(scene)
    assert played(scene) == ["restart.yml", "undo.yml"]
    assert scene.runs[0].outcome is Outcome.INEFFECTIVE


def test_while_it_is_rolled_back_nobody_else_touches_the_target() -> None:
    scene = scene_with(rollback="undo.yml")
    scene.rules = (*scene.rules, rule("other", match='alertname="Other"'))
    scene.delivers(alert())
    scene.work()
    assert scene.delivers(alert(name="Other"))[0].guard == "lock"


def test_the_last_resort_is_played_when_the_attempts_are_used_up_and_people_are_called() -> None:
    scene = scene_with(give_up=GiveUp(playbook="page.yml", escalate="oncall"))
    scene.delivers(alert())
    works(scene)
    assert played(scene) == ["restart.yml", "page.yml"]
    assert scene.incidents[0].handed_over.startswith("its attempts are used up, and page.yml was run")


def test_the_last_resort_passes_through_the_guards() -> None:
    scene = scene_with(give_up=GiveUp(playbook="page.yml"), guards=Guards(cooldown=timedelta(minutes=10)))
    scene.delivers(alert())
    works(scene)
    assert played(scene) == ["restart.yml"]
    scene.clock.advance(minutes=10)
    works(scene)
    assert played(scene) == ["restart.yml", "page.yml"]


def test_people_get_an_alert_with_all_that_they_need() -> None:
    scene = scene_with()
    scene.delivers(alert(team="a"))
    works(scene)
    assert scene.alertmanagers is not None
    posted = scene.alertmanagers.posted[0]
    assert posted["labels"] == {
        "alertname": ALERTNAME,
        "failed_alertname": "Down",
        "instance": "web1",
        "team": "a",
        "rule": "restart-web",
        "target": "web1",
        "outcome": "failed",
        "severity": "page",
        "alertmend": "escalation",
    }
    assert posted["annotations"]["link"] == f"http://alertmend/incidents/{scene.incidents[0].id}"


def test_it_is_kept_firing_until_the_resolve_ends_it() -> None:
    scene = scene_with()
    scene.delivers(alert())
    works(scene)
    assert scene.alertmanagers is not None
    for _ in range(3):
        before = len(scene.alertmanagers.posted)
        scene.clock.advance(minutes=1)
        scene.keep_up()
        assert len(scene.alertmanagers.posted) == before + 1
        assert scene.alertmanagers.posted[-1]["endsAt"] > scene.alertmanagers.posted[-2]["endsAt"]
    scene.resolves()
    scene.keep_up()
    ended = scene.alertmanagers.posted[-1]
    assert ended["endsAt"] <= scene.clock.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    before = len(scene.alertmanagers.posted)
    scene.clock.advance(minutes=30)
    scene.keep_up()
    assert len(scene.alertmanagers.posted) == before
    assert scene.pager.taken == []


def test_the_next_step_waits_for_its_time() -> None:
    scene = scene_with()
    scene.delivers(alert())
    works(scene)
    scene.clock.advance(minutes=9)
    scene.keep_up()
    assert scene.pager.taken == []
    scene.clock.advance(minutes=1)
    scene.keep_up()
    [(url, document)] = scene.pager.taken
    assert url == "http://pager"
    assert document["reason"] == "its attempts are used up; the last one: it failed"
    scene.clock.advance(minutes=60)
    scene.keep_up()
    assert len(scene.pager.taken) == 1


def test_an_escalation_that_reaches_nobody_is_tried_again_and_is_seen() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.silent = {"http://am1": "connection refused"}
    scene.delivers(alert())
    works(scene, 1)
    for _ in range(8):
        scene.clock.advance(minutes=1)
        scene.keep_up()
    assert told(scene)[:2] == [("begin", None), ("alertmanager", False)]
    assert ("alertmanager", True) not in told(scene)
    scene.alertmanagers.silent = {}
    scene.clock.advance(minutes=5)
    scene.keep_up()
    assert told(scene)[-1] == ("alertmanager", True)


def test_a_person_takes_it_over_and_the_alert_is_resolved() -> None:
    scene = scene_with()
    scene.delivers(alert())
    works(scene)
    scene.takes_over(Word(by="alice", at=scene.clock.now, comment="mine"))
    scene.keep_up()
    assert scene.alertmanagers is not None
    before = len(scene.alertmanagers.posted)
    scene.clock.advance(minutes=30)
    scene.keep_up()
    assert len(scene.alertmanagers.posted) == before
    assert scene.pager.taken == []


def test_an_alert_about_alertmend_is_never_taken_by_a_rule() -> None:
    scene = Scene(rules=(rule(match='alertname=~".+"'),))
    scene.delivers(alert(name=ALERTNAME), alert(name="AlertmendDown", alertmend="self"))
    assert scene.decisions == []


@pytest.mark.parametrize("settings", [{"steps": (Step(playbook="a.yml", vars={"port": "$labels.port"}),)}])
def test_an_alert_that_can_never_be_acted_on_is_handed_to_people(settings: dict[str, object]) -> None:
    scene = scene_with(**settings)
    [decision] = scene.delivers(alert())
    assert decision.guard == "labels"
    assert scene.incidents[0].handed_over == decision.reason
