"""Entries, incidents, runs and what they said, as rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from webhook.core.alert import Alert
from webhook.core.audit import AuditEntry, AuditEvent, Event, canonical, seal_all, timestamp
from webhook.core.incident import Incident
from webhook.core.run import Run
from webhook.core.transcript import Passage
from webhook.core.verdict import Decision
from webhook.ports import IncidentRecord

_RUN = TypeAdapter(Run)
_INCIDENT = TypeAdapter(Incident)
_ALERT = TypeAdapter(Alert)
_DECISION = TypeAdapter(Decision)
_PASSAGES = TypeAdapter(tuple[Passage, ...])
_TEXTS = ("actor", "incident", "run", "rule", "target", "alertname", "decision", "outcome")
#: In the body of a run's end.
TRANSCRIPT_HASH = "transcript_sha256"
_ENTRY_FIELDS = tuple(field.name for field in fields(AuditEntry))


def with_transcripts(events: Sequence[AuditEvent], passages: Mapping[str, str]) -> Sequence[AuditEvent]:
    """The events; that of a run's end with the hash of what the run said, so that nobody changes that unseen."""
    return [
        replace(event, body={**event.body, TRANSCRIPT_HASH: transcript_hash(passages[event.run])})
        if event.event is Event.RUN_FINISHED and event.run is not None and event.run in passages
        else event
        for event in events
    ]


def transcript_hash(passages: str) -> str:
    """The hash of what a run said, from its row."""
    return hashlib.sha256(passages.encode()).hexdigest()


def sealed(
    events: Sequence[AuditEvent], *, seq: int, previous_hash: str
) -> tuple[Sequence[AuditEvent], Sequence[AuditEntry]]:
    """The events with bodies as JSON knows them and texts as databases do, and their entries."""
    try:
        entries = seal_all(events, seq=seq, previous_hash=previous_hash)
    except (TypeError, ValueError):
        # Bodies come as JSON knows them, which is quick; one that does not has records in it, or a number like NaN.
        events = [replace(event, body=_jsonable(event.body)) for event in events]
        entries = seal_all(events, seq=seq, previous_hash=previous_hash)
    if not all(map(_is_storable, entries)):
        # What cannot be stored now never could be, and nothing after it either.
        events = [_storable(event) for event in events]
        entries = seal_all(events, seq=seq, previous_hash=previous_hash)
    return events, entries


def _is_storable(entry: AuditEntry) -> bool:
    columns = "".join(filter(None, (getattr(entry, name) for name in _TEXTS)))
    return "\0" not in columns and _is_whole(columns) and _is_whole(entry.body)


def _is_whole(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _storable(event: AuditEvent) -> AuditEvent:
    """The event without what no database takes: NUL in a column, and half a character anywhere."""
    texts = {name: getattr(event, name) for name in _TEXTS}
    columns: dict[str, Any] = {name: text and _whole(text.replace("\0", "")) for name, text in texts.items()}
    return replace(event, **columns, body=json.loads(_whole(canonical(event.body))))


def _whole(text: str) -> str:
    return text.encode(errors="replace").decode()


def entry_row(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is inserted."""
    return {column: getattr(entry, column) for column in _ENTRY_FIELDS}


def read_entry(row: Sequence[Any]) -> AuditEntry:
    """An entry from its row."""
    return AuditEntry(**dict(zip(_ENTRY_FIELDS, row, strict=True)))


def incident_row(record: IncidentRecord) -> dict[str, Any]:
    """An incident as it is inserted, without its number."""
    incident = record.incident
    return {
        "id": incident.id,
        "rule": incident.rule,
        "target": incident.target,
        "state": "open" if incident.is_open else "resolved",
        "opened_at": timestamp(incident.opened_at),
        "resolved_at": _maybe(incident.resolved_at),
        "resolved_by": incident.resolved_by,
        "alerts": canonical(incident.alerts),
        "runs": canonical(incident.runs),
        "decision": canonical(_DECISION.dump_python(record.decision, mode="json")) if record.decision else None,
        "body": _INCIDENT.dump_json(incident).decode(),
        "came_back": int(incident.came_back_after is not None),
        "seconds": (incident.resolved_at - incident.opened_at).total_seconds() if incident.resolved_at else None,
    }


def run_row(run: Run) -> dict[str, Any]:
    """A run as it is inserted, without its number."""
    return {
        "id": run.id,
        "incident": run.incident,
        "rule": run.rule,
        "target": run.target,
        "state": run.state.value,
        "outcome": run.outcome,
        "created_at": timestamp(run.created_at),
        "body": canonical(_jsonable(run)),
    }


def transcript_row(run: str, passages: tuple[Passage, ...]) -> dict[str, Any]:
    """What a run said as it is inserted."""
    # NUL stands there as an escape, which PostgreSQL takes.
    return {"run": run, "passages": _PASSAGES.dump_json(passages, exclude_defaults=True).decode()}


def read_decision(decision: Decision) -> dict[str, Any]:
    """Of a decision what an incident is found by."""
    return {"decision": decision.decision.value, "guard": decision.guard, "reason": decision.reason}


def read_incident(body: str) -> Incident:
    """An incident from its row's body."""
    return _INCIDENT.validate_json(body)


def read_alert(body: str) -> Alert:
    """The alert in the body of a decision's entry."""
    return _ALERT.validate_python(json.loads(body)["alert"])


def read_event(row: Mapping[str, Any]) -> AuditEvent:
    """What an entry's row is about: when, what, who, and the body."""
    at, event = datetime.fromisoformat(row["at"]), Event(row["event"])
    return AuditEvent(at=at, event=event, actor=row["actor"], body=json.loads(row["body"]))


def read_run(body: str) -> Run:
    """A run from its row's body."""
    return _RUN.validate_json(body)


def read_passages(passages: str) -> tuple[Passage, ...]:
    """What a run said from its row."""
    return _PASSAGES.validate_json(passages)


def _jsonable(value: object) -> Any:
    # A playbook may say NaN, for which JSON has no word; the outbox says null as well.
    return to_jsonable_python(value, inf_nan_mode="null")


def _maybe(at: datetime | None) -> str | None:
    return timestamp(at) if at else None
