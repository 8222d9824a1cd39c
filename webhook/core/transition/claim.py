"""Claims: what a run takes when it is queued, all of it at once, and gives back when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from webhook.core.alert import Alert
from webhook.core.audit import Event
from webhook.core.due import line_due, pair_due, run_due
from webhook.core.gathering import lock_keys, within, without
from webhook.core.guard.incident import next_rung
from webhook.core.incident import ApprovalRequest, Incident
from webhook.core.rule import RateLimit, Rule
from webhook.core.run import Plan, Run, RunState
from webhook.core.state import Activity, Draft
from webhook.core.transition.moment import Moment, run_event
from webhook.core.verdict import Decision

#: A queued run whose doorbell nobody answered is rung for again after this long.
RING_AGAIN = timedelta(seconds=30)


def queue(draft: Draft, moment: Moment, rule: Rule, alert: Alert, decision: Decision, incident: Incident) -> None:
    """The incident's next run is queued, and has all that it needs; an approved plan becomes that run."""
    planned = draft.runs.get(incident.request.run) if incident.request else None
    run = planned or _new_run(moment, rule, alert, decision, incident)
    run = replace(
        run,
        state=RunState.QUEUED,
        queued_at=moment.now,
        checks=decision.checks,
        locks=lock_keys(rule, alert, target=incident.target),
        alerts=_first(alert, incident),
        approvals=incident.request.approvals if incident.request else (),
    )
    draft.put_run(run)
    _claim(draft, moment, rule, run)
    incident = replace(
        incident,
        run=run.id,
        run_state=run.state,
        attempts=run.step,
        runs=incident.runs if run.id in incident.runs else (*incident.runs, run.id),
        hold=None,
    )
    draft.put_incident(incident, decision)
    draft.due[pair_due(run.pair)] = None
    draft.stand(run.pair, None, since=moment.now)
    draft.due[run_due(run.id)] = moment.now + RING_AGAIN
    draft.doorbells.append(run.id)


def propose(draft: Draft, moment: Moment, rule: Rule, alert: Alert, decision: Decision, incident: Incident) -> Incident:
    """The incident, with a plan that people are asked about; it holds nothing."""
    expires_at = moment.now + rule.approval.expires
    run = replace(
        _new_run(moment, rule, alert, decision, incident),
        state=RunState.AWAITING_APPROVAL,
        expires_at=expires_at,
        plan=Plan(),
    )
    draft.put_run(run)
    draft.due[run_due(run.id)] = expires_at
    draft.plans.append(run.id)
    draft.events.append(run_event(Event.APPROVAL, run, at=moment.now, asked=rule.approval.count))
    incident = replace(
        incident,
        run=run.id,
        run_state=run.state,
        runs=(*incident.runs, run.id),
        request=ApprovalRequest(run=run.id, step=run.step, expires_at=expires_at),
    )
    draft.put_incident(incident, decision)
    return incident


def release(draft: Draft, run: Run, *, acted: bool, helped: bool, now: datetime) -> None:
    """What the run held is free, and whoever waited for it is due; a run that never acted gives its tokens back."""
    leave(draft, run, now=now)
    on_target = draft.target(run.target)
    if on_target.lock == run.id:
        ended = now if acted else on_target.last_finished_at
        draft.put_target(run.target, replace(on_target, lock=None, last_finished_at=ended))
        draft.due[line_due(f"lock|{run.target}")] = now
    for key in run.locks:
        if draft.locks.get(key) == run.id:
            draft.put_lock(key, None)
            draft.due[line_due(f"lock|{key}")] = now
    if acted:
        on_pair = draft.pair(run.pair)
        draft.put_pair(run.pair, replace(on_pair, last_finished_at=now, last_helped=run.id if helped else None))
    elif run.queued_at is not None:
        _refund_all(draft, run, queued_at=run.queued_at, now=now)


def enter(draft: Draft, run: Run) -> None:
    """It counts as under way."""
    of_rule, everything = draft.rule(run.rule), draft.everything
    draft.put_rule(run.rule, replace(of_rule, active=(*without(of_rule.active, run.id), run.id)))
    draft.put_everything(replace(everything, active=(*without(everything.active, run.id), run.id)))


def leave(draft: Draft, run: Run, *, now: datetime) -> None:
    """It no longer counts as under way; whoever waited for its place is due."""
    of_rule, everything = draft.rule(run.rule), draft.everything
    if run.id not in everything.active:
        return
    draft.put_rule(run.rule, replace(of_rule, active=without(of_rule.active, run.id)))
    draft.put_everything(replace(everything, active=without(everything.active, run.id)))
    for line in (f"concurrency|{run.rule}", "concurrency"):
        draft.due[line_due(line)] = now


def _new_run(moment: Moment, rule: Rule, alert: Alert, decision: Decision, incident: Incident) -> Run:
    number = next_rung(rule, incident)
    step = rule.rung(number)
    assert step is not None, "the guard `attempts` passed"
    return Run(
        id=moment.new_id(),
        incident=incident.id,
        rule=rule.name,
        target=incident.target,
        step=number,
        playbook=step.playbook,
        state=RunState.QUEUED,
        created_at=moment.now,
        attempt=incident.attempts + 1,
        alerts=_first(alert, incident),
        checks=decision.checks,
        traceparent=incident.traceparent,
    )


def _first(alert: Alert, incident: Incident) -> tuple[str, ...]:
    return tuple(dict.fromkeys([alert.fingerprint, *incident.firing]))


def _claim(draft: Draft, moment: Moment, rule: Rule, run: Run) -> None:
    now = moment.now
    on_pair, on_target = draft.pair(run.pair), draft.target(run.target)
    draft.put_pair(run.pair, replace(on_pair, starts=_spend(on_pair.starts, rule.guards.rate_limit, now)))
    draft.put_target(run.target, replace(on_target, lock=run.id))
    for key in run.locks:
        draft.put_lock(key, run.id)
    draft.put_rule(run.rule, _begin(draft.rule(run.rule), run, rule.guards.rule_rate_limit, now))
    draft.put_everything(_begin(draft.everything, run, moment.rulebook.policy.limits.rate_limit, now))
    if rule.guards.breaker is not None:
        trial = draft.breaker(run.rule).with_trial(rule.guards.breaker, run=run.id, now=now)
        draft.put_breaker(run.rule, trial)


def _begin(activity: Activity, run: Run, limit: RateLimit | None, now: datetime) -> Activity:
    return Activity(active=(*activity.active, run.id), starts=_spend(activity.starts, limit, now))


def _spend(starts: tuple[datetime, ...], limit: RateLimit | None, now: datetime) -> tuple[datetime, ...]:
    return () if limit is None else (*within(starts, limit, now), now)


def _refund_all(draft: Draft, run: Run, *, queued_at: datetime, now: datetime) -> None:
    on_pair, of_rule, everything = draft.pair(run.pair), draft.rule(run.rule), draft.everything
    draft.put_pair(run.pair, replace(on_pair, starts=without(on_pair.starts, queued_at)))
    draft.put_rule(run.rule, replace(of_rule, starts=without(of_rule.starts, queued_at)))
    draft.put_everything(replace(everything, starts=without(everything.starts, queued_at)))
    for line in (f"rate|{run.rule}", "rate"):
        draft.due[line_due(line)] = now
