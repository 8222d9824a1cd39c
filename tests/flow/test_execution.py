"""One run: started once, probed before, acted, probed after, finished whatever happens."""

from copy import deepcopy
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.flow.scene import Scene, alert, rule
from webhook.core.audit import Event
from webhook.core.incident import ResolvedBy
from webhook.core.placeholder import Untrusted
from webhook.core.probe import Probe, TcpProbe
from webhook.core.redaction import Redaction
from webhook.core.rule import Guards, Step
from webhook.core.run import Outcome, Phase, RunState
from webhook.core.verdict import Choice
from webhook.errors import Unavailable, WentBack
from webhook.ports import Errand
from webhook.upkeep import ENDING, RENEWING
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult

TWO_STEPS = (Step(playbook="restart.yml"), Step(playbook="reboot.yml"))


def sick_until_mended(scene: Scene) -> None:
    scene.world.answers = lambda: bool(scene.playbooks.jobs)


def outcomes(scene: Scene) -> list[Outcome | None]:
    return [run.outcome for run in scene.runs]


def test_sick_before_and_healthy_after_is_fixed_and_every_answer_is_recorded() -> None:
    scene = Scene(rules=(rule(probe=True),))
    sick_until_mended(scene)
    scene.delivers(alert())
    scene.work()
    assert outcomes(scene) == [Outcome.FIXED]
    answers = scene.runs[0].probes
    assert [answer.healthy for answer in answers] == [False, False, False, True, True]
    assert [answer.phase for answer in answers] == [Phase.BEFORE] * 3 + [Phase.AFTER] * 2


def test_one_healthy_answer_before_means_that_nothing_is_done() -> None:
    scene = Scene(rules=(rule(probe=True),))
    answers = iter([False, False, True])
    scene.world.answers = lambda: next(answers)
    scene.delivers(alert())
    scene.work()
    assert outcomes(scene) == [Outcome.NOT_NEEDED]
    assert scene.playbooks.jobs == []


def test_a_probe_that_nobody_could_answer_is_no_reason_to_act() -> None:
    scene = Scene(rules=(rule(probe=True),))
    answers = iter([False, None, False])
    scene.world.answers = lambda: next(answers)
    scene.delivers(alert())
    scene.work()
    assert outcomes(scene) == [Outcome.CANCELLED]
    assert scene.runs[0].reason == "the probe could not say whether it is sick: refused"
    assert scene.playbooks.jobs == []


def test_a_label_that_cannot_stand_in_the_probe_refuses_and_is_named() -> None:
    probe = Probe(kind=TcpProbe(address="$target:$labels.port"))
    scene = Scene(rules=(replace(rule(), probe=probe),))
    [decision] = scene.delivers(alert(port="80; reboot"))
    assert (decision.decision, decision.guard) == (Choice.REFUSE, "labels")
    assert decision.reason == "the probe cannot be asked about this alert: $labels.port '80; reboot' is no port"


def test_a_label_that_changed_after_the_decision_is_not_put_into_the_probe() -> None:
    probe = Probe(kind=TcpProbe(address="$target:$annotations.port"))
    scene = Scene(rules=(replace(rule(), probe=probe),))
    scene.delivers(replace(alert(), annotations={"port": "80"}))
    scene.delivers(replace(alert(), annotations={"port": "web2:80"}))
    scene.work()
    assert outcomes(scene) == [Outcome.CANCELLED]
    words = "the probe cannot be asked about this alert: $annotations.port 'web2:80' is no port"
    assert scene.runs[0].reason == f"decided again just before it started: {words}"
    assert scene.world.asked == []


