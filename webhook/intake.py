"""One notification in, one decision for each alert out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from webhook.core.alert import Alert, Notification
from webhook.core.audit import AuditEvent, Event
from webhook.core.evidence import Occasion, Policy
from webhook.core.incident import Pair
from webhook.core.rule import Rule, first_match
from webhook.core.state import Draft, Keys, pair_due
from webhook.core.target import Inventory, Target, find_target
from webhook.core.transition import NewId, admit, clear
from webhook.errors import StateConflict
from webhook.ports import Batch, Envelope, IncidentRecord, Ledger, Store

#: Someone else was faster this often in a row: give the notification back to its queue rather than turn for ever.
PATIENCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """What is decided by: the rules, the policy and the inventory of one configuration."""

    rules: tuple[Rule, ...]
    policy: Policy
    inventory: Inventory

    def rule(self, name: str) -> Rule | None:
        """The rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Decides on notifications, and again on incidents that come due."""

    store: Store
    ledger: Ledger
    rulebook: Callable[[], Rulebook]
    parse: Callable[[str, Envelope], Notification]
    now: Callable[[], datetime]
    new_id: NewId

    def take(self, id: str) -> int:
        """How many alerts of a notification were decided on or cleared; 0 when another worker was faster.

        Raises:
            Unavailable: a dependency is away; the notification stays in the inbox, or its batch in the outbox.
            StateConflict: too many others write at once; it stays in the inbox.
        """
        envelope = self.store.envelope(id)
        if envelope is None:
            return 0
        notification = self.parse(id, envelope)
        rulebook = self.rulebook()
        matched = tuple((alert, *_place(rulebook, alert)) for alert in notification.alerts)
        for _ in range(PATIENCE):
            now = self.now()
            draft = self._read(_keys(matched))
            handled = self._consider(draft, notification, matched, rulebook, sender=envelope.sender, now=now)
            batch = _batch(draft, f"notification:{id}", at=now)
            if self.store.commit(draft, batch=batch, taken=id):
                self._deliver(batch)
                return handled
            if self.store.envelope(id) is None:
                return 0
        raise StateConflict

    def reconsider(self, pair: Pair) -> None:
        """Decide again on an open incident whose hold came due."""
        rulebook = self.rulebook()
        for _ in range(PATIENCE):
            now = self.now()
            draft = self._read(Keys(pairs=frozenset([pair])))
            alert = _held(draft, pair)
            if alert is not None:
                draft = self._read(Keys(pairs=frozenset([pair]), alerts=frozenset([alert])))
            draft.due[pair_due(pair)] = None
            rule = rulebook.rule(pair.rule)
            if alert in draft.alerts and rule is not None and _held(draft, pair) == alert:
                state = draft.alerts[alert]
                occasion = Occasion(now=now, received_at=None, source=state.source)
                target = _resolve(rulebook, pair.target)
                admit(
                    draft, rule, rulebook.policy, state.alert, target, occasion=occasion, new_id=self.new_id
                )
            batch = _batch(draft, f"due:{self.new_id()}", at=now)
            if self.store.commit(draft, batch=batch):
                return self._deliver(batch)
        raise StateConflict

    def _read(self, keys: Keys) -> Draft:
        # What an alert belongs to, and which run an incident has, is known only once they are read: read until nothing
        # is missing. The last read holds all of it at one revision.
        while True:
            snapshot = self.store.read(keys)
            pairs = {state.pair for state in snapshot.alerts.values()}
            open_runs = (state.incident.run for state in snapshot.pairs.values() if state.incident)
            wanted = keys | Keys(pairs=frozenset(pairs), runs=frozenset(run for run in open_runs if run))
            if wanted == keys:
                return Draft.of(snapshot)
            keys = wanted

    def _consider(
        self,
        draft: Draft,
        notification: Notification,
        matched: Sequence[tuple[Alert, Rule | None, Target | None]],
        rulebook: Rulebook,
        *,
        sender: str,
        now: datetime,
    ) -> int:
        occasion = Occasion(now=now, received_at=notification.received_at, source=notification.external_url)
        handled = cleared = 0
        draft.events.append(_received(notification, matched, sender=sender, now=now))
        for alert, rule, target in matched:
            if alert.is_resolved:
                cleared += clear(draft, alert, occasion=occasion)
            elif rule is not None and target is not None:
                admit(draft, rule, rulebook.policy, alert, target, occasion=occasion, new_id=self.new_id)
                handled += 1
        return handled + cleared

    def _deliver(self, batch: Batch) -> None:
        if batch.events:
            self.ledger.append(batch)
        self.store.confirm(batch)


def _place(rulebook: Rulebook, alert: Alert) -> tuple[Rule | None, Target | None]:
    rule = first_match(rulebook.rules, alert.labels)
    if rule is None:
        return None, None
    return rule, find_target(alert.labels.get(rule.target), label=rule.target, inventory=rulebook.inventory)


def _resolve(rulebook: Rulebook, host: str) -> Target:
    # The inventory may have changed since the incident was opened.
    return find_target(host, label="target", inventory=rulebook.inventory)


def _keys(matched: Sequence[tuple[Alert, Rule | None, Target | None]]) -> Keys:
    return Keys(
        alerts=frozenset(alert.fingerprint for alert, rule, _ in matched if rule or alert.is_resolved),
        pairs=frozenset(Pair(rule.name, target.host) for _, rule, target in matched if rule and target and target.host),
    )


def _held(draft: Draft, pair: Pair) -> str | None:
    """The alert for which an open incident without a run is to be decided again."""
    incident = draft.pair(pair).incident
    if incident is None or incident.run is not None or not incident.firing:
        return None
    return incident.held_for if incident.held_for in incident.firing else incident.firing[0]


def _received(
    notification: Notification,
    matched: Sequence[tuple[Alert, Rule | None, Target | None]],
    *,
    sender: str,
    now: datetime,
) -> AuditEvent:
    names = {alert.name for alert in notification.alerts}
    firing = [(alert, rule) for alert, rule, _ in matched if not alert.is_resolved]
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
            "without_rule": sum(rule is None for _, rule in firing),
        },
    )


def _batch(draft: Draft, id: str, *, at: datetime) -> Batch:
    return Batch(
        id=id,
        at=at,
        events=tuple(draft.events),
        incidents=tuple(
            IncidentRecord(incident=incident, decision=decision) for incident, decision in draft.incidents.values()
        ),
        runs=tuple(draft.runs[str(name)] for kind, name in draft.touched if kind == "run"),
        doorbells=tuple(draft.doorbells),
    )


