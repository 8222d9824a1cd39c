"""Where a replica may take over, nothing follows from what no replica has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from tests.journey.harness import Processes, free_port, until
from webhook.core.state import Draft, Keys
from webhook.edge.store import RedisInbox, RedisStore
from webhook.errors import Unavailable
from webhook.ports import Envelope

ENVELOPE = Envelope(received_at=datetime(2026, 1, 31, 12, tzinfo=UTC), sender="am", body="{}")


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[tuple[Processes, int]]:
    processes, port = Processes(tmp_path), free_port()
    processes.redis(port)
    yield processes, port
    processes.end()


def _message(_: object) -> tuple[str, bytes]:
    return "intake", b"bell"


def _put(port: int) -> None:
    async def put() -> None:
        async with redis.asyncio.Redis(port=port) as client:
            await RedisInbox(client, message=_message, copies=1).put("n1", ENVELOPE)

    asyncio.run(put())


def _commit(client: Any) -> bool:
    store = RedisStore(client=client, message=_message, copies=1)
    return store.commit(Draft.of(store.read(Keys())))


def test_a_primary_that_nobody_follows_acknowledges_nothing_and_one_that_is_followed_does(
    primary: tuple[Processes, int], tmp_path: Path
) -> None:
    processes, port = primary
    with redis.Redis(port=port) as client:
        with pytest.raises(Unavailable, match="no replica"):
            _put(port)
        with pytest.raises(Unavailable, match="no replica"):
            _commit(client)
        follow = [
            "redis-server",
            "--port",
            str(free_port()),
            "--bind",
            "127.0.0.1",
            "--replicaof",
            "127.0.0.1",
            str(port),
        ]
        (tmp_path / "replica").mkdir()
        processes.start("replica", [*follow, "--dir", str(tmp_path / "replica"), "--repl-diskless-sync-delay", "0"])
        until(lambda: client.execute_command("WAIT", 1, 100) == 1, "it follows")
        _put(port)
        assert _commit(client)