def test_still_sick_at_the_deadline_is_ineffective_and_the_next_step_is_tried() -> None:
    scene = Scene(rules=(rule(probe=True, steps=TWO_STEPS),))
    scene.world.answers = lambda: False
    scene.delivers(alert())
    for _ in range(3):
        scene.work()
        scene.keep_up()
    assert outcomes(scene) == [Outcome.INEFFECTIVE, Outcome.INEFFECTIVE]
    assert [job.playbook.name for job in scene.playbooks.jobs] == ["restart.yml", "reboot.yml"]
    assert scene.incidents[0].handed_over.startswith("its attempts are used up")
    assert scene.delivers(alert())[0].guard == "attempts"


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (PlaybookEnd.FAILED, Outcome.FAILED),
        (PlaybookEnd.TIMEOUT, Outcome.FAILED),
        (PlaybookEnd.CANCELLED, Outcome.CANCELLED),
    ],
)
def test_a_playbook_that_did_not_end_well_says_why(end: PlaybookEnd, outcome: Outcome) -> None:
    scene = Scene()
    scene.playbooks.does = lambda job: PlaybookResult(end=end, reason="because", return_code=2)
    scene.delivers(alert())
    scene.work()
    assert (scene.runs[0].outcome, scene.runs[0].reason) == (outcome, "because")


def test_an_end_is_written_when_alertmend_itself_breaks() -> None:
    def breaks(job: PlaybookJob) -> PlaybookResult:
        raise RuntimeError("out of luck")

    scene = Scene()
    scene.playbooks.does = breaks
    scene.delivers(alert())
    scene.work()
    assert scene.runs[0].outcome is Outcome.FAILED
    assert "out of luck" in scene.runs[0].reason


def test_a_run_is_started_once_however_often_it_is_rung_for() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)
    other = scene.worker("worker-2")
    assert scene.execution.execute(doorbell.about) is Outcome.UNPROVED
    assert other.execute(doorbell.about) is None
    assert len(scene.playbooks.jobs) == 1


def test_a_doorbell_that_is_heard_again_while_its_run_is_under_way_leaves_it_its_lease() -> None:
    scene = Scene()
    kept: list[set[str]] = []

    def is_rung_for_again(job: PlaybookJob) -> PlaybookResult:
        assert scene.execution.execute(job.run) is None
        kept.append(set(scene.execution.active))
        return PlaybookResult(end=PlaybookEnd.OK, reason="done", return_code=0)

    scene.playbooks.does = is_rung_for_again
    scene.delivers(alert())
    scene.work()
    assert kept == [{scene.runs[0].id}]
    assert scene.execution.active == set()


def test_nothing_is_done_that_is_not_on_the_record() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)

    def away() -> None:
        raise Unavailable("the audit database")

    scene.ledger.fails = away
    with pytest.raises(Unavailable):
        scene.execution.execute(doorbell.about)
    assert scene.playbooks.jobs == []
    # It costs no attempt: once the record is back, the same run goes.
    scene.ledger.fails = lambda: None
    scene.clock.advance(minutes=1)
    scene.keep_up()
    scene.work()
    assert outcomes(scene) == [Outcome.UNPROVED]


def test_a_resolve_that_is_asked_for_proves_the_run_and_holds_no_worker() -> None:
    scene = Scene(rules=(rule(resolve_within=timedelta(minutes=10)),))
    scene.delivers(alert())
    scene.work()
    assert scene.runs[0].state is RunState.PROVING
    scene.clock.advance(minutes=9)
    scene.keep_up()
    scene.resolves()
    assert outcomes(scene) == [Outcome.FIXED]
    assert scene.incidents[0].resolved_by is ResolvedBy.REMEDIATION


def test_a_resolve_that_is_asked_for_and_does_not_come_makes_the_run_ineffective() -> None:
    scene = Scene(rules=(rule(resolve_within=timedelta(minutes=10)),))
    scene.delivers(alert())
    scene.work()
    scene.clock.advance(minutes=10)
    scene.keep_up()
    assert outcomes(scene) == [Outcome.INEFFECTIVE]
    scene.resolves()
    assert scene.incidents[0].resolved_by is ResolvedBy.UNKNOWN


