"""Incidents, runs and the audit log, as JSON: newest first, filtered, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.core.audit import timestamp
from webhook.edge.webconfig import Role
from webhook.errors import PayloadError
from webhook.web.answers import SHOWN
from webhook.web.auth import Authenticator

if TYPE_CHECKING:
    from webhook.edge.ledger import Listing, SqlLedger

DEFAULT_LIMIT, MAX_LIMIT = 50, 1000
_NUMBER = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """`GET /api/v1/{incidents,runs,audit}`."""

    kind: str
    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request.headers.get("authorization"), Role.VIEWER)
        listing, asked = _listing(self.kind), _asked(request)
        limit, cursor = _limit(asked.pop("limit", None)), asked.pop("cursor", None)
        filters = _filters(asked, listing)
        page = await run_in_threadpool(self.ledger.page, listing, filters=filters, limit=limit, cursor=cursor)
        return JSONResponse({"items": [SHOWN[self.kind](row) for row in page.rows], "next": page.next})


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """`GET /api/v1/{incidents,runs,audit}/{id}`."""

    kind: str
    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request.headers.get("authorization"), Role.VIEWER)
        row = await run_in_threadpool(self.ledger.one, _listing(self.kind), request.path_params["id"])
        return JSONResponse(SHOWN[self.kind](row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`GET /api/v1/audit/verify`: whether the chain holds, and where it breaks."""

    ledger: SqlLedger
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request.headers.get("authorization"), Role.VIEWER)
        broken = await run_in_threadpool(self.ledger.verify)
        seq, hash = await run_in_threadpool(self.ledger.head)
        first = {"seq": broken.seq, "words": broken.words} if broken else None
        return JSONResponse({"ok": broken is None, "entries": seq, "head": hash, "first_bad": first})


def _listing(kind: str) -> Listing:
    # Imported when someone asks: SQLAlchemy is a fifth of the memory of a receiver that only receives.
    from webhook.edge.ledger import LISTINGS

    return LISTINGS[kind]


def _asked(request: Request) -> dict[str, str]:
    asked = dict(request.query_params)
    for name in asked:
        if len(request.query_params.getlist(name)) > 1:
            raise PayloadError(f"{name[:40]!r} was given more than once")
    return asked


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise PayloadError(f"limit must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def _filters(asked: Mapping[str, str], listing: Listing) -> dict[str, str]:
    known = (*listing.filters, "since", "until")
    for name in asked:
        if name not in known:
            raise PayloadError(f"{name[:40]!r} is not a filter here; known: {', '.join(known)}, limit, cursor")
    return {name: _time(value) if name in ("since", "until") else value for name, value in asked.items()}


def _time(text: str) -> str:
    try:
        # A plus sign in a query stands for a space.
        at = datetime.fromisoformat(text.replace(" ", "+"))
        return timestamp(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise PayloadError(f"{text[:40]!r} is not a time; write it like 2026-01-31T12:00:00Z") from None
