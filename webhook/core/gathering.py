"""How every fact that the guards may use is gathered, at one `now` from one draft."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from webhook.core.alert import Alert
from webhook.core.evidence import (
    Evidence,
    Firing,
    HeldLock,
    Occasion,
    OpenIncident,
    Policy,
    Report,
    SeenAlert,
    SickHosts,
)
from webhook.core.incident import Incident
from webhook.core.pause import covering
from webhook.core.placeholder import filled, missing_names
from webhook.core.probe import unfit_words
from webhook.core.rule import RateLimit, Rule
from webhook.core.run import Pair
from webhook.core.state import AlertState, Draft
from webhook.core.storm import Crowd
from webhook.core.target import Target

T = TypeVar("T")


def gather(
    rule: Rule,
    policy: Policy,
    alert: Alert,
    target: Target,
    *,
    draft: Draft,
    occasion: Occasion,
) -> Evidence:
    """The facts about `alert`, should `rule` act on `target` now."""
    pair, own = Pair(rule.name, target.host or ""), occasion.run
    seen = draft.alerts.get(alert.fingerprint)
    incident = _incident_of(seen, draft) or (draft.pair(pair).incident if target.host else None)
    on_pair, of_rule, everything = draft.pair(pair), draft.rule(rule.name), draft.everything
    claimed = draft.runs[own].queued_at if own in draft.runs else None
    missing = missing_names(
        [*(step.vars for step in rule.steps), rule.probe, rule.require, rule.guards.lock],
        labels=alert.labels,
        annotations=alert.annotations,
    )
    return Evidence(
        now=occasion.now,
        received_at=occasion.received_at,
        source=occasion.source,
        revision=draft.revision,
        rules=occasion.revision,
        run=own,
        target=target,
        missing=missing,
        unfit=unfit_words_of(rule, alert, target),
        seen=_seen(seen),
        firing_since=firing_since(alert, seen, occasion),
        report=_report(alert, seen, occasion),
        incident=_open(incident, own),
        pause=covering(draft.pauses, alert.labels, rule=rule.name, target=pair.target, now=occasion.now),
        held=_held(draft, pair.target, () if missing else lock_keys(rule, alert, target=pair.target), own),
        pair_finished_at=on_pair.last_finished_at,
        target_finished_at=draft.target(pair.target).last_finished_at,
        pair_starts=_less(within(on_pair.starts, rule.guards.rate_limit, occasion.now), claimed),
        rule_starts=_less(within(of_rule.starts, rule.guards.rule_rate_limit, occasion.now), claimed),
        all_starts=_less(within(everything.starts, policy.limits.rate_limit, occasion.now), claimed),
        rule_running=len(of_rule.active) - (own in of_rule.active),
        running=len(everything.active) - (own in everything.active),
        sick=_sick(rule, target, draft),
        breaker=draft.breaker(rule.name),
    )


def lock_keys(rule: Rule, alert: Alert, *, target: str) -> tuple[str, ...]:
    """What a run of the rule holds besides its target.

    Raises:
        KeyError: the alert lacks a label; ask `missing_names` first.
    """
    words = {"labels": alert.labels, "annotations": alert.annotations}
    return tuple(dict.fromkeys(str(filled(key, target=target, **words)) for key in rule.guards.lock))


def missing_locks(rule: Rule, alert: Alert) -> bool:
    """Whether the alert lacks a label that one of the rule's locks names."""
    return bool(missing_names(rule.guards.lock, labels=alert.labels, annotations=alert.annotations))


def crowd_of(rule: Rule, target: Target) -> Crowd | None:
    """The hosts among which the target's illness counts; None when the rule does not ask."""
    if rule.guards.max_targets is None or target.host is None:
        return None
    return Crowd(rule.name, target.group)


def within(starts: tuple[datetime, ...], limit: RateLimit | None, now: datetime) -> tuple[datetime, ...]:
    """The starts that count against `limit` at `now`."""
    if limit is None:
        return ()
    return tuple(start for start in starts if start > now - limit.per)[-limit.count :]


def without(items: tuple[T, ...], item: T) -> tuple[T, ...]:
    """`items` less one that equals `item`."""
    at = items.index(item) if item in items else len(items)
    return items[:at] + items[at + 1 :]


def firing_since(alert: Alert, seen: AlertState | None, occasion: Occasion) -> datetime:
    """When the alert began to fire: its start, unless that lies in the future, or what was seen before it."""
    times = [occasion.received_at or occasion.now, alert.starts_at]
    if seen is not None and seen.is_firing:
        times.append(seen.since)
    return min(times)


def unfit_words_of(rule: Rule, alert: Alert, target: Target) -> str:
    """Why one of the rule's probes cannot be asked about the alert; empty when all can."""
    if target.host is None:
        return ""
    words = {"labels": alert.labels, "annotations": alert.annotations}
    probes = (*rule.require, rule.probe) if rule.probe else rule.require
    found = (unfit_words(probe, target=target.host, **words) for probe in probes)
    return next((unfit for unfit in found if unfit), "")


def _less(starts: tuple[datetime, ...], claimed: datetime | None) -> tuple[datetime, ...]:
    return without(starts, claimed) if claimed is not None else starts


def _held(draft: Draft, target: str, keys: tuple[str, ...], own: str | None) -> tuple[HeldLock, ...]:
    found = [(target, draft.target(target).lock), *((key, draft.locks.get(key)) for key in keys)]
    return tuple(HeldLock(key, run) for key, run in found if run is not None and run != own)


def _sick(rule: Rule, target: Target, draft: Draft) -> SickHosts | None:
    crowd = crowd_of(rule, target)
    if crowd is None:
        return None
    state = draft.crowd(crowd)
    return SickHosts(
        group=crowd.group,
        hosts=target.group_hosts,
        sick=state.sick + len(draft.coming.get(crowd, ())),
        storm_since=state.since,
        storm_ends_at=state.ends_at,
    )


def _report(alert: Alert, seen: AlertState | None, occasion: Occasion) -> Report | None:
    found = occasion.reports.get(alert.fingerprint)
    if found is None and occasion.received_at is None and seen is not None and seen.suppressed_by:
        # It came due by itself, and nothing newer is known than what the last look at Alertmanager said.
        return Report(firing=Firing.SUPPRESSED, at=seen.received_at, words=seen.suppressed_by)
    return found


def _incident_of(seen: AlertState | None, draft: Draft) -> Incident | None:
    # An alert stays with its incident while that is open, even when an edited rule would take it now:
    # otherwise a reload would remediate one firing twice.
    if seen is None or not seen.is_firing:
        return None
    incident = draft.pair(seen.pair).incident
    return incident if incident is not None and incident.id == seen.incident else None


def _seen(state: AlertState | None) -> SeenAlert | None:
    if state is None:
        return None
    return SeenAlert(
        is_firing=state.is_firing,
        received_at=state.received_at,
        ends_at=state.alert.ends_at,
        source=state.source,
    )


def _open(incident: Incident | None, own: str | None) -> OpenIncident | None:
    if incident is None:
        return None
    mine = own is not None and incident.run == own
    return OpenIncident(
        id=incident.id,
        rule=incident.rule,
        target=incident.target,
        attempts=incident.attempts - mine,
        run=None if mine else incident.run,
        run_state=None if mine else incident.run_state,
        last_run=incident.last_run,
        request=incident.request,
        broke=incident.broke,
        handed_over=incident.handed_over,
    )
