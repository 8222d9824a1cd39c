"""Searches a listing's cards, newest first and a few spans at a time, for no longer than it may take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, TextClause, select, text

from webhook.core.search import Query
from webhook.edge.ledger.database import is_postgresql
from webhook.edge.ledger.schema import SPAN, Listing, spans

#: So many spans are searched at first, and counted at first; then at most so many times more.
FIRST_PORTION, FIRST_COUNTED, GROWTH = 8, 1, 4
#: Above every number.
NO_END = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Numbers of rows, newest first."""

    numbers: list[int]
    #: Time was up: of the rows below this number none was looked at.
    looked_to: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often each value of each facet stands in the newest rows that a query finds."""

    facets: Mapping[str, Counter[str]]
    counted: int
    #: Time was up: of the rows below this number none was counted.
    looked_to: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Portion:
    spans: list[int]
    low: int
    last: int
    #: Nothing is left to be searched after it.
    is_last: bool


def find(connection: Connection, listing: Listing, query: Query, *, before: int, limit: int, seconds: float) -> Found:
    """The newest `limit` rows with a number below `before`, or those that were found when `seconds` were over."""
    search, numbers, portion = _numbers(connection, listing, query), list[int](), None
    for portion in _portions(connection, listing, query, before=before, size=FIRST_PORTION, seconds=seconds):
        asked = {**_values(connection, query, portion), "limit": limit - len(numbers)}
        numbers += connection.execute(search, asked).scalars()
        if len(numbers) >= limit:
            return Found(numbers=numbers, looked_to=None)
    return Found(numbers=numbers, looked_to=_left_below(portion))


def tally(connection: Connection, listing: Listing, query: Query, *, seconds: float) -> Tally:
    """The counts over the newest rows, as far back as `seconds` allow."""
    search, counted, portion = _facets(connection, listing, query), 0, None
    facets: dict[str, Counter[str]] = {name: Counter() for name in listing.facets}
    for portion in _portions(connection, listing, query, before=NO_END, size=FIRST_COUNTED, seconds=seconds):
        rows = connection.execute(search, _values(connection, query, portion)).all()
        counted += len(rows)
        for counter, values in zip(facets.values(), zip(*rows, strict=True), strict=False):
            counter.update(values)
    return Tally(facets=_without_none(facets), counted=counted, looked_to=_left_below(portion))


def _left_below(last: _Portion | None) -> int | None:
    return None if last is None or last.is_last else last.low


def _without_none(facets: Mapping[str, Counter[str]]) -> Mapping[str, Counter[str]]:
    return {
        name: Counter({value: count for value, count in counter.items() if value is not None})
        for name, counter in facets.items()
    }


def _portions(
    connection: Connection, listing: Listing, query: Query, *, before: int, size: int, seconds: float
) -> Iterator[_Portion]:
    """The spans in which there may be something, newest first, at first `size` of them; until the time is over."""
    until = time.monotonic() + seconds
    question = select(spans.c.span).where(spans.c.kind == listing.kind, spans.c.span <= before // SPAN)
    if query.since is not None:
        question = question.where(spans.c.last_at >= query.since)
    if query.until is not None:
        question = question.where(spans.c.first_at < query.until)
    waiting = list(connection.execute(question.order_by(spans.c.span.desc())).scalars())
    while waiting:
        now, waiting = waiting[:size], waiting[size:]
        last, began = min(before, (now[0] + 1) * SPAN) - 1, time.monotonic()
        yield _Portion(spans=now, low=now[-1] * SPAN, last=last, is_last=not waiting)
        ended = time.monotonic()
        if ended >= until:
            return
        # As many more as will take no longer than what is left, as it seems.
        size = max(1, min(size * GROWTH, int(size * (until - ended) / max(ended - began, 1e-6))))


def _numbers(connection: Connection, listing: Listing, query: Query) -> TextClause:
    newest = "ORDER BY number DESC LIMIT :limit"
    if not _has_words(query):
        return text(f"SELECT number FROM {listing.cards.name} WHERE {_range(query)} {newest}")
    if is_postgresql(connection):
        # Span by span, so that neither a common word nor a rare one takes long; it stops when there are enough.
        return text(f"SELECT number FROM {_matches(listing, query, '', newest)} LIMIT :limit")
    index = f"{listing.cards.name}_words"
    return text(f"SELECT {index}.rowid FROM {_found(listing, query)} ORDER BY {index}.rowid DESC LIMIT :limit")


def _facets(connection: Connection, listing: Listing, query: Query) -> TextClause:
    facets = ", ".join(listing.facets)
    if not _has_words(query):
        rows = f"{listing.cards.name} WHERE {_range(query)}"
    elif is_postgresql(connection):
        rows = _matches(listing, query, f", {facets}", "")
    else:
        rows = _found(listing, query, with_cards=True)
    return text(f"SELECT {facets} FROM {rows}")


def _found(listing: Listing, query: Query, *, with_cards: bool = False) -> str:
    """SQLite: what FTS5 finds, in the order of the numbers, with the cards where they are needed."""
    cards, index = listing.cards.name, f"{listing.cards.name}_words"
    bounds = f"WHERE {index}.words MATCH :words AND {index}.rowid BETWEEN :low AND :last{_times(query)}"
    if not with_cards and not _times(query):
        return f"{index} {bounds}"
    return f"{index} CROSS JOIN {cards} ON number = {index}.rowid {bounds}"


def _matches(listing: Listing, query: Query, columns: str, end: str) -> str:
    """PostgreSQL: what each span's part of the index holds."""
    # OFFSET 0 keeps the planner from walking the rows by number instead, which it takes for cheap and is not.
    words = "words @@ (CAST(:words AS tsquery) && CAST('''·' || span || '''' AS tsquery))"
    cards = f"(SELECT number, at{columns} FROM {listing.cards.name} WHERE {words} OFFSET 0) AS card"
    found = f"(SELECT * FROM {cards} WHERE {_range(query)} {end}) AS found"
    return f"unnest(CAST(:spans AS bigint[])) AS span, LATERAL {found}"


def _range(query: Query) -> str:
    return f"number BETWEEN :low AND :last{_times(query)}"


def _times(query: Query) -> str:
    return ("" if query.since is None else " AND at >= :since") + ("" if query.until is None else " AND at < :until")


def _has_words(query: Query) -> bool:
    return bool(query.terms or query.phrases)


def _values(connection: Connection, query: Query, portion: _Portion) -> dict[str, Any]:
    wanted = [*((term,) for term in query.terms), *query.phrases]
    values: dict[str, Any] = {"low": portion.low, "last": portion.last, "since": query.since, "until": query.until}
    # Nothing in them needs an escape.
    if is_postgresql(connection):
        phrases = [" <-> ".join(f"'{word}'" for word in phrase) for phrase in wanted]
        return {**values, "spans": portion.spans, "words": " & ".join(f"({phrase})" for phrase in phrases)}
    return {**values, "words": " ".join(f'"{" ".join(phrase)}"' for phrase in wanted)}
