"""Adds to what metrics are made of, in the transaction in which it goes on the record; and reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, func, select

from webhook.core.audit import canonical
from webhook.core.metric import Counts, Series
from webhook.edge.ledger.database import is_postgresql, upserting
from webhook.edge.ledger.schema import counts, runs


def add(connection: Connection, added: Mapping[Series, float]) -> None:
    """Each series is so much larger afterwards."""
    rows = [
        {"name": series.name, "series": canonical([*series.labels, series.part]), "value": value}
        for series, value in added.items()
        if value
    ]
    if rows:
        connection.execute(_adding(is_postgresql(connection)), rows)


def read(connection: Connection) -> Counts:
    """Every series that was ever added to."""
    found: Counts = {}
    for name, series, value in connection.execute(select(counts.c.name, counts.c.series, counts.c.value)):
        *labels, part = json.loads(series)
        found[Series(name, tuple(labels), part)] = value
    return found


def under_way(connection: Connection) -> dict[tuple[str, str], int]:
    """How many runs of each rule are in each state but the last."""
    states = ("awaiting_approval", "queued", "running", "proving")
    query = select(runs.c.rule, runs.c.state, func.count()).where(runs.c.state.in_(states))
    return {
        (rule, state): number for rule, state, number in connection.execute(query.group_by(runs.c.rule, runs.c.state))
    }


@cache
def _adding(postgresql: bool) -> Any:
    # Made once: it is part of every append.
    statement = upserting(counts, postgresql=postgresql)
    larger = {"value": counts.c.value + statement.excluded.value}
    return statement.on_conflict_do_update(index_elements=["name", "series"], set_=larger)
