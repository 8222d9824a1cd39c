"""What people say: approve, reject, cancel, pause, resume, take over; and what time says in their place."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from webhook.core.audit import AuditEvent, Event
from webhook.core.due import line_due, pair_due
from webhook.core.duration import format_duration
from webhook.core.pause import Pause
from webhook.core.run import Outcome, Plan, Run, RunState, Word
from webhook.core.state import Draft
from webhook.core.transition.attempt import finish
from webhook.core.transition.handover import end_escalation
from webhook.core.transition.moment import Moment, run_event


def approve(draft: Draft, moment: Moment, run: Run, word: Word) -> Run | None:
    """The run with one approval more; None when it cannot be approved any more. Enough of them, and it is decided."""
    incident = draft.pair(run.pair).incident
    if run.state is not RunState.AWAITING_APPROVAL or incident is None or incident.request is None:
        return None
    if incident.request.expires_at <= moment.now:
        return None
    # One person is one approval, however often it is given.
    approvals = (*(known for known in run.approvals if known.by != word.by), word)
    approved = replace(run, approvals=approvals)
    draft.put_run(approved)
    draft.put_incident(replace(incident, request=replace(incident.request, approvals=approvals)))
    draft.due[pair_due(run.pair)] = moment.now
    draft.events.append(
        run_event(Event.APPROVAL, approved, at=moment.now, actor=word.by, said="approve", comment=word.comment)
    )
    return approved


def reject(draft: Draft, moment: Moment, run: Run, word: Word) -> Run | None:
    """The run, rejected; None when it cannot be rejected any more."""
    if run.state is not RunState.AWAITING_APPROVAL:
        return None
    draft.events.append(
        run_event(Event.APPROVAL, run, at=moment.now, actor=word.by, said="reject", comment=word.comment)
    )
    reason = f"rejected by {word.by}: {word.comment}"
    return finish(draft, moment, run, Outcome.REJECTED, reason=reason, by=word.by)


def expire(draft: Draft, moment: Moment, run: Run) -> Run | None:
    """The run, which nobody approved in time; None when someone was faster, or there is time left."""
    if run.state is not RunState.AWAITING_APPROVAL or run.expires_at is None or run.expires_at > moment.now:
        return None
    draft.events.append(
        run_event(Event.APPROVAL, run, at=moment.now, said="expire", comment="the time for an approval is over")
    )
    asked = format_duration(run.expires_at - run.created_at)
    return finish(draft, moment, run, Outcome.REJECTED, reason=f"it was not approved within {asked}", by="alertmend")


def cancel(draft: Draft, moment: Moment, run: Run, word: Word) -> Run | None:
    """The run, ended or told to end; None when it has ended already."""
    if run.state is RunState.FINISHED:
        return None
    draft.events.append(run_event(Event.CANCEL, run, at=moment.now, actor=word.by, comment=word.comment))
    if run.state is RunState.RUNNING:
        told = replace(run, cancelled=word)
        draft.put_run(told)
        return told
    reason = f"cancelled by {word.by}: {word.comment}"
    return finish(draft, moment, replace(run, cancelled=word), Outcome.CANCELLED, reason=reason, by=word.by)


def pause(draft: Draft, moment: Moment, pause: Pause, *, cancel_running: bool) -> int:
    """How many runs it has reached: queued ones are withdrawn, and running ones told to end if that is wanted."""
    kept = tuple(known for known in draft.pauses if known.until > moment.now)
    draft.put_pauses((*kept, pause))
    draft.events.append(_pause_event(Event.PAUSE, pause, pause.said, cancel_running=cancel_running))
    return sum(_reach(draft, moment, pause, run, cancel_running=cancel_running) for run in _under_way(draft))


def resume(draft: Draft, moment: Moment, id: str, word: Word) -> Pause | None:
    """The pause, over now, and whatever it held is due; None when there is none of that id."""
    found = next((known for known in draft.pauses if known.id == id and known.until > moment.now), None)
    if found is None:
        return None
    draft.put_pauses(tuple(known for known in draft.pauses if known.id != id and known.until > moment.now))
    draft.due[line_due("pause")] = moment.now
    draft.events.append(_pause_event(Event.RESUME, found, word))
    return found


def take_over(draft: Draft, moment: Moment, id: str, word: Word) -> bool:
    """Whether an escalation was under way; a person has it now, and its alerts are resolved."""
    if not end_escalation(draft, id, by=word.by, comment=word.comment, now=moment.now):
        return False
    found = draft.escalations[id]
    draft.events.append(
        AuditEvent(
            at=moment.now,
            event=Event.ESCALATED,
            actor=word.by,
            incident=found.incident,
            rule=found.rule,
            target=found.target,
            outcome=found.outcome,
            body={"escalation": found.chain, "step": "taken over", "comment": word.comment},
        )
    )
    return True


def planned(draft: Draft, run: Run, plan: Plan, *, at: datetime) -> Run | None:
    """The run with what trying its plan has shown; None when nobody is asked about it any more."""
    if run.state is not RunState.AWAITING_APPROVAL:
        return None
    known = replace(run, plan=plan)
    draft.put_run(known)
    draft.events.append(run_event(Event.APPROVAL, known, at=at, said="plan"))
    return known


def _under_way(draft: Draft) -> list[Run]:
    return [draft.runs[id] for id in draft.everything.active if id in draft.runs]


def _reach(draft: Draft, moment: Moment, pause: Pause, run: Run, *, cancel_running: bool) -> bool:
    labels = next((draft.alerts[f].alert.labels for f in run.alerts if f in draft.alerts), {})
    if not pause.covers(labels, rule=run.rule, target=run.target, now=moment.now):
        return False
    if run.state is RunState.QUEUED and run.ending is None:
        finish(draft, moment, run, Outcome.CANCELLED, reason=f"{pause.said.by} paused it: {pause.said.comment}")
        return True
    if run.state is RunState.RUNNING and cancel_running:
        draft.put_run(replace(run, cancelled=replace(pause.said, pause=pause.id)))
        draft.events.append(
            run_event(Event.CANCEL, run, at=moment.now, actor=pause.said.by, comment=pause.said.comment, pause=pause.id)
        )
        return True
    return False


def _pause_event(event: Event, pause: Pause, word: Word, **body: object) -> AuditEvent:
    return AuditEvent(
        at=word.at,
        event=event,
        actor=word.by,
        body={
            "pause": pause.id,
            "matchers": [str(matcher) for matcher in pause.matchers],
            "until": pause.until,
            "comment": word.comment,
            **body,
        },
    )
