"""A rule that fails too often rests, then gets one trial."""

from datetime import timedelta

import pytest

from tests.flow.scene import Scene, alert, rule
from webhook.core.rule import Breaker, GiveUp, Guards, Step
from webhook.core.run import Outcome
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult

BREAKER = Breaker(failures=2, window=timedelta(hours=1), open_for=timedelta(hours=2))
HOSTS = ("web1", "web2", "web3", "db1")


def broken(job: PlaybookJob) -> PlaybookResult:
    return PlaybookResult(end=PlaybookEnd.FAILED, reason="it failed", return_code=2)


def scene_with(**settings: object) -> Scene:
    return Scene(rules=(rule(guards=Guards(breaker=BREAKER, cooldown=timedelta(minutes=10)), **settings),))


def fails_twice(scene: Scene) -> None:
    helps, scene.playbooks.does = scene.playbooks.does, broken
    scene.delivers(alert("web1"), alert("web2"))
    scene.work()
    scene.playbooks.does = helps


def test_it_opens_after_as_many_failures_and_holds_until_its_time_is_over() -> None:
    scene = scene_with()
    fails_twice(scene)
    [decision] = scene.delivers(alert("web3"))
    assert decision.guard == "breaker"
    assert decision.retry_at == scene.clock.now + BREAKER.open_for


def test_half_open_lets_one_trial_through_and_its_success_lets_all() -> None:
    scene = scene_with()
    fails_twice(scene)
    scene.delivers(alert("web3"), alert("db1"))
    scene.clock.advance(hours=2)
    scene.keep_up()
    assert len([run for run in scene.runs if run.outcome is None]) == 1
    scene.work()
    scene.keep_up()
    scene.work()
    assert [job.target for job in scene.playbooks.jobs[2:]] == ["db1", "web3"]


def test_a_trial_that_fails_opens_it_again() -> None:
    scene = scene_with()
    fails_twice(scene)
    scene.playbooks.does = broken
    scene.delivers(alert("web3"), alert("db1"))
    scene.clock.advance(hours=2)
    scene.keep_up()
    scene.work()
    scene.keep_up()
    assert scene.decisions[-1].reason.startswith("opened 0s ago")
    assert len(scene.playbooks.jobs) == 3


def test_a_trial_that_was_not_needed_leaves_the_trial_to_the_next() -> None:
    scene = scene_with(probe=True)
    scene.world.answers = lambda: False
    fails_twice(scene)
    scene.delivers(alert("web3"), alert("db1"))
    scene.world.answers = lambda: True
    scene.clock.advance(hours=2)
    for _ in range(2):
        scene.keep_up()
        scene.work()
    assert [run.outcome for run in scene.runs] == [Outcome.FAILED] * 2 + [Outcome.NOT_NEEDED] * 2


def test_what_succeeded_and_came_back_within_the_cooldown_counts_as_a_failure() -> None:
    scene = scene_with()
    for host in ("web1", "web2"):
        scene.delivers(alert(host))
        scene.work()
        scene.resolves(host)
        scene.clock.advance(minutes=1)
        scene.delivers(alert(host))
    assert [incident.came_back_after is not None for incident in scene.incidents] == [False, True, False, True]
    assert scene.delivers(alert("web3"))[0].guard == "breaker"


def test_failures_outside_the_window_are_forgotten() -> None:
    scene = scene_with()
    scene.playbooks.does = broken
    scene.delivers(alert("web1"))
    scene.work()
    scene.clock.advance(hours=1)
    scene.delivers(alert("web2"))
    scene.work()
    assert scene.delivers(alert("web3"))[0].guard is None


@pytest.mark.parametrize("playbook", [None, "page.yml"])
def test_the_incident_that_opened_it_gives_up_at_once(playbook: str | None) -> None:
    steps = (Step(playbook="a.yml"), Step(playbook="b.yml"))
    scene = scene_with(steps=steps, give_up=GiveUp(playbook=playbook))
    fails_twice(scene)
    scene.clock.advance(minutes=10)
    scene.keep_up()
    scene.work()
    played = [job.playbook.name for job in scene.playbooks.jobs[2:]]
    assert played == ([playbook] if playbook else [])
    [gave_up] = [incident for incident in scene.incidents if incident.handed_over]
    assert gave_up.target == "web2"
    assert {run.outcome for run in scene.runs[:2]} == {Outcome.FAILED}
