"""Removes the oldest entries, once an entry says so; and the runs and incidents that ended as long ago."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, delete, func, insert, select

from webhook.core.audit import timestamp
from webhook.core.run import RunState
from webhook.edge.ledger.row import read_run
from webhook.edge.ledger.schema import (
    SPAN,
    audit,
    audit_cards,
    batches,
    incident_cards,
    incidents,
    prunings,
    run_cards,
    runs,
    spans,
    transcripts,
)
from webhook.ports import Pruning

#: So many rows go in one transaction, so that nobody waits long to append.
PORTION = 1000


def foresee(connection: Connection, before: str, *, paused_since: str | None) -> Pruning:
    """What is older than a time, up to the first entry that is not or that something still open may need."""
    paused = [(paused_since, "a pause")] if paused_since is not None else []
    before, kept_for = min([(before, ""), *paused, *_needed(connection)])
    floor = last_pruned(connection)
    last = max(floor, _last_before(connection, before))
    hash = connection.execute(select(audit.c.hash).where(audit.c.seq == last)).scalar()
    return Pruning(first_seq=floor + 1, last_seq=last, last_hash=hash or "", before=before, kept_for=kept_for)


def last_pruned(connection: Connection) -> int:
    """The last entry that was pruned, 0 when none was."""
    return int(connection.execute(select(func.coalesce(func.max(prunings.c.last_seq), 0))).scalar_one())


def record(connection: Connection, pruning: Pruning, *, batches_before: str) -> None:
    """From now on what is pruned may be removed, as the entry about it says.

    Batches are known for longer, until `batches_before`: one that is still in the outbox must not be written anew.
    """
    written = min(pruning.last_seq, _last_before(connection, batches_before))
    connection.execute(delete(batches).where(batches.c.last_seq <= written))
    row = {"last_seq": pruning.last_seq, "last_hash": pruning.last_hash, "before": pruning.before}
    connection.execute(insert(prunings), row)


def remove_portion(connection: Connection) -> int:
    """How many rows of what was pruned were removed just now; 0 once nothing is left of it."""
    pruning = connection.execute(select(prunings).order_by(prunings.c.last_seq.desc()).limit(1)).first()
    if pruning is None:
        return 0
    last = pruning.last_seq
    connection.execute(delete(spans).where(spans.c.kind == "audit", (spans.c.span + 1) * SPAN - 1 <= last))
    removed = _remove(connection, audit_cards, audit_cards.c.number, audit_cards.c.number <= last)
    removed += _remove(connection, audit, audit.c.seq, audit.c.seq <= last)
    return removed + _remove_runs(connection, pruning.before) + _remove_incidents(connection, pruning.before)


def _remove(connection: Connection, table: Table, key: Column[Any], which: ColumnElement[bool]) -> int:
    oldest = select(key).where(which).order_by(key).limit(PORTION)
    return connection.execute(delete(table).where(key.in_(oldest))).rowcount


def _remove_runs(connection: Connection, before: str) -> int:
    ended = runs.c.state == RunState.FINISHED.value
    query = select(runs.c.id, runs.c.number, runs.c.body).where(runs.c.created_at < before, ended)
    rows = connection.execute(query.order_by(runs.c.number).limit(PORTION)).all()
    gone = [row for row in rows if timestamp(read_run(row.body).finished_at or _NEVER) < before]
    ids, numbers = [row.id for row in gone], [row.number for row in gone]
    connection.execute(delete(transcripts).where(transcripts.c.run.in_(ids)))
    connection.execute(delete(run_cards).where(run_cards.c.number.in_(numbers)))
    return connection.execute(delete(runs).where(runs.c.number.in_(numbers))).rowcount


def _remove_incidents(connection: Connection, before: str) -> int:
    query = select(incidents.c.number).where(incidents.c.opened_at < before, incidents.c.resolved_at < before)
    numbers = connection.execute(query.order_by(incidents.c.number).limit(PORTION)).scalars().all()
    connection.execute(delete(incident_cards).where(incident_cards.c.number.in_(numbers)))
    return connection.execute(delete(incidents).where(incidents.c.number.in_(numbers))).rowcount


def _last_before(connection: Connection, before: str) -> int:
    """The last entry up to which all are older than a time."""
    span = connection.execute(
        select(func.min(spans.c.span)).where(spans.c.kind == "audit", spans.c.last_at >= before)
    ).scalar()
    if span is None:
        return int(connection.execute(select(func.coalesce(func.max(audit.c.seq), 0))).scalar_one())
    cards = audit_cards.c
    query = select(cards.number).where(cards.number >= span * SPAN, cards.at >= before).order_by(cards.number)
    return int(connection.execute(query.limit(1)).scalar_one()) - 1


def _needed(connection: Connection) -> list[tuple[str, str]]:
    """Since when entries are still needed, and what for."""
    opened = select(func.min(incidents.c.opened_at)).where(incidents.c.state == "open")
    under_way = [state.value for state in RunState if state is not RunState.FINISHED]
    created = select(func.min(runs.c.created_at)).where(runs.c.state.in_(under_way))
    found = (
        (connection.execute(opened).scalar(), "an incident that is open"),
        (connection.execute(created).scalar(), "a run that is under way"),
    )
    return [(since, what) for since, what in found if since is not None]


_NEVER = datetime.max.replace(tzinfo=UTC)
