"""Guards that people set: modes, pauses, times of the week, approvals."""

from __future__ import annotations

from datetime import timedelta

from webhook.core.alert import Alert
from webhook.core.evidence import Evidence, Policy
from webhook.core.guard.answer import ahead, holds, passes, refuses
from webhook.core.guard.incident import next_rung
from webhook.core.incident import ApprovalRequest
from webhook.core.rule import Mode, Rule
from webhook.core.schedule import NamedInterval, first_moment
from webhook.core.verdict import Check

#: Nobody plans further ahead; whatever is held for longer is looked at again then.
HORIZON = timedelta(days=366)


def mode(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The rule may act at all."""
    allowed = rule.mode.lower_of(policy.ceiling)
    if allowed is Mode.OBSERVE:
        who = "the rule" if rule.mode is Mode.OBSERVE else "the configuration"
        return refuses("mode", f"{who} says observe: decisions are recorded, nothing is done")
    return passes("mode", f"{_mode_of_next(rule, policy, evidence)}")


def pause(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Nobody has paused it."""
    found = evidence.pause
    if found is None:
        return passes("pause", "nothing is paused that covers it")
    left = ahead(found.until - evidence.now)
    return holds("pause", f"{found.said.by} paused {found} for {left} more: {found.said.comment}", retry_at=found.until)


def mute_time_intervals(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """It is none of the times at which the rule rests."""
    names = rule.guards.mute_time_intervals
    intervals = _named(names, policy)
    within = [interval.name for interval in intervals if interval.contains(evidence.now)]
    if not within:
        return passes("mute_time_intervals", f"it is not {' or '.join(names)} now" if names else "none are set")
    free = first_moment(intervals, after=evidence.now, inside=False) or evidence.now + HORIZON
    words = f"it is {' and '.join(within)} now; over in {ahead(free - evidence.now)}"
    return holds("mute_time_intervals", words, retry_at=free)


def active_time_intervals(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """It is one of the times at which the rule works, if it has such."""
    names = rule.guards.active_time_intervals
    if not names:
        return passes("active_time_intervals", "none are set")
    intervals = _named(names, policy)
    within = [interval.name for interval in intervals if interval.contains(evidence.now)]
    if within:
        return passes("active_time_intervals", f"it is {' and '.join(within)} now")
    free = first_moment(intervals, after=evidence.now, inside=True) or evidence.now + HORIZON
    words = f"it is not {' or '.join(names)} now; begins in {ahead(free - evidence.now)}"
    return holds("active_time_intervals", words, retry_at=free)


def approval(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """People have approved what has to be approved. The last guard: nobody is asked what would not run anyway."""
    if _mode_of_next(rule, policy, evidence) is not Mode.APPROVE:
        return passes("approval", "none is needed")
    wanted, request = rule.approval.count, _request(evidence)
    if request is None:
        words = f"{_counted(wanted)} needed; asked for now"
        return holds("approval", words, retry_at=evidence.now + rule.approval.expires)
    given = [word.by for word in request.approvals]
    if len(given) >= wanted:
        return passes("approval", f"approved by {', '.join(given)}")
    left = ahead(request.expires_at - evidence.now)
    words = f"{len(given)} of {_counted(wanted)} given; run {request.run} expires in {left}"
    return holds("approval", words, retry_at=request.expires_at)


def _mode_of_next(rule: Rule, policy: Policy, evidence: Evidence) -> Mode:
    step = rule.rung(next_rung(rule, evidence.incident))
    return rule.mode.lower_of(policy.ceiling, step.mode if step else Mode.AUTO)


def _request(evidence: Evidence) -> ApprovalRequest | None:
    """What people are asked, or have approved; an approval that led to no run in its time does not last."""
    request = evidence.incident.request if evidence.incident else None
    if request is None or request.run == evidence.run:
        return request
    return request if request.expires_at > evidence.now else None


def _named(names: tuple[str, ...], policy: Policy) -> tuple[NamedInterval, ...]:
    return tuple(policy.time_intervals[name] for name in names if name in policy.time_intervals)


def _counted(count: int) -> str:
    return "1 approval" if count == 1 else f"{count} approvals"
