"""What a listing's filters leave, streamed as CSV or JSON lines; and the whole audit log, oldest first."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from webhook.core.audit import AuditEntry
from webhook.core.line import write_line
from webhook.edge.webconfig import Role
from webhook.errors import PayloadError
from webhook.text import csv_lines
from webhook.web.answers import SHOWN
from webhook.web.api import Asked, listing, read_asked
from webhook.web.auth import Authenticator

if TYPE_CHECKING:
    from webhook.edge.ledger import Page, SqlLedger

#: Rows that are read at once.
PORTION = 500
COLUMNS: Mapping[str, Sequence[str]] = {
    "incidents": ("id", "rule", "target", "state", "opened_at", "resolved_at", "resolved_by", "alerts", "runs"),
    "runs": (
        *("id", "incident", "rule", "target", "step", "playbook", "state", "outcome", "reason"),
        *("created_at", "started_at", "finished_at", "attempt"),
    ),
    "audit": (
        *("seq", "at", "event", "actor", "incident", "run", "rule", "target", "alertname", "decision", "outcome"),
        *("body", "previous_hash", "hash"),
    ),
}
_NUMBER = re.compile(r"[0-9]{1,18}")
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """`GET /api/v1/{incidents,runs,audit}.{csv,jsonl}`: every row that the filters leave, newest first."""

    kind: str
    format: str
    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        asked = read_asked(request.query_params.multi_items(), kind=self.kind)
        # Read before anything is answered: what is wrong can then still be a status.
        first = await self._page(asked, before=asked.before, left=asked.limit)
        return _streamed(self._lines(asked, first), f"{self.kind}.{self.format}")

    async def _lines(self, asked: Asked, page: Page) -> AsyncIterator[str]:
        left = asked.limit
        if self.format == "csv":
            yield csv_lines([COLUMNS[self.kind]])
        while True:
            if page.rows:
                yield await run_in_threadpool(_WRITERS[self.format], self.kind, page.rows)
            left = None if left is None else left - len(page.rows)
            if page.next is None or left == 0:
                return
            page = await self._page(asked, before=page.next, left=left)

    async def _page(self, asked: Asked, *, before: int | None, left: int | None) -> Page:
        limit = PORTION if left is None else min(left, PORTION)
        return await run_in_threadpool(self.ledger.page, listing(self.kind), asked.query, limit=limit, before=before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """`GET /api/v1/audit/export`: the audit log itself, oldest first; `after` a seq and up to a `limit`, if given."""

    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        asked = dict(request.query_params)
        if asked.keys() - {"after", "limit"}:
            raise PayloadError("the log is exported whole; only after and limit are known here, no filters")
        after, limit = _number(asked, "after") or 0, _number(asked, "limit")
        entries = islice(self.ledger.entries(after=after, step=PORTION), limit)
        # Read before anything is answered: what is wrong can then still be a status.
        first = await run_in_threadpool(lambda: list(islice(entries, PORTION)))
        return _streamed(self._lines(first, entries), "audit.jsonl")

    async def _lines(self, portion: list[AuditEntry], rest: Iterator[AuditEntry]) -> AsyncIterator[str]:
        while portion:
            yield "".join(map(write_line, portion))
            portion = await run_in_threadpool(lambda: list(islice(rest, PORTION)))


def _number(asked: Mapping[str, str], name: str) -> int | None:
    if name not in asked:
        return None
    if not _NUMBER.fullmatch(asked[name]):
        raise PayloadError(f"{name} must be a number")
    return int(asked[name])


def _streamed(lines: AsyncIterator[str], name: str) -> Response:
    kind = "text/csv; charset=utf-8" if name.endswith(".csv") else "application/x-ndjson"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(lines, media_type=kind, headers=headers)


def _csv(kind: str, rows: Rows) -> str:
    shown = (SHOWN[kind](row) for row in rows)
    return csv_lines([[row.get(name) for name in COLUMNS[kind]] for row in shown])


def _jsonl(kind: str, rows: Rows) -> str:
    return "".join(_JSON_LINES[kind](row) for row in rows)


def _json_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


#: An entry is written as it was sealed, so that what is exported can be verified.
_JSON_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "incidents": lambda row: _json_line(SHOWN["incidents"](row)),
    "runs": lambda row: row["body"] + "\n",
    "audit": lambda row: write_line(AuditEntry(**row)),
}
_WRITERS: Mapping[str, Callable[[str, Rows], str]] = {"csv": _csv, "jsonl": _jsonl}
