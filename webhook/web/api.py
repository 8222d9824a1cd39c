"""Incidents, runs and the audit log, as JSON: newest first, filtered, a page at a time, counted, and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.core.search import Query, QueryError, read_query
from webhook.edge.webconfig import Role
from webhook.errors import PayloadError
from webhook.web.answers import SHOWN
from webhook.web.auth import Authenticator
from webhook.web.patience import within

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger
    from webhook.edge.ledger.find import Tally
    from webhook.edge.ledger.schema import Listing

DEFAULT_LIMIT, MAX_LIMIT = 50, 1000
#: So many values of a facet are named, the most frequent first.
FACET_VALUES = 30
_LIMIT = re.compile(r"[0-9]{1,4}")
_CURSOR = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a listing is asked for in a query string."""

    query: Query
    limit: int | None
    before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """`GET /api/v1/{incidents,runs,audit}`."""

    kind: str
    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        asked = read_asked(request.query_params.multi_items(), kind=self.kind)
        limit = asked.limit or DEFAULT_LIMIT
        page = await within(
            run_in_threadpool(self.ledger.page, listing(self.kind), asked.query, limit=limit, before=asked.before)
        )
        following = None if page.next is None else str(page.next)
        return JSONResponse({"items": [SHOWN[self.kind](row) for row in page.rows], "next": following})


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """`GET /api/v1/{incidents,runs,audit}/facets`: how often each value stands in what the filters leave."""

    kind: str
    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        asked = read_asked(request.query_params.multi_items(), kind=self.kind)
        if asked.limit is not None or asked.before is not None:
            raise PayloadError("facets are counted over all rows; limit and cursor are for pages")
        tally = await within(run_in_threadpool(self.ledger.facets, listing(self.kind), asked.query))
        return JSONResponse(_counts(tally))


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """`GET /api/v1/{incidents,runs,audit}/{id}`."""

    kind: str
    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        row = await within(run_in_threadpool(self.ledger.one, listing(self.kind), request.path_params["id"]))
        return JSONResponse(SHOWN[self.kind](row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`GET /api/v1/audit/verify`: whether the chain holds, and where it breaks."""

    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        return JSONResponse(await run_in_threadpool(self.answer))

    def answer(self) -> dict[str, Any]:
        """As JSON knows it."""
        broken, count, (_, hash) = self.ledger.verify(), self.ledger.count(), self.ledger.head()
        first = {"seq": broken.seq, "words": broken.words} if broken else None
        return {"ok": broken is None, "entries": count, "head": hash, "first_bad": first}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed:
    """`GET /api/v1/audit/checkpoints`: every checkpoint, oldest first, to be kept elsewhere."""

    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        found = await run_in_threadpool(self.ledger.checkpoints)
        return JSONResponse({"items": [asdict(checkpoint) for checkpoint in found], "next": None})


def listing(kind: str) -> Listing:
    """The table behind a kind."""
    # Imported when someone asks: SQLAlchemy is a fifth of the memory of a receiver that only receives.
    from webhook.edge.ledger import LISTINGS

    return LISTINGS[kind]


def read_asked(asked: Iterable[tuple[str, str]], *, kind: str) -> Asked:
    """What names and values of a query string ask a listing for.

    Raises:
        PayloadError: it cannot be asked.
    """
    filters, paging = [], dict[str, str]()
    for name, value in asked:
        if name not in ("limit", "cursor"):
            filters.append((name, value))
        elif name in paging:
            raise PayloadError(f"{name} was given more than once")
        else:
            paging[name] = value
    try:
        query = read_query(filters, kind=kind, now=datetime.now(UTC))
    except QueryError as error:
        raise PayloadError(str(error)) from None
    return Asked(query=query, limit=_limit(paging.get("limit")), before=_before(paging.get("cursor")))


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise PayloadError(f"limit must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def _before(text: str | None) -> int | None:
    if text is None:
        return None
    if not _CURSOR.fullmatch(text):
        raise PayloadError(f"{text[:40]!r} is no cursor; give what an earlier page had in `next`")
    return int(text)


def _counts(tally: Tally) -> dict[str, Any]:
    facets = {
        name: [{"value": value, "count": count} for value, count in counter.most_common(FACET_VALUES)]
        for name, counter in tally.facets.items()
    }
    return {"facets": facets, "counted": tally.counted, "complete": tally.looked_to is None}
