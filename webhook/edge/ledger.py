"""The ledger in a database: the audit log's chain, and what incidents and runs look like now.

SQLite in the storage path by default, PostgreSQL by URL. What an entry means is the core's affair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    and_,
    create_engine,
    event,
    func,
    insert,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from webhook.core.alert import Alert
from webhook.core.audit import (
    GENESIS,
    AuditEntry,
    AuditEvent,
    Break,
    Event,
    canonical,
    first_break,
    seal_all,
    timestamp,
)
from webhook.core.incident import Decision, Incident, ResolvedBy, Run, RunState
from webhook.core.pause import Pause, pauses_of
from webhook.core.transcript import Passage
from webhook.errors import NotFound, Unavailable
from webhook.ports import Batch, IncidentRecord

metadata = MetaData()

audit = Table(
    "audit",
    metadata,
    Column(
        "seq",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("at", String(27), nullable=False),
    Column("event", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("incident", String(64)),
    Column("run", String(64)),
    Column("rule", Text),
    Column("target", Text),
    Column("alertname", Text),
    Column("decision", String(16)),
    Column("outcome", String(32)),
    Column("body", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_at", "at"),
    Index("audit_incident", "incident"),
    Index("audit_run", "run"),
    Index("audit_rule_at", "rule", "at"),
    Index("audit_target_at", "target", "at"),
)

#: Batches that were written, so that one that is written again leaves one trace.
batches = Table(
    "batches",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("rule", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened_at", String(27), nullable=False),
    Column("resolved_at", String(27)),
    Column("resolved_by", String(16)),
    #: JSON lists of fingerprints and of run ids, and the decision.
    Column("alerts", Text, nullable=False),
    Column("runs", Text, nullable=False),
    Column("decision", Text),
    #: The whole incident as JSON; empty for those that an older alertmend recorded.
    Column("body", Text, nullable=False, server_default=""),
    Column("came_back", Integer, nullable=False, server_default="0"),
    #: From its opening to its resolve.
    Column("seconds", Float),
    Index("incidents_opened_at", "opened_at"),
    Index("incidents_rule_target", "rule", "target"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("incident", String(64), nullable=False),
    Column("rule", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", String(24), nullable=False),
    Column("outcome", String(16)),
    Column("created_at", String(27), nullable=False),
    #: The whole run as JSON.
    Column("body", Text, nullable=False),
    Index("runs_created_at", "created_at"),
    Index("runs_incident", "incident"),
)


transcripts = Table(
    "transcripts",
    metadata,
    Column("run", String(64), primary_key=True),
    #: JSON: what the run's playbook said, head and tail.
    Column("passages", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A table as people list it."""

    table: Table
    singular: str
    key: str
    time: str
    #: Columns that may be filtered by.
    filters: tuple[str, ...]

    @property
    def key_is_time(self) -> bool:
        """Whether rows were numbered in the order of time."""
        return self.key == "seq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and what to ask for the next ones with; None on the last page."""

    rows: list[dict[str, Any]]
    next: str | None


LISTINGS: Mapping[str, Listing] = {
    "incidents": Listing(
        table=incidents, singular="incident", key="id", time="opened_at", filters=("rule", "target", "state")
    ),
    "runs": Listing(
        table=runs,
        singular="run",
        key="id",
        time="created_at",
        filters=("rule", "target", "state", "outcome", "incident"),
    ),
    "audit": Listing(
        table=audit,
        singular="audit entry",
        key="seq",
        time="at",
        filters=("event", "actor", "incident", "run", "rule", "target", "alertname", "decision", "outcome"),
    ),
}

_RUN = TypeAdapter(Run)
_DECISION = TypeAdapter(Decision)
_PASSAGES = TypeAdapter(tuple[Passage, ...])
_INCIDENT = TypeAdapter(Incident)
_ALERT = TypeAdapter(Alert)

#: So far back it is looked for the alerts behind an open incident.
_MOST_DECISIONS = 200

