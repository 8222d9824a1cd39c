"""What is going on now, and how the last day went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from webhook.core.audit import Event
from webhook.core.run import Outcome, RunState
from webhook.core.search import Query, read_query, term
from webhook.web.answers import SHOWN
from webhook.web.api import listing
from webhook.web.pages.charts import Chart, Part, bars, columns
from webhook.web.pages.record import since
from webhook.web.pages.render import span, tone, words
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.edge.ledger import Page, SqlLedger
    from webhook.wiring.desk import Desk

HOURS = 24
#: Of more open incidents the newest are shown.
MOST_OPEN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page."""

    ledger: SqlLedger
    desk: Callable[[], Desk]

    async def __call__(self, _: Request) -> Mapping[str, Any]:
        return await run_in_threadpool(self._read)

    def _read(self) -> Mapping[str, Any]:
        is_open = Query(terms=(term("state", "open"),))
        found = self.ledger.page(listing("incidents"), is_open, limit=MOST_OPEN).rows
        incidents, runs = (since(self.ledger, kind, f"{HOURS}h") for kind in ("incidents", "runs"))
        return {
            "open_incidents": [_stands(row) for row in found],
            "active_runs": [run for state in _UNDER_WAY for run in self.ledger.runs_in(state)],
            "charts": [_opened(incidents), _recovered(incidents), _outcomes(runs), self._held()],
        }

    def _held(self) -> Chart:
        asked = read_query([("since", f"{HOURS}h"), ("event", Event.DECISION.value)], kind="audit", now=now())
        tally = self.ledger.facets(listing("audit"), asked)
        rows = {
            guard: [Part(value=count, tone="warn", said=str(count))]
            for guard, count in tally.facets["guard"].most_common(8)
        }
        note = "" if rows else "No guard held anything back."
        return bars(
            "What the guards held back", rows, note=note if tally.looked_to is None else "Of the newest decisions."
        )


def _opened(incidents: Page) -> Chart:
    at, counts = now(), [0] * HOURS
    for row in incidents.rows:
        age = (at - datetime.fromisoformat(row["opened_at"])) // timedelta(hours=1)
        if 0 <= age < HOURS:
            counts[HOURS - 1 - age] += 1
    said = f"opened: {sum(counts)}, at most {max(counts)} in an hour. {_note(incidents)}".rstrip()
    return columns("Incidents each hour", counts, begin="24h ago", end="now", said=said)


def _recovered(incidents: Page) -> Chart:
    times: dict[str, list[float]] = {}
    for row in incidents.rows:
        if row["seconds"] is not None and row["resolved_by"]:
            times.setdefault(row["resolved_by"], []).append(row["seconds"])
    rows = {
        _CREDITS.get(by, by): [Part(value=_mean(found), tone=tone(by), said=f"{span(_mean(found))} of {len(found)}")]
        for by, found in sorted(times.items(), reverse=True)
    }
    return bars("Mean time to recovery", rows, note=_note(incidents) if rows else "Nothing has recovered yet.")


def _outcomes(runs: Page) -> Chart:
    by_rule: dict[str, Counter[str]] = {}
    for row in runs.rows:
        by_rule.setdefault(row["rule"], Counter())[row["outcome"] or "under way"] += 1
    rows = {
        rule: [
            Part(value=counts[outcome], tone=tone(outcome), said=f"{counts[outcome]} {words(outcome)}")
            for outcome in (*_OUTCOMES, "under way")
            if counts[outcome]
        ]
        for rule, counts in sorted(by_rule.items(), key=lambda found: -found[1].total())
    }
    return bars("Outcomes by rule", rows, note=_note(runs) if rows else "There was no run.")


_UNDER_WAY = (RunState.RUNNING, RunState.QUEUED, RunState.PROVING)
_OUTCOMES = tuple(outcome.value for outcome in Outcome)
_CREDITS = {"itself": "cleared by itself", "remediation": "by remediation", "unknown": "runs did not help"}


def _stands(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """An open incident, with where it stands and why."""
    incident, whole = SHOWN["incidents"](row), json.loads(row["body"] or "{}")
    decision, last = incident["decision"] or {}, whole.get("last_run") or {}
    if incident["handed_over"]:
        return {**incident, "stands": "with people", "why": incident["handed_over"]}
    if incident["request"]:
        return {**incident, "stands": "awaiting_approval", "why": decision.get("reason", "")}
    if whole.get("run_state"):
        return {**incident, "stands": whole["run_state"], "why": "its run is under way"}
    if last and not incident["hold"]:
        return {**incident, "stands": last["outcome"], "why": "its last run has ended; its alerts have yet to resolve"}
    return {**incident, "stands": decision.get("decision", "open"), "why": decision.get("reason", "")}


def _note(page: Page) -> str:
    return "" if page.next is None else f"Of the newest {len(page.rows)}."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
