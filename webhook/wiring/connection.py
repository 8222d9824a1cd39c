"""Connections to Redis and to the database, none of which waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry

from webhook.core.sentinel import Sentinels, is_sentinel, parse_sentinels
from webhook.edge.configfile import Config, read_config
from webhook.edge.valkey import EmbeddedValkey
from webhook.errors import RECORD, Unavailable
from webhook.ports import Doorbell


def redis_url(config: Config, storage: Path) -> str:
    """The configured Redis, or the embedded one."""
    return config.redis_url or EmbeddedValkey(storage=storage).url


def database_url(config: Config, storage: Path) -> str:
    """The configured database, or SQLite in the storage path."""
    return config.database_url or f"sqlite:///{storage.absolute() / 'alertmend.db'}"


def connect(url: str, *, patience_seconds: float = 10, retries: int = 1) -> Any:
    """A Redis client for one process and all of its threads; it does not wait for ever for anything."""
    import redis

    settings: dict[str, Any] = {"socket_timeout": patience_seconds, "socket_connect_timeout": patience_seconds / 2}
    settings |= {"health_check_interval": 15, "retry": Retry(NoBackoff(), retries)}
    if not is_sentinel(url):
        return redis.Redis.from_url(url, **settings)
    from redis.sentinel import Sentinel

    found = parse_sentinels(url)
    asked = {"socket_timeout": 2, "socket_connect_timeout": 2, **found.asking}
    sentinel: Any = Sentinel(found.addresses, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    return sentinel.master_for(found.primary, **settings, **_login(found))


def connect_async(url: str) -> Any:
    """A Redis client for the receiver.

    It fails early, since Alertmanager tries again: after 15 s a second one of a cluster would send everything, too.
    """
    import redis.asyncio
    from redis.asyncio.retry import Retry as AsyncRetry

    settings: dict[str, Any] = {"socket_timeout": 3, "socket_connect_timeout": 2}
    settings["retry"] = AsyncRetry(NoBackoff(), 1)
    if not is_sentinel(url):
        return redis.asyncio.Redis.from_url(url, **settings)
    from redis.asyncio.sentinel import Sentinel

    found = parse_sentinels(url)
    asked = {"socket_timeout": 1, "socket_connect_timeout": 1, **found.asking}
    sentinel: Any = Sentinel(found.addresses, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    return sentinel.master_for(found.primary, **settings, **_login(found))


def copies(url: str) -> int:
    """How many replicas must have what is acknowledged: behind Sentinels one of them may take over at any time."""
    return 1 if is_sentinel(url) else 0


def _login(found: Sentinels) -> dict[str, Any]:
    return {"db": found.database, "username": found.username, "password": found.password, **found.tls}


def open_ledger(config: Config, storage: Path) -> Any:
    """The ledger of a configuration."""
    from webhook.edge.ledger import SqlLedger, open_engine

    return SqlLedger(engine=open_engine(database_url(config, storage)))


def open_record(config_file: Path | None, storage: Path) -> Any:
    """The ledger of a configuration, or, without one, the SQLite in the storage path; it is only read from.

    Raises:
        ConfigError: with every problem.
        Unavailable: there is none yet.
    """
    from webhook.edge.ledger import SqlLedger, open_engine

    default = f"sqlite:///{storage.absolute() / 'alertmend.db'}"
    url = database_url(read_config(config_file, has_runs=False), storage) if config_file is not None else default
    file = url.removeprefix("sqlite:///")
    # Asked for it, SQLite would make an empty one, in which every chain holds.
    if file != url and not Path(file).exists():
        raise Unavailable(RECORD, f"there is none at {file}")
    return SqlLedger(engine=open_engine(url))


class LateLedger:
    """A ledger that is opened when it is first asked something."""

    def __init__(self, open: Callable[[], Any]) -> None:
        self._open = open

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @cached_property
    def _ledger(self) -> Any:
        return self._open()


def message_maker(url: str) -> Callable[[Doorbell], tuple[str, bytes]]:
    """A function that makes doorbells for the broker at a URL."""
    from webhook.edge.queue import make_app, make_message

    return make_message(make_app(url))