def test_a_resolve_in_the_middle_closes_the_incident_when_it_is_known_who_mended_it() -> None:
    scene = Scene(rules=(rule(probe=True),))
    sick_until_mended(scene)

    def resolves_meanwhile(job: PlaybookJob) -> PlaybookResult:
        scene.resolves()
        assert scene.incidents[0].is_open
        return PlaybookResult(end=PlaybookEnd.OK, reason="done", return_code=0)

    scene.playbooks.does = resolves_meanwhile
    scene.delivers(alert())
    scene.work()
    assert scene.incidents[0].resolved_by is ResolvedBy.REMEDIATION


def test_the_playbook_gets_the_alerts_and_a_strangers_words_are_marked() -> None:
    step = Step(playbook="restart.yml", vars={"port": "$labels.port", "service": "nginx", "host": "$target"})
    scene = Scene(rules=(rule(steps=(step,)),))
    scene.delivers(alert(port="{{ evil }}"))
    scene.work()
    [job] = scene.playbooks.jobs
    assert job.variables == {"port": "{{ evil }}", "service": "nginx", "host": "web1"}
    assert [name for name, value in job.variables.items() if isinstance(value, Untrusted)] == ["port"]
    [found] = job.alertmend["alerts"]  # type: ignore[misc]
    assert found["labels"]["port"] == "{{ evil }}"


def test_a_label_that_the_rule_asks_for_and_the_alert_lacks_is_a_refusal_that_names_it() -> None:
    scene = Scene(rules=(rule(steps=(Step(playbook="restart.yml", vars={"port": "$labels.port"}),)),))
    [decision] = scene.delivers(alert())
    assert decision.guard == "labels"
    assert "$labels.port" in decision.reason


def test_a_rule_that_is_gone_cancels_what_is_queued() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.rules = ()
    scene.work()
    assert outcomes(scene) == [Outcome.CANCELLED]


def test_a_doorbell_that_two_workers_hear_at_once_starts_the_run_once() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)
    commit = scene.store.commit

    def overtaken(draft: Any, **more: Any) -> bool:
        # Someone else has heard it too, and is faster by a hair
        scene.store.commit = commit  # type: ignore[method-assign]
        assert scene.worker("worker-2").execute(doorbell.about) is Outcome.UNPROVED
        return commit(draft, **more)

    scene.store.commit = overtaken  # type: ignore[method-assign]
    assert scene.execution.execute(doorbell.about) is None
    assert len(scene.playbooks.jobs) == 1


def test_a_run_is_not_begun_again_when_redis_went_back_to_before_it_began() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)
    before = deepcopy(scene.store)
    scene.execution.execute(doorbell.about)
    # A replica took over that had not heard of it yet
    for field in fields(before):
        setattr(scene.store, field.name, getattr(before, field.name))
    scene.clock.advance(seconds=1)
    with pytest.raises(WentBack):
        scene.execution.execute(doorbell.about)
    assert [event.event for event in scene.ledger.events].count(Event.RUN_STARTED) == 1
    # And what the record says of its end counts, so that nothing else is tried for the same firing
    scene.miss_workers()
    scene.keep_up()
    scene.work()
    assert outcomes(scene) == [Outcome.UNPROVED]
    assert len(scene.playbooks.jobs) == 1


def test_a_run_whose_worker_vanished_is_lost_after_its_processes_are_gone() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)

    def vanishes(job: PlaybookJob) -> PlaybookResult:
        scene.miss_workers()
        return PlaybookResult(end=PlaybookEnd.OK, reason="too late", return_code=0)

    scene.playbooks.does = vanishes
    scene.execution.execute(doorbell.about)
    assert scene.leftovers == [doorbell.about]
    assert outcomes(scene) == [Outcome.LOST]
    finished = [event for event in scene.ledger.events if event.event is Event.RUN_FINISHED]
    assert len(finished) == 1


