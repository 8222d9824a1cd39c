"""So many hosts sick at once that it is an outage: nothing new runs, people are called once, and it ends when calm."""

from datetime import timedelta

from tests.flow.scene import Scene, alert, rule
from webhook.core.audit import Event
from webhook.core.rule import Guards, MaxTargets
from webhook.core.storm import QUIET
from webhook.core.verdict import Choice


def scene_with(**limit: float) -> Scene:
    return Scene(rules=(rule(guards=Guards(max_targets=MaxTargets(**limit))),))  # type: ignore[arg-type]


def begun(scene: Scene) -> int:
    steps = [event.body["step"] for event in scene.ledger.events if event.event is Event.ESCALATED]
    return steps.count("begin")


def test_the_hosts_of_one_notification_are_counted_together() -> None:
    scene = scene_with(share=0.4)
    decisions = scene.delivers(alert("web1"), alert("web2"))
    assert [decision.guard for decision in decisions] == ["max_targets"] * 2
    assert scene.runs == []


def test_only_the_hosts_of_the_targets_own_group_count() -> None:
    scene = scene_with(share=0.4)
    assert [decision.decision for decision in scene.delivers(alert("web1"), alert("db1"))] == [Choice.RUN] * 2


def test_people_are_called_once_for_the_whole_storm() -> None:
    scene = scene_with(number=1)
    scene.delivers(alert("web1"))
    scene.delivers(alert("web2"))
    scene.delivers(alert("web3"))
    assert begun(scene) == 1
    assert [incident.handed_over for incident in scene.incidents] == [""] * 3


def test_a_run_that_was_queued_before_the_storm_does_not_start_in_it() -> None:
    scene = scene_with(number=1)
    scene.delivers(alert("web1"))
    scene.delivers(alert("web2"))
    scene.work()
    assert scene.playbooks.jobs == []
    assert scene.decisions_at_start[0].guard == "max_targets"


def test_it_ends_after_a_quiet_time_and_what_was_held_is_decided_again() -> None:
    scene = scene_with(number=1)
    scene.delivers(alert("web1"), alert("web2"))
    scene.resolves("web1")
    assert scene.delivers(alert("web2"))[0].reason.endswith("is not over yet")
    scene.clock.advance(seconds=(QUIET - timedelta(seconds=1)).total_seconds())
    scene.keep_up()
    assert scene.runs == []
    scene.clock.advance(seconds=1)
    scene.keep_up()
    scene.work()
    assert [job.target for job in scene.playbooks.jobs] == ["web2"]


def test_a_new_sick_host_in_the_quiet_time_starts_it_over() -> None:
    scene = scene_with(number=1)
    scene.delivers(alert("web1"), alert("web2"))
    scene.resolves("web1")
    scene.clock.advance(minutes=4)
    scene.delivers(alert("web3"))
    scene.clock.advance(minutes=2)
    scene.keep_up()
    assert scene.runs == []
    assert begun(scene) == 1


def test_the_number_of_sick_hosts_comes_back_to_none() -> None:
    scene = scene_with(number=3)
    for _ in range(3):
        scene.delivers(alert("web1"), alert("web2"), alert("web2", replica="b"))
        scene.work()
        scene.resolves("web1")
        scene.resolves("web2")
        scene.resolves("web2", replica="b")
    [crowd] = [state for (kind, _), state in scene.store.records.items() if kind == "crowd"]
    assert crowd.sick == 0
