"""Handing over to people: an incident that nothing here mends, or a storm; and the end of that."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from webhook.core.audit import AuditEvent, Event
from webhook.core.due import crowd_due, escalation_due, line_due
from webhook.core.escalation import Escalation
from webhook.core.incident import Incident
from webhook.core.run import Word
from webhook.core.state import Draft
from webhook.core.storm import Crowd
from webhook.core.transition.moment import Moment


def hand_over(draft: Draft, moment: Moment, incident: Incident, *, outcome: str, reason: str) -> Incident:
    """The incident, in the hands of people from now on; once is enough."""
    if incident.handed_over:
        return incident
    incident = replace(incident, handed_over=reason)
    draft.put_incident(incident)
    states = (draft.alerts.get(fingerprint) for fingerprint in (*incident.firing, *incident.alerts))
    labels = next((state.alert.labels for state in states if state is not None), {})
    _escalate(
        draft,
        Escalation(
            id=incident.id,
            chain=moment.rulebook.chain_of(incident.rule).name,
            rule=incident.rule,
            target=incident.target,
            incident=incident.id,
            outcome=outcome,
            reason=reason,
            labels=labels,
            started_at=moment.now,
            step_since=moment.now,
        ),
    )
    return incident


def storm_escalation(crowd: Crowd) -> str:
    """The escalation of a storm."""
    return f"storm:{crowd.rule}|{crowd.group}"


def hand_over_storm(draft: Draft, moment: Moment, crowd: Crowd) -> None:
    """One escalation for all of a storm."""
    state = draft.crowd(crowd)
    _escalate(
        draft,
        Escalation(
            id=storm_escalation(crowd),
            chain=moment.rulebook.chain_of(crowd.rule).name,
            rule=crowd.rule,
            target=crowd.group,
            incident=None,
            outcome="storm",
            reason=f"more than {state.limit} hosts of group {crowd.group} are sick at once: nothing runs until it ends",
            labels={},
            started_at=moment.now,
            step_since=moment.now,
        ),
    )


def end_storm(draft: Draft, moment: Moment, crowd: Crowd) -> None:
    """It has been calm for long enough: whoever waited is due, and people are told."""
    draft.put_crowd(crowd, draft.crowd(crowd).ended())
    draft.due[crowd_due(crowd)] = None
    draft.due[line_due(f"storm|{crowd.rule}|{crowd.group}")] = moment.now
    end_escalation(draft, storm_escalation(crowd), by="alertmend", comment="the storm is over", now=moment.now)


def end_escalation(draft: Draft, id: str, *, by: str, comment: str, now: datetime) -> bool:
    """Whether it was under way; its alerts are resolved next."""
    found = draft.escalations.get(id)
    if found is None or found.ended is not None:
        return False
    draft.put_escalation(replace(found, ended=Word(by=by, at=now, comment=comment), failures=0))
    draft.due[escalation_due(id)] = now
    return True


def _escalate(draft: Draft, escalation: Escalation) -> None:
    draft.put_escalation(escalation)
    draft.due[escalation_due(escalation.id)] = escalation.started_at
    draft.events.append(escalated(escalation, at=escalation.started_at, step="begin", delivered=None))


def escalated(
    escalation: Escalation, *, at: datetime, step: str, delivered: bool | None, words: str = ""
) -> AuditEvent:
    """The entry on a step of an escalation; `delivered` is None when there is nothing to deliver."""
    return AuditEvent(
        at=at,
        event=Event.ESCALATED,
        incident=escalation.incident,
        rule=escalation.rule,
        target=escalation.target,
        alertname=escalation.labels.get("alertname"),
        outcome=escalation.outcome,
        body={
            "escalation": escalation.chain,
            "reason": escalation.reason,
            "step": step,
            "delivered": delivered,
            "words": words,
        },
    )
