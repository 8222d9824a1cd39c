"""Each line of the log that is about a run or an incident says which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tests.flow.scene import Scene, alert
from tests.flow.twin import Alertmanager
from webhook.errors import Unavailable
from webhook.ports import Errand
from webhook.telemetry import speaking_of
from webhook.world import PlaybookJob, PlaybookResult

Lines = list[Any]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with speaking_of(about="a test"), capture_logs(processors=[structlog.contextvars.merge_contextvars]) as found:
        yield found


def breaks(job: PlaybookJob) -> PlaybookResult:
    raise RuntimeError("broken")


def away() -> None:
    raise Unavailable("the audit database")


def spoken(lines: Lines, event: str) -> dict[str, Any]:
    line = next(line for line in lines if line["event"] == event)
    return {name: line[name] for name in ("action", "incident", "run", "escalation") if name in line}


def test_a_run_is_spoken_of_with_its_incident_until_all_of_it_is_done(lines: Lines) -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)
    scene.playbooks.does = breaks
    with speaking_of(run=doorbell.about):
        scene.execution.execute(doorbell.about)
        structlog.get_logger().warning("done", action="execute")
    for event in ("a run broke", "done"):
        assert spoken(lines, event) == {"action": "execute", "run": doorbell.about, "incident": scene.incidents[0].id}


def test_a_run_that_cannot_be_put_on_the_record_is_spoken_of_with_its_incident(lines: Lines) -> None:
    scene = Scene()
    scene.delivers(alert())
    [doorbell] = scene.take_rung(Errand.EXECUTE)
    scene.ledger.fails = away
    with pytest.raises(Unavailable):
        scene.execution.execute(doorbell.about)
    structlog.get_logger().warning("it has to wait", action="execute")
    assert spoken(lines, "it has to wait")["incident"] == scene.incidents[0].id


def test_a_run_that_is_lost_is_spoken_of_with_its_incident(lines: Lines) -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.playbooks.does = lambda job: scene.miss_workers()  # type: ignore[assignment, return-value]
    scene.work()
    [run] = scene.runs
    for event in ("a worker is not heard of", "a run was lost"):
        assert spoken(lines, event) == {"action": "lose", "run": run.id, "incident": run.incident}


def test_an_escalation_that_reaches_nobody_is_spoken_of_with_its_incident(lines: Lines) -> None:
    scene = Scene(alertmanagers=Alertmanager(silent={"http://am1": "refused"}))
    scene.playbooks.does = breaks
    scene.delivers(alert())
    scene.work()
    scene.keep_up()
    id = scene.incidents[0].id
    found = spoken(lines, "an escalation reaches nobody")
    assert (found["action"], found["incident"], found["escalation"]) == ("escalate", id, id)


def test_an_incident_that_is_decided_on_again_is_spoken_of(lines: Lines) -> None:
    scene = Scene()
    scene.delivers(alert())
    scene.intake.reconsider(scene.incidents[0].pair)
    structlog.get_logger().warning("done", action="reconsider")
    assert spoken(lines, "done")["incident"] == scene.incidents[0].id
