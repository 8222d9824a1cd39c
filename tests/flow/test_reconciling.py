"""What Alertmanager says when it is asked: what still fires, what it keeps back, what it never delivered."""

from dataclasses import replace
from datetime import timedelta

from tests.flow.scene import Scene, alert, rule
from tests.flow.twin import Alertmanager
from webhook.core.run import Outcome
from webhook.ports import Errand


def scene_with(**settings: object) -> Scene:
    return Scene(rules=(rule(**settings),), alertmanagers=Alertmanager())


def reconciles(scene: Scene) -> None:
    scene.reconciling.reconcile()
    for doorbell in scene.take_rung(Errand.INTAKE):
        scene.intake.take(doorbell.about)


def test_a_resolve_that_was_never_sent_closes_the_incident_at_the_second_look() -> None:
    scene = scene_with()
    scene.delivers(alert())
    reconciles(scene)
    assert scene.incidents[0].is_open
    reconciles(scene)
    assert not scene.incidents[0].is_open
    assert [event.actor for event in scene.ledger.events if event.event == "alert_received"] == [
        "alertmanager",
        "reconciliation",
    ]


def test_nothing_is_concluded_from_an_alertmanager_that_was_restarted_and_has_yet_to_hear_of_it_again() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.delivers(alert())
    scene.clock.advance(minutes=1)
    scene.alertmanagers.started = scene.clock.now
    for _ in range(4):
        scene.clock.advance(minutes=1)
        reconciles(scene)
    assert scene.incidents[0].is_open
    scene.clock.advance(minutes=1)
    reconciles(scene)
    assert not scene.incidents[0].is_open


def test_nothing_is_concluded_from_an_alertmanager_that_does_not_answer() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.silent = {"http://am1": "connection refused"}
    scene.delivers(alert())
    for _ in range(3):
        reconciles(scene)
    assert scene.incidents[0].is_open


def test_a_firing_that_never_arrived_is_delivered_after_some_patience() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.fires(alert(starts_at=scene.clock.now))
    reconciles(scene)
    assert scene.decisions == []
    scene.clock.advance(minutes=1)
    reconciles(scene)
    reconciles(scene)
    scene.work()
    assert len(scene.playbooks.jobs) == 1


def test_what_goes_to_other_receivers_is_not_ours() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.fires(alert(starts_at=scene.clock.now - timedelta(hours=1)), is_ours=False)
    reconciles(scene)
    assert scene.decisions == []


def test_the_tail_that_was_cut_off_is_asked_for_at_once() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    for host in ("web1", "web2"):
        scene.alertmanagers.fires(alert(host, starts_at=scene.clock.now))
    scene.intake.take(scene.arrives(alert("web1"), truncated=1))
    scene.upkeep.tick()
    for doorbell in scene.take_rung(Errand.INTAKE)[1:]:
        scene.intake.take(doorbell.about)
    assert {run.target for run in scene.runs} == {"web1", "web2"}


def test_just_before_acting_it_is_asked_whether_the_alert_still_fires() -> None:
    scene = scene_with()
    scene.delivers(alert())
    scene.work()
    assert scene.playbooks.jobs == []
    assert scene.decisions_at_start[0].guard == "fires"
    assert scene.runs[0].outcome is Outcome.CANCELLED


def test_a_fingerprint_that_alertmanager_knows_for_other_labels_proves_nothing() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.fires(replace(alert("web1"), labels={"alertname": "Down", "instance": "web2"}))
    scene.delivers(alert("web1"))
    scene.work()
    assert scene.playbooks.jobs == []
    assert scene.decisions_at_start[0].guard == "fires"


def test_a_silenced_alert_is_not_acted_on_until_the_silence_ends() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.fires(alert(), suppressed_by="silence 3f2")
    scene.delivers(alert())
    scene.work()
    assert scene.playbooks.jobs == []
    assert "silence 3f2" in scene.decisions_at_start[0].reason
    reconciles(scene)
    scene.clock.advance(minutes=2)
    scene.keep_up()
    assert scene.decisions[-1].guard == "fires"
    scene.alertmanagers.fires(alert())
    reconciles(scene)
    scene.keep_up()
    scene.work()
    assert len(scene.playbooks.jobs) == 1


def test_it_acts_when_alertmanager_is_away_and_says_so_in_the_evidence() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.silent = {"http://am1": "connection refused"}
    scene.delivers(alert())
    scene.work()
    assert len(scene.playbooks.jobs) == 1
    [check] = [check for check in scene.decisions_at_start[0].checks if check.guard == "fires"]
    assert check.reason == "Alertmanager was asked and did not answer: connection refused"


def test_old_news_is_acted_on_when_alertmanager_says_that_it_still_holds() -> None:
    scene = scene_with()
    assert scene.alertmanagers is not None
    scene.alertmanagers.fires(alert())
    old = scene.clock.now
    scene.clock.advance(hours=2)
    assert scene.delivers(alert(), received_at=old)[0].guard is None


def test_alerts_that_differ_in_ignored_labels_are_one_until_the_last_of_them_resolves() -> None:
    scene = scene_with()
    scene.ignore_labels = frozenset({"replica"})
    scene.delivers(alert(replica="a"), alert(replica="b"))
    assert len(scene.incidents[0].alerts) == 1
    scene.resolves(replica="a")
    assert scene.incidents[0].is_open
    scene.resolves(replica="b")
    assert not scene.incidents[0].is_open
