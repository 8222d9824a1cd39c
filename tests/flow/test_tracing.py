"""An incident is one trace: intake, decisions, runs, probes and playbooks, each below what caused it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.flow.scene import Scene, alert, rule
from webhook import tracing
from webhook.core.redaction import Redaction
from webhook.core.rule import Guards, Step
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    found = InMemorySpanExporter()
    with tracing.given_to(SimpleSpanProcessor(found), role="test"):
        yield found


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def is_below(span: ReadableSpan, other: ReadableSpan) -> bool:
    assert other.context is not None
    return span.parent is not None and span.parent.span_id == other.context.span_id


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(f"alertmend.{name}")


def test_a_run_is_below_the_intake_that_opened_its_incident_and_its_probes_and_playbook_are_below_the_run(
    exporter: InMemorySpanExporter,
) -> None:
    scene = Scene(rules=(rule(probe=True),))
    scene.world.answers = lambda: bool(scene.playbooks.jobs)
    scene.delivers(alert())
    scene.work()
    [intake], [run], [playbook] = (named(exporter, name) for name in ("intake", "run", "playbook"))
    probes = named(exporter, "probe")
    assert is_below(run, intake)
    assert all(is_below(span, run) for span in (playbook, *probes))
    assert [attribute(probe, "phase") for probe in probes] == ["before"] * 3 + ["after"] * 2
    assert [attribute(probe, "healthy") for probe in probes] == [False] * 3 + [True] * 2
    assert (attribute(run, "outcome"), run.status.is_ok) == ("fixed", True)
    assert len({span.context.trace_id for span in exporter.get_finished_spans() if span.context}) == 1


def test_what_goes_on_the_record_is_told_in_the_span_that_did_it(exporter: InMemorySpanExporter) -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.work()
    [intake], [run] = named(exporter, "intake"), named(exporter, "run")
    assert [event.name for event in intake.events] == ["alert_received", "incident_opened", "decision"]
    [decision] = [dict(event.attributes or {}) for event in intake.events if event.name == "decision"]
    assert decision["alertmend.decision"] == "run"
    assert decision["alertmend.incident"] == scene.incidents[0].id
    assert "run_finished" in [event.name for event in run.events]


def test_the_next_attempt_and_a_hold_that_came_due_are_in_the_trace_of_their_incident(
    exporter: InMemorySpanExporter,
) -> None:
    steps = (Step(playbook="restart.yml"), Step(playbook="reboot.yml"))
    scene = Scene(rules=(rule(steps=steps, guards=Guards(cooldown=timedelta(minutes=5))),))
    broken = PlaybookResult(end=PlaybookEnd.FAILED, reason="no such unit", return_code=2)
    scene.playbooks.does = lambda job: broken
    scene.delivers(alert())
    scene.work()
    scene.clock.advance(minutes=5)
    scene.keep_up()
    scene.work()
    [intake], reconsidered, runs = (named(exporter, name) for name in ("intake", "reconsider", "run"))
    assert [attribute(run, "playbook") for run in runs] == ["restart.yml", "reboot.yml"]
    assert reconsidered
    assert all(is_below(span, intake) for span in (*reconsidered, *runs))
    assert [(run.status.is_ok, run.status.description) for run in runs] == [(False, "no such unit")] * 2


def test_another_incident_is_another_trace(exporter: InMemorySpanExporter) -> None:
    scene = Scene()
    scene.delivers(alert("web1"))
    scene.delivers(alert("web2"))
    scene.work()
    first, second = named(exporter, "run")
    assert first.context is not None
    assert second.context is not None
    assert first.context.trace_id != second.context.trace_id


def test_what_may_not_be_stored_is_not_sent_either(exporter: InMemorySpanExporter) -> None:
    def breaks(job: PlaybookJob) -> PlaybookResult:
        if len(scene.playbooks.jobs) > 1:
            raise RuntimeError("status refused")
        return PlaybookResult(end=PlaybookEnd.FAILED, reason="it was refused", return_code=2)

    steps = (Step(playbook="restart.yml"), Step(playbook="reboot.yml"))
    # As the twin of a probe says, too
    scene = Scene(rules=(rule(probe=True, steps=steps),), redaction=Redaction(patterns=("refused",)))
    scene.world.answers = lambda: False
    scene.playbooks.does = breaks
    scene.delivers(alert())
    scene.work()
    scene.keep_up()
    scene.work()
    assert [span.status.description for span in named(exporter, "playbook")] == ["it was [redacted]", "RuntimeError"]
    assert not any("refused" in span.to_json() for span in exporter.get_finished_spans())


def test_without_traces_nothing_of_them_is_kept() -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.work()
    assert (scene.runs[0].traceparent, scene.incidents[0].traceparent) == ("", "")
