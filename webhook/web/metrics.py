"""`GET /metrics`, and the count of notifications that were refused."""

from __future__ import annotations

import asyncio
import threading
import time
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
from webhook.web.patience import look
from webhook.wiring.clock import now

if TYPE_CHECKING:
    from webhook.wiring.gauges import Gauges

log = structlog.get_logger()

#: What is refused is written down this much later, with all else that is refused until then.
_LATER_SECONDS: Final = 5.0
#: A line for each would bury what else there is to read of an outage.
_AGAIN_SECONDS: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Refused:
    """Counts notifications that were refused: nothing else is on record of them."""

    #: Adds to what is counted there.
    add: Callable[[Counts], None]
    _counts: Counts = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _later: asyncio.Task[None] | None = None
    #: By status: how many were refused since the log said so, and when it did.
    _told: dict[int, tuple[int, float | None]] = field(default_factory=dict)

    def count(self, status: int, words: str) -> None:
        """One more was refused with this status; the log says so once a minute."""
        self._tell(status, words)
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

    def _tell(self, status: int, words: str) -> None:
        count, told_at = self._told.get(status, (0, None))
        if told_at is None or time.monotonic() - told_at > _AGAIN_SECONDS:
            log.warning("refused", action="receive", status=status, error=words, more_since_last_line=count)
            self._told[status] = (0, time.monotonic())
        else:
            self._told[status] = (count + 1, told_at)

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
        accept = request.headers.get("accept", "")
        body, content_type = await look(lambda: self._exposed(accept))
        return Response(body, headers={"content-type": content_type})

    def _exposed(self, accept: str) -> tuple[bytes, str]:
        # Imported when someone looks: a receiver that only receives does without.
        from webhook.edge.exposition import expose
        from webhook.wiring.gauges import METRICS

        return expose(METRICS, self.gauges().read(now()), accept=accept)
