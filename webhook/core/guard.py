"""The guards: one question each, answered from the evidence alone, with the numbers in the answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from webhook.core.alert import Alert
from webhook.core.duration import format_duration
from webhook.core.evidence import Evidence, OpenIncident, Policy
from webhook.core.incident import Check, Outcome, Pair, RunState, Verdict
from webhook.core.rule import Mode, RateLimit, Rule

Guard = Callable[[Rule, Policy, Alert, Evidence], Check]

#: A target found healthy is looked at again after this long, or after the rule's cooldown if that is longer.
RECHECK = timedelta(minutes=1)
#: An Alertmanager in a cluster delivers its copy this long after the other one at the latest: its retries end then.
LATE_COPY = timedelta(minutes=5)


def labels(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Everything that the rule's placeholders name is there, and can stand where they do."""
    if evidence.missing:
        return _refuse(
            "labels",
            f"the alert has no {', '.join(evidence.missing)}, which the rule asks for",
        )
    if evidence.unfit:
        return _refuse("labels", f"the probe cannot be asked about this alert: {evidence.unfit}")
    return _pass("labels", "every placeholder of the rule has a value")


def target(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The alert names exactly one host of the inventory."""
    if evidence.target.host is None:
        return _refuse("target", evidence.target.problem)
    return _pass("target", f"{rule.target} names the inventory host {evidence.target.host}")


def mode(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The rule may act by itself."""
    allowed = rule.mode.lower_of(policy.ceiling)
    if allowed is Mode.OBSERVE:
        who = "the rule" if rule.mode is Mode.OBSERVE else "the configuration"
        return _refuse("mode", f"{who} says observe: decisions are recorded, nothing is done")
    return _pass("mode", "auto")


def max_queue_age(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The notification is not old news."""
    if evidence.received_at is None:
        return _pass("max_queue_age", "it came due by itself")
    age = evidence.now - evidence.received_at
    if age > policy.max_queue_age:
        return _refuse(
            "max_queue_age",
            f"the notification waited {_ago(age)} in the inbox, longer than {format_duration(policy.max_queue_age)};"
            " the next one will be acted on",
        )
    return _pass("max_queue_age", f"received {_ago(age)} ago")


def order(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The alert's firing is not one that is already known to be over."""
    seen, received = evidence.seen, evidence.received_at
    if seen is None or seen.is_firing or received is None:
        return _pass("order", "no later word on this alert is known")
    if received < seen.received_at:
        return _refuse("order", "this alert was reported resolved after this notification came in")
    ended = seen.ends_at or seen.received_at
    is_copy = evidence.source != seen.source and received - seen.received_at <= LATE_COPY
    if is_copy and alert.starts_at <= ended:
        return _refuse(
            "order",
            f"a late copy from another Alertmanager: {seen.source or 'the first'} reported this firing resolved"
            f" {_ago(received - seen.received_at)} before",
        )
    return _pass("order", "it fires again after it had resolved")


def open_incident(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """One firing gets one run for each step: what is under way, done or used up is not started again."""
    incident = evidence.incident
    if incident is None:
        return _pass("open_incident", "no incident is open for this rule and target")
    if incident.run is not None:
        return _refuse(
            "open_incident",
            f"incident {incident.id} is open and its run {incident.run} {_doing(incident)}",
        )
    if (incident.rule, incident.target) != (rule.name, evidence.target.host):
        return _refuse(
            "open_incident",
            f"it belongs to the open incident {incident.id} of rule {incident.rule}",
        )
    return _after_last_run(rule, incident, evidence)


def attempts(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """A step is left to try."""
    tried = evidence.incident.attempts if evidence.incident else 0
    if tried >= len(rule.steps):
        return _refuse(
            "attempts",
            f"all {len(rule.steps)} steps of the rule were tried; a person is needed",
        )
    return _pass("attempts", f"{tried} of {len(rule.steps)} steps were tried")


def lock(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """No other run touches the target."""
    if evidence.lock is not None:
        return _hold(
            "lock",
            f"run {evidence.lock} is on {evidence.target.host}; it waits for its end",
        )
    return _pass("lock", f"no run is on {evidence.target.host or 'the target'}")


def cooldown(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The last run of this rule on this target is long enough ago."""
    return _rested("cooldown", rule.guards.cooldown, evidence.pair_finished_at, evidence.now)


def target_cooldown(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The last run of any rule on this target is long enough ago."""
    return _rested(
        "limits.target_cooldown",
        policy.limits.target_cooldown,
        evidence.target_finished_at,
        evidence.now,
    )


def rate_limit(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """This rule may still run on this target."""
    return _spent("rate_limit", rule.guards.rate_limit, evidence.pair_starts, evidence.now)


def rule_rate_limit(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """This rule may still run at all."""
    return _spent(
        "rule_rate_limit",
        rule.guards.rule_rate_limit,
        evidence.rule_starts,
        evidence.now,
    )


def limits_rate_limit(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Anything may still run."""
    return _spent("limits.rate_limit", policy.limits.rate_limit, evidence.all_starts, evidence.now)


def concurrency(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Fewer runs of this rule are under way than are allowed."""
    return _room("concurrency", rule.guards.concurrency, evidence.rule_running)


def limits_concurrency(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Fewer runs are under way than are allowed."""
    return _room("limits.concurrency", policy.limits.concurrency, evidence.running)


#: In the order in which their refusals, and then their holds, are preferred as the reason.
GUARDS: tuple[Guard, ...] = (
    target,
    labels,
    mode,
    max_queue_age,
    order,
    open_incident,
    attempts,
    lock,
    cooldown,
    target_cooldown,
    rate_limit,
    rule_rate_limit,
    limits_rate_limit,
    concurrency,
    limits_concurrency,
)


def waiting_line(guard: str, pair: Pair) -> str | None:
    """The line in which a pair that `guard` holds waits with others; None when it waits alone, for a time."""
    return {
        "lock": f"lock|{pair.target}",
        "rule_rate_limit": f"rate|{pair.rule}",
        "limits.rate_limit": "rate",
        "concurrency": f"concurrency|{pair.rule}",
        "limits.concurrency": "concurrency",
    }.get(guard)


def _after_last_run(rule: Rule, incident: OpenIncident, evidence: Evidence) -> Check:
    last = incident.last_run
    if last is None:
        return _pass("open_incident", f"incident {incident.id} is open and nothing was done yet")
    ended = f"run {last.id} ended {last.outcome} {_ago(evidence.now - last.finished_at)} ago"
    if last.outcome in (Outcome.FIXED, Outcome.UNPROVED):
        return _refuse(
            "open_incident",
            f"incident {incident.id}: {ended}; its alerts have yet to resolve",
        )
    if last.outcome is Outcome.NOT_NEEDED:
        free = last.finished_at + max(RECHECK, rule.guards.cooldown)
        if free > evidence.now:
            return _hold(
                "open_incident",
                f"{ended}; looked at again in {_in(free - evidence.now)}",
                retry_at=free,
            )
    return _pass("open_incident", f"incident {incident.id} is open; {ended}")


def _doing(incident: OpenIncident) -> str:
    if incident.run_state is RunState.QUEUED:
        return "is queued"
    if incident.run_state is RunState.PROVING:
        return "waits for its alerts to resolve"
    return "is running"


def _rested(guard: str, rest: timedelta, finished_at: datetime | None, now: datetime) -> Check:
    if not rest:
        return _pass(guard, "no cooldown is set")
    if finished_at is None:
        return _pass(guard, "no earlier run")
    free = finished_at + rest
    ended = f"last run ended {_ago(now - finished_at)} ago"
    if free > now:
        return _hold(guard, f"{ended}; free in {_in(free - now)}", retry_at=free)
    return _pass(guard, f"{ended}, longer than {format_duration(rest)}")


def _spent(guard: str, limit: RateLimit | None, starts: tuple[datetime, ...], now: datetime) -> Check:
    if limit is None:
        return _pass(guard, "no limit is set")
    spent = f"{len(starts)} of {limit.count} runs in {format_duration(limit.per)} are used"
    if len(starts) < limit.count:
        return _pass(guard, spent)
    free = starts[-limit.count] + limit.per
    return _hold(guard, f"{spent}; free in {_in(free - now)}", retry_at=free)


def _room(guard: str, limit: int | None, running: int) -> Check:
    if limit is None:
        return _pass(guard, "no limit is set")
    if running >= limit:
        return _hold(guard, f"{running} of {limit} runs are under way; it waits for one to end")
    return _pass(guard, f"{running} of {limit} runs are under way")


def _ago(span: timedelta) -> str:
    return format_duration(timedelta(seconds=max(0, span // timedelta(seconds=1))))


def _in(span: timedelta) -> str:
    # Rounded up: "free in 0s" would be a lie.
    return format_duration(timedelta(seconds=-(-span // timedelta(seconds=1))))


def _pass(guard: str, reason: str) -> Check:
    return Check(guard=guard, verdict=Verdict.PASS, reason=reason)


def _hold(guard: str, reason: str, *, retry_at: datetime | None = None) -> Check:
    return Check(guard=guard, verdict=Verdict.HOLD, reason=reason, retry_at=retry_at)


def _refuse(guard: str, reason: str) -> Check:
    return Check(guard=guard, verdict=Verdict.REFUSE, reason=reason)
