"""Appends to the log: one transaction for a batch, with all that is found and listed of it."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from webhook.core.audit import GENESIS, timestamp
from webhook.core.count import count
from webhook.core.transcript import text_of
from webhook.edge.ledger import counting, index, row
from webhook.edge.ledger.schema import audit, batches
from webhook.ports import Batch
from webhook.telemetry import named


def append(connection: Connection, batch: Batch) -> tuple[int, str]:
    """The new head."""
    seq, previous_hash = head(connection)
    spoken = index.write_transcripts(connection, batch)
    events = row.with_transcripts(batch.events, spoken)
    events, entries = row.sealed(events, seq=seq, previous_hash=previous_hash)
    if entries:
        connection.execute(insert(audit), [row.entry_row(entry) for entry in entries])
        seq, previous_hash = entries[-1].seq, entries[-1].hash
    connection.execute(insert(batches), {"id": batch.id, "last_seq": seq})
    said = {run: text_of(row.read_passages(passages)) for run, passages in spoken.items()}
    index.write_entries(connection, entries, [event.body for event in events], said=said)
    if batch.incidents or batch.runs:
        labels = index.labels_by_incident((event.incident, event.body) for event in events)
        index.write_incidents(connection, batch.incidents, labels)
        index.write_runs(connection, batch.runs, labels, said=said)
    incidents = [record.incident for record in batch.incidents]
    counting.add(connection, count(events, incidents=incidents, runs=batch.runs))
    return seq, previous_hash


def about(batch: Batch) -> dict[str, str]:
    """The incidents and runs that it speaks of, for the log."""
    return named(
        incident=[*(event.incident for event in batch.events), *(found.incident.id for found in batch.incidents)],
        run=[*(event.run for event in batch.events), *(run.id for run in batch.runs)],
    )


def is_there(connection: Connection, batch: Batch, last_seq: int) -> bool:
    """Whether it is this batch that ends at a seq; one without entries, or whose entries are gone, counts as it."""
    at = connection.execute(select(audit.c.at).where(audit.c.seq == last_seq)).scalar()
    return not batch.events or at is None or at == timestamp(batch.events[-1].at)


def head(connection: Connection) -> tuple[int, str]:
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    return (last.seq, last.hash) if last else (0, GENESIS)
