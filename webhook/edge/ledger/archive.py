"""The ledger as something that is kept for long: checkpoints, pruning, statistics."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import insert, select, text

from webhook.core.audit import AuditEvent, Event, timestamp
from webhook.core.checkpoint import Checkpoint
from webhook.edge.ledger import SqlLedger, prune, row
from webhook.edge.ledger.database import is_postgresql, reading, writing
from webhook.edge.ledger.schema import checkpoints, incidents, runs, spans
from webhook.edge.ledger.sealing import append, head
from webhook.ports import Batch, Pruning
from webhook.signing import Sign

log = structlog.get_logger()

#: For so long it is known which batches were written.
KEEP_BATCHES = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlArchive:
    """What is done to a ledger from time to time. Every call raises `Unavailable` when the database does not answer."""

    ledger: SqlLedger

    def add_checkpoint(self, at: datetime, sign: Sign | None) -> Checkpoint | None:
        """A new checkpoint at the head; None when there is one already, or nothing to be at."""
        with writing(self.ledger.engine) as connection:
            seq, hash = head(connection)
            if not seq or connection.execute(select(checkpoints.c.seq).where(checkpoints.c.seq == seq)).first():
                return None
            found = Checkpoint(seq=seq, hash=hash, at=timestamp(at))
            if sign is not None:
                found = replace(found, signature=sign(found.signed))
            connection.execute(insert(checkpoints), asdict(found))
        log.info("checkpoint", action="checkpoint", **asdict(found))
        return found

    def foresee_pruning(self, before: datetime, *, now: datetime) -> Pruning:
        """What a pruning of all that is older would remove."""
        paused_since = self._paused_since(now)
        with reading(self.ledger.engine) as connection:
            return prune.foresee(connection, timestamp(before), paused_since=paused_since)

    def prune(self, before: datetime, *, now: datetime, actor: str) -> Pruning:
        """What was pruned: an entry says so, and then it is removed.

        The rules by which the oldest of what is left was decided are written anew.
        """
        paused_since, rules = self._paused_since(now), list(self.ledger.all("audit", "event", Event.RELOAD.value))
        with writing(self.ledger.engine) as connection:
            found = prune.foresee(connection, timestamp(before), paused_since=paused_since)
            if found.entries:
                kept = next((row.read_event(entry) for entry in rules if entry["seq"] <= found.last_seq), None)
                append(connection, _pruning_batch(found, kept, at=now, actor=actor))
                prune.record(connection, found, batches_before=timestamp(now - KEEP_BATCHES))
        self.remove_pruned()
        return found

    def _paused_since(self, now: datetime) -> str | None:
        return min((timestamp(pause.said.at) for pause in self.ledger.pauses() if now < pause.until), default=None)

    def remove_pruned(self) -> None:
        """Remove what was pruned, and what an earlier removal that was ended left."""
        removed = -1
        while removed:
            with writing(self.ledger.engine) as connection:
                removed = prune.remove_portion(connection)

    def analyze(self) -> None:
        """Let the database count anew what its plans are made by."""
        with reading(self.ledger.engine, alone=True) as connection:
            if is_postgresql(connection):
                connection.execute(text("ANALYZE"))
                return
            # Nobody can append meanwhile: a sample, and only of what is asked for in more ways than one.
            connection.execute(text("PRAGMA analysis_limit = 1000"))
            for table in (incidents, runs, spans):
                connection.execute(text(f"ANALYZE {table.name}"))


def _pruning_batch(pruning: Pruning, kept: AuditEvent | None, *, at: datetime, actor: str) -> Batch:
    body = {name: getattr(pruning, name) for name in ("first_seq", "last_seq", "last_hash", "before")}
    event = AuditEvent(at=at, event=Event.PRUNE, actor=actor, body=body)
    events = (replace(kept, at=at), event) if kept is not None else (event,)
    return Batch(id=f"prune:{pruning.last_seq}", at=at, events=events)