def test_a_run_on_a_machine_that_is_cut_off_keeps_its_target_until_its_playbook_must_have_ended() -> None:
    scene = Scene(rules=(rule(steps=TWO_STEPS),))
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)

    def is_cut_off(job: PlaybookJob) -> PlaybookResult:
        scene.store.leases.clear()
        for seconds in (0, 1, (job.timeout + ENDING).total_seconds() - 2, 1):
            scene.clock.advance(seconds=seconds)
            scene.upkeep.lose_own_runs()
            scene.upkeep.tick()
            seen.append(scene.runs[0].state)
        return PlaybookResult(end=PlaybookEnd.OK, reason="too late", return_code=0)

    seen: list[RunState] = []
    goes_well, scene.playbooks.does = scene.playbooks.does, is_cut_off
    scene.worker("worker-2").execute(doorbell.about)
    assert seen == [RunState.RUNNING, RunState.RUNNING, RunState.RUNNING, RunState.FINISHED]
    assert outcomes(scene) == [Outcome.LOST]
    scene.playbooks.does = goes_well
    scene.keep_up()
    scene.work()
    assert [job.playbook.name for job in scene.playbooks.jobs] == ["restart.yml", "reboot.yml"]


def test_a_worker_that_is_heard_of_again_ends_its_run_as_if_nothing_had_been() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)
    far = scene.worker("worker-2")

    def is_cut_off_for_a_while(job: PlaybookJob) -> PlaybookResult:
        for _ in range(3):
            scene.store.leases.clear()
            scene.upkeep.tick()
            scene.clock.advance(minutes=4)
            far.keep_leases()
            scene.upkeep.tick()
        return PlaybookResult(end=PlaybookEnd.OK, reason="it ran", return_code=0)

    scene.playbooks.does = is_cut_off_for_a_while
    far.execute(doorbell.about)
    assert outcomes(scene) == [Outcome.UNPROVED]


def test_a_worker_that_redis_was_away_from_has_time_to_be_heard_of_again() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)

    def redis_is_away(job: PlaybookJob) -> PlaybookResult:
        scene.store.leases.clear()
        scene.clock.advance(minutes=1)
        # Upkeep is the first to ask when it is back
        scene.upkeep.tick()
        scene.clock.advance(seconds=2)
        scene.execution.keep_leases()
        scene.clock.advance(minutes=1)
        scene.upkeep.tick()
        return PlaybookResult(end=PlaybookEnd.OK, reason="it ran", return_code=0)

    scene.playbooks.does = redis_is_away
    scene.execution.execute(doorbell.about)
    assert (outcomes(scene), scene.leftovers) == ([Outcome.UNPROVED], [])


def test_a_run_of_a_vanished_worker_is_lost_by_its_own_machine_whoever_does_the_rest_of_upkeep() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)

    def vanishes(job: PlaybookJob) -> PlaybookResult:
        scene.store.leases.clear()
        for _ in range(2):
            scene.upkeep.lose_own_runs()
            scene.clock.advance(seconds=RENEWING.total_seconds())
        return PlaybookResult(end=PlaybookEnd.OK, reason="too late", return_code=0)

    scene.playbooks.does = vanishes
    scene.execution.execute(doorbell.about)
    assert (scene.leftovers, outcomes(scene)) == ([doorbell.about], [Outcome.LOST])


def test_a_run_whose_worker_vanished_before_it_could_record_its_beginning_is_begun_and_then_lost() -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)

    def vanishes() -> None:
        if scene.store.outbox:
            raise KeyboardInterrupt

    scene.ledger.fails = vanishes
    with pytest.raises(KeyboardInterrupt):
        scene.execution.execute(doorbell.about)
    scene.ledger.fails = lambda: None
    scene.store.leases.clear()
    for _ in range(2):
        scene.upkeep.lose_own_runs()
        scene.clock.advance(seconds=RENEWING.total_seconds())
    assert outcomes(scene) == [Outcome.LOST]
    told = [event.event for event in scene.ledger.events if event.event in (Event.RUN_STARTED, Event.RUN_FINISHED)]
    assert told == [Event.RUN_STARTED, Event.RUN_FINISHED]


