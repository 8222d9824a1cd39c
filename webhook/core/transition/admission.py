"""An alert comes in, or its incident comes due: it is decided on, and what follows from that is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from webhook.core.alert import Alert
from webhook.core.audit import AuditEvent, Event
from webhook.core.decision import decide
from webhook.core.due import line_due, pair_due
from webhook.core.evidence import Evidence, Occasion
from webhook.core.gathering import firing_since, gather
from webhook.core.guard import waiting_line
from webhook.core.incident import Hold, Incident
from webhook.core.rule import Rule
from webhook.core.run import Outcome, Pair, Run
from webhook.core.state import AlertState, Draft
from webhook.core.target import Target
from webhook.core.transition.attempt import all_clear, begin, finish
from webhook.core.transition.claim import propose, queue
from webhook.core.transition.handover import hand_over
from webhook.core.transition.moment import Moment
from webhook.core.transition.record import open_incident
from webhook.core.verdict import Choice, Decision

#: A person is needed when one of these refuses an alert that keeps firing.
_HOPELESS = frozenset({"labels", "attempts"})


def admit(draft: Draft, moment: Moment, rule: Rule, alert: Alert, target: Target, *, occasion: Occasion) -> Decision:
    """The decision on a firing alert that `rule` takes; the draft then holds all that follows from it."""
    policy = moment.rulebook.policy
    evidence = gather(rule, policy, alert, target, draft=draft, occasion=occasion)
    decision = decide(rule, policy, alert, evidence)
    incident = None
    if target.host is not None and decision.guard != "order":
        incident = _join(draft, moment, rule, alert, target, occasion=occasion)
    _record(draft, rule, alert, evidence, decision, incident)
    if incident is not None:
        _follow(draft, moment, rule, alert, evidence, decision, incident)
    return decision


def start(draft: Draft, moment: Moment, run: Run, alert: Alert | None, *, owner: str, occasion: Occasion) -> Run | None:
    """The run, running now, if it is decided once more that it shall; None, and its incident waits, if not.

    `alert` is the one that it is for; None when none of its alerts fires any more.
    """
    if run.ending is not None:
        return begin(draft, moment, run, owner=owner)
    rule, target = moment.rulebook.rule(run.rule), moment.rulebook.host(run.target)
    if rule is None or rule.rung(run.step) is None or alert is None:
        gone = "none of its alerts fires any more" if alert is None else "the rule or its step is no longer configured"
        finish(draft, moment, run, Outcome.CANCELLED, reason=gone)
        return None
    evidence = gather(rule, moment.rulebook.policy, alert, target, draft=draft, occasion=replace(occasion, run=run.id))
    decision = decide(rule, moment.rulebook.policy, alert, evidence)
    _record(draft, rule, alert, evidence, decision, draft.pair(run.pair).incident, run=run)
    if decision.decision is Choice.RUN:
        return begin(draft, moment, run, owner=owner)
    reason = f"decided again just before it started: {decision.reason}"
    finish(draft, moment, run, Outcome.CANCELLED, reason=reason)
    incident = draft.pair(run.pair).incident
    if incident is not None and incident.firing:
        # What holds it now also says until when.
        _follow(draft, moment, rule, alert, evidence, decision, incident)
    return None


def clear(draft: Draft, moment: Moment, alert: Alert, *, occasion: Occasion) -> bool:
    """Whether the resolve of `alert` was news; its incident is closed with the last alert behind it."""
    seen = draft.alerts.get(alert.fingerprint)
    if seen is None or not seen.is_firing or _is_older(alert, seen, occasion):
        return False
    received_at = occasion.received_at or occasion.now
    others = tuple(copy for copy in seen.copies if copy != alert.origin)
    if others:
        draft.put_alert(alert.fingerprint, replace(seen, copies=others, received_at=received_at))
        return True
    draft.put_alert(
        alert.fingerprint,
        replace(seen, alert=alert, received_at=received_at, source=occasion.source, copies=(), suppressed_by=""),
    )
    incident = draft.pair(seen.pair).incident
    if incident is None or incident.id != seen.incident:
        return True
    incident = replace(incident, firing=tuple(f for f in incident.firing if f != alert.fingerprint))
    draft.put_incident(incident)
    if not incident.firing:
        all_clear(draft, moment, incident)
    return True


def _join(draft: Draft, moment: Moment, rule: Rule, alert: Alert, target: Target, *, occasion: Occasion) -> Incident:
    pair = Pair(rule.name, target.host or "")
    seen = draft.alerts.get(alert.fingerprint)
    incident = draft.pair(pair).incident
    if seen is not None and seen.is_firing and seen.pair != pair:
        other = draft.pair(seen.pair).incident
        incident = other if other is not None and other.id == seen.incident else incident
    if incident is None:
        incident = open_incident(draft, moment, rule, target, alert)
    if alert.fingerprint not in incident.firing:
        known = incident.alerts if alert.fingerprint in incident.alerts else (*incident.alerts, alert.fingerprint)
        incident = replace(incident, firing=(*incident.firing, alert.fingerprint), alerts=known)
        draft.put_incident(incident)
    if occasion.received_at is not None or seen is None:
        draft.put_alert(alert.fingerprint, _state(alert, seen, incident, occasion))
    return incident


def _state(alert: Alert, seen: AlertState | None, incident: Incident, occasion: Occasion) -> AlertState:
    copies = seen.copies if seen is not None and seen.is_firing else ()
    return AlertState(
        alert=alert,
        received_at=occasion.received_at or occasion.now,
        source=occasion.source,
        incident=incident.id,
        rule=incident.rule,
        target=incident.target,
        since=firing_since(alert, seen, occasion),
        copies=tuple(dict.fromkeys((*copies, alert.origin))) if alert.origin else (),
    )


def _record(
    draft: Draft,
    rule: Rule,
    alert: Alert,
    evidence: Evidence,
    decision: Decision,
    incident: Incident | None,
    *,
    run: Run | None = None,
) -> None:
    draft.events.append(
        AuditEvent(
            at=evidence.now,
            event=Event.DECISION,
            incident=incident.id if incident else None,
            run=run.id if run else None,
            rule=rule.name,
            target=evidence.target.host,
            alertname=alert.name,
            decision=decision.decision.value,
            body={"decision": decision, "alert": alert, "evidence": evidence},
        )
    )


def _follow(
    draft: Draft,
    moment: Moment,
    rule: Rule,
    alert: Alert,
    evidence: Evidence,
    decision: Decision,
    incident: Incident,
) -> None:
    if decision.decision is Choice.RUN:
        queue(draft, moment, rule, alert, decision, incident)
    elif decision.decision is Choice.HOLD:
        _hold(draft, moment, rule, alert, evidence, decision, incident)
    elif decision.guard in _HOPELESS and not incident.handed_over:
        draft.put_incident(incident, decision)
        hand_over(draft, moment, incident, outcome="refused", reason=decision.reason)
    elif decision.guard != "open_incident":
        draft.put_incident(incident, decision)


def _hold(
    draft: Draft,
    moment: Moment,
    rule: Rule,
    alert: Alert,
    evidence: Evidence,
    decision: Decision,
    incident: Incident,
) -> None:
    is_asked = incident.request is not None and incident.request.expires_at > evidence.now
    if decision.guard == "approval" and not is_asked:
        incident = propose(draft, moment, rule, alert, decision, incident)
    hold = Hold(guard=decision.guard or "", retry_at=decision.retry_at, alert=alert.fingerprint)
    if evidence.received_at is not None and _is_same(incident.hold, hold):
        # A repeat that changes nothing: it waits for the same already.
        return
    _wait(draft, decision, replace(incident, hold=hold), evidence)


def _is_same(before: Hold | None, hold: Hold) -> bool:
    return before is not None and (before.guard, before.retry_at) == (hold.guard, hold.retry_at)


def _wait(draft: Draft, decision: Decision, incident: Incident, evidence: Evidence) -> None:
    pair, retry_at = incident.pair, decision.retry_at
    held = evidence.held[0].key if evidence.held else ""
    line = waiting_line(decision.guard or "", pair, held=held, group=incident.group)
    draft.put_incident(incident, decision)
    draft.stand(pair, line, since=incident.opened_at)
    # What waits for people comes due when they have spoken, or when the time is over in which they can.
    draft.due[pair_due(pair)] = None if line or decision.guard == "approval" else retry_at
    if line and retry_at:
        due = draft.due.get(line_due(line))
        draft.due[line_due(line)] = min(due, retry_at) if due else retry_at


def _is_older(alert: Alert, seen: AlertState, occasion: Occasion) -> bool:
    # A notification that overtook this one, or a peer's copy of a resolve that a newer firing has outdated.
    if occasion.received_at is not None and occasion.received_at < seen.received_at and occasion.source == seen.source:
        return True
    ended: datetime | None = alert.ends_at
    return occasion.source != seen.source and ended is not None and ended < seen.alert.starts_at
