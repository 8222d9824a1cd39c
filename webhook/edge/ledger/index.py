"""Writes incidents and runs, and the cards by which they and the entries are found, all in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, case, func, insert, select

from webhook.core.run import Run, RunState
from webhook.core.search import labels_of
from webhook.core.transcript import text_of
from webhook.edge.ledger import card
from webhook.edge.ledger.card import Row
from webhook.edge.ledger.database import is_postgresql, upsert, upserting
from webhook.edge.ledger.row import (
    incident_row,
    read_decision,
    read_incident,
    read_passages,
    read_run,
    run_row,
    transcript_row,
)
from webhook.edge.ledger.schema import LISTINGS, SPAN, audit_cards, incidents, runs, spans, transcripts
from webhook.ports import Batch, IncidentRecord

#: The terms of alerts, by the incident that they belong to.
Labels = Mapping[str, frozenset[str]]
#: What runs printed.
Said = Mapping[str, str]


def write_entries(
    connection: Connection, entries: Sequence[Any], bodies: Iterable[Mapping[str, object]], *, said: Said
) -> None:
    """The cards of entries that are new in the log."""
    postgresql, cards = is_postgresql(connection), []
    for entry, body in zip(entries, bodies, strict=True):
        output = said.get(entry.run, "") if entry.event == "run_finished" else ""
        cards.append(card.entry_card(entry, body, said=output, postgresql=postgresql))
    if cards:
        connection.execute(insert(audit_cards), cards)
        _widen(connection, "audit", cards)


def write_incidents(connection: Connection, records: Sequence[IncidentRecord], labels: Labels) -> None:
    """The rows and cards of incidents; a decision and labels that were there before are kept."""
    before = _before(connection, "incidents", [record.incident.id for record in records])
    records = [_latest(record, before.get(record.incident.id)) for record in records]
    rows = _numbered(connection, "incidents", [incident_row(record) for record in records], before)
    for row in rows:
        if row["decision"] is None and row["id"] in before:
            row["decision"] = before[row["id"]].decision
    upsert(connection, incidents, rows)
    last = {record.incident.id: record.incident.last_run for record in records}
    outcomes = {id: run.outcome.value for id, run in last.items() if run}
    decisions = {record.incident.id: read_decision(record.decision) for record in records if record.decision}
    write_incident_cards(connection, rows, _with_earlier(labels, "id", rows, before), outcomes, decisions)


def _latest(record: IncidentRecord, known: Any) -> IncidentRecord:
    """The record; what is known, when that is further on, since batches are not always sealed in their order."""
    if known is None or not known.body:
        return record
    incident = read_incident(known.body)
    if record.incident.progress >= incident.progress:
        return record
    return IncidentRecord(incident=incident, decision=None if known.decision else record.decision)


def write_incident_cards(
    connection: Connection,
    rows: Sequence[Row],
    labels: Labels,
    outcomes: Mapping[str, str],
    decisions: Mapping[str, Mapping[str, Any]],
) -> None:
    """The cards of incidents that are there; a decision that is not given is read from its row."""
    postgresql, cards = is_postgresql(connection), []
    for row in rows:
        id = row["id"]
        decision = decisions.get(id) or (json.loads(row["decision"]) if row["decision"] else {})
        known, outcome = labels.get(id, frozenset()), outcomes.get(id)
        cards.append(card.incident_card(row, decision, known, outcome=outcome, postgresql=postgresql))
    _put(connection, "incidents", cards)


def write_runs(connection: Connection, found: Sequence[Run], labels: Labels, *, said: Said) -> None:
    """The rows and cards of runs; labels that were there before are kept, and runs that are further on."""
    before = _before(connection, "runs", [run.id for run in found])
    known = {id: read_run(row.body) for id, row in before.items()}
    late = {run.id for run in found if run.id in known and run.progress < known[run.id].progress}
    found = [known[run.id] if run.id in late else run for run in found]
    rows = _numbered(connection, "runs", [run_row(run) for run in found], before)
    upsert(connection, runs, rows)
    said = {**said, **read_output(connection, sorted(late))}
    write_run_cards(connection, rows, found, _with_earlier(labels, "incident", rows, before), said=said)


def write_run_cards(
    connection: Connection, rows: Sequence[Row], found: Sequence[Run], labels: Labels, *, said: Said
) -> None:
    """The cards of runs that are there, with labels by their ids."""
    postgresql, cards = is_postgresql(connection), []
    for row, run in zip(rows, found, strict=True):
        known, output = labels.get(run.id, frozenset()), said.get(run.id, "")
        cards.append(card.run_card(row, run, known, said=output, postgresql=postgresql))
    _put(connection, "runs", cards)


def write_transcripts(connection: Connection, batch: Batch) -> dict[str, str]:
    """The rows of what the batch's runs said, and of what those that it ends had said before, as JSON by run."""
    rows = [transcript_row(run, passages) for run, passages in batch.transcripts.items()]
    upsert(connection, transcripts, rows)
    found = {row["run"]: row["passages"] for row in rows}
    ended = [run.id for run in batch.runs if run.state is RunState.FINISHED and run.id not in found]
    if ended:
        earlier = connection.execute(select(transcripts).where(transcripts.c.run.in_(ended)))
        found |= {row.run: row.passages for row in earlier}
    return found


