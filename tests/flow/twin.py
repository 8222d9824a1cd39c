"""The ports in memory, and a clock. Those of `webhook.rehearsal` pass the same contract tests as the real edges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from webhook.core.alert import Alert
from webhook.core.probe import Probe
from webhook.core.run import ProbeAnswer
from webhook.core.transcript import Passage, Position, Told
from webhook.rehearsal.memory import MemoryLedger as MemoryLedger
from webhook.rehearsal.memory import MemoryStore as MemoryStore
from webhook.rehearsal.memory import MemoryStream as MemoryStream
from webhook.world import Answer, KnownAlert, KnownState, Paged, PlaybookEnd, PlaybookJob, PlaybookResult, Posted

EPOCH = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Time that passes when it is told to."""

    now: datetime = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class MemoryFollower:
    """Hears what the store in memory is told."""

    store: MemoryStore = field(default_factory=MemoryStore)

    async def since(self, run: str, after: Position) -> list[Told]:
        stream = self.store.streams.get(run, MemoryStream())
        return [told for told in stream.events.values() if told.position > after]

    async def said(self, run: str) -> tuple[Passage, ...]:
        return self.store.told(run)

    @asynccontextmanager
    async def follow(self, run: str, after: Position) -> AsyncIterator[None]:
        yield

    async def news(self, run: str, after: Position, *, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                while not await self.since(run, after):
                    await asyncio.sleep(0.001)
        except TimeoutError:
            return False
        return True


@dataclass
class Playbooks:
    """A world in which playbooks do what a test says."""

    jobs: list[PlaybookJob] = field(default_factory=list)
    does: Callable[[PlaybookJob], PlaybookResult] = lambda job: PlaybookResult(
        end=PlaybookEnd.OK, reason="1 task changed", return_code=0
    )
    #: What each of them says, while it runs.
    says: Sequence[Passage] = ()

    is_cancelled: Callable[[], bool] = lambda: False

    def run(
        self, job: PlaybookJob, *, is_cancelled: Callable[[], bool], hear: Callable[[Passage], None]
    ) -> PlaybookResult:
        self.jobs.append(job)
        self.is_cancelled = is_cancelled
        for passage in self.says:
            hear(passage)
        return self.does(job)


@dataclass
class Alertmanager:
    """What fires, as a test says, and the alerts that were posted."""

    known: dict[str, KnownAlert] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    #: Why it cannot say what fires, though it takes alerts.
    unable: dict[str, str] = field(default_factory=dict)
    posted: list[Mapping[str, Any]] = field(default_factory=list)
    asked: int = 0
    started: datetime | None = None

    def started_at(self) -> datetime | None:
        return self.started

    def alerts(self, *, matchers: Sequence[str] = ()) -> Answer:
        self.asked += 1
        if self.silent or self.unable:
            return Answer(alerts={}, answered=(), silent=self.silent or self.unable)
        return Answer(alerts=dict(self.known), answered=("http://am1",))

    def post(self, alerts: Sequence[Mapping[str, object]]) -> Posted:
        if self.silent:
            return Posted(taken_by=(), failures=self.silent)
        self.posted += alerts
        return Posted(taken_by=("http://am1",))

    def fires(self, alert: Alert, *, suppressed_by: str = "", is_ours: bool = True) -> None:
        self.known[alert.fingerprint] = KnownAlert(
            alert=alert,
            state=KnownState.SUPPRESSED if suppressed_by else KnownState.ACTIVE,
            suppressed_by=(suppressed_by,) if suppressed_by else (),
            receivers=("alertmend",),
            is_ours=is_ours,
        )


@dataclass
class Pages:
    """What people were told elsewhere, unless the way there is broken."""

    taken: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    broken: str = ""

    def post(self, url: str, body: Mapping[str, object]) -> Paged:
        if self.broken:
            return Paged(was_taken=False, words=self.broken)
        self.taken.append((url, body))
        return Paged(was_taken=True, words="status 200")


@dataclass
class World:
    """A world in which a target is healthy when a test says so."""

    clock: Clock
    #: None: whoever was asked about the target could not say.
    answers: Callable[[], bool | None] = lambda: True
    asked: list[Probe] = field(default_factory=list)

    def ask(self, probe: Probe) -> ProbeAnswer:
        self.asked.append(probe)
        self.clock.advance(seconds=1)
        healthy = self.answers()
        return ProbeAnswer(
            at=self.clock.now,
            healthy=bool(healthy),
            known=healthy is not None,
            words="status 200" if healthy else "refused",
            latency_seconds=0.001,
        )
