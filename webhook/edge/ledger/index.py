"""Writes incidents and runs, and the cards by which they and the entries are found, all in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, case, func, insert, select

from webhook.core.incident import Run, RunState
from webhook.core.search import labels_of
from webhook.core.transcript import text_of
from webhook.edge.ledger import card
from webhook.edge.ledger.card import Row
from webhook.edge.ledger.database import is_postgresql, upsert, upserting
from webhook.edge.ledger.row import incident_row, read_passages, read_run, run_row, transcript_row
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
    last = {record.incident.id: record.incident.last_run for record in records}
    rows = _write_rows(connection, incidents, [incident_row(record) for record in records], kept="decision")
    outcomes = {id: run.outcome.value for id, run in last.items() if run}
    write_incident_cards(connection, rows, labels, outcomes)


def write_incident_cards(
    connection: Connection, rows: Sequence[Row], labels: Labels, outcomes: Mapping[str, str]
) -> None:
    """The cards of incidents that are there; labels that were known before are kept."""
    before, postgresql = _labels_before(connection, "incidents", rows), is_postgresql(connection)
    cards = []
    for row in rows:
        known = before.get(row["number"], frozenset()) | labels.get(row["id"], frozenset())
        cards.append(card.incident_card(row, known, outcome=outcomes.get(row["id"]), postgresql=postgresql))
    _put(connection, "incidents", cards)


def write_runs(connection: Connection, found: Sequence[Run], labels: Labels, *, said: Said) -> None:
    """The rows and cards of runs; labels that were there before are kept."""
    write_run_cards(connection, _write_rows(connection, runs, [run_row(run) for run in found]), labels, said=said)


def write_run_cards(connection: Connection, rows: Sequence[Row], labels: Labels, *, said: Said) -> None:
    """The cards of runs that are there; labels that were known before are kept."""
    before, postgresql = _labels_before(connection, "runs", rows), is_postgresql(connection)
    cards = []
    for row in rows:
        known = before.get(row["number"], frozenset()) | labels.get(row["incident"], frozenset())
        run, output = read_run(row["body"]), said.get(row["id"], "")
        cards.append(card.run_card(row, run, known, said=output, postgresql=postgresql))
    _put(connection, "runs", cards)


def write_transcripts(connection: Connection, batch: Batch) -> dict[str, str]:
    """What the batch's runs printed, and those that it ends had printed before."""
    upsert(connection, transcripts, [transcript_row(run, passages) for run, passages in batch.transcripts.items()])
    said = {run: text_of(passages) for run, passages in batch.transcripts.items()}
    ended = [run.id for run in batch.runs if run.state is RunState.FINISHED and run.id not in said]
    return said | read_output(connection, ended)


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


def _write_rows(connection: Connection, table: Table, rows: Sequence[Row], *, kept: str = "") -> list[Row]:
    """The rows as they are now, with their numbers; the column `kept` is not replaced by null."""
    if not rows:
        return []
    last = connection.execute(select(func.coalesce(func.max(table.c.number), 0))).scalar_one()
    numbered = [{**row, "number": last + place} for place, row in enumerate(rows, 1)]
    statement = upserting(connection, table)
    new = {name: statement.excluded[name] for name in rows[0] if name != "id"}
    if kept:
        new[kept] = func.coalesce(statement.excluded[kept], table.c[kept])
    statement = statement.on_conflict_do_update(index_elements=["id"], set_=new).returning(*table.columns)
    return [dict(row) for row in connection.execute(statement, numbered).mappings()]


def _labels_before(connection: Connection, kind: str, rows: Iterable[Row]) -> dict[int, frozenset[str]]:
    cards, numbers = LISTINGS[kind].cards, [row["number"] for row in rows]
    if not numbers:
        return {}
    found = connection.execute(select(cards.c.number, cards.c.labels).where(cards.c.number.in_(numbers)))
    return {row.number: frozenset(row.labels.split()) for row in found}


def _put(connection: Connection, kind: str, cards: Sequence[Row]) -> None:
    if cards:
        upsert(connection, LISTINGS[kind].cards, cards)
        _widen(connection, kind, cards)


def _widen(connection: Connection, kind: str, cards: Sequence[Row]) -> None:
    """Let the spans of the cards reach to their times."""
    times: dict[int, list[str]] = {}
    for found in cards:
        times.setdefault(found["number"] // SPAN, []).append(found["at"])
    statement = upserting(connection, spans)
    new = statement.excluded
    wider = {
        "first_at": case((new.first_at < spans.c.first_at, new.first_at), else_=spans.c.first_at),
        "last_at": case((new.last_at > spans.c.last_at, new.last_at), else_=spans.c.last_at),
    }
    rows = [{"kind": kind, "span": span, "first_at": min(at), "last_at": max(at)} for span, at in times.items()]
    connection.execute(statement.on_conflict_do_update(index_elements=["kind", "span"], set_=wider), rows)
