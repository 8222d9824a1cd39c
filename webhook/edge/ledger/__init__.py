"""The ledger in a database: the audit log's chain, and what incidents and runs look like now.

SQLite in the storage path by default, PostgreSQL by URL. What an entry means is the core's affair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import structlog
from sqlalchemy import Engine, Select, func, select, text

from webhook.core.alert import Alert
from webhook.core.audit import AuditEntry, Event
from webhook.core.chain import Break, first_break
from webhook.core.checkpoint import Checkpoint
from webhook.core.incident import Incident
from webhook.core.metric import Counts
from webhook.core.pause import Pause, pauses_of
from webhook.core.run import Run, RunState
from webhook.core.search import Query, term
from webhook.core.transcript import Passage
from webhook.edge.ledger import counting, find, prune, row, sealing
from webhook.edge.ledger.altered import first_altered
from webhook.edge.ledger.database import is_postgresql, reading, writing
from webhook.edge.ledger.database import open_engine as open_engine
from webhook.edge.ledger.find import NO_END, Tally
from webhook.edge.ledger.outcome import count_outcomes
from webhook.edge.ledger.schema import LISTINGS as LISTINGS
from webhook.edge.ledger.schema import Listing, audit, batches, checkpoints, runs, transcripts
from webhook.edge.ledger.schema import metadata as metadata
from webhook.errors import NotFound
from webhook.ports import Batch

log = structlog.get_logger()

#: A page may take so long to be found; then it ends early, and the next goes on from there.
PAGE_SECONDS = 0.025
#: Counts may take so long; then they are those of the newest rows.
FACETS_SECONDS = 0.25

#: So far back it is looked for the alerts behind an open incident, and so long.
_MOST_DECISIONS, _PATIENCE_SECONDS = 200, 10.0
#: Rows that are read at once where all of them are.
_PORTION = 500

_SEQ = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, newest first, and below which number the next ones lie; None on the last page."""

    rows: list[dict[str, Any]]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """What was counted, how many runs of each rule are in each state but the last, and the head of the log."""

    counts: Counts
    under_way: Mapping[tuple[str, str], int]
    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlLedger:
    """The ledger in one database. Every call raises `Unavailable` when the database does not answer."""

    engine: Engine

    def append(self, batch: Batch) -> bool:
        """Seals the batch in one transaction; a batch that is there already changes nothing.

        False when another one, of another time, is there under its id.
        """
        with writing(self.engine) as connection:
            known = connection.execute(select(batches.c.last_seq).where(batches.c.id == batch.id)).first()
            if known is not None:
                return sealing.is_there(connection, batch, known.last_seq)
            seq, hash = sealing.append(connection, batch)
        # Many only say how runs and incidents stand now: the log is as long as it was.
        if batch.events:
            log.info("sealed", action="append", batch=batch.id, **sealing.about(batch), seq=seq, hash=hash)
        return True

    def head(self) -> tuple[int, str]:
        """The last entry's seq and hash; (0, 64 zeros) for an empty log."""
        with reading(self.engine) as connection:
            return sealing.head(connection)

    def count(self) -> int:
        """How many entries there are, those that were pruned left out."""
        with reading(self.engine) as connection:
            return sealing.head(connection)[0] - prune.last_pruned(connection)

    def entries(self, *, after: int = 0, step: int = 2000) -> Iterator[AuditEntry]:
        """Every entry after a seq that was not pruned, in order, read in portions."""
        with reading(self.engine) as connection:
            after = max(after, prune.last_pruned(connection))
        while True:
            with reading(self.engine) as connection:
                query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(step)
                portion = [row.read_entry(found) for found in connection.execute(query)]
            yield from portion
            if len(portion) < step:
                return
            after = portion[-1].seq

    def verify(self) -> Break | None:
        """The first entry at which the chain breaks, or that differs from what it speaks of; None when it holds."""
        return first_break(self.entries(), kept=self.kept()) or self.cut() or self.altered()

    def kept(self) -> dict[int, str]:
        """The hash of each entry at which there is a checkpoint."""
        return {found.seq: found.hash for found in self.checkpoints()}

    def checkpoints(self) -> list[Checkpoint]:
        """Every checkpoint, oldest first."""
        return [Checkpoint(**found) for found in self.rows(select(checkpoints).order_by(checkpoints.c.seq))]

    def cut(self) -> Break | None:
        """Where the end of the log is missing, which the chain alone cannot tell."""
        # One statement, so that nobody appends between its two answers.
        query = select(
            select(func.coalesce(func.max(audit.c.seq), 0)).scalar_subquery().label("last"),
            select(func.coalesce(func.max(batches.c.last_seq), 0)).scalar_subquery().label("written"),
        )
        (found,) = self.rows(query)
        if found["last"] >= found["written"]:
            return None
        seq = found["last"] + 1
        return Break(seq=seq, words=f"it is missing, and so is every later one up to {found['written']}")

    def altered(self) -> Break | None:
        """The first entry of a run's end whose transcript is no longer the one that it was sealed with."""
        with reading(self.engine) as connection:
            return first_altered(connection)

    def unfinished_runs(self) -> list[Run]:
        """The runs that were queued or begun, and have no end on the record."""
        query = select(runs.c.body).where(runs.c.state.in_([s.value for s in RunState if s is not RunState.FINISHED]))
        return [row.read_run(found["body"]) for found in self.rows(query)]

    def runs_in(self, state: RunState) -> list[Run]:
        """The runs that are in a state, newest first."""
        query = select(runs.c.body).where(runs.c.state == state.value).order_by(runs.c.number.desc())
        return [row.read_run(found["body"]) for found in self.rows(query.limit(_PORTION))]

    def run(self, id: str) -> Run | None:
        """A run as it is on the record; None when it is not."""
        found = self.rows(select(runs.c.body).where(runs.c.id == id)) if "\0" not in id else []
        return row.read_run(found[0]["body"]) if found else None

    def transcript(self, run: str) -> tuple[Passage, ...]:
        """What a run's playbook said; empty while it runs, and for a run that never acted."""
        found = self.rows(select(transcripts.c.passages).where(transcripts.c.run == run))
        return row.read_passages(found[0]["passages"]) if found else ()

    def open_incidents(self) -> list[tuple[Incident, tuple[Alert, ...]]]:
        """The incidents that have no end on the record, each with the latest word on the alerts behind it."""
        found = [row.read_incident(found["body"]) for found in self.all("incidents", "state", "open") if found["body"]]
        return [(incident, self._alerts_of(incident)) for incident in found]

    def all(self, kind: str, name: str, value: str) -> Iterator[dict[str, Any]]:
        """Every row of which that is true, newest first."""
        page = Page(rows=[], next=NO_END)
        while page.next is not None:
            page = self.page(LISTINGS[kind], Query(terms=(term(name, value),)), limit=_PORTION, before=page.next)
            yield from page.rows

    def _alerts_of(self, incident: Incident) -> tuple[Alert, ...]:
        decisions = Query(terms=(term("incident", incident.id), term("event", Event.DECISION.value)))
        page = self.page(LISTINGS["audit"], decisions, limit=_MOST_DECISIONS, seconds=_PATIENCE_SECONDS)
        alerts = [row.read_alert(entry["body"]) for entry in page.rows]
        latest = {alert.fingerprint: alert for alert in reversed(alerts)}
        return tuple(latest[fingerprint] for fingerprint in incident.firing if fingerprint in latest)

    def pauses(self) -> tuple[Pause, ...]:
        """The pauses that nobody has ended on the record; those whose time is over are among them."""
        found = [entry for event in (Event.PAUSE, Event.RESUME) for entry in self.all("audit", "event", event.value)]
        return pauses_of(map(row.read_event, sorted(found, key=itemgetter("seq"))))

    def tally(self) -> Tallied:
        """What metrics are made of, and the head of the log."""
        with reading(self.engine) as connection:
            seq, hash = sealing.head(connection)
            return Tallied(
                counts=counting.read(connection), under_way=counting.under_way(connection), seq=seq, hash=hash
            )

    def add(self, counts: Counts) -> None:
        """Count what is not on the record, such as notifications that were refused."""
        with writing(self.engine) as connection:
            counting.add(connection, counts)

    def outcomes(self, *, rule: str | None = None) -> Mapping[str, list[dict[str, Any]]]:
        """What became of each rule's incidents and runs, by rule, one row for each target."""
        with reading(self.engine) as connection:
            return count_outcomes(connection, rule=rule)

    def rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        """What a query finds."""
        with reading(self.engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def page(
        self, listing: Listing, query: Query, *, limit: int, before: int | None = None, seconds: float = PAGE_SECONDS
    ) -> Page:
        """At most `limit` rows that a query finds, newest first, with numbers below `before`.

        A page has fewer rows, or none, and yet a next one, when the search was not through after `seconds`.
        """
        number = listing.table.c[listing.number]
        with reading(self.engine) as connection:
            found = find.find(
                connection,
                listing,
                query,
                before=NO_END if before is None else min(before, NO_END),
                limit=limit + 1,
                seconds=seconds,
            )
            shown = found.numbers[:limit]
            rows = connection.execute(select(listing.table).where(number.in_(shown)).order_by(number.desc()))
            is_full = len(found.numbers) > limit
            return Page(rows=[dict(row) for row in rows.mappings()], next=shown[-1] if is_full else found.looked_to)

    def facets(self, listing: Listing, query: Query, *, seconds: float = FACETS_SECONDS) -> Tally:
        """How often each value stands in the rows that a query finds, or in the newest of them when they are many."""
        with reading(self.engine) as connection:
            return find.tally(connection, listing, query, seconds=seconds)

    def one(self, listing: Listing, value: str) -> dict[str, Any]:
        """One row, whole.

        Raises:
            NotFound: there is none.
        """
        is_number = listing.key == listing.number
        key, missing = listing.table.c[listing.key], NotFound(f"there is no {listing.singular} {value[:80]!r}")
        if "\0" in value or (is_number and not _SEQ.fullmatch(value)):
            raise missing
        found = self.rows(select(listing.table).where(key == (int(value) if is_number else value)))
        if not found:
            raise missing
        return found[0]

    def ready(self) -> None:
        """Answers when an append would be taken now, as far as anyone can tell."""
        with writing(self.engine) as connection:
            # Something has to be asked for: neither a full disk nor a locked table keeps a transaction from beginning.
            wanted = (
                "LOCK TABLE audit IN ROW EXCLUSIVE MODE" if is_postgresql(connection) else "PRAGMA user_version = 1"
            )
            connection.execute(text(wanted))

    def ping(self) -> None:
        """Answers when the database does."""
        with reading(self.engine) as connection:
            connection.execute(text("SELECT 1"))
