"""Every fact that the guards may use, gathered at one `now` from one revision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from webhook.core.alert import Alert
from webhook.core.incident import Incident, LastRun, Pair, RunState
from webhook.core.placeholder import missing_names
from webhook.core.probe import unfit_words
from webhook.core.rule import Limits, Mode, RateLimit, Rule
from webhook.core.state import AlertState, Draft
from webhook.core.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for every rule."""

    ceiling: Mode = Mode.AUTO
    limits: Limits = Limits()
    #: A notification that waited longer in the inbox is not acted on.
    max_queue_age: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why an alert is decided on."""

    now: datetime
    #: When the notification came in; None when an incident came due by itself.
    received_at: datetime | None
    #: The Alertmanager that sent it.
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAlert:
    """The previous word on an alert."""

    is_firing: bool
    received_at: datetime
    ends_at: datetime | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    """What the guards may know of the open incident that an alert belongs to, or would join."""

    id: str
    rule: str
    target: str
    attempts: int
    run: str | None
    run_state: RunState | None
    last_run: LastRun | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was known when an alert was decided on; stored with the decision, so that it can be decided again."""

    now: datetime
    received_at: datetime | None
    source: str
    #: The revision of the state that these facts were read from.
    revision: int
    target: Target
    #: Placeholders of the rule for which the alert has no label or annotation.
    missing: tuple[str, ...]
    #: Why the rule's probe cannot be asked about this alert; empty when it can.
    unfit: str = ""
    seen: SeenAlert | None
    incident: OpenIncident | None
    #: The run that holds the target.
    lock: str | None
    pair_finished_at: datetime | None
    target_finished_at: datetime | None
    #: The latest claims inside each rate limit's window, oldest first.
    pair_starts: tuple[datetime, ...]
    rule_starts: tuple[datetime, ...]
    all_starts: tuple[datetime, ...]
    rule_running: int
    running: int


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
    pair = Pair(rule.name, target.host or "")
    seen = draft.alerts.get(alert.fingerprint)
    incident = _incident_of(seen, draft) or (draft.pair(pair).incident if target.host else None)
    on_pair, on_target, of_rule = (
        draft.pair(pair),
        draft.target(pair.target),
        draft.rule(rule.name),
    )
    return Evidence(
        now=occasion.now,
        received_at=occasion.received_at,
        source=occasion.source,
        revision=draft.revision,
        target=target,
        missing=missing_names(
            [*(step.vars for step in rule.steps), rule.probe],
            labels=alert.labels,
            annotations=alert.annotations,
        ),
        unfit=_unfit(rule, alert, target),
        seen=_seen(seen),
        incident=_open(incident),
        lock=on_target.lock,
        pair_finished_at=on_pair.last_finished_at,
        target_finished_at=on_target.last_finished_at,
        pair_starts=within(on_pair.starts, rule.guards.rate_limit, occasion.now),
        rule_starts=within(of_rule.starts, rule.guards.rule_rate_limit, occasion.now),
        all_starts=within(draft.everything.starts, policy.limits.rate_limit, occasion.now),
        rule_running=len(of_rule.active),
        running=len(draft.everything.active),
    )


def _unfit(rule: Rule, alert: Alert, target: Target) -> str:
    if rule.probe is None or target.host is None:
        return ""
    return unfit_words(rule.probe, target=target.host, labels=alert.labels, annotations=alert.annotations)


def within(starts: tuple[datetime, ...], limit: RateLimit | None, now: datetime) -> tuple[datetime, ...]:
    """The starts that count against `limit` at `now`."""
    if limit is None:
        return ()
    return tuple(start for start in starts if start > now - limit.per)[-limit.count :]


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


def _open(incident: Incident | None) -> OpenIncident | None:
    if incident is None:
        return None
    return OpenIncident(
        id=incident.id,
        rule=incident.rule,
        target=incident.target,
        attempts=incident.attempts,
        run=incident.run,
        run_state=incident.run_state,
        last_run=incident.last_run,
    )
