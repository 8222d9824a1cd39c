"""What is counted: each thing once, in the batch that puts it on the record."""

from dataclasses import replace
from datetime import timedelta

from tests.flow.scene import Scene, alert, rule
from tests.flow.twin import Alertmanager
from webhook.core.audit import RECONCILIATION
from webhook.core.count import COUNTED
from webhook.core.metric import Kind
from webhook.core.rule import Mode
from webhook.ports import Envelope


def counted(scene: Scene, name: str) -> dict[tuple[str, ...], float]:
    """The series of a metric; of a histogram, what was observed."""
    found = scene.ledger.counts
    return {series.labels: value for series, value in found.items() if series.name == name and not series.part}


def observed(scene: Scene, name: str) -> dict[tuple[str, ...], list[str]]:
    """The buckets into which something fell."""
    found: dict[tuple[str, ...], list[str]] = {}
    for series in scene.ledger.counts:
        if series.name == name and series.part != "sum":
            found.setdefault(series.labels, []).append(series.part)
    return found


def mended() -> Scene:
    """A target was sick, a run fixed it a second later, and five minutes after it had begun the alert resolved."""
    scene = Scene(rules=(rule(probe=True),))
    scene.world.answers = lambda: bool(scene.playbooks.jobs)
    scene.delivers(alert())
    scene.clock.now += timedelta(seconds=1)
    scene.work()
    scene.clock.now += timedelta(minutes=5)
    scene.resolves()
    return scene


def test_the_way_of_an_alert_is_counted_at_every_step() -> None:
    scene = mended()
    name = scene.rules[0].name
    assert counted(scene, "alertmend_notifications_total") == {("202",): 2}
    assert counted(scene, "alertmend_alerts_received_total") == {("firing",): 1, ("resolved",): 1}
    assert counted(scene, "alertmend_decisions_total") == {(name, "run", ""): 1}
    assert counted(scene, "alertmend_incidents_opened_total") == {(name,): 1}
    assert counted(scene, "alertmend_runs_started_total") == {(name,): 1}
    assert counted(scene, "alertmend_runs_total") == {(name, "fixed"): 1}
    assert counted(scene, "alertmend_incidents_resolved_total") == {(name, "remediation"): 1}
    assert counted(scene, "alertmend_probes_total") == {
        (name, "", "before", "sick"): 3,
        (name, "", "after", "healthy"): 2,
    }


def test_times_fall_into_the_buckets_of_their_histograms() -> None:
    scene = mended()
    name = scene.rules[0].name
    assert observed(scene, "alertmend_alert_to_start_seconds") == {(name,): ["1"]}
    assert observed(scene, "alertmend_recovery_seconds") == {(name, "remediation"): ["600"]}


def test_a_batch_that_is_written_twice_counts_once() -> None:
    scene = Scene()
    scene.delivers(alert())
    before = dict(scene.ledger.counts)
    taken = scene.arrives(alert())
    scene.intake.take(taken)
    scene.intake.take(taken)
    scene.upkeep.seal_what_was_left()
    assert counted(scene, "alertmend_notifications_total") == {("202",): 2}
    assert before != scene.ledger.counts


def test_what_a_guard_holds_is_counted_under_its_name() -> None:
    scene = Scene(rules=(replace(rule(), mode=Mode.OBSERVE),))
    scene.delivers(alert())
    ((_, decision, guard),) = counted(scene, "alertmend_decisions_total")
    assert (decision, guard) == ("refuse", "mode")


def test_a_run_that_is_not_wanted_any_more_when_it_would_begin_is_counted_as_what_keeps_it() -> None:
    scene = Scene(alertmanagers=Alertmanager())
    scene.delivers(alert())
    scene.work()
    found = counted(scene, "alertmend_decisions_total")
    assert [(*series[1:], number) for series, number in found.items()] == [("run", "", 1), ("refuse", "fires", 1)]


def test_alerts_that_no_rule_takes_and_those_that_were_cut_off_are_counted() -> None:
    scene = Scene()
    scene.intake.take(scene.arrives(alert(alertname="Unknown"), truncated=7))
    assert counted(scene, "alertmend_alerts_unmatched_total") == {(): 1}
    assert counted(scene, "alertmend_alerts_truncated_total") == {(): 7}


def test_what_alertmend_delivers_to_itself_is_no_notification() -> None:
    scene = Scene()
    id = scene.arrives(alert())
    scene.store.put(id, Envelope(received_at=scene.clock.now, sender=RECONCILIATION, body=""))
    scene.intake.take(id)
    assert counted(scene, "alertmend_notifications_total") == {}
    assert counted(scene, "alertmend_decisions_total") != {}


def test_no_series_has_more_or_fewer_labels_than_its_metric() -> None:
    known = {metric.name: metric for metric in COUNTED}
    for series in mended().ledger.counts:
        assert len(series.labels) == len(known[series.name].labels)
        assert (series.part == "") is (known[series.name].kind is Kind.COUNTER)
