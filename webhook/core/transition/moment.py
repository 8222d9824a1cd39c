"""What a change of the state is made with: the rules of the moment, the time, and new ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from webhook.core.audit import AuditEvent, Event
from webhook.core.incident import Incident
from webhook.core.rulebook import Rulebook
from webhook.core.run import Run

NewId = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One moment, as all of a change sees it."""

    rulebook: Rulebook
    now: datetime
    new_id: NewId
    #: The span that the change is part of, as W3C Trace Context writes it; empty without traces.
    traceparent: str = ""


def run_event(event: Event, run: Run, *, at: datetime, actor: str = "alertmend", **body: object) -> AuditEvent:
    """The entry that says what became of a run."""
    return AuditEvent(
        at=at,
        event=event,
        actor=actor,
        incident=run.incident,
        run=run.id,
        rule=run.rule,
        target=run.target,
        outcome=run.outcome,
        body={"run": run, **body},
    )


def incident_event(event: Event, incident: Incident, *, at: datetime, **columns: str | None) -> AuditEvent:
    """The entry that says what became of an incident."""
    return AuditEvent(
        at=at,
        event=event,
        incident=incident.id,
        rule=incident.rule,
        target=incident.target,
        body={"incident": incident},
        **columns,  # type: ignore[arg-type]
    )
