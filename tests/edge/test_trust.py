"""A Redis that is not ours is asked whether it keeps what it acknowledges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.journey.harness import Processes, free_port
from webhook.edge.store.trust import doubts


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    """A Redis of Debian's, with an append-only file."""
    processes, port = Processes(tmp_path), free_port()
    processes.redis(port)
    with redis.Redis(port=port) as connection:
        yield connection
    processes.end()


def test_a_redis_that_keeps_everything_is_trusted_and_one_that_does_not_is_told_what_to_set(client: Any) -> None:
    assert doubts(client) == []
    client.config_set("appendonly", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    lost, forgotten = doubts(client)
    assert "set appendonly yes" in lost
    assert "(allkeys-lru); set maxmemory-policy noeviction" in forgotten


def test_one_that_may_not_be_asked_or_is_away_is_not_doubted(client: Any) -> None:
    client.config_set("appendonly", "no")
    client.execute_command("ACL", "SETUSER", "alertmend", "on", "nopass", "~*", "+@all", "-config")
    port = client.connection_pool.connection_kwargs["port"]
    with redis.Redis(port=port, username="alertmend", password="x") as asking:
        assert doubts(asking) == []
    with redis.Redis(port=free_port()) as nobody:
        assert doubts(nobody) == []


@pytest.mark.parametrize(("version", "is_too_old"), [("6.0.16", True), ("5", True), ("6.2.0", False), ("10.0", False)])
def test_one_that_is_too_old_is_named(version: str, is_too_old: bool) -> None:
    class Old:
        def config_get(self, *_: str) -> dict[str, str]:
            return {}

        def info(self, _: str) -> dict[str, str]:
            return {"redis_version": version}

    assert bool(doubts(Old())) is is_too_old
