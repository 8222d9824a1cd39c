"""An application over an inbox in memory and a ledger in SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.flow.scene import Scene
from tests.flow.twin import MemoryFollower
from tests.web.described import hold_against_description
from webhook.checking import Checker, Checks
from webhook.core.metric import Counts
from webhook.core.rulebook import Rulebook
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.edge.webconfig import WebConfig
from webhook.errors import Unavailable
from webhook.explaining import Explaining
from webhook.ports import Envelope
from webhook.web.app import make_app
from webhook.web.auth import Authenticator
from webhook.web.health import Watched
from webhook.web.reload import TakeOver
from webhook.wiring.desk import Desk

LIMIT_BYTES = 4096


@dataclass
class Inbox:
    """Takes what it is given, unless it is away."""

    taken: dict[str, Envelope] = field(default_factory=dict)
    is_away: bool = False
    stalled_seconds: float = 0.0

    def __post_init__(self) -> None:
        checkers = {"redis": Checker(ask=self.ask), "other": Checker(ask=lambda: "well")}
        self.checks = Checks(checkers=checkers, needed=("redis",), starting=("redis",))

    async def put(self, notification: str, envelope: Envelope) -> None:
        self.ask()
        self.taken[notification] = envelope

    def ask(self) -> str:
        if self.is_away:
            raise Unavailable("Redis", "connection refused")
        return "it can be written to"

    def go_away(self) -> None:
        """It is away, and nobody remembers that it was there."""
        self.is_away = True
        self.__post_init__()


@dataclass(frozen=True)
class Client:
    """Asks an application; what breaks in there is a status, as it is for anyone, and no redirect is followed."""

    app: Starlette

    def get(self, path: str, **settings: Any) -> httpx.Response:
        return self.request("GET", path, **settings)

    def post(self, path: str, **settings: Any) -> httpx.Response:
        return self.request("POST", path, **settings)

    def request(self, method: str, path: str, **settings: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://alertmend") as client:
                return await client.request(method, path, **settings)

        answer = asyncio.run(ask())
        hold_against_description(method, path, answer)
        return answer


@dataclass(frozen=True)
class Files:
    """A configuration that nobody wrote into files."""

    rulebook: Rulebook
    config: Any = field(default_factory=lambda: SimpleNamespace(playbooks=Path("/nowhere")))


def desk_of(scene: Scene, ledger: SqlLedger) -> Desk:
    """What people look at and work with, in memory."""
    current = Files(rulebook=scene.rulebook())
    explaining = Explaining(read=scene.change.read, rulebook=scene.rulebook, now=scene.clock)
    return Desk(
        current=current,  # type: ignore[arg-type]
        store=scene.store,
        ledger=ledger,
        people=scene.people,
        explaining=explaining,
    )


@dataclass(frozen=True)
class Recorded:
    """Shows what is counted on the record, and nothing else."""

    ledger: SqlLedger

    def read(self, now: datetime) -> Counts:
        return self.ledger.tally().counts


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def follower() -> MemoryFollower:
    return MemoryFollower()


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLedger]:
    """A ledger that is only read from; tests fill one of their own."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'alertmend.db'}")
    migrate(engine)
    yield SqlLedger(engine=engine)
    engine.dispose()


async def taken_over(actor: str) -> tuple[int, str]:
    """What stands in the files is sound, whoever asks."""
    return 3, f"by-{actor}"


def application(
    ledger: SqlLedger,
    *,
    web_config: WebConfig | None = None,
    inbox: Inbox | None = None,
    follower: MemoryFollower | None = None,
    scene: Scene | None = None,
    take_over: TakeOver | None = None,
) -> Starlette:
    """The application over what a test cares about; the rest is in memory."""
    inbox, scene = inbox or Inbox(), scene or Scene()
    return make_app(
        authenticator=Authenticator(web_config),
        put=inbox.put,
        ledger=ledger,
        follower=follower or MemoryFollower(),
        max_body_bytes=lambda: LIMIT_BYTES,
        desk=lambda: desk_of(scene, ledger),
        take_over=take_over or taken_over,
        watched=Watched(
            checks=lambda: inbox.checks,
            gauges=lambda: Recorded(ledger),  # type: ignore[arg-type,return-value]
            stalled_seconds=lambda: inbox.stalled_seconds,
        ),
    )


@pytest.fixture
def scene() -> Scene:
    """A whole alertmend in memory, for what people look at and work with."""
    return Scene()


@pytest.fixture
def client_with(
    inbox: Inbox, ledger: SqlLedger, follower: MemoryFollower, scene: Scene
) -> Callable[[WebConfig | None], Client]:
    """A client of the application with a web.config.file."""
    return lambda web_config: Client(
        application(ledger, web_config=web_config, inbox=inbox, follower=follower, scene=scene)
    )


@pytest.fixture
def client_over(inbox: Inbox) -> Iterator[Callable[[str], Client]]:
    """A client of an application on the database at a URL."""
    engines = []

    def build(database_url: str) -> Client:
        engines.append(open_engine(database_url))
        return Client(application(SqlLedger(engine=engines[-1]), inbox=inbox))

    yield build
    for engine in engines:
        engine.dispose()


@pytest.fixture
def client(client_with: Callable[[WebConfig | None], Client]) -> Client:
    return client_with(None)


@pytest.fixture
def guarded(client_with: Callable[[WebConfig | None], Client], tmp_path: Path) -> Client:
    """A client of an application that lets in one token."""
    (tmp_path / "am-token").write_text("secret\n")
    return client_with(WebConfig(receiver_tokens_files=(tmp_path / "am-token",)))
