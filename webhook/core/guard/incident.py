"""Guards on the incident: what was tried, what is left to try, and whether the last try is over."""

from __future__ import annotations

from webhook.core.alert import Alert
from webhook.core.evidence import Evidence, OpenIncident, Policy
from webhook.core.guard.answer import RECHECK, ago, ahead, holds, passes, refuses
from webhook.core.incident import Incident
from webhook.core.rule import Rule
from webhook.core.run import Outcome, RunState
from webhook.core.verdict import Check


def open_incident(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """One firing gets one run for each step: what is under way, done or used up is not started again."""
    incident = evidence.incident
    if incident is None:
        return passes("open_incident", "no incident is open for this rule and target")
    if incident.run is not None and incident.run_state is not RunState.AWAITING_APPROVAL:
        return refuses("open_incident", f"incident {incident.id} is open and its run {incident.run} {_doing(incident)}")
    if (incident.rule, incident.target) != (rule.name, evidence.target.host):
        return refuses("open_incident", f"it belongs to the open incident {incident.id} of rule {incident.rule}")
    return _after_last_run(rule, incident, evidence)


def attempts(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Something is left to try."""
    incident = evidence.incident
    tried, number = incident.attempts if incident else 0, next_rung(rule, incident)
    if rule.rung(number) is None:
        why = "its run opened the breaker" if incident and incident.broke else f"all {len(rule.steps)} steps were tried"
        return refuses("attempts", f"{why}; a person is needed")
    if number > len(rule.steps):
        return passes("attempts", f"{tried} steps were tried; what is left is the playbook of give_up")
    return passes("attempts", f"{tried} of {len(rule.steps)} steps were tried")


def next_rung(rule: Rule, incident: OpenIncident | Incident | None) -> int:
    """The number of the step that an incident's next run would take."""
    if incident is None:
        return 1
    number = incident.attempts + 1
    # What has opened the breaker goes straight to the last rung, once.
    return max(number, rule.last_rung) if incident.broke else number


def _after_last_run(rule: Rule, incident: OpenIncident, evidence: Evidence) -> Check:
    last = incident.last_run
    if last is None:
        return passes("open_incident", f"incident {incident.id} is open and nothing was done yet")
    ended = f"run {last.id} ended {last.outcome} {ago(evidence.now - last.finished_at)} ago"
    if last.outcome in (Outcome.FIXED, Outcome.UNPROVED):
        return refuses("open_incident", f"incident {incident.id}: {ended}; its alerts have yet to resolve")
    if last.ended_by:
        return refuses("open_incident", f"{ended}, by {last.ended_by}; a person has it")
    if last.outcome not in (Outcome.NOT_NEEDED, Outcome.CANCELLED):
        return passes("open_incident", f"incident {incident.id} is open; {ended}")
    rest = max(RECHECK, rule.guards.cooldown) if last.outcome is Outcome.NOT_NEEDED else RECHECK
    free = last.finished_at + rest
    if free > evidence.now:
        return holds("open_incident", f"{ended}; looked at again in {ahead(free - evidence.now)}", retry_at=free)
    return passes("open_incident", f"incident {incident.id} is open; {ended}")


def _doing(incident: OpenIncident) -> str:
    if incident.run_state is RunState.QUEUED:
        return "is queued"
    if incident.run_state is RunState.PROVING:
        return "waits for its alerts to resolve"
    return "is running"
