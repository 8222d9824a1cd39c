"""The kill switch: what it holds, what it reaches, and what happens when it ends."""

import pytest

from tests.flow.scene import Scene, alert, rule
from webhook.core.pause import Pause
from webhook.core.run import Outcome
from webhook.errors import RECORD, NotFound, Unavailable, Unsealed
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult


def test_what_is_paused_is_held_until_its_end_and_then_runs() -> None:
    scene = Scene()
    scene.pauses("a release", minutes=30)
    [decision] = scene.delivers(alert())
    assert (decision.guard, decision.retry_at) == ("pause", scene.clock.now.replace(minute=30))
    scene.clock.advance(minutes=30)
    scene.keep_up()
    scene.work()
    assert [run.outcome for run in scene.runs] == [Outcome.UNPROVED]


def test_a_resume_ends_it_early_and_is_recorded_with_a_name() -> None:
    scene = Scene()
    id = scene.pauses("a release", minutes=30)
    scene.delivers(alert(), alert("web2"))
    scene.resumes(id)
    scene.keep_up()
    scene.work()
    assert len(scene.playbooks.jobs) == 2
    assert [(event.event, event.actor) for event in scene.ledger.events if event.event in ("pause", "resume")] == [
        ("pause", "alice"),
        ("resume", "alice"),
    ]
    with pytest.raises(NotFound):
        scene.resumes(id)


def test_while_the_record_is_away_a_pause_holds_and_whoever_asked_is_told_so() -> None:
    scene = Scene()

    def away() -> None:
        raise Unavailable(RECORD, "database is locked")

    scene.ledger.fails = away
    with pytest.raises(Unsealed, match=r"what was asked for holds, .* as soon as .* database is locked"):
        scene.pauses("a release", minutes=30)
    scene.ledger.fails = lambda: None
    assert [decision.guard for decision in scene.delivers(alert())] == ["pause"]
    scene.upkeep.tick()
    assert [event.actor for event in scene.ledger.events if event.event == "pause"] == ["alice"]


def test_matchers_say_what_it_covers_by_label_rule_or_target() -> None:
    scene = Scene()
    scene.pauses("that one", "target=web1", minutes=5)
    scene.pauses("those", "rule=other", minutes=5)
    scene.pauses("these", 'team=~"a|b"', minutes=5)
    decisions = scene.delivers(alert("web1"), alert("web2"), alert("web3", team="b"))
    assert [decision.guard for decision in decisions] == ["pause", None, "pause"]


def test_it_reaches_a_run_that_is_queued() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.pauses("stop", minutes=5)
    scene.work()
    assert scene.playbooks.jobs == []
    assert scene.runs[0].reason == "alice paused it: stop"
    scene.keep_up()
    scene.clock.advance(minutes=5)
    scene.keep_up()
    scene.work()
    assert len(scene.playbooks.jobs) == 1


@pytest.mark.parametrize("cancel_running", [False, True])
def test_it_reaches_a_run_under_way_only_when_it_is_told_to(cancel_running: bool) -> None:
    scene = Scene(rules=(rule(),))

    def goes_on(job: PlaybookJob) -> PlaybookResult:
        scene.pauses("stop", minutes=5, cancel_running=cancel_running)
        if scene.playbooks.is_cancelled():
            return PlaybookResult(end=PlaybookEnd.CANCELLED, reason="it was ended", return_code=254)
        return PlaybookResult(end=PlaybookEnd.OK, reason="done", return_code=0)

    scene.playbooks.does = goes_on
    scene.delivers(alert())
    scene.work()
    [run] = scene.runs
    if cancel_running:
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, "paused by alice: stop")
        assert scene.incidents[0].last_run is not None
        assert scene.incidents[0].last_run.ended_by == ""
    else:
        assert run.outcome is Outcome.UNPROVED


def test_the_longest_pause_that_covers_it_counts() -> None:
    scene = Scene()
    scene.pauses("short", minutes=5)
    scene.pauses("long", minutes=50)
    assert scene.delivers(alert())[0].reason.endswith("long")


def test_a_pause_outlives_the_loss_of_the_state() -> None:
    # Given an incident that a pause holds, and a pause that was ended
    before = Scene()
    before.resumes(before.pauses("a mistake", minutes=60))
    before.pauses("a release", 'instance=~"web1.*"', minutes=30)
    before.delivers(alert())
    # When all that is left is the ledger
    after = Scene(ledger=before.ledger, clock=before.clock)
    after.keep_up()
    # Then the incident is back, and held by the same pause, to its end and no longer
    assert [str(pause) for pause in after.people.pauses()] == ['instance=~"web1.*"']
    [_, decision] = after.decisions
    assert (decision.guard, decision.retry_at) == ("pause", after.clock.now.replace(minute=30))
    assert "alice paused" in decision.reason and "a release" in decision.reason
    after.clock.advance(minutes=30)
    after.keep_up()
    after.work()
    assert [run.outcome for run in after.runs] == [Outcome.UNPROVED]


def test_a_pause_that_is_over_or_known_is_not_remembered_again() -> None:
    before = Scene()
    before.pauses("a release", minutes=30)
    before.clock.advance(minutes=31)
    after = Scene(ledger=before.ledger, clock=before.clock)
    after.pauses("another", minutes=5)
    after.keep_up()
    assert [pause.said.comment for pause in after.people.pauses()] == ["another"]


def test_what_could_not_be_remembered_again_is_tried_again() -> None:
    before = Scene()
    before.pauses("a release", minutes=30)
    after = Scene(ledger=before.ledger, clock=before.clock)
    # When the ledger is away at the moment
    answers, after.ledger.pauses = after.ledger.pauses, fail  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        after.upkeep.tick()
    # And back a round later
    after.ledger.pauses = answers  # type: ignore[method-assign]
    after.keep_up()
    assert [pause.said.comment for pause in after.people.pauses()] == ["a release"]


def fail() -> tuple[Pause, ...]:
    raise Unavailable("the audit database")