def read_output(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """What runs printed, as far as they did."""
    if not ids:
        return {}
    found = connection.execute(select(transcripts).where(transcripts.c.run.in_(ids)))
    return {row.run: text_of(read_passages(row.passages)) for row in found}


def labels_by_incident(events: Iterable[tuple[str | None, Mapping[str, object]]]) -> dict[str, frozenset[str]]:
    """The terms of the alerts that events are about, from each event's incident and body."""
    found: dict[str, frozenset[str]] = {}
    for incident, body in events:
        if incident and (labels := labels_of(body)):
            found[incident] = found.get(incident, frozenset()) | labels
    return found


def _before(connection: Connection, kind: str, ids: Sequence[str]) -> Mapping[str, Any]:
    """The rows of those that are there, with their labels, by id."""
    if not ids:
        return {}
    table, cards = LISTINGS[kind].table, LISTINGS[kind].cards.c
    query = select(table, cards.labels).join_from(table, LISTINGS[kind].cards, table.c.number == cards.number)
    return {row.id: row for row in connection.execute(query.where(table.c.id.in_(ids)))}


def _numbered(connection: Connection, kind: str, rows: Sequence[Row], before: Mapping[str, Any]) -> Sequence[Row]:
    """The rows, each with its number, a new one if it is new."""
    if not rows:
        return rows
    last = connection.execute(select(func.coalesce(func.max(LISTINGS[kind].table.c.number), 0))).scalar_one()
    for row in rows:
        if row["id"] not in before:
            last += 1
        row["number"] = before[row["id"]].number if row["id"] in before else last
    return rows


def _with_earlier(labels: Labels, name: str, rows: Sequence[Row], before: Mapping[str, Any]) -> Labels:
    """The labels of each row, by its id: those by what it says under `name`, and those that it had before."""
    return {
        row["id"]: labels.get(row[name], frozenset()).union(
            before[row["id"]].labels.split() if row["id"] in before else ()
        )
        for row in rows
    }


def _put(connection: Connection, kind: str, cards: Sequence[Row]) -> None:
    if cards:
        upsert(connection, LISTINGS[kind].cards, cards)
        _widen(connection, kind, cards)


def _widen(connection: Connection, kind: str, cards: Sequence[Row]) -> None:
    """Let the spans of the cards reach to their times."""
    times: dict[int, list[str]] = {}
    for found in cards:
        times.setdefault(found["number"] // SPAN, []).append(found["at"])
    rows = [{"kind": kind, "span": span, "first_at": min(at), "last_at": max(at)} for span, at in times.items()]
    connection.execute(_widening(is_postgresql(connection)), rows)


@cache
def _widening(postgresql: bool) -> Any:
    # Made once: it is part of every append, and would take longer to make than to do.
    statement = upserting(spans, postgresql=postgresql)
    new = statement.excluded
    wider = {
        "first_at": case((new.first_at < spans.c.first_at, new.first_at), else_=spans.c.first_at),
        "last_at": case((new.last_at > spans.c.last_at, new.last_at), else_=spans.c.last_at),
    }
    return statement.on_conflict_do_update(index_elements=["kind", "span"], set_=wider)
