"""What is counted of a batch, as it goes on the record: the same batch counts once, whoever writes it and how often.

How counts are kept and shown is the edges' affair.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from webhook.core.audit import RECONCILIATION, AuditEvent, Event
from webhook.core.incident import Incident
from webhook.core.metric import Counts, Kind, Metric, Series
from webhook.core.run import ProbeAnswer, Run
from webhook.core.verdict import Choice

#: Where times of remediations are told apart.
_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)

NOTIFICATIONS = Metric(
    name="alertmend_notifications_total",
    words="Deliveries to the receiver by the status that was answered; those with 202 count once they are on record.",
    labels=("code",),
)
ALERTS = Metric(
    name="alertmend_alerts_received_total", words="Alerts in notifications, by their status.", labels=("status",)
)
TRUNCATED = Metric(name="alertmend_alerts_truncated_total", words="Alerts that max_alerts had cut off.")
UNMATCHED = Metric(name="alertmend_alerts_unmatched_total", words="Firing alerts that no rule takes.")
DECISIONS = Metric(
    name="alertmend_decisions_total",
    words="Decisions; guard is the one that held or refused, and empty for a run, which counts once.",
    labels=("rule", "decision", "guard"),
)
OPENED = Metric(name="alertmend_incidents_opened_total", words="Incidents that opened.", labels=("rule",))
RESOLVED = Metric(
    name="alertmend_incidents_resolved_total",
    words="Incidents that ended, by whom that is credited to.",
    labels=("rule", "resolved_by"),
)
STARTED = Metric(name="alertmend_runs_started_total", words="Runs that a worker began.", labels=("rule",))
RUNS = Metric(name="alertmend_runs_total", words="Runs that ended, by outcome.", labels=("rule", "outcome"))
PROBES = Metric(
    name="alertmend_probes_total",
    words="Answers to probes: healthy, sick or unknown; they count when their run ends.",
    labels=("rule", "kind", "phase", "answer"),
)
ESCALATIONS = Metric(
    name="alertmend_escalations_total", words="Times that people were called, by why.", labels=("rule", "outcome")
)
CALLS = Metric(
    name="alertmend_escalation_steps_total",
    words="Steps of escalations by whether they were delivered; the first, second, fourth, eighth … try that was not.",
    labels=("rule", "delivered"),
)
ENTRIES = Metric(name="alertmend_ledger_entries_total", words="Audit entries that were sealed.", labels=("event",))
ALERT_TO_START = Metric(
    name="alertmend_alert_to_start_seconds",
    words="From an incident's opening to the start of its first run, holds and approvals included.",
    labels=("rule",),
    kind=Kind.HISTOGRAM,
    bounds=_SECONDS,
)
RUN_SECONDS = Metric(
    name="alertmend_run_duration_seconds",
    words="From a run's start to its end, the proof included.",
    labels=("rule",),
    kind=Kind.HISTOGRAM,
    bounds=_SECONDS,
)
RECOVERY = Metric(
    name="alertmend_recovery_seconds",
    words="From an incident's opening to its end, by whom that is credited to.",
    labels=("rule", "resolved_by"),
    kind=Kind.HISTOGRAM,
    bounds=_SECONDS,
)
COUNTED = (
    *(NOTIFICATIONS, ALERTS, TRUNCATED, UNMATCHED, DECISIONS, OPENED, RESOLVED, STARTED, RUNS, PROBES, ESCALATIONS),
    *(CALLS, ENTRIES, ALERT_TO_START, RUN_SECONDS, RECOVERY),
)


def count(events: Iterable[AuditEvent], *, incidents: Sequence[Incident], runs: Sequence[Run]) -> Counts:
    """What a batch adds to each series; bodies are as JSON knows them.

    A body without what is looked for counts for less: nothing stays off the record for the sake of a number.
    """
    found: Counts = {}
    incident_of = {incident.id: incident for incident in incidents}
    run_of = {run.id: run for run in runs}
    for event in events:
        for series, value in (
            (Series(ENTRIES.name, (event.event.value,)), 1),
            *_of_event(event, incident_of.get(event.incident or ""), run_of.get(event.run or "")),
        ):
            found[series] = found.get(series, 0) + value
    return found


Added = Iterator[tuple[Series, float]]


def _of_event(event: AuditEvent, incident: Incident | None, run: Run | None) -> Added:
    rule = event.rule or ""
    if event.event is Event.DECISION and not _confirms(event):
        yield _one(DECISIONS, rule, event.decision or "", _guard(event.body))
    elif event.event is Event.ALERT_RECEIVED and event.actor != RECONCILIATION:
        yield from _of_notification(event.body)
    elif event.event is Event.INCIDENT_OPENED:
        yield _one(OPENED, rule)
    elif event.event is Event.INCIDENT_RESOLVED:
        yield from _of_resolve(rule, event.outcome or "", incident)
    elif event.event is Event.RUN_STARTED and not event.body.get("rolls_back"):
        yield from _of_start(rule, incident, run)
    elif event.event is Event.RUN_FINISHED:
        yield from _of_end(rule, event.outcome or "", run)
    elif event.event is Event.ESCALATED:
        yield from _of_escalation(rule, event)


def _confirms(event: AuditEvent) -> bool:
    """Whether a run that was decided on is let go on, as is decided once more just before it begins."""
    return event.run is not None and event.decision == Choice.RUN


def _of_notification(body: Mapping[str, Any]) -> Added:
    yield _one(NOTIFICATIONS, "202")
    for status in ("firing", "resolved"):
        yield Series(ALERTS.name, (status,)), body.get(status, 0)
    yield Series(TRUNCATED.name, ()), body.get("truncated", 0)
    yield Series(UNMATCHED.name, ()), body.get("without_rule", 0)


def _of_resolve(rule: str, resolved_by: str, incident: Incident | None) -> Added:
    yield _one(RESOLVED, rule, resolved_by)
    if incident is not None and incident.resolved_at is not None:
        yield from _observed(RECOVERY, incident.resolved_at - incident.opened_at, rule, resolved_by)


def _of_start(rule: str, incident: Incident | None, run: Run | None) -> Added:
    yield _one(STARTED, rule)
    if incident is not None and run is not None and run.started_at is not None and incident.runs[:1] == (run.id,):
        yield from _observed(ALERT_TO_START, run.started_at - incident.opened_at, rule)


def _of_end(rule: str, outcome: str, run: Run | None) -> Added:
    yield _one(RUNS, rule, outcome)
    if run is None:
        return
    if run.started_at is not None and run.finished_at is not None:
        yield from _observed(RUN_SECONDS, run.finished_at - run.started_at, rule)
    for answer in run.probes:
        yield _one(PROBES, rule, answer.kind, answer.phase.value if answer.phase else "", _said(answer))


def _of_escalation(rule: str, event: AuditEvent) -> Added:
    if event.body.get("step") == "begin":
        yield _one(ESCALATIONS, rule, event.outcome or "")
    elif event.body.get("delivered") is not None:
        yield _one(CALLS, rule, "yes" if event.body["delivered"] else "no")


def _one(metric: Metric, *labels: str) -> tuple[Series, float]:
    return Series(metric.name, labels), 1


def _observed(metric: Metric, span: timedelta, *labels: str) -> Added:
    # A clock that was set back in between made no time run backwards.
    seconds = max(span.total_seconds(), 0.0)
    place = bisect_left(metric.bounds, seconds)
    bound = f"{metric.bounds[place]:g}" if place < len(metric.bounds) else "+Inf"
    yield Series(metric.name, labels, bound), 1
    yield Series(metric.name, labels, "sum"), seconds


def _said(answer: ProbeAnswer) -> str:
    if not answer.known:
        return "unknown"
    return "healthy" if answer.healthy else "sick"


def _guard(body: Mapping[str, Any]) -> str:
    decision = body.get("decision")
    return (isinstance(decision, Mapping) and decision.get("guard")) or ""
