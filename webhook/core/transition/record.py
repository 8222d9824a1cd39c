"""Incidents open and close."""

from __future__ import annotations

from dataclasses import replace

from webhook.core.alert import Alert
from webhook.core.audit import AuditEvent, Event
from webhook.core.due import crowd_due, pair_due
from webhook.core.gathering import crowd_of
from webhook.core.incident import Incident, ResolvedBy
from webhook.core.rule import Rule
from webhook.core.run import Outcome, Pair
from webhook.core.state import Draft
from webhook.core.storm import Crowd
from webhook.core.target import Target
from webhook.core.transition.handover import end_escalation, hand_over_storm
from webhook.core.transition.moment import Moment, incident_event


def open_incident(draft: Draft, moment: Moment, rule: Rule, target: Target, alert: Alert) -> Incident:
    """A new incident, counted among the sick hosts of its group."""
    pair = Pair(rule.name, target.host or "")
    crowd = crowd_of(rule, target)
    incident = Incident(
        id=moment.new_id(),
        rule=pair.rule,
        target=pair.target,
        opened_at=moment.now,
        firing=(),
        alerts=(),
        group=crowd.group if crowd else "",
        came_back_after=_came_back(draft, moment, rule, pair),
        traceparent=moment.traceparent,
    )
    draft.put_incident(incident)
    draft.events.append(
        AuditEvent(
            at=moment.now,
            event=Event.INCIDENT_OPENED,
            incident=incident.id,
            rule=pair.rule,
            target=pair.target,
            alertname=alert.name,
            body={"came_back_after": incident.came_back_after} if incident.came_back_after else {},
        )
    )
    if crowd is not None:
        _count(draft, moment, crowd, rule, target)
    return incident


def close_incident(draft: Draft, moment: Moment, incident: Incident) -> None:
    """It is over: to whom that is credited goes on the record, and people who were called are told."""
    resolved = replace(incident, resolved_at=moment.now, resolved_by=_credit(incident), hold=None, request=None)
    draft.put_incident(resolved)
    draft.due[pair_due(incident.pair)] = None
    draft.stand(incident.pair, None, since=moment.now)
    draft.events.append(incident_event(Event.INCIDENT_RESOLVED, resolved, at=moment.now, outcome=resolved.resolved_by))
    if incident.handed_over:
        end_escalation(draft, incident.id, by="alertmend", comment="the alerts resolved", now=moment.now)
    if incident.group:
        crowd = Crowd(incident.rule, incident.group)
        state = draft.crowd(crowd)
        state = state.seen(-1, limit=state.limit, now=moment.now)
        draft.put_crowd(crowd, state)
        if state.ends_at:
            draft.due[crowd_due(crowd)] = state.ends_at


def _count(draft: Draft, moment: Moment, crowd: Crowd, rule: Rule, target: Target) -> None:
    before = draft.crowd(crowd)
    limit = rule.guards.max_targets.of(target.group_hosts) if rule.guards.max_targets else before.limit
    state = before.seen(1, limit=limit, now=moment.now)
    draft.put_crowd(crowd, state)
    draft.coming.get(crowd, set()).discard(target.host or "")
    if state.since is not None and before.since is None:
        hand_over_storm(draft, moment, crowd)


def _came_back(draft: Draft, moment: Moment, rule: Rule, pair: Pair) -> str | None:
    """The run that had helped, and did not for as long as the rule rests: its breaker counts that as a failure."""
    state = draft.pair(pair)
    if state.last_helped is None or state.last_finished_at is None:
        return None
    if moment.now >= state.last_finished_at + rule.guards.cooldown:
        return None
    if rule.guards.breaker is not None:
        counted = draft.breaker(rule.name).after_failure(rule.guards.breaker, run=None, now=moment.now)
        draft.put_breaker(rule.name, counted)
    return state.last_helped


def _credit(incident: Incident) -> ResolvedBy:
    last = incident.last_run
    if incident.attempts == 0 or last is None:
        return ResolvedBy.ITSELF
    if last.outcome in (Outcome.FIXED, Outcome.UNPROVED):
        return ResolvedBy.REMEDIATION
    return ResolvedBy.UNKNOWN