_SEQ = re.compile(r"[0-9]{1,18}")

#: Any number; the same in every process that appends to one PostgreSQL.
_APPEND_LOCK = 0x616D656E64


def open_engine(url: str) -> Engine:
    """An engine on a database by SQLAlchemy URL; `postgresql://` is spoken through psycopg.

    SQLite is opened with a write-ahead log and full synchronisation: what was appended survives a power cut.
    """
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    engine = create_engine(url, connect_args={"timeout": 10})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # SQLAlchemy's "begin" below starts transactions; the driver must not do so on its own.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("alertmend_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlLedger:
    """The ledger in one database. Every call raises `Unavailable` when the database does not answer."""

    engine: Engine

    def append(self, batch: Batch) -> None:
        """Seals the batch in one transaction; a batch that is there already changes nothing."""
        with _answering(), self._write() as connection:
            if connection.execute(select(batches.c.id).where(batches.c.id == batch.id)).first():
                return
            seq, previous_hash = _head(connection)
            entries = _sealed(batch.events, seq=seq, previous_hash=previous_hash)
            if entries:
                connection.execute(insert(audit), [_row(entry) for entry in entries])
            connection.execute(insert(batches), {"id": batch.id, "last_seq": seq + len(entries)})
            _upsert(
                connection,
                incidents,
                [_incident_row(record) for record in batch.incidents],
                keep=("decision",),
            )
            _upsert(connection, runs, [_run_row(run) for run in batch.runs], keep=())
            said = [_transcript_row(run, passages) for run, passages in batch.transcripts.items()]
            _upsert(connection, transcripts, said, keep=())

    def head(self) -> tuple[int, str]:
        """The last entry's seq and hash; (0, 64 zeros) for an empty log."""
        with _answering(), self.engine.connect() as connection:
            return _head(connection)

    def entries(self, *, after: int = 0, step: int = 2000) -> Iterator[AuditEntry]:
        """Every entry after a seq, in order, read in portions."""
        while True:
            with _answering(), self.engine.connect() as connection:
                query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(step)
                portion = [_entry(row) for row in connection.execute(query).mappings()]
            yield from portion
            if len(portion) < step:
                return
            after = portion[-1].seq

    def verify(self) -> Break | None:
        """The first entry at which the chain breaks; None when it holds."""
        return first_break(self.entries()) or self.cut()

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

    def unfinished_runs(self) -> list[Run]:
        """The runs that were queued or begun, and have no end on the record."""
        query = select(runs.c.body).where(runs.c.state != RunState.FINISHED.value)
        return [_RUN.validate_json(row["body"]) for row in self.rows(query)]

    def run(self, id: str) -> Run | None:
        """A run as it is on the record; None when it is not."""
        found = self.rows(select(runs.c.body).where(runs.c.id == id)) if "\0" not in id else []
        return _RUN.validate_json(found[0]["body"]) if found else None

    def transcript(self, run: str) -> tuple[Passage, ...]:
        """What a run's playbook said; empty while it runs, and for a run that never acted."""
        found = self.rows(select(transcripts.c.passages).where(transcripts.c.run == run))
        return _PASSAGES.validate_json(found[0]["passages"]) if found else ()

    def open_incidents(self) -> list[tuple[Incident, tuple[Alert, ...]]]:
        """The incidents that have no end on the record, each with the latest word on the alerts behind it."""
        query = select(incidents.c.body).where(incidents.c.state == "open", incidents.c.body != "")
        found = [_INCIDENT.validate_json(row["body"]) for row in self.rows(query)]
        return [(incident, self._alerts_of(incident)) for incident in found]

    def pauses(self) -> tuple[Pause, ...]:
        """The pauses that nobody has ended on the record; those whose time is over are among them."""
        query = (
            select(audit.c.at, audit.c.event, audit.c.actor, audit.c.body)
            .where(audit.c.event.in_([Event.PAUSE.value, Event.RESUME.value]))
            .order_by(audit.c.seq)
        )
        return pauses_of(
            AuditEvent(
                at=datetime.fromisoformat(row["at"]),
                event=Event(row["event"]),
                actor=row["actor"],
                body=json.loads(row["body"]),
            )
            for row in self.rows(query)
        )

    def _alerts_of(self, incident: Incident) -> tuple[Alert, ...]:
        query = (
            select(audit.c.body)
            .where(audit.c.incident == incident.id, audit.c.event == Event.DECISION.value)
            .order_by(audit.c.seq.desc())
            .limit(_MOST_DECISIONS)
        )
        alerts = [_ALERT.validate_python(json.loads(row["body"])["alert"]) for row in self.rows(query)]
        latest = {alert.fingerprint: alert for alert in reversed(alerts)}
        return tuple(latest[fingerprint] for fingerprint in incident.firing if fingerprint in latest)

    def outcomes(self, *, rule: str | None = None) -> Mapping[str, list[dict[str, Any]]]:
        """What became of each rule's incidents and runs, by rule, one row for each target."""
        by_runs = select(runs.c.rule, runs.c.target, runs.c.outcome, func.count().label("runs"))
        by_incidents = select(
            incidents.c.rule,
            incidents.c.target,
            incidents.c.resolved_by,
            func.count().label("incidents"),
            func.sum(incidents.c.came_back).label("came_back"),
            func.avg(incidents.c.seconds).label("seconds"),
        )
        if rule is not None:
            by_runs, by_incidents = by_runs.where(runs.c.rule == rule), by_incidents.where(incidents.c.rule == rule)
        return summarized(
            self.rows(by_runs.group_by(runs.c.rule, runs.c.target, runs.c.outcome)),
            self.rows(by_incidents.group_by(incidents.c.rule, incidents.c.target, incidents.c.resolved_by)),
        )

    def rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        """What a query finds."""
        with _answering(), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def page(self, listing: Listing, *, filters: Mapping[str, str], limit: int, cursor: str | None) -> Page:
        """One page of a listing, newest first, of the rows in which every filtered column has its value.

        The filters `since` and `until` bound the time, as text in the ledger's spelling.
        """
        if any("\0" in word for word in (*filters.values(), cursor or "")):
            return Page(rows=[], next=None)  # Nothing has it, and PostgreSQL does not take the question.
        table, time, key = listing.table, listing.table.c[listing.time], listing.table.c[listing.key]
        query = select(table).order_by(
            *dict.fromkeys([key.desc()] if listing.key_is_time else [time.desc(), key.desc()])
        )
        for name, value in filters.items():
            if name in ("since", "until"):
                query = query.where(time >= value if name == "since" else time < value)
            else:
                query = query.where(table.c[name] == value)
        if cursor is not None:
            query = query.where(_after(listing, cursor))
        found = self.rows(query.limit(limit + 1))
        rows = found[:limit]
        following = _cursor(listing, rows[-1]) if len(found) > limit else None
        return Page(rows=rows, next=following)

    def one(self, listing: Listing, value: str) -> dict[str, Any]:
        """One row, whole.

        Raises:
            NotFound: there is none.
        """
        key, missing = listing.table.c[listing.key], NotFound(f"there is no {listing.singular} {value[:80]!r}")
        if "\0" in value or (listing.key_is_time and not _SEQ.fullmatch(value)):
            raise missing
        found = self.rows(select(listing.table).where(key == (int(value) if listing.key_is_time else value)))
        if not found:
            raise missing
        return found[0]

    def ping(self) -> None:
        """Answers when the database does."""
        with _answering(), self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with (
            self.engine.connect().execution_options(alertmend_writes=True) as connection,
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":
                # One appender at a time, or two entries would follow the same one.
                connection.execute(select(func.pg_advisory_xact_lock(_APPEND_LOCK)))
            yield connection


def summarized(
    run_rows: Sequence[Mapping[str, Any]], incident_rows: Sequence[Mapping[str, Any]]
) -> Mapping[str, list[dict[str, Any]]]:
    """Counts by outcome and recovery times by credit, as one row for each rule and target."""
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def of(row: Mapping[str, Any]) -> dict[str, Any]:
        empty = {"target": row["target"], "incidents": 0, "came_back": 0, "cleared_by_itself": 0, "runs": {}}
        times = {"mean_seconds_with_us": None, "mean_seconds_by_itself": None}
        return found.setdefault((row["rule"], row["target"]), {**empty, **times})

    for row in run_rows:
        of(row)["runs"][row["outcome"] or "under_way"] = row["runs"]
    for row in incident_rows:
        summary = of(row)
        summary["incidents"] += row["incidents"]
        summary["came_back"] += int(row["came_back"] or 0)
        if row["resolved_by"] == ResolvedBy.ITSELF:
            summary["cleared_by_itself"] = row["incidents"]
            summary["mean_seconds_by_itself"] = row["seconds"]
        elif row["resolved_by"] == ResolvedBy.REMEDIATION:
            summary["mean_seconds_with_us"] = row["seconds"]
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for (rule, _), summary in sorted(found.items()):
        by_rule.setdefault(rule, []).append(summary)
    return by_rule


def _head(connection: Connection) -> tuple[int, str]:
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    return (last.seq, last.hash) if last else (0, GENESIS)


def _sealed(events: Sequence[AuditEvent], *, seq: int, previous_hash: str) -> list[AuditEntry]:
    try:
        return seal_all(events, seq=seq, previous_hash=previous_hash)
    except (TypeError, ValueError):
        # Bodies come as JSON knows them, which is quick; one that does not has records in it, or a number like NaN.
        plain = [replace(event, body=_jsonable(event.body)) for event in events]
        return seal_all(plain, seq=seq, previous_hash=previous_hash)


def _jsonable(value: object) -> Any:
    # A playbook may say NaN, for which JSON has no word; the outbox says null as well.
    return to_jsonable_python(value, inf_nan_mode="null")


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {column: getattr(entry, column) for column in _ENTRY_FIELDS}


def _entry(row: RowMapping) -> AuditEntry:
    return AuditEntry(**row)


_ENTRY_FIELDS = tuple(field.name for field in fields(AuditEntry))


def _incident_row(record: IncidentRecord) -> dict[str, Any]:
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


def _transcript_row(run: str, passages: tuple[Passage, ...]) -> dict[str, Any]:
    # NUL stands there as an escape, which PostgreSQL takes.
    return {"run": run, "passages": _PASSAGES.dump_json(passages, exclude_defaults=True).decode()}


def _run_row(run: Run) -> dict[str, Any]:
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


def _maybe(at: datetime | None) -> str | None:
    return timestamp(at) if at else None


def _upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    *,
    keep: tuple[str, ...],
) -> None:
    """Insert or replace; a column in `keep` is left as it is where the new value is null."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    new = {
        column.name: func.coalesce(statement.excluded[column.name], column)
        if column.name in keep
        else statement.excluded[column.name]
        for column in table.columns
        if not column.primary_key
    }
    keys = [column.name for column in table.primary_key]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise Unavailable("the audit database", str(cause).splitlines()[0]) from error


def _after(listing: Listing, cursor: str) -> ColumnElement[bool]:
    key = listing.table.c[listing.key]
    if listing.key_is_time:
        return key < int(cursor) if _SEQ.fullmatch(cursor) else key < 0
    at, _, id = cursor.partition("|")
    time = listing.table.c[listing.time]
    return or_(time < at, and_(time == at, key < id))


def _cursor(listing: Listing, row: Mapping[str, Any]) -> str:
    return str(row["seq"]) if listing.key_is_time else f"{row[listing.time]}|{row[listing.key]}"
