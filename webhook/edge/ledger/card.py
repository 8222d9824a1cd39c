"""Cards: what entries, incidents and runs are found by, as rows of their listing's index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from webhook.core.run import Run
from webhook.core.search import Findable, find_entry, find_record
from webhook.edge.ledger.schema import LISTINGS, SPAN

Row = dict[str, Any]

_ENTRY_NAMES = ("event", "actor", "incident", "run", "rule", "target", "alertname", "decision", "outcome")


class Sealed(Protocol):
    """An entry, or its row."""

    @property
    def seq(self) -> int:
        """Its number."""
        ...

    @property
    def at(self) -> str:
        """Its time."""
        ...


def entry_card(entry: Sealed, body: Mapping[str, object], *, said: str, postgresql: bool) -> Row:
    """The card of an audit entry; `said` is the output that belongs to it."""
    found = find_entry({name: getattr(entry, name) for name in _ENTRY_NAMES}, body, said=said)
    return _card("audit", entry.seq, entry.at, found, postgresql=postgresql)


def incident_card(
    row: Row, decision: Mapping[str, Any], labels: frozenset[str], *, outcome: str | None, postgresql: bool
) -> Row:
    """The card of an incident; `outcome` is that of its last run."""
    names = {name: row[name] for name in ("rule", "target", "state", "resolved_by")}
    names |= {"decision": decision.get("decision"), "guard": decision.get("guard"), "outcome": outcome}
    found = find_record(names, labels=labels, texts=[decision.get("reason", "")])
    return _card("incidents", row["number"], row["opened_at"], found, postgresql=postgresql)


def run_card(row: Row, run: Run, labels: frozenset[str], *, said: str, postgresql: bool) -> Row:
    """The card of a run; `said` is its output."""
    names = {name: row[name] for name in ("rule", "target", "state", "outcome", "incident")}
    reasons = [check.reason for check in run.checks if check.verdict != "pass"]
    found = find_record({**names, "playbook": run.playbook}, labels=labels, texts=[run.reason, *reasons, said])
    return _card("runs", row["number"], row["created_at"], found, postgresql=postgresql)


def _card(kind: str, number: int, at: str, found: Findable, *, postgresql: bool) -> Row:
    listing = LISTINGS[kind]
    card = {"number": number, "at": at, **{name: found.names.get(name) for name in listing.facets}}
    if "labels" in listing.cards.c:
        card["labels"] = " ".join(sorted(found.labels))
    return {**card, "words": _vector(number, found) if postgresql else " ".join((*found.terms, *found.words))}


def _vector(number: int, found: Findable) -> str:
    """A tsvector in PostgreSQL's spelling, with a term of the span in which the number lies."""
    # Nothing in them needs an escape.
    terms = [f"'{term}'" for term in (*found.terms, f"·{number // SPAN}")]
    return " ".join((*terms, *(f"'{word}':{place}" for place, word in enumerate(found.words, 1))))
