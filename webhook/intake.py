"""One notification in, one decision for each alert out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from webhook.change import Change
from webhook.core.alert import Alert, Notification
from webhook.core.audit import AuditEvent, Event
from webhook.core.evidence import Occasion
from webhook.core.incident import Pair
from webhook.core.rulebook import Match, Rulebook
from webhook.core.state import Draft, Keys, pair_due
from webhook.core.transition import NewId, admit, clear
from webhook.ports import Envelope

Matched = Sequence[tuple[Alert, Match | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Decides on notifications, and again on incidents that come due."""

    change: Change
    rulebook: Callable[[], Rulebook]
    #: From an inbox id and what lies there.
    parse: Callable[[str, Envelope], Notification]
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
        notification, rulebook = self.parse(id, envelope), self.rulebook()
        matched = [(alert, rulebook.match(alert)) for alert in notification.alerts]
        now = self.now()

        def write(draft: Draft) -> int | None:
            # Asked after the draft was read: whoever dealt with it since then has changed the revision.
            if self.change.store.envelope(id) is None:
                return None
            draft.events.append(_received(notification, matched, sender=envelope.sender, now=now))
            return self._consider(draft, notification, matched, rulebook=rulebook, now=now)

        clears = any(alert.is_resolved for alert, _ in matched)
        keys = _keys(matched)
        return self.change.make(keys, write, id=f"notification:{id}", at=now, taken=id, with_runs=clears) or 0

    def reconsider(self, pair: Pair) -> None:
        """Decide again on an open incident whose hold came due; nothing when it is closed or has a run."""
        now, rulebook = self.now(), self.rulebook()
        held = _held(self.change.read(Keys(pairs=frozenset([pair]))), pair)

        def write(draft: Draft) -> bool:
            draft.due[pair_due(pair)] = None
            rule, state = rulebook.rule(pair.rule), draft.alerts.get(held or "")
            if rule is not None and state is not None and _held(draft, pair) == held:
                occasion = Occasion(now=now, received_at=None, source=state.source)
                admit(
                    draft,
                    rule,
                    rulebook.policy,
                    state.alert,
                    rulebook.host(pair.target),
                    occasion=occasion,
                    new_id=self.new_id,
                )
            return True

        keys = Keys(pairs=frozenset([pair]), alerts=frozenset([held] if held else []))
        self.change.make(keys, write, id=f"due:{self.new_id()}", at=now)

    def _consider(
        self, draft: Draft, notification: Notification, matched: Matched, *, rulebook: Rulebook, now: datetime
    ) -> int:
        occasion = Occasion(now=now, received_at=notification.received_at, source=notification.external_url)
        handled = 0
        for alert, match in matched:
            if alert.is_resolved:
                handled += clear(draft, alert, occasion=occasion)
            elif match is not None:
                admit(draft, match.rule, rulebook.policy, alert, match.target, occasion=occasion, new_id=self.new_id)
                handled += 1
        return handled


def _keys(matched: Matched) -> Keys:
    return Keys(
        alerts=frozenset(alert.fingerprint for alert, match in matched if match or alert.is_resolved),
        pairs=frozenset(
            Pair(match.rule.name, match.target.host) for _, match in matched if match and match.target.host
        ),
    )


def _held(draft: Draft, pair: Pair) -> str | None:
    """The alert for which an open incident without a run is to be decided again."""
    incident = draft.pair(pair).incident
    if incident is None or incident.run is not None or not incident.firing:
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
        },
    )
