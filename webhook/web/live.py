"""One run, while it goes and afterwards: its events, its output, and the whole of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from pydantic_core import to_json, to_jsonable_python
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from webhook.core.run import Run, RunState
from webhook.core.transcript import (
    BEGINNING,
    Kind,
    Passage,
    Position,
    Told,
    parse_position,
    task_results,
    tell_all,
    text_of,
    with_gaps,
)
from webhook.edge.webconfig import Role
from webhook.errors import NotFound, PayloadError, Unavailable
from webhook.ports import Follower
from webhook.telemetry import named
from webhook.web.auth import Authenticator

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger

log = structlog.get_logger()

#: A proxy closes a connection on which nothing comes; a comment is sent when nothing was told for this long.
HEARTBEAT_SECONDS = 15.0
#: How often it is asked whether the server ends.
LOOK_UP_SECONDS = 1.0
#: Who takes nothing for this long is not waited for.
SEND_SECONDS = 30.0
#: As many may follow runs in one process.
MAX_FOLLOWERS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount:
    """What is known of runs: from the record, and from the run itself while it goes."""

    ledger: SqlLedger
    follower: Follower
    is_ending: Callable[[], bool]

    async def passages(self, id: str, run: Run | None) -> tuple[Passage, ...]:
        """What its playbook said so far.

        Raises:
            NotFound: nobody knows of the run.
        """
        if _has_ended(run):
            return await run_in_threadpool(self.ledger.transcript, id)
        await self.expect(id, run)
        return await self.follower.said(id)

    async def expect(self, id: str, run: Run | None) -> None:
        """Nothing, for a run that is on the record or is about to be.

        Raises:
            NotFound: nobody knows of it.
        """
        if run is None and not await self.follower.since(id, BEGINNING):
            raise NotFound(f"there is no run {id[:80]!r}")

    async def run(self, id: str) -> Run | None:
        """The run on the record."""
        return await run_in_threadpool(self.ledger.run, id)

    async def ended(self, id: str) -> list[Told]:
        """All events of a run whose end is on the record; none of any other."""
        run = await self.run(id)
        if run is None or not _has_ended(run):
            return []
        return tell_all(run, await run_in_threadpool(self.ledger.transcript, id))

    async def follow(self, id: str, after: Position) -> AsyncGenerator[list[Told], None]:
        """Events after a position as they come, up to the run's end; an empty list when nothing came for a while."""
        silent_seconds = 0.0
        async with self.follower.follow(id, after):
            while not self.is_ending():
                events = await self._next(id, after, silent_seconds)
                if events or silent_seconds >= HEARTBEAT_SECONDS:
                    yield events
                    silent_seconds = 0.0
                if events:
                    after = events[-1].position
                    if events[-1].kind is Kind.END:
                        return
                elif not await self.follower.news(id, after, timeout_seconds=LOOK_UP_SECONDS):
                    silent_seconds += LOOK_UP_SECONDS

    async def _next(self, id: str, after: Position, silent_seconds: float) -> list[Told]:
        try:
            if events := await self.follower.since(id, after):
                return events
            # Whatever became of Redis, a run whose end is on the record says nothing more.
            return _rest(await self.ended(id), after) if silent_seconds >= HEARTBEAT_SECONDS else []
        except Unavailable as error:
            log.warning("a run is followed later", action="follow", error=str(error))
            await asyncio.sleep(LOOK_UP_SECONDS)
            return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """`GET /api/v1/runs/{id}`: the whole of it, with what it said so far."""

    authenticator: Authenticator
    account: RunAccount

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        id = request.path_params["id"]
        run = await self.account.run(id)
        if run is None:
            raise NotFound(f"there is no run {id[:80]!r}")
        passages = await self._passages(id, run)
        found: dict[str, Any] = to_jsonable_python(run, inf_nan_mode="null")
        if not _has_ended(run):
            found["task_results"] = to_jsonable_python(task_results(passages))
        return JSONResponse({**found, "output": text_of(passages)})

    async def _passages(self, id: str, run: Run) -> tuple[Passage, ...]:
        try:
            return await self.account.passages(id, run)
        except Unavailable as error:
            # Without Redis there is the record, and nothing yet of what it says.
            if error.dependency != "Redis":
                raise
            return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """`GET /api/v1/runs/{id}/output.txt`: what the playbook printed so far."""

    authenticator: Authenticator
    account: RunAccount

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        id = request.path_params["id"]
        passages = await self.account.passages(id, await self.account.run(id))
        return Response(text_of(passages), media_type="text/plain; charset=utf-8")


@dataclass(slots=True, kw_only=True)
class Events:
    """`GET /api/v1/runs/{id}/events`: server-sent events, from `Last-Event-ID` (or `?after=`) on."""

    authenticator: Authenticator
    account: RunAccount
    followers: int = field(default=0, init=False)

    async def __call__(self, request: Request) -> Response:
        await self.authenticator.allow(request, Role.VIEWER)
        id, after = request.path_params["id"], _after(request)
        if ended := await self.account.ended(id):
            # Told to someone who has it all, this ends a browser's asking again.
            rest = _rest(ended, after)
            return EventStream(_once(_lines(rest, after))) if rest else Response(status_code=204)
        run = await self.account.run(id)
        await self.account.expect(id, run)
        structlog.contextvars.bind_contextvars(**named(run=[id], incident=[run.incident if run else None]))
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self.followers >= MAX_FOLLOWERS:
            raise Unavailable("following runs", f"{MAX_FOLLOWERS} follow already; try again")
        return EventStream(self._follow(id, after))

    async def _follow(self, id: str, after: Position) -> AsyncGenerator[bytes, None]:
        self.followers += 1
        try:
            yield b"retry: 1000\n\n"
            async with aclosing(self.account.follow(id, after)) as found:
                async for events in found:
                    yield _lines(events, after) if events else b": nothing new\n\n"
                    after = events[-1].position if events else after
        finally:
            self.followers -= 1


class EventStream(StreamingResponse):
    """Server-sent events. Who does not take them is let go, so that the vanished cost nothing."""

    def __init__(self, content: AsyncGenerator[bytes, None]) -> None:
        # A proxy must neither keep them nor hold them back.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type="text/event-stream", headers=headers)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Any) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        try:
            # Whoever goes frees their place at once, not when their garbage is collected.
            async with aclosing(self._content):
                await super().__call__(scope, receive, send_in_time)
        except* TimeoutError:
            log.info("a follower took nothing and was let go", action="follow", path=scope["path"])


def _has_ended(run: Run | None) -> bool:
    return run is not None and run.state is RunState.FINISHED


def _rest(events: Iterable[Told], after: Position) -> list[Told]:
    return [told for told in events if told.position > after]


def _lines(events: Iterable[Told], after: Position) -> bytes:
    return b"".join(
        b"id: %s\nevent: %s\ndata: %s\n\n" % (str(told.position).encode(), told.kind.encode(), to_json(told.data))
        for told in with_gaps(events, after=after)
    )


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def _after(request: Request) -> Position:
    asked = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    if not asked:
        return BEGINNING
    if (found := parse_position(asked)) is None:
        raise PayloadError(f"{asked[:80]!r} is no event's id; they look like 1-42")
    return found
