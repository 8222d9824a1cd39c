"""The receiver's part of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from webhook.edge.store.copies import check_copies, wait_for_copies
from webhook.edge.store.keys import ARRIVALS, INBOX, milliseconds
from webhook.errors import Unavailable
from webhook.ports import Doorbell, Envelope, Errand

_ENVELOPE = TypeAdapter(Envelope)


class RedisInbox:
    """Where the receiver puts notifications; those that arrive together share one round trip and one fsync."""

    def __init__(
        self,
        client: Any,
        *,
        message: Callable[[Doorbell], tuple[str, bytes]],
        copies: int = 0,
    ) -> None:
        self._client = client
        #: So many replicas have to have it before it is acknowledged.
        self._copies = copies
        self._message = message
        self._arrived: list[tuple[str, Envelope, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._since: float | None = None

    async def put(self, notification: str, envelope: Envelope) -> None:
        """Returns once the notification lies in the inbox, and its doorbell in the queue.

        Raises:
            Unavailable: Redis did not take it.
        """
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrived.append((notification, envelope, stored))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await stored

    @property
    def stalled_seconds(self) -> float:
        """For how long what is being stored has waited for that; 0 when nothing does."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def _write(self) -> None:
        while self._arrived:
            group, self._arrived = self._arrived, []
            self._since = time.monotonic()
            try:
                await self._store(group)
            except Exception as error:  # whatever it was, it was not stored, and each sender must hear so
                failure = Unavailable("Redis", str(error) or type(error).__name__)
                # Those who arrived in the meantime hear it now: each would wait for as long again.
                late, self._arrived = self._arrived, []
                for _, _, stored in [*group, *late]:
                    if not stored.done():
                        stored.set_exception(failure)
            else:
                for _, _, stored in group:
                    if not stored.done():
                        stored.set_result(None)
            self._since = None

    async def _store(self, group: Sequence[tuple[str, Envelope, asyncio.Future[None]]]) -> None:
        bodies: dict[str, bytes] = {}
        arrivals: dict[str, int] = {}
        messages: dict[str, list[bytes]] = {}
        for notification, envelope, _ in group:
            bodies[notification] = _ENVELOPE.dump_json(envelope)
            arrivals[notification] = milliseconds(envelope.received_at)
            queue, message = self._message(Doorbell(errand=Errand.INTAKE, about=notification))
            messages.setdefault(queue, []).append(message)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(INBOX, mapping=bodies)
            pipe.zadd(ARRIVALS, arrivals)
            for queue, rung in messages.items():
                pipe.lpush(queue, *rung)
            await pipe.execute()
        if self._copies:
            async with self._client.pipeline(transaction=False) as pipe:
                wait_for_copies(pipe, self._copies)
                check_copies(await pipe.execute(), self._copies)
