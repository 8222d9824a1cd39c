"""What the pages about the record show: incidents, runs, and the audit log."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from webhook.core.audit import Event, timestamp
from webhook.core.run import Run, RunState, TaskStatus
from webhook.core.search import Query, read_query, term
from webhook.core.transcript import task_results, text_of
from webhook.errors import NotFound, Unavailable, WebhookError
from webhook.web.answers import SHOWN
from webhook.web.api import DEFAULT_LIMIT, Asked, listing, read_asked
from webhook.web.live import RunAccount
from webhook.web.pages.charts import probe_chart
from webhook.web.pages.source import Source, read_source
from webhook.web.pages.tasks import branches_of
from webhook.web.pages.timeline import approval_of, lasted, said_of, steps_of
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.edge.ledger import Page, SqlLedger
    from webhook.wiring.desk import Desk

#: An incident with more entries is cut; the audit page has them all.
MOST_STEPS = 2000
#: Of more rows, a chart is drawn from the newest.
MOST_CHARTED = 1000
#: In so many of the last ones the revision of a run is looked for.
_MOST_RELOADS = 50
#: So many values of a facet are offered.
_OFFERED = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The page of a listing: filters in the address, the newest first."""

    kind: str
    ledger: SqlLedger

    async def __call__(self, request: Request) -> Mapping[str, Any]:
        given = [(name, value) for name, value in request.query_params.multi_items() if value.strip()]
        asked = read_asked(given, kind=self.kind)
        page, tally = await run_in_threadpool(self._read, asked)
        filters = [(name, value) for name, value in given if name not in ("cursor", "limit")]
        return {
            "rows": [_ROWS[self.kind](row) for row in page.rows],
            "values": dict(filters),
            "labels": [value for name, value in filters if name == "label"],
            "names": {name: counter.most_common(_OFFERED) for name, counter in tally.facets.items()},
            "counted": tally.counted,
            "is_whole": tally.looked_to is None,
            "next": page.next,
            "next_query": urlencode([*filters, ("cursor", page.next or "")]),
            "query": urlencode(filters),
        }

    def _read(self, asked: Asked) -> tuple[Page, Any]:
        limit = asked.limit or DEFAULT_LIMIT
        page = self.ledger.page(listing(self.kind), asked.query, limit=limit, before=asked.before)
        return page, self.ledger.facets(listing(self.kind), asked.query)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog:
    """The page of the audit log: its listing, and where the chain stands."""

    listing: Listing

    async def __call__(self, request: Request) -> Mapping[str, Any]:
        return {**await self.listing(request), "head": await run_in_threadpool(self._head)}

    def _head(self) -> Mapping[str, Any]:
        seq, hash = self.listing.ledger.head()
        return {"seq": seq, "hash": hash, "entries": self.listing.ledger.count()}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneIncident:
    """The page of one incident."""

    ledger: SqlLedger

    async def __call__(self, request: Request) -> Mapping[str, Any]:
        return await run_in_threadpool(self.read, request.path_params["id"])

    def read(self, id: str) -> Mapping[str, Any]:
        """The incident and its steps, oldest first."""
        incident = SHOWN["incidents"](self.ledger.one(listing("incidents"), id))
        page = self.ledger.page(listing("audit"), Query(terms=(term("incident", id),)), limit=MOST_STEPS, seconds=2.0)
        return {
            "incident": incident,
            "steps": steps_of(reversed(page.rows)),
            "lasted": lasted(incident),
            "cut": page.next is not None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OneRun:
    """The page of one run."""

    ledger: SqlLedger
    account: RunAccount
    desk: Callable[[], Desk]

    async def __call__(self, request: Request) -> Mapping[str, Any]:
        id = request.path_params["id"]
        run = await self.account.run(id)
        if run is None:
            raise NotFound(f"there is no run {id[:80]!r}")
        try:
            passages = await self.account.passages(id, run)
        except Unavailable:
            # What it says just now is not to be had; all else is.
            passages = ()
        results = tuple(run.task_results) if run.state is RunState.FINISHED else tuple(task_results(passages))
        decision = await run_in_threadpool(self._decision, run)
        revision = (decision.get("evidence") or {}).get("rules")
        return {
            "run": replace(run, task_results=results),
            "output": text_of(passages),
            "is_going": run.state is not RunState.FINISHED,
            "is_unheard": await run_in_threadpool(self._is_unheard, run),
            "took": _seconds(run.started_at, run.finished_at),
            "branches": branches_of(results),
            "first_failure": _first_failure(results),
            "probes": probe_chart(run.probes, acted_at=run.acted_at),
            "revision": revision,
            "alert": decision.get("alert"),
            "source": await run_in_threadpool(self._source, run, revision),
        }

    def _is_unheard(self, run: Run) -> bool:
        """Whether the worker that plays it does not renew its lease."""
        try:
            return run.state is RunState.RUNNING and bool(self.desk().store.without_lease([run.id]))
        except WebhookError:
            return False

    def _source(self, run: Run, revision: str | None) -> Source | None:
        query, kept = Query(terms=(term("event", Event.RELOAD.value),)), f'"revision":"{revision}"'
        reloads = self.ledger.page(listing("audit"), query, limit=_MOST_RELOADS, seconds=0.2).rows if revision else []
        bodies = (json.loads(row["body"]) for row in reloads if kept in row["body"])
        digests = next((body.get("playbooks") or {} for body in bodies), {})
        return read_source(self.desk, run, then=digests.get(run.playbook, ""))

    def _decision(self, run: Run) -> Mapping[str, Any]:
        """The body of the decision behind it: to run it, or to ask people first."""
        # The one just before it started names it; until then, the latest on its incident that may have led to it.
        rows = self._decisions(run, term("run", run.id))
        if not rows:
            until = timestamp(run.finished_at or now())
            choices = (term("decision", "run"), term("guard", "approval"))
            rows = [row for choice in choices for row in self._decisions(run, choice) if row["at"] <= until]
        return json.loads(max(rows, key=lambda row: row["seq"])["body"]) if rows else {}

    def _decisions(self, run: Run, choice: str) -> Sequence[Mapping[str, Any]]:
        terms = (term("incident", run.incident), term("event", "decision"), choice)
        return self.ledger.page(listing("audit"), Query(terms=terms), limit=50, seconds=0.5).rows


@dataclass(frozen=True, slots=True, kw_only=True)
class OneEntry:
    """The page of one audit entry."""

    ledger: SqlLedger

    async def __call__(self, request: Request) -> Mapping[str, Any]:
        row = await run_in_threadpool(self.ledger.one, listing("audit"), request.path_params["id"])
        return {"entry": SHOWN["audit"](row)}


def since(ledger: SqlLedger, kind: str, span: str) -> Page:
    """The newest rows of that long, at most so many; it has a next page where there are more."""
    return ledger.page(
        listing(kind), read_query([("since", span)], kind=kind, now=now()), limit=MOST_CHARTED, seconds=0.2
    )


def _first_failure(results: Sequence[Any]) -> int | None:
    bad = (TaskStatus.FAILED, TaskStatus.UNREACHABLE)
    return next((place for place, result in enumerate(results, 1) if result.status in bad and not result.ignored), None)


def _incident_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**SHOWN["incidents"](row), "seconds": row["seconds"]}


def _run_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = SHOWN["runs"](row)
    times = [found[name] and datetime.fromisoformat(found[name]) for name in ("started_at", "finished_at")]
    return {**found, "took": _seconds(*times)}


def _entry_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = SHOWN["audit"](row)
    body = found["body"]
    decision = body.get("decision") if isinstance(body.get("decision"), dict) else {}
    words = (decision or {}).get("reason") or said_of(body)
    if found["event"] == Event.APPROVAL:
        words = ": ".join(filter(None, (approval_of(body), words)))
    return {**found, "guard": (decision or {}).get("guard"), "words": words}


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return (end - begin).total_seconds() if begin and end else None


_ROWS = {"incidents": _incident_row, "runs": _run_row, "audit": _entry_row}
