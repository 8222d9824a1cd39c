"""Runs as they go, for everyone who follows them in this process: one connection waits for news of all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.exceptions import RedisError

from webhook.core.transcript import BEGINNING, Passage, Position, Told
from webhook.edge.store.keys import live_key
from webhook.edge.store.live import PAGE, event_of, passages_of
from webhook.errors import Unavailable
from webhook.telemetry import named

log = structlog.get_logger()

#: News are waited for this long at once; so long it takes until a run that nobody has followed is listened to.
BLOCK_MILLISECONDS = 100
#: A Redis that does not answer is left alone for this long.
PAUSE_SECONDS = 0.5
#: So many of the latest events of a run are kept for all who follow it.
RECENT = 200


@dataclass(slots=True)
class _Feed:
    """The latest events of one run."""

    #: All that came after this is in `recent`.
    start: Position
    recent: deque[Told] = field(default_factory=deque)
    followers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def end(self) -> Position:
        """Up to where it was read."""
        return self.recent[-1].position if self.recent else self.start

    def add(self, events: Sequence[Told]) -> None:
        """Take what was read, and wake everyone."""
        self.recent += events
        while len(self.recent) > RECENT:
            self.start = self.recent.popleft().position
        self.news.set()
        self.news = asyncio.Event()


class RedisFollower:
    """Reads what runs say. Whoever follows one holds a place in it and nothing else: no queue grows for the slow."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._feeds: dict[str, _Feed] = {}
        self._reading: asyncio.Task[None] | None = None

    async def since(self, run: str, after: Position) -> list[Told]:
        """The next events of a run after a position; none when nothing came yet.

        Raises:
            Unavailable: Redis does not answer.
        """
        feed = self._feeds.get(run)
        if feed is not None and after >= feed.start:
            return [told for told in feed.recent if told.position > after]
        try:
            entries = await self._client.xrange(live_key(run), f"({after}", "+", PAGE)
        except (RedisError, OSError) as error:
            raise Unavailable("Redis", str(error)) from error
        return [event_of(entry) for entry in entries]

    async def said(self, run: str) -> tuple[Passage, ...]:
        """What a run's playbook said so far.

        Raises:
            Unavailable: Redis does not answer.
        """
        found: list[Told] = []
        while page := await self.since(run, found[-1].position if found else BEGINNING):
            found += page
        return passages_of(found)

    @asynccontextmanager
    async def follow(self, run: str, after: Position) -> AsyncIterator[None]:
        """Listen to a run, from a position on, for as long as this lasts."""
        feed = self._feeds.setdefault(run, _Feed(after))
        feed.followers += 1
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        try:
            yield
        finally:
            feed.followers -= 1
            if not feed.followers:
                del self._feeds[run]

    async def news(self, run: str, after: Position, *, timeout_seconds: float) -> bool:
        """Whether something was told of a run that is followed, after a position, before the time was over."""
        feed = self._feeds[run]
        if feed.end > after:
            return True
        try:
            await asyncio.wait_for(feed.news.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    async def _read(self) -> None:
        while self._feeds:
            try:
                feeds = {live_key(run): feed for run, feed in self._feeds.items()}
                streams = {key: str(feed.end) for key, feed in feeds.items()}
                found = await self._client.xread(streams, count=PAGE, block=BLOCK_MILLISECONDS)
            except (RedisError, OSError) as error:
                log.warning("what runs say is heard later", action="follow", **named(run=self._feeds), error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            for key, entries in found:
                # One whose last follower has gone meanwhile hears it in vain.
                feeds[key.decode()].add([event_of(entry) for entry in entries])
