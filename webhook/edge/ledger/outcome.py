"""What became of each rule's incidents and runs, counted from their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select

from webhook.core.incident import ResolvedBy
from webhook.edge.ledger.schema import incidents, runs


def count_outcomes(connection: Connection, *, rule: str | None) -> Mapping[str, list[dict[str, Any]]]:
    """What became of one rule's incidents and runs, or of every rule's, by rule: one row for each target."""
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
    by_runs = by_runs.group_by(runs.c.rule, runs.c.target, runs.c.outcome)
    by_incidents = by_incidents.group_by(incidents.c.rule, incidents.c.target, incidents.c.resolved_by)
    return summarized(_rows(connection, by_runs), _rows(connection, by_incidents))


def _rows(connection: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def summarized(
    run_rows: Sequence[Mapping[str, Any]], incident_rows: Sequence[Mapping[str, Any]]
) -> Mapping[str, list[dict[str, Any]]]:
    """Counts by outcome and recovery times by credit, as one row for each rule and target."""
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def of(row: Mapping[str, Any]) -> dict[str, Any]:
        empty = {"target": row["target"], "incidents": 0, "came_back": 0, "cleared_by_itself": 0, "cleared_with_us": 0}
        times = {"mean_seconds_with_us": None, "mean_seconds_by_itself": None}
        return found.setdefault((row["rule"], row["target"]), {**empty, "runs": {}, **times})

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
            summary["cleared_with_us"] = row["incidents"]
            summary["mean_seconds_with_us"] = row["seconds"]
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for (rule, _), summary in sorted(found.items()):
        by_rule.setdefault(rule, []).append(summary)
    return by_rule
