"""The tables: the audit log, incidents and runs, and the cards by which each of them is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.postgresql import TSVECTOR

#: Rows are numbered in the order in which they came; so many numbers in a row share a span.
SPAN = 8192
#: What PostgreSQL keeps of an index unsorted, which every search has to read through.
PENDING_KILOBYTES = 128

_Number = BigInteger().with_variant(Integer, "sqlite")
_Words = Text().with_variant(TSVECTOR(), "postgresql")

metadata = MetaData()

audit = Table(
    "audit",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
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
)

#: Batches that were written, so that one that is written again leaves one trace.
batches = Table(
    "batches",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
)

#: What metrics are made of, added up as entries are sealed.
counts = Table(
    "counts",
    metadata,
    Column("name", String(64), primary_key=True),
    #: JSON: the values of the labels, and which part of a histogram it is.
    Column("series", Text, primary_key=True),
    Column("value", Float, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("number", _Number, nullable=False),
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
    # All that outcomes are counted from.
    Index("incidents_outcomes", "rule", "target", "resolved_by", "came_back", "seconds"),
    Index("incidents_number", "number", unique=True),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("number", _Number, nullable=False),
    Column("incident", String(64), nullable=False),
    Column("rule", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", String(24), nullable=False),
    Column("outcome", String(16)),
    Column("created_at", String(27), nullable=False),
    #: The whole run as JSON.
    Column("body", Text, nullable=False),
    Index("runs_number", "number", unique=True),
    Index("runs_state", "state"),
    # All that outcomes are counted from.
    Index("runs_outcomes", "rule", "target", "outcome"),
)

transcripts = Table(
    "transcripts",
    metadata,
    Column("run", String(64), primary_key=True),
    #: JSON: what the run's playbook said, head and tail.
    Column("passages", Text, nullable=False),
)

#: The last entry of those that were removed each time; nothing else may be removed, as triggers see to.
prunings = Table(
    "prunings",
    metadata,
    Column("last_seq", _Number, primary_key=True, autoincrement=False),
    Column("last_hash", String(64), nullable=False),
    Column("before", String(27), nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("at", String(27), nullable=False),
    #: Of nobody when there was no key.
    Column("signature", Text),
)

#: The first and the last time in each span of a listing, since numbers follow time almost, but not quite.
spans = Table(
    "spans",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("span", _Number, primary_key=True, autoincrement=False),
    Column("first_at", String(27), nullable=False),
    Column("last_at", String(27), nullable=False),
)


def _cards(name: str, *columns: Column[str | None]) -> Table:
    """What a listing is searched in: narrow rows, with an index of their words.

    The index is a GIN on PostgreSQL and an FTS5 table on SQLite, which triggers keep; migrations make it.
    """
    return Table(
        name,
        metadata,
        Column("number", _Number, primary_key=True, autoincrement=False),
        Column("at", String(27), nullable=False),
        *columns,
        Column("words", _Words, nullable=False),
        Index(
            f"{name}_words",
            "words",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": PENDING_KILOBYTES},
        ).ddl_if(dialect="postgresql"),
    )


def _text(name: str) -> Column[str | None]:
    return Column(name, Text)


audit_cards = _cards(
    "audit_cards", *map(_text, ("event", "actor", "rule", "target", "alertname", "decision", "guard", "outcome"))
)
#: `labels` holds the terms of every alert that was ever behind it.
incident_cards = _cards(
    "incident_cards", *map(_text, ("rule", "target", "state", "decision", "guard", "outcome", "resolved_by", "labels"))
)
run_cards = _cards("run_cards", *map(_text, ("rule", "target", "state", "outcome", "playbook", "labels")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A table as people list it."""

    kind: str
    singular: str
    table: Table
    cards: Table
    #: The column by which one row is asked for, and the one that numbers all of them.
    key: str
    number: str

    @property
    def facets(self) -> tuple[str, ...]:
        """Columns of the cards whose values may be counted."""
        return tuple(column.name for column in self.cards.columns if column.name not in _NO_FACETS)


_NO_FACETS = ("number", "at", "labels", "words")

LISTINGS: Mapping[str, Listing] = {
    "incidents": Listing(
        kind="incidents", singular="incident", table=incidents, cards=incident_cards, key="id", number="number"
    ),
    "runs": Listing(kind="runs", singular="run", table=runs, cards=run_cards, key="id", number="number"),
    "audit": Listing(kind="audit", singular="audit entry", table=audit, cards=audit_cards, key="seq", number="seq"),
}
