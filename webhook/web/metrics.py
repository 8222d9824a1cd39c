"""`GET /metrics`, and the count of notifications that were refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from webhook.core.count import NOTIFICATIONS
from webhook.core.metric import Counts, Series
from webhook.edge.webconfig import Role
from webhook.errors import Unavailable
from webhook.web.auth import Authenticator
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.wiring.gauges import Gauges

log = structlog.get_logger()

#: What is refused is written down this much later, with all else that is refused until then.
_LATER_SECONDS: Final = 5.0


@dataclass(slots=True, kw_only=True)
class Refused:
    """Counts notifications that were refused: nothing else is on record of them."""

    #: Adds to what is counted there.
    add: Callable[[Counts], None]
    _counts: Counts = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _later: asyncio.Task[None] | None = None

    def count(self, status: int) -> None:
        """One more was refused with this status."""
        series = Series(NOTIFICATIONS.name, (str(status),))
        with self._lock:
            self._counts[series] = self._counts.get(series, 0) + 1
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._write_later())

    def write(self) -> None:
        """Write down what was counted; it is kept while the database is away."""
        with self._lock:
            counts, self._counts = self._counts, {}
        try:
            if counts:
                self.add(counts)
        except Unavailable as error:
            log.warning("refused notifications are not counted yet", action="count", error=str(error))
            with self._lock:
                for series, value in counts.items():
                    self._counts[series] = self._counts.get(series, 0) + value

    async def _write_later(self) -> None:
        while self._counts:
            await asyncio.sleep(_LATER_SECONDS)
            await run_in_threadpool(self.write)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Every metric, in the format that the one who asks prefers."""

    authenticator: Authenticator
    gauges: Callable[[], Gauges]

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        body, content_type = await run_in_threadpool(self._exposed, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    def _exposed(self, accept: str) -> tuple[bytes, str]:
        # Imported when someone looks: a receiver that only receives does without.
        from webhook.edge.exposition import expose
        from webhook.wiring.gauges import METRICS

        return expose(METRICS, self.gauges().read(now()), accept=accept)
