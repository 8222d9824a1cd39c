"""Makes the cards of what was written without any, as by a version that had none."""

from __future__ import annotations

import json

from sqlalchemy import Connection, func, select

from webhook.edge.ledger import index
from webhook.edge.ledger.row import read_run
from webhook.edge.ledger.schema import audit, audit_cards, incident_cards, incidents, run_cards, runs

PORTION = 500


def catch_up(connection: Connection) -> None:
    """Every entry, incident and run has its card when this returns."""
    labels: dict[str, frozenset[str]] = {}
    after = connection.execute(select(func.coalesce(func.max(audit_cards.c.number), 0))).scalar_one()
    while True:
        query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(PORTION)
        entries = connection.execute(query).all()
        if not entries:
            break
        bodies = [json.loads(entry.body) for entry in entries]
        said = index.read_output(connection, [entry.run for entry in entries if entry.event == "run_finished"])
        index.write_entries(connection, entries, bodies, said=said)
        about = zip([entry.incident for entry in entries], bodies, strict=True)
        for incident, found in index.labels_by_incident(about).items():
            labels[incident] = labels.get(incident, frozenset()) | found
        after = entries[-1].seq
    _catch_up_incidents(connection, labels)
    _catch_up_runs(connection, labels)


def _catch_up_incidents(connection: Connection, labels: index.Labels) -> None:
    missing = incidents.c.number.not_in(select(incident_cards.c.number))
    query = select(incidents).where(missing).order_by(incidents.c.number).limit(PORTION)
    while rows := [dict(row) for row in connection.execute(query).mappings()]:
        last = {ids[-1]: row["id"] for row in rows if (ids := json.loads(row["runs"]))}
        ended = connection.execute(select(runs.c.id, runs.c.outcome).where(runs.c.id.in_(last)))
        outcomes = {last[run.id]: run.outcome for run in ended if run.outcome}
        index.write_incident_cards(connection, rows, labels, outcomes, {})


def _catch_up_runs(connection: Connection, labels: index.Labels) -> None:
    missing = runs.c.number.not_in(select(run_cards.c.number))
    query = select(runs).where(missing).order_by(runs.c.number).limit(PORTION)
    while rows := [dict(row) for row in connection.execute(query).mappings()]:
        said = index.read_output(connection, [row["id"] for row in rows])
        of_runs = {row["id"]: labels.get(row["incident"], frozenset()) for row in rows}
        index.write_run_cards(connection, rows, [read_run(row["body"]) for row in rows], of_runs, said=said)
