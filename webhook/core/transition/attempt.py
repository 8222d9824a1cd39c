"""One attempt, from its start to its end, and what follows from that for its incident."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from webhook.core.audit import Event
from webhook.core.due import line_due, pair_due, run_due
from webhook.core.guard.incident import next_rung
from webhook.core.incident import Incident, LastRun
from webhook.core.rule import Rule
from webhook.core.run import Ending, Outcome, Rollback, Run, RunState
from webhook.core.state import Draft
from webhook.core.transition.claim import RING_AGAIN, enter, leave, release
from webhook.core.transition.handover import hand_over
from webhook.core.transition.moment import Moment, run_event
from webhook.core.transition.record import close_incident


def begin(draft: Draft, moment: Moment, run: Run, *, owner: str) -> Run:
    """The run, now running and owned."""
    incident = draft.pair(run.pair).incident
    firing = incident.firing if incident else run.alerts
    started = replace(
        run,
        state=RunState.RUNNING,
        owner=owner,
        started_at=run.started_at or moment.now,
        alerts=tuple(dict.fromkeys([*(f for f in run.alerts if f in firing), *firing])),
    )
    draft.put_run(started)
    set_run_state(draft, started)
    draft.due[run_due(run.id)] = None
    draft.events.append(run_event(Event.RUN_STARTED, started, at=moment.now, rolls_back=run.ending is not None))
    return started


def prove(draft: Draft, moment: Moment, run: Run, *, until: datetime) -> None:
    """It acted well; whether it helped is for the alerts to say, until then at the latest."""
    proving = replace(run, state=RunState.PROVING, proving_at=moment.now)
    draft.put_run(proving)
    set_run_state(draft, proving)
    leave(draft, run, now=moment.now)
    draft.due[run_due(run.id)] = until


def finish(draft: Draft, moment: Moment, run: Run, outcome: Outcome, *, reason: str, by: str = "") -> Run:
    """The run at its end: finished, or queued once more to compensate for what it has left.

    `by` is the person who ended it, or empty.
    """
    rule = moment.rulebook.rule(run.rule)
    if rule is not None and _asks_for_rollback(rule, run, outcome):
        return _compensate(draft, moment, run, Ending(outcome=outcome, reason=reason))
    if run.ending is not None:
        run, outcome, reason = _compensated(rule, run, run.ending, reason)
    acted = _acted(run, outcome)
    finished = replace(run, state=RunState.FINISHED, outcome=outcome, reason=reason, finished_at=moment.now)
    draft.put_run(finished)
    draft.due[run_due(run.id)] = None
    release(draft, run, acted=acted, helped=outcome in (Outcome.FIXED, Outcome.UNPROVED), now=moment.now)
    broke = rule is not None and _feed_breaker(draft, moment, rule, finished)
    draft.events.append(run_event(Event.RUN_FINISHED, finished, at=moment.now, actor=by or "alertmend"))
    _carry_on(draft, moment, rule, finished, broke=broke, by=by)
    return finished


def all_clear(draft: Draft, moment: Moment, incident: Incident) -> None:
    """The last alert behind the incident has resolved: it is closed, unless something runs that may have mended it."""
    draft.due[pair_due(incident.pair)] = None
    draft.stand(incident.pair, None, since=moment.now)
    run = draft.runs.get(incident.run) if incident.run else None
    if run is None:
        close_incident(draft, moment, incident)
    elif run.state is RunState.PROVING:
        finish(draft, moment, run, Outcome.FIXED, reason="the alerts resolved")
    elif run.state is not RunState.RUNNING and run.ending is None:
        finish(draft, moment, run, Outcome.CANCELLED, reason="the alerts resolved before it started")
    # A running one closes the incident when it ends: only then is it known who mended it.


def set_run_state(draft: Draft, run: Run) -> None:
    """The incident knows what its run does."""
    incident = draft.pair(run.pair).incident
    if incident is not None and incident.run == run.id:
        draft.put_incident(replace(incident, run_state=run.state))


def _acted(run: Run, outcome: Outcome) -> bool:
    # A run that never touched its target spends no token and starts no cooldown.
    return outcome.uses_up_attempt or run.acted_at is not None


def _asks_for_rollback(rule: Rule, run: Run, outcome: Outcome) -> bool:
    if rule.rollback is None or run.ending is not None or run.step > len(rule.steps):
        return False
    # What a vanished worker had done nobody knows, so that is compensated for, too.
    return outcome is Outcome.LOST or (outcome.did_not_help and run.acted_at is not None)


def _compensate(draft: Draft, moment: Moment, run: Run, ending: Ending) -> Run:
    queued = replace(run, state=RunState.QUEUED, ending=ending, owner="")
    draft.put_run(queued)
    set_run_state(draft, queued)
    enter(draft, queued)
    draft.due[run_due(run.id)] = moment.now + RING_AGAIN
    draft.doorbells.append(run.id)
    return queued


def _compensated(rule: Rule | None, run: Run, ending: Ending, reason: str) -> tuple[Run, Outcome, str]:
    if run.rollback is None:
        playbook = rule.rollback if rule and rule.rollback else ""
        run = replace(run, rollback=Rollback(playbook=playbook, succeeded=False, reason=reason))
    assert run.rollback is not None
    verb = "was rolled back" if run.rollback.succeeded else "could not be rolled back"
    return run, ending.outcome, f"{ending.reason}; it {verb}: {run.rollback.reason}"


def _feed_breaker(draft: Draft, moment: Moment, rule: Rule, run: Run) -> bool:
    """Whether that opened it."""
    limit, outcome = rule.guards.breaker, run.outcome
    if limit is None or outcome is None:
        return False
    before = draft.breaker(rule.name)
    if outcome.did_not_help:
        after = before.after_failure(limit, run=run.id, now=moment.now)
    elif outcome in (Outcome.FIXED, Outcome.UNPROVED):
        after = before.after_success(run=run.id)
    else:
        after = before.without(run.id)
    draft.put_breaker(rule.name, after)
    if before.trial == run.id:
        draft.due[line_due(f"breaker|{rule.name}")] = moment.now
    return after.opened_at is not None and after.opened_at != before.opened_at


def _carry_on(draft: Draft, moment: Moment, rule: Rule | None, run: Run, *, broke: bool, by: str) -> None:
    incident = draft.pair(run.pair).incident
    if incident is None or incident.run != run.id or run.outcome is None:
        return
    incident = replace(
        incident,
        run=None,
        run_state=None,
        request=None,
        attempts=incident.attempts if run.outcome.uses_up_attempt or run.queued_at is None else run.step - 1,
        last_run=LastRun(id=run.id, outcome=run.outcome, finished_at=moment.now, ended_by=by),
        broke=incident.broke or broke,
    )
    draft.put_incident(incident)
    if not incident.firing:
        close_incident(draft, moment, incident)
    elif reason := _why_people(rule, run, incident, by=by):
        hand_over(draft, moment, incident, outcome=run.outcome, reason=reason)
    elif run.outcome not in (Outcome.FIXED, Outcome.UNPROVED) and not by:
        draft.due[pair_due(run.pair)] = moment.now


def _why_people(rule: Rule | None, run: Run, incident: Incident, *, by: str) -> str:
    """Why nothing is left but people; empty when something is, or when a person has it already."""
    if run.outcome is Outcome.REJECTED and by == "alertmend":
        return run.reason
    if run.outcome is None or not run.outcome.uses_up_attempt:
        return ""
    if rule is not None and run.step > len(rule.steps):
        return f"its attempts are used up, and {run.playbook} was run: {run.reason}"
    if not run.outcome.did_not_help or (rule is not None and rule.rung(next_rung(rule, incident)) is not None):
        return ""
    return f"its attempts are used up; the last one: {run.reason}"
