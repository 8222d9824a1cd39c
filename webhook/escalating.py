"""Takes the steps of escalations: alerts in Alertmanager that are kept firing, documents posted to people's pagers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from webhook.change import Change
from webhook.core.audit import AuditEvent, timestamp
from webhook.core.due import escalation_due
from webhook.core.escalation import (
    ALERTNAME,
    EXPIRES,
    FIRST_RETRY,
    OWN_LABEL,
    AlertmanagerStep,
    Chain,
    Escalation,
    Todo,
    WebhookStep,
    failed,
    is_worth_telling,
    passed_waits,
    todo,
    told,
)
from webhook.core.rulebook import Rulebook
from webhook.core.state import Draft, Keys
from webhook.core.transition import Moment, NewId, escalated
from webhook.httpconfig import url_of
from webhook.telemetry import speak_also_of
from webhook.world import Alertmanagers, Pager

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalating:
    """One step of one escalation is `escalate`; telling twice is possible, telling nobody is not."""

    change: Change
    rulebook: Callable[[], Rulebook]
    alertmanagers: Callable[[], Alertmanagers | None]
    pager: Pager
    #: Where people find the incident.
    external_url: Callable[[], str]
    now: Callable[[], datetime]
    new_id: NewId

    def escalate(self, id: str) -> None:
        """Do what an escalation has to do now, and say when it is to be looked at again.

        Raises:
            Unavailable: Redis or the ledger is away. Someone who is to be told and does not answer is no error.
        """
        found = self.change.read(Keys(escalations=frozenset([id]))).escalations.get(id)
        if found is None:
            self.change.store.forget_due(escalation_due(id))
            return
        speak_also_of(escalation=id, incident=found.incident)
        now, chain = self.now(), self.rulebook().chain(found.chain)
        after = passed_waits(found, chain, now)
        task = todo(after, chain, now)
        after, events = self._done(after, task, now)
        self._write(found, after, events, chain)

    def _done(self, escalation: Escalation, task: Todo, now: datetime) -> tuple[Escalation, list[AuditEvent]]:
        events: list[AuditEvent] = []
        if task.refresh and (words := self._alert(escalation, task.refresh, now)):
            log.warning("an escalation's alert cannot be sent again", action="escalate", error=words)
            if escalation.ended is not None:
                return failed(escalation, words, now=now), events
        elif task.refresh:
            escalation = replace(escalation, refreshed_at=now)
        if task.tell is None:
            return replace(escalation, alerting=()) if escalation.ended else escalation, events
        words = self._tell(escalation, task.tell, now)
        name = "alertmanager" if isinstance(task.tell, AlertmanagerStep) else "webhook"
        if words:
            escalation = failed(escalation, words, now=now)
            log.error("an escalation reaches nobody", action="escalate", step=name, error=words)
            if not is_worth_telling(escalation.failures):
                return escalation, events
        events.append(escalated(escalation, at=now, step=name, delivered=not words, words=words))
        return escalation if words else told(escalation, task.tell, now=now), events

    def _write(self, before: Escalation, after: Escalation, events: list[AuditEvent], chain: Chain) -> None:
        def write(draft: Draft) -> bool | None:
            current = draft.escalations.get(before.id)
            if current is None or (current.ended is not None) is not (before.ended is not None):
                return None  # It was ended meanwhile, and is due for that.
            draft.put_escalation(after)
            draft.due[escalation_due(after.id)] = self._again_at(after, chain)
            draft.events += events
            return True

        moment = Moment(rulebook=self.rulebook(), now=self.now(), new_id=self.new_id)
        keys = Keys(escalations=frozenset([before.id]))
        self.change.make(keys, write, id=f"escalation:{before.id}:{self.new_id()}", moment=moment)

    def _again_at(self, escalation: Escalation, chain: Chain) -> datetime | None:
        now = self.now()
        if escalation.ended is not None:
            return now + FIRST_RETRY if escalation.alerting else None
        return todo(escalation, chain, now).again_at

    def _tell(self, escalation: Escalation, step: AlertmanagerStep | WebhookStep, now: datetime) -> str:
        """What went wrong, in words; empty when nothing did."""
        if isinstance(step, AlertmanagerStep):
            return self._alert(escalation, (step,), now)
        try:
            paged = self.pager.post(url_of(step), self._document(escalation))
        except (OSError, UnicodeDecodeError) as error:
            return f"the file with the URL cannot be read: {error}"
        return "" if paged.was_taken else paged.words

    def _alert(self, escalation: Escalation, steps: tuple[AlertmanagerStep, ...], now: datetime) -> str:
        found = self.alertmanagers()
        if found is None:
            return "no Alertmanager is configured (alertmanagers)"
        posted = found.post([self._written(escalation, step, now) for step in steps])
        # One is enough: a cluster's Alertmanagers tell each other.
        return "" if posted.taken_by else "; ".join(f"{url}: {words}" for url, words in posted.failures.items())

    def _written(self, escalation: Escalation, step: AlertmanagerStep, now: datetime) -> Mapping[str, object]:
        ends_at = now if escalation.ended else now + EXPIRES
        return {
            "labels": {**_labels(escalation), **step.labels},
            "annotations": {
                "summary": f"{escalation.rule} could not mend {escalation.target}: {escalation.outcome}",
                "description": escalation.reason,
                "link": self._link(escalation),
            },
            "startsAt": timestamp(escalation.started_at),
            "endsAt": timestamp(ends_at),
            "generatorURL": self._link(escalation),
        }

    def _document(self, escalation: Escalation) -> Mapping[str, object]:
        return {
            "escalation": escalation.chain,
            "incident": escalation.incident,
            "rule": escalation.rule,
            "target": escalation.target,
            "outcome": escalation.outcome,
            "reason": escalation.reason,
            "labels": dict(escalation.labels),
            "started_at": timestamp(escalation.started_at),
            "link": self._link(escalation),
        }

    def _link(self, escalation: Escalation) -> str:
        base = self.external_url().rstrip("/")
        return f"{base}/incidents/{escalation.incident}" if escalation.incident else f"{base}/"


def _labels(escalation: Escalation) -> dict[str, str]:
    """Those of the alert behind it, under a name of our own, and what we have to say of it."""
    labels = {name: value for name, value in escalation.labels.items() if name != "alertname"}
    if alertname := escalation.labels.get("alertname"):
        labels["failed_alertname"] = alertname
    own = {"alertname": ALERTNAME, "rule": escalation.rule, "target": escalation.target, "outcome": escalation.outcome}
    return {**labels, **own, OWN_LABEL: "escalation"}
