"""Guards on the alert: is there a host to act on, does it fire, and is that news."""

from __future__ import annotations

from datetime import timedelta

from webhook.core.alert import Alert
from webhook.core.duration import format_duration
from webhook.core.evidence import Evidence, Firing, Policy
from webhook.core.guard.answer import RECHECK, ago, ahead, holds, passes, refuses
from webhook.core.rule import Rule
from webhook.core.verdict import Check

#: An Alertmanager in a cluster delivers its copy this long after the other one at the latest: its retries end then.
LATE_COPY = timedelta(minutes=5)


def target(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The alert names exactly one host of the inventory."""
    if evidence.target.host is None:
        return refuses("target", evidence.target.problem)
    return passes("target", f"{rule.target} names the inventory host {evidence.target.host}")


def labels(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Everything that the rule's placeholders name is there, and can stand where they do."""
    if evidence.missing:
        return refuses("labels", f"the alert has no {', '.join(evidence.missing)}, which the rule asks for")
    if evidence.unfit:
        return refuses("labels", f"the probe cannot be asked about this alert: {evidence.unfit}")
    return passes("labels", "every placeholder of the rule has a value")


def max_queue_age(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The notification is not old news, or Alertmanager says that it still holds."""
    if evidence.received_at is None:
        return passes("max_queue_age", "it came due by itself")
    age = evidence.now - evidence.received_at
    if age <= policy.max_queue_age:
        return passes("max_queue_age", f"received {ago(age)} ago")
    waited = f"the notification waited {ago(age)} in the inbox, longer than {format_duration(policy.max_queue_age)}"
    if evidence.report is not None and evidence.report.firing is Firing.FIRING:
        return passes("max_queue_age", f"{waited}; Alertmanager says that it still fires")
    return refuses("max_queue_age", f"{waited}; the next one will be acted on")


def order(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """The alert's firing is not one that is already known to be over."""
    seen, received = evidence.seen, evidence.received_at
    if seen is None or seen.is_firing or received is None:
        return passes("order", "no later word on this alert is known")
    if received < seen.received_at:
        return refuses("order", "this alert was reported resolved after this notification came in")
    ended = seen.ends_at or seen.received_at
    is_copy = evidence.source != seen.source and received - seen.received_at <= LATE_COPY
    if is_copy and alert.starts_at <= ended:
        return refuses(
            "order",
            f"a late copy from another Alertmanager: {seen.source or 'the first'} reported this firing resolved"
            f" {ago(received - seen.received_at)} before",
        )
    return passes("order", "it fires again after it had resolved")


def fires(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """Alertmanager, if it was asked, says that the alert fires and that people may hear of it."""
    report = evidence.report
    if report is None:
        return passes("fires", "the notification says so; Alertmanager was not asked")
    if report.firing is Firing.UNKNOWN:
        return passes("fires", f"Alertmanager was asked and did not answer: {report.words}")
    if report.firing is Firing.GONE:
        return refuses("fires", "Alertmanager was asked and no longer has this alert")
    if report.firing is Firing.SUPPRESSED:
        words = f"it fires, but Alertmanager keeps it back: {report.words}; asked again in {ahead(RECHECK)}"
        return holds("fires", words, retry_at=evidence.now + RECHECK)
    return passes("fires", f"Alertmanager was asked {ago(evidence.now - report.at)} ago: it fires")


def firing_for(rule: Rule, policy: Policy, alert: Alert, evidence: Evidence) -> Check:
    """It has fired for as long as the rule wants."""
    if not rule.for_:
        return passes("for", "the rule acts at once")
    fired = evidence.now - evidence.firing_since
    if fired >= rule.for_:
        return passes("for", f"it has fired for {ago(fired)}, {format_duration(rule.for_)} are asked for")
    left = rule.for_ - fired
    return holds(
        "for",
        f"it has fired for {ago(fired)} of {format_duration(rule.for_)}; due in {ahead(left)}",
        retry_at=evidence.now + left,
    )
