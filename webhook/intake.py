"""One notification in, one decision for each alert out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from webhook import tracing
from webhook.asking import Asking
from webhook.change import Change
from webhook.core.alert import Notification
from webhook.core.audit import RECONCILIATION, AuditEvent, Event
from webhook.core.due import RECONCILE_DUE, pair_due
from webhook.core.evidence import Occasion, Report
from webhook.core.reach import Matched, announce, claimed, reach
from webhook.core.rulebook import Match, Rulebook
from webhook.core.run import Pair, RunState
from webhook.core.state import Draft, Keys
from webhook.core.transition import Moment, NewId, admit, clear
from webhook.ports import Envelope
from webhook.telemetry import speak_also_of

_QUOTED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Decides on notifications, and again on incidents that come due."""

    change: Change
    #: Remembers again what a store that was emptied has forgotten, before anything is decided in it.
    recover: Callable[[], None]
    rulebook: Callable[[], Rulebook]
    #: From an inbox id and what lies there.
    parse: Callable[[str, Envelope], Notification]
    asking: Asking
    now: Callable[[], datetime]
    new_id: NewId

    def take(self, id: str) -> int:
        """How many alerts of a notification were decided on or cleared; 0 when it was dealt with before.

        Raises:
            Unavailable: a dependency is away; the notification stays in the inbox, or its batch in the outbox.
            StateConflict: too many others write at once; it stays in the inbox.
        """
        envelope = self.change.store.envelope(id)
        if envelope is None:
            return 0
        about = {"alertmend.notification": id, "alertmend.sender": envelope.sender}
        with tracing.span("intake", about, parent=envelope.traceparent, kind="consumer"):
            return self._take(id, envelope)

    def reconsider(self, pair: Pair) -> None:
        """Decide again on an open incident whose hold came due; nothing when it is closed or has a run."""
        rulebook = self.rulebook()
        moment = Moment(rulebook=rulebook, now=self.now(), new_id=self.new_id)
        first = self.change.read(Keys(pairs=frozenset([pair])))
        held, rule, target = _held(first, pair), rulebook.rule(pair.rule), rulebook.host(pair.target)
        keys = Keys(pairs=frozenset([pair]), alerts=frozenset([held] if held else []))
        if held and rule is not None:
            state = self.change.read(keys).alerts.get(held)
            keys |= claimed(state.alert, Match(rule=rule, target=target)) if state else Keys()

        def write(draft: Draft) -> bool:
            draft.due[pair_due(pair)] = None
            state = draft.alerts.get(held or "")
            if rule is not None and state is not None and _held(draft, pair) == held:
                occasion = Occasion(now=moment.now, received_at=None, source=state.source, revision=rulebook.revision)
                admit(draft, moment, rule, state.alert, target, occasion=occasion)
            return True

        parent = first.pair(pair).incident
        speak_also_of(incident=parent.id if parent else None)
        about = {"alertmend.rule": pair.rule, "alertmend.target": pair.target}
        with tracing.span("reconsider", about, parent=parent.traceparent if parent else ""):
            self.change.make(keys, write, id=f"due:{self.new_id()}", moment=moment)

    def _take(self, id: str, envelope: Envelope) -> int:
        self.recover()
        notification, rulebook = self.parse(id, envelope), self.rulebook()
        alerts = [rulebook.identified(alert) for alert in notification.alerts]
        matched = [(alert, rulebook.match(alert)) for alert in alerts]
        if envelope.sender != RECONCILIATION:
            self._know(notification)
        traceparent = tracing.traceparent()
        moment = Moment(rulebook=rulebook, now=self.now(), new_id=self.new_id, traceparent=traceparent)
        reports = self._ask(matched, notification, moment)

        def write(draft: Draft) -> int | None:
            # Asked after the draft was read: whoever dealt with it since then has changed the revision.
            if self.change.store.envelope(id) is None:
                return None
            draft.events.append(_received(notification, matched, sender=envelope.sender, now=moment.now))
            if notification.truncated_alerts:
                draft.due[RECONCILE_DUE] = moment.now
            return _consider(draft, moment, notification, matched, reports)

        clears = any(alert.is_resolved for alert, _ in matched)
        keys = reach(matched)
        return self.change.make(keys, write, id=f"notification:{id}", moment=moment, taken=id, with_runs=clears) or 0

    def _know(self, notification: Notification) -> None:
        # The name comes quoted for a regular expression.
        self.change.store.know_receiver(_QUOTED.sub(r"\1", notification.receiver))

    def _ask(self, matched: Matched, notification: Notification, moment: Moment) -> Mapping[str, Report]:
        """What Alertmanager says today of a notification that has waited for too long."""
        if moment.now - notification.received_at <= moment.rulebook.policy.max_queue_age:
            return {}
        return self.asking.reports([alert for alert, match in matched if match is not None])


def _consider(
    draft: Draft, moment: Moment, notification: Notification, matched: Matched, reports: Mapping[str, Report]
) -> int:
    occasion = Occasion(
        now=moment.now,
        received_at=notification.received_at,
        source=notification.external_url,
        reports=reports,
        revision=moment.rulebook.revision,
    )
    announce(draft, matched)
    handled = 0
    for alert, match in matched:
        if alert.is_resolved:
            handled += clear(draft, moment, alert, occasion=occasion)
        elif match is not None:
            admit(draft, moment, match.rule, alert, match.target, occasion=occasion)
            handled += 1
    return handled


def _held(draft: Draft, pair: Pair) -> str | None:
    """The alert for which an open incident without a run under way is to be decided again."""
    incident = draft.pair(pair).incident
    if incident is None or not incident.firing:
        return None
    if incident.run is not None and incident.run_state is not RunState.AWAITING_APPROVAL:
        return None
    held = incident.hold.alert if incident.hold else None
    return held if held in incident.firing else incident.firing[0]


def _received(notification: Notification, matched: Matched, *, sender: str, now: datetime) -> AuditEvent:
    names = {alert.name for alert in notification.alerts}
    firing = [match for alert, match in matched if not alert.is_resolved]
    return AuditEvent(
        at=now,
        event=Event.ALERT_RECEIVED,
        actor=sender,
        alertname=names.pop() if len(names) == 1 else None,
        body={
            "notification": notification.id,
            "received_at": notification.received_at,
            "receiver": notification.receiver,
            "group_key": notification.group_key,
            "external_url": notification.external_url,
            "firing": len(firing),
            "resolved": len(matched) - len(firing),
            "truncated": notification.truncated_alerts,
            "without_rule": firing.count(None),
            # No decision tells of these; whoever tries other rules on what was delivered needs them.
            "unmatched": [alert for alert, match in matched if match is None and not alert.is_resolved],
            "cleared": [alert.origin or alert.fingerprint for alert, _ in matched if alert.is_resolved],
        },
    )
