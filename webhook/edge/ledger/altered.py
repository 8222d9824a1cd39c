"""Finds transcripts that are no longer those that the log speaks of."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from webhook.core.audit import Event
from webhook.core.chain import Break
from webhook.edge.ledger.prune import last_pruned
from webhook.edge.ledger.row import TRANSCRIPT_HASH, transcript_hash
from webhook.edge.ledger.schema import audit, prunings, transcripts

#: So many entries are read at once.
PORTION = 500


def first_altered(connection: Connection) -> Break | None:
    """The first entry of a run's end whose transcript is gone or has another hash."""
    pruned_before = connection.execute(select(func.max(prunings.c.before))).scalar() or ""
    for seq, at, run, hash, passages in _ends(connection):
        if passages is None and at < pruned_before:
            # It was written late: the run went as its time had come, and the entry will with its neighbours.
            continue
        if passages is None:
            return Break(seq=seq, words=f"what run {run} printed is missing")
        if transcript_hash(passages) != hash:
            return Break(seq=seq, words=f"what run {run} printed was changed after it was sealed")
    return None


def _ends(connection: Connection) -> Iterator[tuple[int, str, str, str, str | None]]:
    """Of each end of a run that had said something: its seq and time, the run, the hash, and what is there now."""
    joined = audit.outerjoin(transcripts, audit.c.run == transcripts.c.run)
    columns = (audit.c.seq, audit.c.at, audit.c.run, audit.c.body, transcripts.c.passages)
    query = select(*columns).select_from(joined).where(audit.c.event == Event.RUN_FINISHED.value)
    after = last_pruned(connection)
    while rows := connection.execute(query.where(audit.c.seq > after).order_by(audit.c.seq).limit(PORTION)).all():
        for row in rows:
            hash = json.loads(row.body).get(TRANSCRIPT_HASH)
            if hash is not None:
                yield row.seq, row.at, row.run, hash, row.passages
        after = rows[-1].seq
