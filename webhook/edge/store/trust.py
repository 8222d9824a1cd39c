"""Whether a Redis that is not ours keeps what it has acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError

from webhook.edge.store.keys import PREFIX

#: Older ones do not know the commands that are used.
OLDEST = (6, 2)


def doubts(client: Any) -> list[str]:
    """What may get lost in this Redis, or cannot work with it, in words; nothing where it may not be asked."""
    try:
        kept = client.config_get("appendonly", "maxmemory-policy")
        return [*_of_settings(kept), *_of_version(str(client.info("server")["redis_version"]))]
    except (RedisError, OSError):
        # Not there yet, or a hosted one that does not tell: the workers find out.
        return []


def write_error(client: Any) -> str | None:
    """Why it takes no writes, in words; None: it does."""
    try:
        # Gone after ten seconds; it says by the writing alone what no setting tells: a replica, a full memory or disk.
        client.set(f"{PREFIX}doctor", "", ex=10)
    except (RedisError, OSError) as error:
        return f"Redis takes no writes: {str(error) or type(error).__name__}"
    return None


def time_at(client: Any) -> datetime | None:
    """What its clock shows; None where it does not say."""
    try:
        seconds, microseconds = client.time()
    except (RedisError, OSError):
        return None
    return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)


def _of_settings(kept: dict[str, str]) -> Iterator[str]:
    if kept.get("appendonly") == "no":
        yield "Redis keeps no append-only file: what was acknowledged is lost with its process; set appendonly yes"
    policy = kept.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        yield f"Redis forgets what it likes when it is full ({policy}); set maxmemory-policy noeviction"


def _of_version(version: str) -> Iterator[str]:
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if found < OLDEST:
        yield f"Redis {version} is too old; {OLDEST[0]}.{OLDEST[1]} is needed"