def test_runs_that_redis_forgot_are_recorded_as_lost_once() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.store.empty()
    scene.upkeep.tick()
    assert outcomes(scene) == [Outcome.LOST]
    assert scene.leftovers == [scene.runs[0].id]
    scene.upkeep.tick()
    assert len([event for event in scene.ledger.events if event.event is Event.RUN_FINISHED]) == 1


def test_an_incident_that_redis_forgot_goes_on_where_it_was_and_people_are_told() -> None:
    scene = Scene(rules=(rule(guards=Guards(cooldown=timedelta(minutes=5)), steps=TWO_STEPS),))
    scene.delivers(alert())
    scene.store.empty()
    # Before upkeep has come round
    assert scene.delivers(alert())[0].guard == "cooldown"
    assert scene.incidents[0].handed_over == "the state in Redis was lost while it was under way"
    scene.clock.advance(minutes=5)
    scene.keep_up()
    scene.work()
    assert [job.playbook.name for job in scene.playbooks.jobs] == ["reboot.yml"]
    assert len(scene.incidents) == 1


def test_what_people_paused_is_paused_for_the_first_alert_after_redis_was_emptied() -> None:
    scene = Scene()
    scene.pauses("maintenance", minutes=60)
    scene.store.empty()
    assert scene.delivers(alert())[0].guard == "pause"
    assert scene.playbooks.jobs == []


def test_nothing_is_decided_in_an_emptied_store_while_the_ledger_is_away() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.store.empty()

    def away() -> None:
        raise Unavailable("the audit database")

    scene.ledger.fails = away
    with pytest.raises(Unavailable):
        scene.delivers(alert())
    scene.ledger.fails = lambda: None
    assert scene.store.waiting_since(scene.clock(), limit=10)


def test_what_a_crashed_worker_committed_is_sealed_and_rung_for_later() -> None:
    scene = Scene()

    def away() -> None:
        raise Unavailable("the audit database")

    scene.ledger.fails = away
    with pytest.raises(Unavailable):
        scene.delivers(alert())
    assert scene.take_rung(Errand.EXECUTE) == []
    scene.ledger.fails = lambda: None
    scene.keep_up()
    scene.work()
    assert outcomes(scene) == [Outcome.UNPROVED]
    assert scene.ledger.holds


def test_a_queued_run_whose_doorbell_was_lost_is_rung_for_again() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.take_rung(Errand.EXECUTE)
    scene.clock.advance(seconds=31)
    scene.keep_up()
    scene.work()
    assert outcomes(scene) == [Outcome.UNPROVED]


def test_a_notification_whose_doorbell_was_lost_is_rung_for_again() -> None:
    scene = Scene()
    id = scene.arrives(alert())
    scene.take_rung(Errand.INTAKE)
    scene.clock.advance(seconds=31)
    scene.upkeep.ring_again()
    assert [doorbell.about for doorbell in scene.take_rung(Errand.INTAKE)] == [id]


def test_a_worker_that_closes_cancels_what_has_not_acted() -> None:
    scene = Scene(rules=(rule(probe=True),))
    scene.world.answers = lambda: False
    scene.delivers(alert())
    scene.execution.performing.closing.set()
    scene.work()
    assert outcomes(scene) == [Outcome.CANCELLED]
    assert replace(scene.runs[0]).acted_at is None


def test_what_is_to_be_redacted_is_neither_in_a_probes_words_nor_in_the_reason() -> None:
    scene = Scene(rules=(rule(probe=True),), redaction=Redaction(("refus..", "web1:[0-9]+", "disk")))
    scene.world.answers = lambda: False
    scene.playbooks.does = lambda job: PlaybookResult(end=PlaybookEnd.FAILED, reason="no disk", return_code=2)
    scene.delivers(alert())
    scene.work()
    [run] = scene.runs
    assert run.reason == "no [redacted]"
    assert {(answer.words, answer.asked) for answer in run.probes} == {("[redacted]", run.probes[0].asked)}
    assert scene.playbooks.jobs[0].redact == ("refus..", "web1:[0-9]+", "disk")
