"""How the state changes: one function for each thing that can happen, with the entries that it leaves in the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from webhook.core.alert import Alert
from webhook.core.audit import AuditEvent, Event
from webhook.core.decision import decide
from webhook.core.evidence import Evidence, Occasion, Policy, gather, within
from webhook.core.guard import waiting_line
from webhook.core.incident import (
    Choice,
    Decision,
    Hold,
    Incident,
    LastRun,
    Outcome,
    Pair,
    ResolvedBy,
    Run,
    RunState,
)
from webhook.core.rule import RateLimit, Rule
from webhook.core.state import Activity, AlertState, Draft, line_due, pair_due, run_due
from webhook.core.target import Target

#: A queued run whose doorbell nobody answered is rung for again after this long.
RING_AGAIN = timedelta(seconds=30)

NewId = Callable[[], str]
T = TypeVar("T")


def admit(
    draft: Draft,
    rule: Rule,
    policy: Policy,
    alert: Alert,
    target: Target,
    *,
    occasion: Occasion,
    new_id: NewId,
) -> Decision:
    """The decision on a firing alert that `rule` takes; the draft then holds all that follows from it."""
    evidence = gather(rule, policy, alert, target, draft=draft, occasion=occasion)
    decision = decide(rule, policy, alert, evidence)
    incident = None
    if target.host is not None and decision.guard != "order":
        incident = _join(draft, rule, alert, target.host, occasion=occasion, new_id=new_id)
    _record_decision(draft, rule, alert, evidence, decision, incident)
    if incident is not None:
        _follow(
            draft,
            rule,
            policy,
            alert,
            decision,
            incident,
            occasion=occasion,
            new_id=new_id,
        )
    return decision


def clear(draft: Draft, alert: Alert, *, occasion: Occasion) -> bool:
    """Whether the resolve of `alert` was news; its incident is closed with the last alert behind it."""
    seen = draft.alerts.get(alert.fingerprint)
    if seen is None or not seen.is_firing or _is_older(alert, seen, occasion):
        return False
    received_at = occasion.received_at or occasion.now
    draft.put_alert(
        alert.fingerprint,
        replace(seen, alert=alert, received_at=received_at, source=occasion.source),
    )
    incident = draft.pair(seen.pair).incident
    if incident is None or incident.id != seen.incident:
        return True
    incident = replace(incident, firing=tuple(f for f in incident.firing if f != alert.fingerprint))
    draft.put_incident(incident)
    if not incident.firing:
        _all_clear(draft, incident, now=occasion.now)
    return True


def start(draft: Draft, run: Run, *, owner: str, now: datetime) -> Run | None:
    """The run, now running and owned; None when it is not queued, so that the loser of a race stops."""
    if run.state is not RunState.QUEUED:
        return None
    incident = draft.pair(run.pair).incident
    firing = incident.firing if incident else run.alerts
    started = replace(run, state=RunState.RUNNING, owner=owner, started_at=now, alerts=firing)
    draft.put_run(started)
    _set_run_state(draft, started)
    draft.due[run_due(run.id)] = None
    draft.events.append(_run_event(Event.RUN_STARTED, started, at=now))
    return started


def prove(draft: Draft, run: Run, *, until: datetime, now: datetime) -> None:
    """It acted well; whether it helped is for the alerts to say, until then at the latest."""
    proving = replace(run, state=RunState.PROVING, proving_at=now)
    draft.put_run(proving)
    _set_run_state(draft, proving)
    _leave(draft, run, now=now)
    draft.due[run_due(run.id)] = until


def finish(draft: Draft, run: Run, outcome: Outcome, *, reason: str, now: datetime) -> Run:
    """The finished run; its claim is free, and whoever waited for it is due."""
    finished = replace(run, state=RunState.FINISHED, outcome=outcome, reason=reason, finished_at=now)
    acted = _acted(run, outcome)
    draft.put_run(finished)
    draft.due[run_due(run.id)] = None
    _release(draft, run, acted=acted, now=now)
    draft.events.append(_run_event(Event.RUN_FINISHED, finished, at=now))
    _close_or_reconsider(draft, finished, acted=acted, now=now)
    return finished


def _acted(run: Run, outcome: Outcome) -> bool:
    # A run that never touched its target spends no token, starts no cooldown and uses up no attempt.
    return outcome is not Outcome.NOT_NEEDED and not (outcome is Outcome.CANCELLED and run.started_at is None)


def _join(
    draft: Draft,
    rule: Rule,
    alert: Alert,
    host: str,
    *,
    occasion: Occasion,
    new_id: NewId,
) -> Incident:
    pair = Pair(rule.name, host)
    seen = draft.alerts.get(alert.fingerprint)
    incident = draft.pair(pair).incident
    if seen is not None and seen.is_firing and seen.pair != pair:
        other = draft.pair(seen.pair).incident
        incident = other if other is not None and other.id == seen.incident else incident
    if incident is None:
        incident = _open(draft, pair, alert, occasion=occasion, new_id=new_id)
    if alert.fingerprint not in incident.firing:
        known = incident.alerts if alert.fingerprint in incident.alerts else (*incident.alerts, alert.fingerprint)
        incident = replace(incident, firing=(*incident.firing, alert.fingerprint), alerts=known)
        draft.put_incident(incident)
    state = AlertState(
        alert=alert,
        received_at=occasion.received_at or occasion.now,
        source=occasion.source,
        incident=incident.id,
        rule=incident.rule,
        target=incident.target,
    )
    if occasion.received_at is not None or seen is None:
        draft.put_alert(alert.fingerprint, state)
    return incident


def _open(draft: Draft, pair: Pair, alert: Alert, *, occasion: Occasion, new_id: NewId) -> Incident:
    incident = Incident(
        id=new_id(),
        rule=pair.rule,
        target=pair.target,
        opened_at=occasion.now,
        firing=(),
        alerts=(),
    )
    draft.put_incident(incident)
    draft.events.append(
        AuditEvent(
            at=occasion.now,
            event=Event.INCIDENT_OPENED,
            incident=incident.id,
            rule=pair.rule,
            target=pair.target,
            alertname=alert.name,
        )
    )
    return incident


def _record_decision(
    draft: Draft,
    rule: Rule,
    alert: Alert,
    evidence: Evidence,
    decision: Decision,
    incident: Incident | None,
) -> None:
    draft.events.append(
        AuditEvent(
            at=evidence.now,
            event=Event.DECISION,
            incident=incident.id if incident else None,
            rule=rule.name,
            target=evidence.target.host,
            alertname=alert.name,
            decision=decision.decision.value,
            body={"decision": decision, "alert": alert, "evidence": evidence},
        )
    )


def _follow(
    draft: Draft,
    rule: Rule,
    policy: Policy,
    alert: Alert,
    decision: Decision,
    incident: Incident,
    *,
    occasion: Occasion,
    new_id: NewId,
) -> None:
    if decision.decision is Choice.RUN:
        _queue(draft, rule, policy, alert, decision, incident, now=occasion.now, run_id=new_id())
    elif decision.decision is Choice.HOLD:
        _wait(draft, decision, incident, alert, came_due=occasion.received_at is None)
    elif decision.guard != "open_incident":
        draft.put_incident(incident, decision)


def _queue(
    draft: Draft,
    rule: Rule,
    policy: Policy,
    alert: Alert,
    decision: Decision,
    incident: Incident,
    *,
    now: datetime,
    run_id: str,
) -> None:
    pair = incident.pair
    run = Run(
        id=run_id,
        incident=incident.id,
        rule=rule.name,
        target=pair.target,
        step=incident.attempts + 1,
        playbook=rule.steps[incident.attempts].playbook,
        state=RunState.QUEUED,
        created_at=now,
        attempt=incident.attempts + 1,
        alerts=tuple(dict.fromkeys([alert.fingerprint, *incident.firing])),
        checks=decision.checks,
    )
    draft.put_run(run)
    _claim(draft, rule, policy, run, now=now)
    incident = replace(
        incident,
        run=run.id,
        run_state=run.state,
        attempts=incident.attempts + 1,
        runs=(*incident.runs, run.id),
        hold=None,
    )
    draft.put_incident(incident, decision)
    draft.due[pair_due(pair)] = None
    draft.stand(pair, None, since=now)
    draft.due[run_due(run.id)] = now + RING_AGAIN
    draft.doorbells.append(run.id)


def _claim(draft: Draft, rule: Rule, policy: Policy, run: Run, *, now: datetime) -> None:
    on_pair, on_target = draft.pair(run.pair), draft.target(run.target)
    draft.put_pair(
        run.pair,
        replace(on_pair, starts=_spend(on_pair.starts, rule.guards.rate_limit, now)),
    )
    draft.put_target(run.target, replace(on_target, lock=run.id))
    draft.put_rule(run.rule, _begin(draft.rule(run.rule), run, rule.guards.rule_rate_limit, now))
    draft.put_everything(_begin(draft.everything, run, policy.limits.rate_limit, now))


def _begin(activity: Activity, run: Run, limit: RateLimit | None, now: datetime) -> Activity:
    return Activity(active=(*activity.active, run.id), starts=_spend(activity.starts, limit, now))


def _spend(starts: tuple[datetime, ...], limit: RateLimit | None, now: datetime) -> tuple[datetime, ...]:
    return () if limit is None else (*within(starts, limit, now), now)


def _wait(draft: Draft, decision: Decision, incident: Incident, alert: Alert, *, came_due: bool) -> None:
    pair, guard = incident.pair, decision.guard or ""
    before, hold = incident.hold, Hold(guard=guard, retry_at=decision.retry_at, alert=alert.fingerprint)
    if not came_due and before is not None and (before.guard, before.retry_at) == (guard, decision.retry_at):
        # A repeat that changes nothing: it waits for the same already.
        return
    line = waiting_line(guard, pair)
    draft.put_incident(replace(incident, hold=hold), decision)
    draft.stand(pair, line, since=incident.opened_at)
    draft.due[pair_due(pair)] = None if line else decision.retry_at
    if line and decision.retry_at:
        due = draft.due.get(line_due(line))
        draft.due[line_due(line)] = min(due, decision.retry_at) if due else decision.retry_at


def _is_older(alert: Alert, seen: AlertState, occasion: Occasion) -> bool:
    # A notification that overtook this one, or a peer's copy of a resolve that a newer firing has outdated.
    if occasion.received_at is not None and occasion.received_at < seen.received_at and occasion.source == seen.source:
        return True
    ended = alert.ends_at
    return occasion.source != seen.source and ended is not None and ended < seen.alert.starts_at


def _all_clear(draft: Draft, incident: Incident, *, now: datetime) -> None:
    draft.due[pair_due(incident.pair)] = None
    draft.stand(incident.pair, None, since=now)
    if incident.run is None:
        _close(draft, incident, now=now)
        return
    run = draft.runs[incident.run]
    if run.state is RunState.QUEUED:
        finish(
            draft,
            run,
            Outcome.CANCELLED,
            reason="the alerts resolved before it started",
            now=now,
        )
    elif run.state is RunState.PROVING:
        finish(draft, run, Outcome.FIXED, reason="the alerts resolved", now=now)
    # A running one closes the incident when it ends: only then is it known who mended it.


def _set_run_state(draft: Draft, run: Run) -> None:
    incident = draft.pair(run.pair).incident
    if incident is not None and incident.run == run.id:
        draft.put_incident(replace(incident, run_state=run.state))


def _release(draft: Draft, run: Run, *, acted: bool, now: datetime) -> None:
    _leave(draft, run, now=now)
    on_pair, on_target = draft.pair(run.pair), draft.target(run.target)
    if on_target.lock == run.id:
        ended = now if acted else on_target.last_finished_at
        draft.put_target(run.target, replace(on_target, lock=None, last_finished_at=ended))
        draft.due[line_due(f"lock|{run.target}")] = now
    if acted:
        draft.put_pair(run.pair, replace(on_pair, last_finished_at=now))
    else:
        _refund_all(draft, run, now=now)


def _leave(draft: Draft, run: Run, *, now: datetime) -> None:
    """It no longer counts as under way; whoever waited for its place is due."""
    of_rule, everything = draft.rule(run.rule), draft.everything
    draft.put_rule(run.rule, replace(of_rule, active=_without(of_rule.active, run.id)))
    draft.put_everything(replace(everything, active=_without(everything.active, run.id)))
    for line in (f"concurrency|{run.rule}", "concurrency"):
        draft.due[line_due(line)] = now


def _refund_all(draft: Draft, run: Run, *, now: datetime) -> None:
    on_pair, of_rule, everything = draft.pair(run.pair), draft.rule(run.rule), draft.everything
    draft.put_pair(run.pair, replace(on_pair, starts=_without(on_pair.starts, run.created_at)))
    draft.put_rule(run.rule, replace(of_rule, starts=_without(of_rule.starts, run.created_at)))
    draft.put_everything(replace(everything, starts=_without(everything.starts, run.created_at)))
    for line in (f"rate|{run.rule}", "rate"):
        draft.due[line_due(line)] = now


def _without(items: tuple[T, ...], item: T) -> tuple[T, ...]:
    """`items` less one that equals `item`."""
    at = items.index(item) if item in items else len(items)
    return items[:at] + items[at + 1 :]


def _close_or_reconsider(draft: Draft, run: Run, *, acted: bool, now: datetime) -> None:
    incident = draft.pair(run.pair).incident
    if incident is None or incident.run != run.id or run.outcome is None:
        return
    incident = replace(
        incident,
        run=None,
        run_state=None,
        attempts=incident.attempts if acted else incident.attempts - 1,
        last_run=LastRun(id=run.id, outcome=run.outcome, finished_at=now),
    )
    draft.put_incident(incident)
    if not incident.firing:
        _close(draft, incident, now=now)
    elif run.outcome not in (Outcome.FIXED, Outcome.UNPROVED):
        draft.due[pair_due(run.pair)] = now


def _close(draft: Draft, incident: Incident, *, now: datetime) -> None:
    resolved = replace(incident, resolved_at=now, resolved_by=_credit(incident))
    draft.put_incident(resolved)
    draft.events.append(
        AuditEvent(
            at=now,
            event=Event.INCIDENT_RESOLVED,
            incident=incident.id,
            rule=incident.rule,
            target=incident.target,
            outcome=resolved.resolved_by,
            body={"incident": resolved},
        )
    )


def _credit(incident: Incident) -> ResolvedBy:
    last = incident.last_run
    if incident.attempts == 0 or last is None:
        return ResolvedBy.ITSELF
    if last.outcome in (Outcome.FIXED, Outcome.UNPROVED):
        return ResolvedBy.REMEDIATION
    return ResolvedBy.UNKNOWN


def _run_event(event: Event, run: Run, *, at: datetime) -> AuditEvent:
    return AuditEvent(
        at=at,
        event=event,
        incident=run.incident,
        run=run.id,
        rule=run.rule,
        target=run.target,
        outcome=run.outcome,
        body={"run": run},
    )
